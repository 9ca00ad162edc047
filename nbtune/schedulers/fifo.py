"""FIFO: every trial runs to its own end."""

from nbtune.decision import Continue
from nbtune.schedulers.base import Scheduler

__all__ = ["FIFO"]


class FIFO(Scheduler):
    """Start trials in order and let each run to its end; never asks a trial anything."""

    judges_alone = True

    def __repr__(self) -> str:
        return "FIFO()"

    def start(self, number: int) -> Continue:
        """Admit trial `number`, without a milestone."""
        return Continue()

    def decide(self, number: int, step: int, score: float) -> Continue:
        """Let the trial go on."""
        return Continue()

    def end(self, number: int, step: int, score: float | None) -> None:
        """Learn nothing."""
