"""The moments at which the scheduler is told something: no two are the same."""

import math

from nbtune.workers.base import Inbox

__all__ = ["Moments"]


class Moments:
    """Gives each thing that the scheduler is told a time after all that it was told before.

    Processes report at once, and are heard one after the other: what is stored is in the order in
    which the scheduler heard it, so that it can be told the same again.

    Parameters
    ----------
    inbox : Inbox
        Its clock.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._last = -math.inf

    def go_on_from(self, time: float) -> None:
        """Go on after what was told in earlier processes, until `time`."""
        self._last = time
        self._inbox.go_on_from(time)

    def at(self, time: float) -> float:
        """Return `time`, or the next moment after all that have been given."""
        time = min(time, self._inbox.now())  # a clock elsewhere may be ahead
        self._last = max(time, math.nextafter(self._last, math.inf))
        return self._last
