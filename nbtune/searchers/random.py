"""Random: independent draws from the space, no point twice."""

from collections.abc import Hashable, Sequence

from nbtune.searchers.base import Searcher
from nbtune.searchers.untried import draw_untried
from nbtune.space import LogNormal, Normal, Real, Space
from nbtune.trial import Params

__all__ = ["Random"]


class Random(Searcher):
    """Draw each trial's params from the space, independently, and never the same point twice.

    On a finite space it ends when every point has been tried.
    """

    learns = False
    prefetch = 16
    why = "random draw"

    def __repr__(self) -> str:
        return "Random()"

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and the seed."""
        super().setup(space, seed=seed)
        self.finite = space.size is not None
        self._never_repeats = _continuous(space)
        self.quick = self._never_repeats  # else it may have to list what is left
        self._observed: set[Hashable] = set()

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return a point that is neither observed nor `pending`; None when there is none."""
        # With thousands of slots, keys of all that is pending would cost far more than the draw.
        waiting = () if self._never_repeats else map(self.space.key, pending)
        return draw_untried(self.space, self._observed, set(waiting), seed=self.seed, number=number)

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Remember `params` as tried."""
        self._observed.add(self.space.key(params))

    def size(self) -> int | None:
        """Return the number of points of a finite space, that of the defaults included."""
        return self.space.size


def _continuous(space: Space) -> bool:
    """Return whether two draws never meet, short of a collision of 64-bit floats."""
    return any(
        isinstance(domain, Real | Normal | LogNormal) and domain.step is None
        for domain in space.values()
    )
