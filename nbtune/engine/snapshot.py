"""A sweep as it stood at one moment: what views read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nbtune.ended_by import EndedBy
from nbtune.engine.ledger import Spending
from nbtune.engine.trials import TrialList
from nbtune.space import Space
from nbtune.sweep_warning import SweepWarning
from nbtune.trial import Failure, Goal, Status, Trial

__all__ = ["Snapshot", "SweepStatus", "progress_of"]


class SweepStatus(StrEnum):
    """Where a sweep stands."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Its process died; ``resume()`` goes on."""

    @property
    def ended(self) -> bool:
        """Whether nothing runs and nothing will, unless it is resumed."""
        return self in _ENDED


_ENDED = frozenset(
    {SweepStatus.COMPLETED, SweepStatus.STOPPED, SweepStatus.FAILED, SweepStatus.INTERRUPTED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A sweep at one moment, immutable and cheap to take.

    ``trials[i].number == i``. ``space`` holds the params of all of them: where it was edited it is
    the hull of all that it was. ``front`` holds the best trial, with several goals all those on the
    Pareto front, best in the first goal first; it is empty before any value. ``elapsed`` is seconds
    of running, over all resumes; ``budgets`` say how each limit on the sweep stands, none where it
    does not run. ``ended_by`` is what ended it, or is ending it, as data, and ``reason`` its
    sentence. ``warnings`` say what did not work as meant, oldest first. ``version`` grows with
    every change, so that a view can tell whether anything is new.
    """

    name: str
    status: SweepStatus
    reason: str
    goals: tuple[Goal, ...]
    step_name: str
    space: Space = field(repr=False)
    trials: TrialList = field(repr=False)
    front: tuple[Trial, ...] = field(repr=False)
    elapsed: float
    budgets: tuple[Spending, ...] = ()
    trial_limit: int | None
    time_limit: float | None
    plan: str
    rungs: tuple[int, ...]
    failure: Failure | None
    warnings: tuple[SweepWarning, ...] = ()
    ended_by: EndedBy | None = None
    version: int
    draining: bool = False
    """It is stopping, and the trials that run go on to their end."""

    @property
    def goal(self) -> Goal:
        """The first goal: what curves show and schedulers compare."""
        return self.goals[0]

    @property
    def best(self) -> Trial | None:
        """The best trial, with several goals that which is best in the first of them."""
        return self.front[0] if self.front else None

    @property
    def remaining(self) -> float | None:
        """The estimated seconds until the first of the budgets ends the sweep, None unknown."""
        known = [budget.seconds for budget in self.budgets if budget.seconds is not None]
        return min(known, default=None)

    @property
    def progress(self) -> str:
        """How many trials are over, as `progress_of` says it."""
        return progress_of(self.status, self.counts, self.trial_limit)

    @property
    def counts(self) -> dict[Status, int]:
        """The number of trials by status, every status present."""
        return self.trials.counts()


def progress_of(status: SweepStatus, counts: Mapping[Status, int], limit: int | None) -> str:
    """Return how many trials are over: "10 of 60 trials", "10 trials" where no limit is ahead.

    A sweep that another limit has completed has none: "2 of 9 trials" would read as unfinished.
    """
    # A paused trial has had its turn: all of them may be paused when the last has.
    over = sum(count for each, count in counts.items() if each.ended or each is Status.PAUSED)
    if limit and (over >= limit or status is not SweepStatus.COMPLETED):
        return f"{over:,} of {limit:,} trials"
    return f"{over:,} trial{'s' * (over != 1)}"
