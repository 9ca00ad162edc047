"""The commands of ``%tune``: each finds its sweep and calls one method of it."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from IPython.core.error import UsageError

import nbtune
from nbtune.catalog import delete, load, sweeps
from nbtune.context import alone
from nbtune.exceptions import SweepError
from nbtune.magics.cells import refuse_to_shadow, with_values
from nbtune.results import value_of
from nbtune.sweep import Sweep

__all__ = ["ACTIONS"]


def _find(shell: Any, options: Namespace) -> Sweep:
    """Return the sweep bound to the name, else the stored one of that name."""
    bound = shell.user_ns.get(options.name)
    if isinstance(bound, Sweep) and options.store is None:
        return bound
    return load(options.name, options.store)


def _list(shell: Any, options: Namespace) -> Any:
    return sweeps(options.store)


def _show(shell: Any, options: Namespace) -> Any:
    return _find(shell, options).dashboard()


def _stop(shell: Any, options: Namespace) -> None:
    sweep = _find(shell, options)
    if sweep.status.ended:
        _say(f"{sweep.name} has ended already: {sweep.reason or sweep.status}.")
        return
    sweep.stop(drain=options.drain)
    how = "starts no more trials and ends with those that run" if options.drain else "is stopping"
    _say(f"{sweep.name} {how}; its results stay. %tune resume {sweep.name} goes on with it.")


def _pause(shell: Any, options: Namespace) -> None:
    sweep = _find(shell, options)
    if sweep.status.ended:
        raise SweepError(f"{sweep.name} has ended already: {sweep.reason or sweep.status}.")
    sweep.pause()
    _say(f"{sweep.name} starts no more trials. %tune resume {sweep.name} goes on with it.")


def _resume(shell: Any, options: Namespace) -> None:
    sweep = _find(shell, options)
    binds = options.name.isidentifier()
    if binds:
        refuse_to_shadow(options.name, shell.user_ns)
    was_running = sweep.running_here
    sweep.resume()
    if binds:
        shell.push({options.name: sweep})
    if was_running:
        _say(f"{sweep.name} goes on.")  # its dashboard is on screen already
    else:
        sweep.dashboard()


def _wait(shell: Any, options: Namespace) -> None:
    _find(shell, options).wait()


def _apply(shell: Any, options: Namespace) -> Any:
    sweep = _find(shell, options)
    trial = sweep.best if options.trial is None else sweep.trial(options.trial)
    if isinstance(trial, list):
        front = ", ".join(str(one.number) for one in trial)
        raise SweepError(
            f"sweep {sweep.name!r} has {len(sweep.goals)} objectives, so there is no one best "
            f"trial: add --trial N. On its front: {front or 'none yet'}."
        )
    params = sweep.apply(shell.user_ns, params=trial.params if trial else None)
    values = ", ".join(f"{name} = {value!r}" for name, value in params.items())
    reached = ", ".join(f"{goal.metric} {value_of(trial, [goal]):.4g}" for goal in sweep.goals)
    _say(f"{values}  ({reached})")
    if not options.run:
        return None
    cell = with_values(shell.transform_cell(sweep.source), params)
    if cell is None:  # a function was tuned, not a cell
        return sweep.rerun(params)
    with _borrowed_names(shell.user_ns), alone(params):
        result = _run_cell(shell, cell)
    if not result.success:
        error = result.error_before_exec or result.error_in_exec
        raise UsageError(f"the cell raised {type(error).__name__} on the best params, see above")
    return None


def _run_cell(shell: Any, cell: str) -> Any:
    if shell.should_run_async(cell, transformed_cell=cell):
        # `run_cell` would enter the notebook's event loop again, in which this magic runs.
        running = shell.run_cell_async(cell, store_history=False, transformed_cell=cell)
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(copy_context().run, asyncio.run, running).result()
    return shell.run_cell(cell, store_history=False)


@contextmanager
def _borrowed_names(namespace: dict[str, Any]) -> Iterator[None]:
    """Lend a cell nbtune's names, which it may use in a sweep without an import."""
    names = (name for name in nbtune.__all__ if name not in namespace)
    lent = {name: getattr(nbtune, name) for name in names}
    namespace.update(lent)
    try:
        yield
    finally:
        for name, value in lent.items():
            if namespace.get(name) is value:
                del namespace[name]


def _delete(shell: Any, options: Namespace) -> None:
    sweep = _find(shell, options)
    sweep.settle()
    if not sweep.status.ended and sweep.running_here:
        raise SweepError(f"sweep {sweep.name!r} is running: %tune stop {sweep.name} first.")
    delete(sweep.name, options.store or sweep.path.parent)
    shell.drop_by_id({options.name: sweep})
    _say(f"{sweep.name} is deleted.")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


ACTIONS: dict[str, Callable[[Any, Namespace], Any]] = {
    "list": _list,
    "show": _show,
    "stop": _stop,
    "pause": _pause,
    "resume": _resume,
    "wait": _wait,
    "apply": _apply,
    "delete": _delete,
}
