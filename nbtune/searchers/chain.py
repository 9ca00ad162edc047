"""Chain: one param after another, the best value of each carried on to the next."""

import math
from collections.abc import Hashable, Iterator, Sequence
from functools import reduce
from operator import getitem

from nbtune.arguments import check_flag
from nbtune.pareto import Scores
from nbtune.searchers.base import Searcher
from nbtune.space import Dimension, Space
from nbtune.trial import Params

__all__ = ["Chain"]


class Chain(Searcher):
    """Walk the listed values of one param after another, in the order written.

    The others are at their defaults, or, with `use_best`, those before it at the best value found.
    A value becomes the best by strictly better scores: the first of equals stays, failed trials
    and NaN never do, and a param without any score stays at its default. With several objectives
    better means to dominate.

    Every domain must have a list of values: ``Choice``, ``Range``, ``Bool``, ``Int``, ``Real`` with
    a step. A constant and a domain of one value are fixed; a ``Choice`` with branches is one param,
    each point of a branch one of its values. No point is tried twice: one that belongs to several
    walks, as the defaults do, counts in all of them.

    Parameters
    ----------
    use_best : bool
        Whether later params are walked at the best values of earlier ones. A param then begins
        when all trials of the one before have ended; otherwise all trials may run at once.
    """

    starts_with_defaults = False
    finite = True

    def __init__(self, use_best: bool = True) -> None:
        self.use_best = check_flag("searcher", "Chain", "use_best", use_best)
        self.learns = use_best
        self.prefetch = 1 if use_best else 16

    def __repr__(self) -> str:
        return f"Chain(use_best={self.use_best})"

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space.

        Raises
        ------
        SpaceError
            When a domain has infinitely many values; it names the param.
        """
        super().setup(space, seed=seed)
        space.at(0)  # raises for a space without a grid
        walked = [dim for dim in space.dims if not dim.condition]
        self._walked: list[Dimension | None] = [*walked] or [None]
        self._done = 0  # so many of them have been walked to the end, ...
        self._base = space.defaults  # ... with this outcome
        self._ended: dict[Hashable, Scores | None] = {}

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return the first point not yet tried; None when the next param must wait, or at the end.

        It waits only while trials of the present param are pending.
        """
        taken = self._ended.keys() | {self.space.key(params) for params in pending}
        present = self._walked[self._done :][: 1 if self.use_best else None]
        walks = ((dim, point) for dim in present for point in self._points(dim))
        left = ((dim, point) for dim, point in walks if self.space.key(point) not in taken)
        dim, found = next(left, (None, None))
        others = "best so far" if self.use_best else "defaults"
        self.why = f"{dim.path} in turn, the others at their {others}" if dim else "the only point"
        return found

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Learn the last score of a trial."""
        self.learn(params, None if score is None else (score,), step=step, ended=ended)

    def learn(self, params: Params, scores: Scores | None, *, step: int, ended: bool) -> None:
        """Learn the last scores of a trial, one an objective."""
        if not ended:
            return
        key = self.space.key(params)
        if _is_better(scores, self._ended.setdefault(key, None)):
            self._ended[key] = scores
        while self._done < len(self._walked) and self._finished(self._walked[self._done]):
            self._done += 1

    def size(self) -> int:
        """Return the number of trials: the values of each param, those shared counted once."""
        return 1 + sum((dim.domain.size or 1) - 1 for dim in self._walked if dim is not None)

    def _finished(self, dim: Dimension | None) -> bool:
        """Return whether all values of a param were tried; if so, carry the best on."""
        if not all(self.space.key(point) in self._ended for point in self._points(dim)):
            return False
        best: Scores | None = None
        for point in [*self._points(dim)] if self.use_best else ():  # of the base until now
            scores = self._ended[self.space.key(point)]
            if _is_better(scores, best):
                best, self._base = scores, point
        return True

    def _points(self, dim: Dimension | None) -> Iterator[Params]:
        """Yield the params of a walk, each a copy; of a space with nothing to search its point."""
        for index in range(1 if dim is None else dim.domain.size or 1):
            params = self.space.validate(self._base)
            if dim is not None:
                *outer, name = dim.keys
                inner = reduce(getitem, outer, params)
                inner[name] = dim.domain.at(index)
            yield params


def _is_better(scores: Scores | None, best: Scores | None) -> bool:
    """Return whether scores are finite and strictly better than the best so far, if any."""
    if scores is None or not all(map(math.isfinite, scores)):
        return False
    return best is None or (
        scores != best and all(new >= old for new, old in zip(scores, best, strict=True))
    )
