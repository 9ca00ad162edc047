"""Walks listed params in order, each point as often as it is listed.

What has been tried is told by params, not counted by number: enqueued trials take numbers too, and
a resumed sweep asks for what is left.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from nbtune.space import Space
from nbtune.trial import Params

__all__ = ["Walk"]


class Walk:
    """The points of a list that are still to be tried.

    Parameters
    ----------
    space : Space
        Tells equal points by its keys.
    point_at : callable
        Returns the params at an index; called again and again, so that no long list is held.
    length : int >= 0
        How many points there are, repeats counted.
    """

    def __init__(self, space: Space, point_at: Callable[[int], Params], length: int) -> None:
        self._space = space
        self._point_at = point_at
        self._length = length
        self.place = 0  # the index of the last point returned
        self._first = 0  # every point before this index has been observed
        self._observed: Counter[Hashable] = Counter()

    def next(self, pending: Sequence[Params]) -> Params | None:
        """Return the first point left over by what was observed and what is `pending`."""
        taken = self._observed.copy()
        taken.update(self._space.key(params) for params in pending)
        for index in range(self._first, self._length):
            point = self._point_at(index)
            key = self._space.key(point)
            if taken[key] == 0:
                self.place = index
                # A copy: no trial can alter the list. It was checked as it came in.
                return self._space.validate(point, strict=False)
            taken[key] -= 1
        return None

    @property
    def finished(self) -> bool:
        """Whether a trial of every point has ended."""
        return self._first == self._length

    def extend(self, count: int) -> None:
        """Take in `count` points more, at the list's end."""
        self._length += count
        self._pass_observed()

    def observe(self, params: Params) -> None:
        """Learn that a trial of `params` has ended."""
        self._observed[self._space.key(params)] += 1
        self._pass_observed()

    def _pass_observed(self) -> None:
        while self._first < self._length:
            key = self._space.key(self._point_at(self._first))
            if self._observed[key] == 0:
                break
            self._observed[key] -= 1
            self._first += 1
