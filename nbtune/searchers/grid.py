"""Grid: every combination of the listed values."""

from collections.abc import Sequence

from nbtune.arguments import check_integer
from nbtune.exceptions import SpaceError
from nbtune.searchers.base import Searcher
from nbtune.searchers.walk import Walk
from nbtune.space import Space
from nbtune.trial import Params

__all__ = ["Grid"]


class Grid(Searcher):
    """Walk the product of the space's values, in the order written, the last one fastest.

    Every domain must have a list of values: ``Choice``, ``Range``, ``Bool``, ``Int``, ``Real`` with
    a step. A constant and a domain of one value are fixed. Weights, and ``Real(rounded=True)``, say
    how values are drawn, which a grid does not: they are refused. The defaults get no trial of
    their own.

    Parameters
    ----------
    repeat : int >= 1
        How many times the whole product is walked, for objectives that are noisy.
    """

    starts_with_defaults = False
    finite = True
    learns = False
    prefetch = 16

    def __init__(self, repeat: int = 1) -> None:
        self.repeat = check_integer("searcher", "Grid", "repeat", repeat, 1)

    def __repr__(self) -> str:
        return f"Grid(repeat={self.repeat})"

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space.

        Raises
        ------
        SpaceError
            When a domain has infinitely many values, or some that were said to be likelier than
            others; it names the param.
        """
        super().setup(space, seed=seed)
        space.at(0)  # raises for a space without a grid
        for dim in space.dims:
            if dim.domain.uneven:
                raise SpaceError(
                    f"{dim.path}: {dim.domain!r} says how likely each value is drawn, and a grid "
                    "takes each once. List the values with Choice(...) or Range(...) without "
                    "weights, or use searcher='random'."
                )
        self._points = space.size or 1
        self._walk = Walk(space, self._point, self.size())

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return the first combination not yet tried, None after the last."""
        point = self._walk.next(pending)
        self.why = f"point {self._walk.place + 1} of {self.size()}"
        return point

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Cross `params` off."""
        if ended:
            self._walk.observe(params)

    def size(self) -> int:
        """Return the number of combinations, repeats included."""
        return self._points * self.repeat

    def _point(self, index: int) -> Params:
        return self.space.at(index % self._points)
