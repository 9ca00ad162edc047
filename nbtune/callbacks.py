"""Callbacks that a sweep can be given besides plain functions of its events."""

import time
from collections.abc import Callable
from typing import Any

from nbtune.engine import SweepEnded
from nbtune.exceptions import SpecError

__all__ = ["Every"]


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
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
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
