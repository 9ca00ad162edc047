"""What a scheduler must do: three methods, reports in, decisions out.

A scheduler has no clock, does no I/O and uses no global random state. A sweep that resumes tells
it its history again. Scores are oriented by the caller: higher is better, NaN comes as ``-inf``.
"""

from abc import ABC, abstractmethod

from nbtune.decision import Continue, Decision, Move, Sample

__all__ = ["Scheduler"]


class Scheduler(ABC):
    """Says how long each trial may run."""

    def setup(self, *, seed: int, step_name: str = "epoch", max_t: int | None = None) -> None:
        """Take the seed, the step's name for messages, and the objective's ``epochs``, if any."""
        self.seed = seed
        self.step_name = step_name

    @abstractmethod
    def start(self, number: int) -> Continue:
        """Admit trial `number`, or let it go on after a pause, and return its next milestone.

        Randomness is drawn from ``(seed, number)``, so that a replayed history decides the same.
        """

    @abstractmethod
    def decide(self, number: int, step: int, score: float) -> Decision:
        """Judge trial `number`, which waits at its milestone (`step` may lie past it)."""

    @abstractmethod
    def end(self, number: int, step: int, score: float | None) -> None:
        """Learn that trial `number` ended by itself or was stopped from outside.

        `score` is its last, at `step`; None when it failed or never reported the metric.
        Not called for a trial that ``decide`` ended.
        """

    def next(self) -> Move:
        """Say what a free slot is for.

        A question, asked again and again: it changes nothing and is cheap. What comes of it is told
        by ``start(number)``, for a new trial and for a paused one that goes on.
        """
        return Sample()

    def rungs(self) -> list[int]:
        """Return the steps at which trials are compared, ascending; empty when there are none."""
        return []
