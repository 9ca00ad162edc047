"""A cap on the steps of a trial, around any scheduler."""

from nbtune.decision import Complete, Continue, Decision, Move
from nbtune.schedulers.base import Explanation, RungRow, Scheduler

__all__ = ["StepCap"]


class StepCap(Scheduler):
    """Let another scheduler decide, and complete a trial at `most` steps, whatever that one says.

    The other takes a trial that is complete as one that has ended by itself there. Its own
    ``max_t``, where it has none, is the cap.

    Parameters
    ----------
    inner : Scheduler
        Not set up yet.
    most : int >= 1
        The most steps that a trial may report.
    """

    def __init__(self, inner: Scheduler, most: int) -> None:
        self._inner = inner
        self._most = most
        self.resume = inner.resume
        self.judges_alone = inner.judges_alone
        self.synchronous = inner.synchronous

    def __repr__(self) -> str:
        return f"StepCap({self._inner!r}, {self._most})"

    def setup(self, *, seed: int, step_name: str = "epoch", max_t: int | None = None) -> None:
        """Take what the other takes; no trial is longer than the cap."""
        most = self._most if max_t is None else min(max_t, self._most)
        super().setup(seed=seed, step_name=step_name, max_t=most)
        self._inner.setup(seed=seed, step_name=step_name, max_t=most)
        self.longest = min(self._inner.longest or most, most)

    def start(self, number: int) -> Continue:
        """Admit trial `number`; its next milestone is the cap at the latest."""
        return self._capped(self._inner.start(number))

    def decide(self, number: int, step: int, score: float) -> Decision:
        """Complete trial `number` at the cap, without asking the other."""
        if step >= self._most:
            self._inner.end(number, step, score)
            return Complete(f"trial_max_steps={self._most} reached")
        decision = self._inner.decide(number, step, score)
        return self._capped(decision) if isinstance(decision, Continue) else decision

    def end(self, number: int, step: int, score: float | None) -> None:
        """Tell the other."""
        self._inner.end(number, step, score)

    def next(self, *, new: bool = True) -> Move:
        """Return what the other says."""
        return self._inner.next(new=new)

    def rungs(self) -> list[int]:
        """Return the other's rungs up to the cap."""
        return [rung for rung in self._inner.rungs() if rung <= self._most]

    def rungs_table(self) -> list[RungRow]:
        """Return the other's rungs as they stand."""
        return self._inner.rungs_table()

    def explain(self, number: int) -> Explanation | None:
        """Return how trial `number` stood when the other last compared it."""
        return self._inner.explain(number)

    def _capped(self, decision: Continue) -> Continue:
        until = decision.until
        return Continue(self._most if until is None else min(until, self._most))
