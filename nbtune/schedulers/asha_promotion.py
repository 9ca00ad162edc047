"""The rungs of asynchronous Hyperband that pause every trial and promote the best of them."""

import bisect
import math
from dataclasses import dataclass, field
from typing import TypeAlias

from nbtune.decision import Pause
from nbtune.schedulers.base import Explanation, RungRow
from nbtune.schedulers.rungs import share_in_words

__all__ = ["PromotionRungs"]

_Key: TypeAlias = tuple[float, int, int]  # (-score, place of arrival, trial): the best comes first


@dataclass(slots=True)
class _Rung:
    ranked: list[_Key] = field(default_factory=list)
    paused: list[_Key] = field(default_factory=list)  # the part of them that can be promoted
    passed: int = 0
    started: int = 0  # runs that were given this rung as their target


class PromotionRungs:
    """Scores by bracket and level, who is paused there, and who is to go on.

    Of the m trials that a rung has recorded, the best ``m // reduction_factor`` are to be
    promoted; among equal scores the earlier arrival ranks first (Li et al. 2020,
    arXiv:1810.05934, Algorithm 2). A score of ``-inf`` is never promoted: that trial's metric is
    no number, and the slot serves another better.

    Parameters
    ----------
    reduction_factor : int >= 2
        Eta in the paper.
    limit : int or None
        The most steps of one trial; no one is promoted from there.
    keep_size_ratios : bool
        Whether a rung gets a further run only while it has had at most
        ``1 / reduction_factor`` of the runs of the rung below.
    """

    def __init__(self, reduction_factor: int, limit: int | None, keep_size_ratios: bool) -> None:
        self._factor = reduction_factor
        self._limit = limit
        self._keep_size_ratios = keep_size_ratios
        self._rungs: dict[tuple[int, int], _Rung] = {}
        self._recorded: dict[int, tuple[int, int, _Key]] = {}  # each trial's last comparison
        self._paused: set[int] = set()

    def aim(self, bracket: int, level: int) -> None:
        """Count a run of a new trial whose target is `level`."""
        self._rung(bracket, level).started += 1

    def judge(self, number: int, bracket: int, level: int, score: float) -> Pause | None:
        """Record the score of a trial that is at `level`; return None when it goes on at once."""
        key = self.record(number, bracket, level, score)
        rung = self._rung(bracket, level)
        if self._is_top(rung, key) and self._ratio_allows(bracket, level):
            self._count_promotion(bracket, level)
            return None
        bisect.insort(rung.paused, key)
        self._paused.add(number)
        return Pause(f"rung {level}: {self._why_paused(rung, key)}")

    def _why_paused(self, rung: _Rung, key: _Key) -> str:
        place, count = bisect.bisect_left(rung.ranked, key) + 1, len(rung.ranked)
        if count < self._factor:
            return f"{place} of {count}, too few so far to promote one"
        if self._is_top(rung, key):  # it is the size ratio that keeps it
            return f"{place} of {count}, the rung above has had its share so far"
        return f"{place} of {count}, not among the best {share_in_words(self._factor)} so far"

    def record(self, number: int, bracket: int, level: int, score: float) -> _Key:
        """Keep the score of a trial; it takes part in the ranking, and cannot be promoted."""
        rung = self._rung(bracket, level)
        key = (-score, len(rung.ranked), number)
        bisect.insort(rung.ranked, key)
        self._recorded[number] = (bracket, level, key)
        return key

    def candidate(self, bracket: int) -> int | None:
        """Return the trial of `bracket` to promote next, highest rung first; None when all stay."""
        for level in reversed(self.levels(bracket)):
            rung = self._rungs[bracket, level]
            if (
                rung.paused
                and self._is_top(rung, rung.paused[0])
                and self._ratio_allows(bracket, level)
            ):
                return rung.paused[0][2]
        return None

    def is_paused(self, number: int) -> bool:
        """Return whether the trial waits in a rung."""
        return number in self._paused

    def promote(self, number: int) -> None:
        """Let a paused trial go on to the next rung."""
        bracket, level = self.leave(number)
        self._count_promotion(bracket, level)

    def leave(self, number: int) -> tuple[int, int]:
        """Take a paused trial out of those that can be promoted; return its bracket and level."""
        bracket, level, key = self._recorded[number]
        paused = self._rungs[bracket, level].paused
        del paused[bisect.bisect_left(paused, key)]
        self._paused.discard(number)
        return bracket, level

    def levels(self, bracket: int) -> list[int]:
        """Return the levels of `bracket` that a trial has reached, ascending."""
        return sorted(
            level for (b, level), rung in self._rungs.items() if b == bracket and rung.ranked
        )

    def table(self) -> list[RungRow]:
        """Return every rung that a trial has reached."""
        return [
            RungRow(
                bracket=bracket,
                level=level,
                trials=len(rung.ranked),
                passed=rung.passed,
                cutoff=self._cutoff(rung),
            )
            for (bracket, level), rung in sorted(self._rungs.items())
            if rung.ranked
        ]

    def explain(self, number: int) -> Explanation | None:
        """Return how the trial stands by now in its last rung; None when it reached none."""
        if number not in self._recorded:
            return None
        bracket, level, key = self._recorded[number]
        rung = self._rungs[bracket, level]
        return Explanation(
            bracket=bracket,
            rung=level,
            rank=bisect.bisect_left(rung.ranked, key) + 1,
            of=len(rung.ranked),
            score=-key[0],
            cutoff=self._cutoff(rung),
        )

    def _rung(self, bracket: int, level: int) -> _Rung:
        return self._rungs.setdefault((bracket, level), _Rung())

    def _is_top(self, rung: _Rung, key: _Key) -> bool:
        place = bisect.bisect_left(rung.ranked, key)
        return place < len(rung.ranked) // self._factor and key[0] != math.inf

    def _cutoff(self, rung: _Rung) -> float | None:
        best = len(rung.ranked) // self._factor
        return -rung.ranked[best - 1][0] if best else None

    def _above(self, level: int) -> int:
        higher = level * self._factor
        return higher if self._limit is None else min(higher, self._limit)

    def _ratio_allows(self, bracket: int, level: int) -> bool:
        if not self._keep_size_ratios:
            return True
        above = self._rungs.get((bracket, self._above(level)))
        started = self._rungs[bracket, level].started
        return above is None or above.started * self._factor <= started

    def _count_promotion(self, bracket: int, level: int) -> None:
        self._rung(bracket, level).passed += 1
        self.aim(bracket, self._above(level))
