"""Callbacks that a sweep can be given besides plain functions of its events."""

import time
from collections.abc import Callable
from typing import Any

from nbtune.arguments import finite
from nbtune.engine import SweepEnded
from nbtune.exceptions import SpecError

__all__ = ["Every", "callbacks_of", "check_callback"]


class Every:
    """Calls a function with the sweep while it runs, at most once in so many seconds.

    It is called when something has happened (a start, a report, an end) and the time has passed,
    and once when the sweep has ended; in the thread of the callbacks, which may be slow without
    harm.

    Parameters
    ----------
    seconds : float > 0
        From one call to the next, at least.
    function : callable
        Called with the sweep: ``Every(60, lambda sweep: sweep.reports.to_csv("curves.csv"))``.

    Raises
    ------
    SpecError
        When `seconds` is no positive number, or `function` cannot be called.
    """

    def __init__(self, seconds: float, function: Callable[[Any], object]) -> None:
        if not (finite(seconds) or 0) > 0:
            raise SpecError(
                f"Every({seconds!r}, ...): give a positive number of seconds", "seconds"
            )
        if not callable(function):
            raise SpecError(
                f"Every({seconds!r}, {function!r}): give a function that takes the sweep",
                "function",
            )
        self.seconds = seconds
        self.function = function

    def of(self, sweep: Any) -> Callable[[Any], None]:
        """Return what `sweep` calls with each of its events."""
        due = time.monotonic() + self.seconds

        def hear(event: Any) -> None:
            nonlocal due
            now = time.monotonic()
            if now >= due or isinstance(event, SweepEnded):
                due = now + self.seconds
                self.function(sweep)

        return hear


def check_callback(name: str, callback: object) -> None:
    """Raise `SpecError` when `callback` is neither a function nor an `Every`."""
    if not isinstance(callback, Every) and not callable(callback):
        raise SpecError(f"{name}={callback!r}: give a function of one event, or Every(...)", name)


def callbacks_of(callbacks: object) -> list[Any]:
    """Return the callbacks in a list or tuple; raise `SpecError` for anything else."""
    if not isinstance(callbacks, list | tuple):
        raise SpecError(
            f"callbacks={callbacks!r}: give a list of functions, each called with an event",
            "callbacks",
        )
    for callback in callbacks:
        check_callback("callbacks", callback)
    return list(callbacks)
