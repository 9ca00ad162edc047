"""Patience: a trial that no longer gets better is stopped, whatever the others do."""

from nbtune.arguments import check_integer, check_number
from nbtune.decision import Continue, Stop
from nbtune.schedulers.base import Scheduler

__all__ = ["Patience"]


class Patience(Scheduler):
    """Stop a trial whose score has not improved on its own best for `steps` steps.

    Parameters
    ----------
    steps : int >= 1
        How many steps to wait for a better score.
    min_delta : float >= 0
        A score counts as better when it exceeds the best by more than this, in its own unit.
    grace_period : int >= 1
        The first step at which a trial may be stopped.

    Raises
    ------
    SpecError
        When an argument is of the wrong type or out of range.
    """

    judges_alone = True

    def __init__(self, steps: int = 10, min_delta: float = 0.0, grace_period: int = 1) -> None:
        self.steps = check_integer("scheduler", "Patience", "steps", steps, 1)
        self.min_delta = check_number("scheduler", "Patience", "min_delta", min_delta)
        self.grace_period = check_integer("scheduler", "Patience", "grace_period", grace_period, 1)

    def __repr__(self) -> str:
        return (
            f"Patience(steps={self.steps}, min_delta={self.min_delta}, "
            f"grace_period={self.grace_period})"
        )

    def setup(self, *, seed: int, step_name: str = "epoch", max_t: int | None = None) -> None:
        """Take the step's name; forget every trial."""
        super().setup(seed=seed, step_name=step_name, max_t=max_t)
        self._last: dict[int, int] = {}
        self._best: dict[int, tuple[int, float]] = {}  # the step of the best score, and the score

    def start(self, number: int) -> Continue:
        """Admit trial `number`; one that starts again is asked only past its old steps."""
        return Continue(self._last.setdefault(number, 0) + 1)

    def decide(self, number: int, step: int, score: float) -> Continue | Stop:
        """Stop trial `number` when its best is `steps` steps old."""
        if step <= self._last[number]:
            return Continue(self._last[number] + 1)
        self._last[number] = step
        at, best = self._best.get(number, (step, score))
        if number not in self._best or score > best + self.min_delta:
            at = step
            self._best[number] = step, score
        if step < self.grace_period or step - at < self.steps:
            return Continue(step + 1)
        return Stop(f"not better since {self.step_name} {at}")

    def end(self, number: int, step: int, score: float | None) -> None:
        """Learn nothing."""
