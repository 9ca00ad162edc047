"""Random: draws from the space, independent or spread evenly, no point twice."""

from collections.abc import Hashable, Sequence

from nbtune.arguments import check_known
from nbtune.searchers.base import Searcher
from nbtune.searchers.sequences import SEQUENCES, point_of
from nbtune.searchers.untried import draw_untried, drawable
from nbtune.space import LogNormal, Normal, Real, Space
from nbtune.trial import Params

__all__ = ["Random"]


class Random(Searcher):
    """Draw each trial's params from the space, and never the same point twice.

    On a finite space it ends when every point has been tried.

    Parameters
    ----------
    sequence : {"sobol", "halton", "roberts"}, optional
        Draw from a sequence that fills the space evenly: scrambled Sobol or Halton points, or an
        additive recurrence (`sequences`). Without it draws are independent.

    Raises
    ------
    SpecError
        When the sequence is not known.
    """

    learns = False
    prefetch = 16
    sequence: str | None = None  # also of one that was pickled before there was a choice

    def __init__(self, sequence: str | None = None) -> None:
        self.sequence = sequence
        if sequence is not None:
            check_known("searcher", "Random", "sequence", sequence, SEQUENCES)

    def __repr__(self) -> str:
        return f"Random({'' if self.sequence is None else repr(self.sequence)})"

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and the seed."""
        super().setup(space, seed=seed)
        self.finite = space.size is not None
        self._never_repeats = _continuous(space)
        # Else it has to know what was tried: to list what is left, or to go along the sequence.
        self.quick = self._never_repeats and self.sequence is None
        self._observed: set[Hashable] = set()

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return a point that is neither observed nor `pending`; None when there is none."""
        if self.sequence is not None and (params := self._next(number, pending)) is not None:
            return params
        self.why = "random draw"
        # With thousands of slots, keys of all that is pending would cost far more than the draw.
        waiting = () if self._never_repeats else map(self.space.key, pending)
        return draw_untried(self.space, self._observed, set(waiting), seed=self.seed, number=number)

    def _next(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return point `number` of the sequence, unless it has been tried."""
        place = point_of(str(self.sequence), number, self.space.n_dims, seed=self.seed)
        params = self.space.from_unit(place)
        key = self.space.key(params)
        if key in self._observed or not drawable(self.space, params):
            return None
        if not self._never_repeats and key in map(self.space.key, pending):
            return None
        self.why = f"point {number} of a {str(self.sequence).capitalize()} sequence"
        return params

    def warm_up(self) -> None:
        """Import SciPy's sequences, which takes a second."""
        if self.sequence is not None:
            point_of(self.sequence, 0, 1, seed=0)

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Remember `params` as tried."""
        if not self.quick:  # then no draw meets another
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
