"""How trials stood when they were judged last, kept as numbers in one array."""

import math
from array import array

from nbtune.schedulers.base import Explanation

__all__ = ["Explanations"]

_WIDTH = 6  # numbers a trial


class Explanations:
    """What a scheduler answers when it is asked to explain itself, 48 bytes a trial."""

    def __init__(self) -> None:
        self._table = array("d")  # by number; the rank 0 says that there is none

    def __setitem__(self, number: int, stood: Explanation) -> None:
        missing = (number + 1) * _WIDTH - len(self._table)
        self._table.extend([0.0] * missing)
        cutoff = math.nan if stood.cutoff is None else stood.cutoff
        row = stood.bracket, stood.rung, stood.rank, stood.of, stood.score, cutoff
        self._table[number * _WIDTH : (number + 1) * _WIDTH] = array("d", row)

    def get(self, number: int) -> Explanation | None:
        """Return how a trial stood; None when it was never judged."""
        row = self._table[number * _WIDTH : (number + 1) * _WIDTH] if number >= 0 else ()
        if not row or not row[2]:
            return None
        bracket, rung, rank, of, score, cutoff = row
        return Explanation(
            bracket=int(bracket),
            rung=int(rung),
            rank=int(rank),
            of=int(of),
            score=score,
            cutoff=None if math.isnan(cutoff) else cutoff,
        )
