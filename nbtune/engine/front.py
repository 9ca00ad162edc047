"""Who is on the Pareto front, kept up to date as scores come and change."""

import math

import numpy as np

from nbtune.pareto import Scores, front_mask

__all__ = ["Front"]


class Front:
    """The numbers that none dominates in several objectives: what `Leader` is for one.

    Worked out when asked for, of those on the last front and those that have changed since; of all
    only when one that was on the front got worse in something: whom it dominated may be back.
    """

    def __init__(self) -> None:
        self._scores: dict[int, Scores] = {}
        self._front: set[int] = set()
        self._changed: set[int] = set()
        self._fell = False

    def update(self, number: int, scores: Scores | None) -> None:
        """Enter the present scores of `number`; None, NaN and ``-inf`` take it out."""
        before = self._scores.pop(number, None)
        if scores is not None and not all(map(math.isfinite, scores)):
            scores = None
        if scores is not None:
            self._scores[number] = scores
        if scores == before:
            return
        self._changed.add(number)
        if before is not None and number in self._front:
            falls = scores is None or any(a < b for a, b in zip(scores, before, strict=True))
            self._fell = self._fell or falls

    @property
    def numbers(self) -> list[int]:
        """Those on the front, best in the first objective first, the lower number of equals."""
        if self._changed:
            asked = self._scores if self._fell else self._front | self._changed
            known = [number for number in asked if number in self._scores]
            table = np.array([self._scores[number] for number in known])
            self._front = {known[i] for i in np.flatnonzero(front_mask(table))} if known else set()
            self._changed.clear()
            self._fell = False
        return sorted(self._front, key=lambda number: (-self._scores[number][0], number))
