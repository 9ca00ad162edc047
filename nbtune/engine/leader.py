"""Who is best, kept up to date as scores come and change."""

import math
from array import array

import numpy as np

from nbtune.pareto import Scores

__all__ = ["Leader"]


class Leader:
    """The number with the highest score in the one objective, the lowest number of equals.

    All scores are looked at only when the leader's own has got worse.
    """

    def __init__(self) -> None:
        self._scores = array("d")  # by number, -inf where there is none
        self._first: int | None = None
        self._fell = False  # whether somebody else may be ahead now

    def update(self, number: int, scores: Scores | None) -> None:
        """Enter the present score of `number`; None, NaN and ``-inf`` take it out."""
        score = -math.inf if scores is None or math.isnan(scores[0]) else scores[0]
        missing = number + 1 - len(self._scores)
        self._scores.extend([-math.inf] * missing)
        before, self._scores[number] = self._scores[number], score
        if number == self._first:
            self._fell = self._fell or score < before
        elif self._first is None:
            self._first = None if score == -math.inf else number
        elif (score, -number) > (self._scores[self._first], -self._first):
            self._first = number

    @property
    def numbers(self) -> list[int]:
        """The leader alone, nobody before there is any."""
        if self._fell:
            first = int(np.argmax(np.array(self._scores)))  # the lowest of equals
            self._first = None if self._scores[first] == -math.inf else first
            self._fell = False
        return [] if self._first is None else [self._first]
