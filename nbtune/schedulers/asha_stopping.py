"""The rungs of asynchronous Hyperband that stop a trial which is worse than those before it."""

import bisect

from nbtune.decision import Stop
from nbtune.schedulers.base import Explanation, RungRow
from nbtune.schedulers.explanations import Explanations
from nbtune.schedulers.rungs import cutoff, share_in_words

__all__ = ["StoppingRungs"]


class StoppingRungs:
    """Scores by bracket and level, and the rule that judges the next one (see `cutoff`)."""

    def __init__(self, reduction_factor: int) -> None:
        self._factor = reduction_factor
        # Ascending. A score is kept whatever was decided: the quantile is that of all arrivals.
        self._scores: dict[tuple[int, int], list[float]] = {}
        self._passed: dict[tuple[int, int], int] = {}
        self._explained = Explanations()

    def judge(self, number: int, bracket: int, level: int, score: float) -> Stop | None:
        """Record the score of a trial that is at `level`; return None when it goes on."""
        scores = self._scores.setdefault((bracket, level), [])
        threshold = cutoff(scores, reduction_factor=self._factor)
        self.record(number, bracket, level, score)
        self._explained[number] = Explanation(
            bracket=bracket,
            rung=level,
            rank=len(scores) - bisect.bisect_right(scores, score) + 1,
            of=len(scores),
            score=score,
            cutoff=threshold,
        )
        if threshold is not None and score < threshold:
            return Stop(f"rung {level}: below the best {share_in_words(self._factor)}")
        self._passed[bracket, level] = self._passed.get((bracket, level), 0) + 1
        return None

    def record(self, number: int, bracket: int, level: int, score: float) -> None:
        """Keep the score of a trial that ended by itself at `level`."""
        bisect.insort(self._scores.setdefault((bracket, level), []), score)

    def levels(self, bracket: int) -> list[int]:
        """Return the levels of `bracket` that a trial has reached, ascending."""
        return sorted(level for b, level in self._scores if b == bracket)

    def table(self) -> list[RungRow]:
        """Return every rung that a trial has reached."""
        return [
            RungRow(
                bracket=bracket,
                level=level,
                trials=len(scores),
                passed=self._passed.get((bracket, level), 0),
                cutoff=cutoff(scores, reduction_factor=self._factor),
            )
            for (bracket, level), scores in sorted(self._scores.items())
        ]

    def explain(self, number: int) -> Explanation | None:
        """Return how the trial stood when it was judged last; None when it never was."""
        return self._explained.get(number)
