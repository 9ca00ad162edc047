"""What of a sweep may change when it goes on, and what it keeps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbtune import pickling
from nbtune.definition import Definition, budget_of, rules_of, workers_of
from nbtune.exceptions import SpecError, nearest
from nbtune.schedulers import build as build_scheduler
from nbtune.searchers import build as build_searcher
from nbtune.workers import Local, Workers

__all__ = ["with_changes"]

_BUDGETS = (
    *("trials", "time_limit", "compute_time_limit", "trial_time_limit", "at_time_limit"),
    *("max_total_steps", "retries", "retry_exceptions"),
)
_RESOURCES = ("workers", "cpus", "gpus", "memory")
_KEPT = ("scheduler", "seed", "step", "deterministic", "trial_max_steps", "warm_start")


def with_changes(definition: Definition, given: Mapping[str, Any], *, name: str) -> Definition:
    """Return what a sweep goes on with; what is given as it was is no change.

    Parameters
    ----------
    definition : Definition
    given : mapping
        Arguments of `Sweep` by name, those that stay left out.
    name : str
        The sweep's, for messages.

    Raises
    ------
    SpecError
        When an argument is wrong, unknown, or one that a sweep keeps once it has begun.
    """
    _check(definition, given, name)
    changes: dict[str, Any] = {}
    if budgets := {key: given[key] for key in _BUDGETS if key in given}:
        checked = budget_of(**budgets)
        set_now = {key: getattr(checked, key) for key in budgets}
        changes["budget"] = replace(definition.budget, **set_now)
    if any(key in given for key in _RESOURCES):
        changes["workers"] = _workers(definition.workers, given)
    if "stop_when" in given:
        changes["stop_when"] = rules_of(given["stop_when"])
    if "searcher" in given:
        changes["searcher"] = _searcher(definition, given["searcher"], name)
    if not changes:
        return definition
    made = replace(definition, **changes)
    if changes.keys() - {"budget"}:
        made.check()
    return made


def _check(definition: Definition, given: Mapping[str, Any], name: str) -> None:
    known = (*_BUDGETS, *_RESOURCES, *_KEPT, "searcher", "stop_when")
    for key in given:
        if key not in known:
            raise SpecError(f"{key}= is nothing that resume() takes. {nearest(key, known)}", key)
        if key in _KEPT:
            _check_kept(definition, key, given[key], name)


def _check_kept(definition: Definition, key: str, value: Any, name: str) -> None:
    match key:
        case "scheduler":
            kept: Any = definition.scheduler
            same = _is_same(build_scheduler(value), kept)
            kept = type(kept).__name__ if type(build_scheduler(value)) is not type(kept) else kept
        case "trial_max_steps":
            kept = definition.budget.trial_max_steps
            same = value == kept
        case "warm_start":
            kept = [earlier.name for earlier in definition.earlier]
            several = value if isinstance(value, list | tuple) else [value]
            same = [getattr(one, "name", one) for one in several] == kept
        case _:
            kept = getattr(definition, key)
            same = value == kept
    if not same:
        raise _refusal(key, value, f"it keeps the {key} with which it began ({kept!r})", name)


def _refusal(key: str, value: Any, why: str, name: str) -> SpecError:
    return SpecError(
        f"{key}={value!r}: sweep {name!r} goes on, and {why}. Leave it out, or start a sweep under "
        "another name, with warm_start= for what this one has found.",
        key,
    )


def _searcher(definition: Definition, given: Any, name: str) -> Any:
    searcher = build_searcher(given)
    if _is_same(searcher, definition.searcher):
        return definition.searcher
    if searcher.finite or not searcher.editable:
        kind = type(searcher).__name__
        why = f"{kind} would pass over as many suggestions as there are trials"
        raise _refusal("searcher", given, why, name)
    return searcher


def _workers(stored: Workers, given: Mapping[str, Any]) -> Workers:
    """Return other workers; on this machine what is left out of them stays."""
    wanted = given.get("workers")
    resources: dict[str, Any] = {"cpus": 1, "gpus": 0, "memory": None}
    if isinstance(stored, Local) and not isinstance(wanted, str | Workers):
        resources = {"cpus": stored.cpus, "gpus": stored.gpus, "memory": stored.memory}
        wanted = _slots(stored) if wanted is None else wanted
    elif wanted is None:
        key = next(key for key in _RESOURCES if key in given)
        raise SpecError(
            f"{key}={given[key]!r}: this sweep runs on {stored.describe()}. Give workers=, too",
            key,
        )
    resources.update({key: given[key] for key in resources if key in given})
    return workers_of(wanted, **resources)


def _slots(stored: Local) -> int | None:
    """Return the number of slots, None where it is what the machine has room for."""
    return None if getattr(stored, "_shares_cores", False) else stored.slots


def _is_same(one: object, other: object) -> bool:
    """Return whether two parts were made alike; they need not define equality."""
    if type(one) is not type(other):
        return False
    try:
        return bool(vars(one) == vars(other)) or pickling.dumps(one) == pickling.dumps(other)
    except Exception:  # noqa: BLE001 - a part that a user wrote may compare or pickle as it likes
        return False
