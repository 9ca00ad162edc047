"""The cores of this process, divided among the sweeps that run in it at once."""

import threading
from collections.abc import Callable

from nbtune.workers.cores import available_cores

__all__ = ["CoreShare", "CoreShares", "process_cores"]


class CoreShares:
    """Says which of several sweeps may start a trial.

    A sweep may while a core is free, and in any case up to its fair share: the cores that sweeps
    with a number of slots of their own leave, divided evenly. So one alone has all cores, one that
    comes later starts at once, and the others come down to their shares as their trials end.

    Parameters
    ----------
    count : callable
        Returns how many cores there are.
    """

    def __init__(self, count: Callable[[], int] = available_cores) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._shares: list[CoreShare] = []

    def join(self, cpus: int, *, fixed: bool) -> "CoreShare":
        """Enter a sweep whose trials take `cpus` cores each.

        One that is `fixed` has been given its number of slots: its cores count, and it may always.
        """
        share = CoreShare(self, cpus, fixed=fixed)
        with self._lock:
            self.total = self._count()
            self._shares.append(share)
        return share

    def leave(self, share: "CoreShare") -> None:
        """Take a sweep out that has ended; once is enough."""
        with self._lock:
            if share in self._shares:
                self._shares.remove(share)

    def has_room(self, share: "CoreShare", running: int) -> bool:
        """Return whether a sweep of which so many trials are `running` may start another."""
        share.used = running * share.cpus
        if share.fixed or not running:
            return True
        with self._lock:
            wanted = share.used + share.cpus
            used = sum(other.used for other in self._shares if other is not share)
            if used + wanted <= self.total:
                return True
            fixed = sum(other.used for other in self._shares if other.fixed)
            sharing = sum(not other.fixed for other in self._shares)
            return wanted * sharing <= self.total - fixed

    def others(self, share: "CoreShare") -> int:
        """Return how many other sweeps there are."""
        with self._lock:
            return sum(other is not share for other in self._shares)


class CoreShare:
    """The part of one sweep; ``used`` is how many cores its trials take now."""

    def __init__(self, shares: CoreShares, cpus: int, *, fixed: bool) -> None:
        self._shares = shares
        self.cpus = cpus
        self.fixed = fixed
        self.used = 0

    def has_room(self, running: int) -> bool:
        """Return whether another trial may start beside those that are `running`."""
        return self._shares.has_room(self, running)

    def started(self) -> None:
        """Note that a trial has started; ``has_room`` hears when it has ended."""
        self.used += self.cpus

    def leave(self) -> None:
        """Give all back."""
        self._shares.leave(self)

    @property
    def remark(self) -> str:
        """With whom cores are shared, in a few words; empty where they are not."""
        others = 0 if self.fixed else self._shares.others(self)
        if not others:
            return ""
        cores = f"{self._shares.total} core{'s' * (self._shares.total != 1)}"
        return f"{cores} shared with {others} other sweep{'s' * (others != 1)}"


process_cores = CoreShares()
"""Those of this process: the one thing that its sweeps have in common."""
