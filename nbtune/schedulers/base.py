"""What a scheduler must do: three methods, reports in, decisions out.

A scheduler has no clock, does no I/O and uses no global random state. A sweep that resumes tells
it its history again. Scores are oriented by the caller: higher is better, NaN comes as ``-inf``.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from nbtune.decision import Continue, Decision, Move, Sample, Wait

__all__ = ["Explanation", "RungRow", "Scheduler"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How a trial stood at the last rung where it was compared.

    Attributes
    ----------
    bracket : int
        The group that it was compared in; 0 where a scheduler has one.
    rung : int
        The step of the comparison.
    rank, of : int
        Its place among the trials of that rung, 1 is the best, and how many they were, with it.
    score : float
        What was compared; higher is better.
    cutoff : float or None
        The score that was needed to go on; None while no trial could be judged.
    """

    bracket: int
    rung: int
    rank: int
    of: int
    score: float
    cutoff: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RungRow:
    """One rung as it stands.

    Attributes
    ----------
    bracket, level : int
        Which rung; its level is a step.
    trials : int
        How many trials have been recorded in it.
    passed : int
        How many of them went on, at once or by promotion.
    cutoff : float or None
        The score that a trial needs to go on; None while none can be judged.
    """

    bracket: int
    level: int
    trials: int
    passed: int
    cutoff: float | None


class Scheduler(ABC):
    """Says how long each trial may run.

    Attributes
    ----------
    resume : bool
        Whether a promoted trial goes on from its checkpoint; when False it starts over.
    longest : int or None
        The most steps that one trial may spend, once set up; None where nobody knows.
    judges_alone : bool
        Whether it judges a trial by its own reports alone, or not at all.
    synchronous : bool
        Whether trials run to a rung and wait there for the others, so that it may be told of them
        in any order. One that is neither is not taken by a sweep that is to be deterministic on
        several slots: what it decides depends on which trial was faster.
    """

    resume: bool = True
    judges_alone: bool = False
    synchronous: bool = False
    longest: int | None = None

    def setup(self, *, seed: int, step_name: str = "epoch", max_t: int | None = None) -> None:
        """Take the seed, the step's name for messages, and the objective's ``epochs``, if any."""
        self.seed = seed
        self.step_name = step_name
        self.longest = max_t

    @abstractmethod
    def start(self, number: int) -> Continue:
        """Admit trial `number`, or let it go on after a pause, and return its next milestone.

        Randomness is drawn from ``(seed, number)``, so that a replayed history decides the same.
        A trial that is known and not paused starts again, after a restart or a failure: it keeps
        its place and is not counted twice.
        """

    @abstractmethod
    def decide(self, number: int, step: int, score: float) -> Decision:
        """Judge trial `number`, which waits at its milestone (`step` may lie past it)."""

    @abstractmethod
    def end(self, number: int, step: int, score: float | None) -> None:
        """Learn that trial `number` ended by itself or was stopped from outside, also when paused.

        `score` is its last, at `step`; None when it failed or never reported the metric.
        Not called for a trial that ``decide`` ended.
        """

    def next(self, *, new: bool = True) -> Move:
        """Say what a free slot is for.

        A question, asked again and again: it changes nothing and is cheap. What comes of it is
        told by ``start(number)``, for a new trial and for a paused one that goes on. `new` is
        False when no further trial can be had, because the budget or the searcher is at its end:
        then the answer is never `Sample`.
        """
        return Sample() if new else Wait()

    def rungs(self) -> list[int]:
        """Return the steps at which trials are compared, ascending; empty when there are none."""
        return []

    def rungs_table(self) -> list[RungRow]:
        """Return every rung as it stands, by bracket and level; empty when there are none."""
        return []

    def explain(self, number: int) -> Explanation | None:
        """Return how trial `number` stood when it was last compared; None when it never was."""
        return None
