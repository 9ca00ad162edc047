"""Who is best, kept up to date as scores come and change: never a look at all trials."""

import heapq
import math

from nbtune.pareto import Scores

__all__ = ["Leader"]


class Leader:
    """The number with the highest score in the one objective, the lowest number of equals.

    A score that has changed stays in the heap until it comes to the top or the heap has doubled,
    so that an update costs the logarithm of the number of trials.
    """

    def __init__(self) -> None:
        self._scores: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []

    def update(self, number: int, scores: Scores | None) -> None:
        """Enter the present score of `number`; None, NaN and ``-inf`` take it out."""
        score = -math.inf if scores is None else scores[0]
        if not score > -math.inf:
            self._scores.pop(number, None)
            return
        if self._scores.get(number) == score:
            return
        self._scores[number] = score
        heapq.heappush(self._heap, (-score, number))
        if len(self._heap) > 2 * len(self._scores) + 64:
            self._heap = [(-kept, holder) for holder, kept in self._scores.items()]
            heapq.heapify(self._heap)

    @property
    def numbers(self) -> list[int]:
        """The leader alone, nobody before there is any."""
        while self._heap:
            score, number = self._heap[0]
            if self._scores.get(number) == -score:
                return [number]
            heapq.heappop(self._heap)
        return []
