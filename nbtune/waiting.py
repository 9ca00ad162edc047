"""Waits for a sweep's end, and says what went wrong in it."""

import sys
import time
from collections.abc import Callable

from nbtune.engine import Snapshot, SweepStatus
from nbtune.exceptions import SweepError, TrialError
from nbtune.trial import Status

__all__ = ["WAIT_TICK_SECONDS", "PausedNotice", "WaitInterrupted", "raise_failure", "wait_for"]

WAIT_TICK_SECONDS = 0.2


class WaitInterrupted(KeyboardInterrupt):
    """The user interrupted ``wait()``; the sweep goes on."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class PausedNotice:
    """Says once that the sweep which is waited for is paused; again only when it is once more."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = False

    def look(self, status: SweepStatus) -> None:
        """Take in where the sweep stands now."""
        is_paused = status is SweepStatus.PAUSED
        if is_paused and not self._said:
            sys.stdout.write(
                f"Sweep {self._name!r} is paused, so that this waits until it goes on and ends. "
                f"Interrupt the wait and call {self._name}.resume() to go on with it, or "
                f"{self._name}.stop() to end it.\n"
            )
            sys.stdout.flush()
        self._said = is_paused


def wait_for(
    done: Callable[[float], bool],
    timeout: float | None,
    *,
    name: str,
    tick: Callable[[], None],
    goes_on: bool = True,
) -> bool:
    """Block until `done`, at most `timeout` seconds; return whether it is.

    Parameters
    ----------
    done : callable
        Waits some seconds at most, and returns whether it is over.
    timeout : float or None
        Seconds; None for ever.
    name : str
        The sweep's, for the message of an interrupt.
    tick : callable
        Called in this thread now and then.
    goes_on : bool
        Whether this process goes on after an interrupt, as a script does not.

    Raises
    ------
    WaitInterrupted
        A KeyboardInterrupt that says what becomes of the sweep.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while not done(_tick(deadline)):
            tick()
            if deadline is not None and time.monotonic() >= deadline:
                return False
    except KeyboardInterrupt:
        raise WaitInterrupted(_what_becomes_of(name, goes_on=goes_on)) from None
    return True


def _what_becomes_of(name: str, *, goes_on: bool) -> str:
    if goes_on:
        return (
            f"The wait was interrupted; sweep {name!r} goes on in the background. "
            f"Stop it with {name}.stop(), or from its dashboard."
        )
    return (
        f"The wait was interrupted; sweep {name!r} ends with this script. All that was reported "
        f"is stored: nbtune.load({name!r}).resume() goes on from there."
    )


def _tick(deadline: float | None) -> float:
    if deadline is None:
        return WAIT_TICK_SECONDS
    return max(0.0, min(WAIT_TICK_SECONDS, deadline - time.monotonic()))


def raise_failure(snapshot: Snapshot) -> None:
    """Raise what made a sweep fail, with the first trial that failed so; nothing for any other.

    Raises
    ------
    TrialError, SweepError
    """
    failure = snapshot.failure
    if snapshot.status is not SweepStatus.FAILED or failure is None:
        return
    failed = snapshot.trials.with_status(Status.FAILED)
    first = next((trial for trial in failed if trial.failure == failure), None)
    if first is None:
        raise SweepError(f"sweep {snapshot.name!r} failed: {snapshot.reason}", failure.traceback)
    raise TrialError(
        f"sweep {snapshot.name!r} stopped: {snapshot.reason}",
        first.number,
        first.params,
        failure.traceback,
    )
