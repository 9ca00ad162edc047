"""Turns an objective and the options of a line into a running sweep."""

import re
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping
from typing import Any

from IPython.core.error import UsageError

import nbtune
from nbtune import schedulers, searchers, stopping, workers
from nbtune.catalog import load
from nbtune.definition import goals_of
from nbtune.exceptions import NbtuneError, SpecError
from nbtune.magics.line import evaluate, whole_number
from nbtune.magics.options import function_parser
from nbtune.magics.rules import read_rule
from nbtune.naming import status_of
from nbtune.objective import Objective
from nbtune.registry import Registry
from nbtune.store import Store, SweepRow
from nbtune.sweep import Sweep

__all__ = ["launch"]

_PLAIN = (
    *("maximize", "minimize", "by", "trials", "time_limit", "trial_time_limit"),
    *("compute_time_limit", "at_time_limit", "max_total_steps", "trial_max_steps", "retries"),
    *("step", "seed", "deterministic", "cpus", "gpus", "memory", "store", "replace"),
)
_OF_THE_SWEEP = ("maximize", "minimize", "by", "store", "replace", "progress")


def launch(objective: Objective, options: Namespace, namespace: Mapping[str, Any]) -> Sweep:
    """Start a sweep, or go on with the stored one where ``--resume`` says so.

    Parameters
    ----------
    objective : Objective
    options : Namespace
        As `options.cell_parser` reads them.
    namespace : mapping
        The notebook's variables, which expressions in options may use.

    Raises
    ------
    UsageError
        When the name is taken, a budget is missing, or an expression cannot be evaluated.
    NbtuneError
        Whatever `Sweep` refuses.
    """
    stored = Store(options.store).find(options.name)
    if stored is not None and not options.resume and not options.replace:
        raise UsageError(_taken(stored, objective, options))
    if stored is not None and options.resume:
        _check_goals(stored, options)
    elif not (options.maximize or options.minimize):
        raise UsageError(
            f"no sweep {options.name!r} is stored: add --maximize METRIC or --minimize METRIC"
        )
    given = {key: getattr(options, key) for key in _PLAIN}
    given["progress"] = False if options.quiet else None
    given["searcher"] = _part(options.searcher, searchers.registry, namespace)
    given["scheduler"] = _part(options.scheduler, schedulers.registry, namespace)
    given["workers"] = _workers(options.workers, namespace)
    given["setup"] = _setup(options.setup, namespace)
    given["stop_when"] = _rules(options.stop_when, namespace)
    given["warm_start"] = _earlier(options.warm_start, namespace)
    given = {key: value for key, value in given.items() if value is not None}
    try:
        if stored is not None and options.resume:
            return _resumed(stored.name, objective, given)
        return Sweep(objective, name=options.name, **given).start()
    except SpecError as error:
        raise UsageError(_in_options(error)) from None


def _taken(stored: SweepRow, objective: Objective, options: Namespace) -> str:
    """Return what to do about a name that a stored sweep has: only what works on this one."""
    name = stored.name
    try:
        goes_on = load(name, options.store).space == objective.space
    except NbtuneError:
        goes_on = False
    if Store(options.store).owned(name):
        resume = f"end it with %tune stop {name} and then add --resume to go on with it, "
        return (
            f"a sweep {name!r} is not over: add --replace to stop it and start over, "
            f"{resume if goes_on else ''}wait for it with %tune wait {name}, or pick another name"
        )
    resume = "--resume to go on with it, " if goes_on else ""
    return (
        f"a sweep {name!r} exists already ({status_of(stored, owned=False)}). "
        f"Add {resume}--replace to start over, or pick another name"
    )


def _check_goals(stored: SweepRow, options: Namespace) -> None:
    given, by = options.maximize or options.minimize, stored.goals[0].by
    goals = goals_of(options.maximize, options.minimize, by) if given else stored.goals
    if goals != stored.goals or options.by not in (None, by):
        started = " ".join(f"--{goal.direction} {goal.metric}" for goal in stored.goals)
        started += f" --by {by}" * (by != "last")
        raise UsageError(
            f"sweep {stored.name!r} was started with {started}: resume it so, or pick another name"
        )


def _resumed(name: str, objective: Objective, given: Mapping[str, Any]) -> Sweep:
    """Go on with a stored sweep; what its goals are and where it is stored is known."""
    changes = {key: given[key] for key in given if key not in _OF_THE_SWEEP}
    if not changes.get("deterministic", True):
        del changes["deterministic"]  # the flag was not given
    return load(name, given.get("store")).resume(objective=objective, **changes)


def _part(text: str | None, registry: Registry[Any], namespace: Mapping[str, Any]) -> Any:
    """Return a registered name as it is, else what `text` means in Python."""
    if text is None or text in registry.names():
        return text
    names = {**_names(), **namespace}
    if text.isidentifier() and text not in names:
        return text  # the sweep answers with the names it knows
    return evaluate(text, names, f"--{registry.word}")


def _rules(texts: list[str] | None, namespace: Mapping[str, Any]) -> Any:
    names = {**_names(), **namespace}
    return None if texts is None else [read_rule(text, names) for text in texts]


def _workers(text: str | None, namespace: Mapping[str, Any]) -> Any:
    if text is None:
        return None
    names = {**_names(), **namespace}
    if "(" in text or text in names:
        return evaluate(text, names, "--workers")
    if "://" in text:
        return text  # the address of a Dask scheduler
    try:
        return whole_number(1)(text)
    except ArgumentTypeError as error:
        raise UsageError(f"--workers: {error}") from None


def _setup(text: str | None, namespace: Mapping[str, Any]) -> Any:
    return None if text is None else evaluate(text, {**_names(), **namespace}, "--setup")


def _earlier(given: list[str] | None, namespace: Mapping[str, Any]) -> Any:
    """Return the sweeps that the notebook has by these names, else the names: they are stored."""
    if given is None:
        return None
    bound = [namespace.get(name) for name in given]
    return [b if isinstance(b, Sweep) else name for b, name in zip(bound, given, strict=True)]


def _names() -> dict[str, Any]:
    """Return nbtune's own names, so that a line may use them without an import."""
    modules = (nbtune, searchers, schedulers, stopping, workers)
    return {
        name: getattr(module, name)
        for module in modules
        for name in module.__all__
        if name[0].isupper()
    }


def _in_options(error: SpecError) -> str:
    """Return the message with the spelling of options: ``--time-limit`` for ``time_limit=``."""
    if error.path == "budget":
        return "no budget: the search would never end. Add --trials 60 or --time-limit 10m"
    known = function_parser().options

    def option(match: re.Match[str]) -> str:
        name = f"--{match[1].replace('_', '-')}"
        return f"{name} " if name in known else match[0]

    return re.sub(r"\b([a-z_]+)=", option, str(error))
