"""What the rules that compare a trial with the others at the same step have in common."""

import bisect
from abc import abstractmethod
from collections.abc import Sequence

from nbtune.arguments import check_integer
from nbtune.decision import Continue, Stop
from nbtune.schedulers.base import Explanation, Scheduler
from nbtune.schedulers.explanations import Explanations

__all__ = ["PeerRule"]


class PeerRule(Scheduler):
    """Judge a trial at the steps that are a multiple of `interval`, against the others there.

    A trial is judged when it reports at step t with ``t >= grace_period`` and t a multiple of
    `interval`, once at least `min_samples` other trials have reported at t. Only the trial that
    reports can be stopped, and ties go on. A base for several rules, hence one level more than
    usual below `Scheduler`.

    Parameters
    ----------
    grace_period : int >= 1
        The first step at which a trial may be stopped.
    interval : int >= 1
        Judge at every multiple of this step.
    min_samples : int >= 1
        How many other trials must have reported at a step before one is judged there.

    Raises
    ------
    SpecError
        When an argument is of the wrong type or out of range.
    """

    needs_every_report = False  # or only those at which it judges

    def __init__(self, grace_period: int = 1, interval: int = 1, min_samples: int = 3) -> None:
        name = type(self).__name__
        self.grace_period = check_integer("scheduler", name, "grace_period", grace_period, 1)
        self.interval = check_integer("scheduler", name, "interval", interval, 1)
        self.min_samples = check_integer("scheduler", name, "min_samples", min_samples, 1)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())
        return f"{type(self).__name__}({arguments})"

    def setup(self, *, seed: int, step_name: str = "epoch", max_t: int | None = None) -> None:
        """Take the step's name; forget every trial."""
        super().setup(seed=seed, step_name=step_name, max_t=max_t)
        self._last: dict[int, int] = {}  # the last step told, by trial; kept when it ends
        self._others: dict[int, list[float]] = {}  # what is compared with, ascending; by step
        self._explained = Explanations()

    def start(self, number: int) -> Continue:
        """Admit trial `number`; one that starts again is not counted twice at its old steps."""
        return Continue(self._milestone(self._last.setdefault(number, 0)))

    def decide(self, number: int, step: int, score: float) -> Continue | Stop:
        """Judge trial `number` at `step` by the others there, then count it among them."""
        if step <= self._last[number]:
            return Continue(self._milestone(self._last[number]))
        self._last[number] = step
        own, record = self._take_in(number, score)
        verdict = None
        if step >= self.grace_period and step % self.interval == 0:
            others = self._others.setdefault(step, [])
            if len(others) >= self.min_samples:
                verdict = self._judge(number, step, own, others)
            bisect.insort(others, record)
        return Continue(self._milestone(step)) if verdict is None else verdict

    def end(self, number: int, step: int, score: float | None) -> None:
        """Learn nothing: what a trial reported counts, however it ended."""

    def explain(self, number: int) -> Explanation | None:
        """Return how trial `number` stood when it was judged last; its rung is the step."""
        return self._explained.get(number)

    @abstractmethod
    def needed(self, step: int, own: float, others: Sequence[float]) -> tuple[float, str]:
        """Return the least score that goes on, and why a lower one is stopped.

        `others` is ascending, shape (n >= 1,): one score of each other trial at `step`.
        """

    def _take_in(self, number: int, score: float) -> tuple[float, float]:
        """Return the score by which a trial is judged, and that by which it judges others."""
        return score, score

    def _judge(self, number: int, step: int, own: float, others: list[float]) -> Stop | None:
        needed, reason = self.needed(step, own, others)
        self._explained[number] = Explanation(
            bracket=0,
            rung=step,
            rank=len(others) - bisect.bisect_right(others, own) + 1,
            of=len(others) + 1,
            score=own,
            cutoff=needed,
        )
        return Stop(f"{self.step_name} {step}: {reason}") if own < needed else None

    def _milestone(self, step: int) -> int:
        """Return the first step after `step` that the rule has to hear of."""
        if self.needs_every_report:
            return step + 1
        return -(-max(step + 1, self.grace_period) // self.interval) * self.interval

    def _arguments(self) -> dict[str, object]:
        return {
            "grace_period": self.grace_period,
            "interval": self.interval,
            "min_samples": self.min_samples,
        }
