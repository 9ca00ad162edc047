"""The trials of a sweep as the engine works on them, and in little memory once they are over."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import overload

from nbtune.decision import Decision
from nbtune.ended_by import EndedBy
from nbtune.engine.trials import TrialBook
from nbtune.trial import CompactReports, Failure, Goal, Params, Report, Status, Trial

__all__ = ["Run", "Runs"]

_USUAL = "suggested"  # where most trials come from


class Run:
    """A trial while the engine works on it: the mutable twin of `Trial`."""

    __slots__ = (
        "_counting",
        "_snapshot",
        "asked",
        "began",
        "deadline",
        "decision",
        "ended",
        "ended_by",
        "failure",
        "killed",
        "number",
        "origin",
        "params",
        "reason",
        "reports",
        "retried",
        "slot",
        "started",
        "status",
        "why",
    )

    def __init__(self, number: int, params: Params, origin: str, why: str = "") -> None:
        self.number = number
        self.params = params
        self.origin = origin
        self.why = why
        self.status = Status.PENDING
        self.reason = ""
        self.reports: list[Report] | CompactReports = []
        self.started: float | None = None
        self.began = 0.0  # the present run, where a trial runs several times
        self.ended: float | None = None
        self.slot: int | None = None
        self.failure: Failure | None = None
        self.ended_by: EndedBy | None = None
        self.asked: EndedBy | None = None  # by whom it was asked to stop from outside
        self.decision: Decision | None = None  # by which the scheduler ended or paused it
        self.killed = False  # its process was told to end now
        self.retried = 0  # how often it was started again after a crash
        self.deadline: float | None = None  # when to act next on a trial that overstays
        self._counting: dict[Goal, list[float | None]] = {}  # what counted after each report
        self._snapshot: Trial | None = None

    @classmethod
    def from_trial(cls, trial: Trial, origin: str) -> "Run":
        """Take up a trial that ended in an earlier process."""
        run = cls(trial.number, trial.params, origin, trial.why)
        run.status, run.reason, run.failure = trial.status, trial.reason, trial.failure
        run.ended_by = trial.ended_by
        run.started, run.ended, run.slot = trial.started, trial.ended, trial.slot
        so_far = trial.reports_so_far
        run.reports = so_far if isinstance(so_far, CompactReports) else list(trial.reports)
        return run

    @property
    def decided(self) -> bool:
        """Whether the scheduler ended or paused it, and so knows."""
        return self.decision is not None

    @property
    def times(self) -> tuple[float, float, float]:
        """When it started, reported last and ended; 0 where it has not."""
        reported = self.reports[-1].time if self.reports else 0.0
        return self.started or 0.0, reported, self.ended or 0.0

    @property
    def last_step(self) -> int:
        """The last step reported, 0 before the first."""
        return self.reports[-1].step if self.reports else 0

    def value(self, metric: str, count: int | None = None) -> float | None:
        """Return the last value of `metric` in all reports or the first `count`, None without."""
        reports = self.reports
        count = len(reports) if count is None else count
        if not isinstance(reports, list):  # a list is known faster than an abstract class's kind
            return reports.value(metric, count)
        for index in range(count - 1, -1, -1):
            metrics = reports[index].metrics
            if metric in metrics:
                return metrics[metric]
        return None

    def news(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Return those metrics whose last value is another, or which have none."""
        return {
            name: value
            for name, value in metrics.items()
            if (known := self.value(name)) is None or not _same(known, value)
        }

    def value_for(self, goal: Goal, count: int | None = None) -> float | None:
        """Return the value by which `goal` ranks the run, after all reports or the first `count`.

        Each report is looked at once, however often it is asked for.
        """
        count = len(self.reports) if count is None else count
        if goal.by == "last":
            return self.value(goal.metric, count)
        counted = self._counting.setdefault(goal, [])
        for report in self.reports[len(counted) : count]:
            before, value = counted[-1] if counted else None, report.metrics.get(goal.metric)
            counted.append(before if value is None else goal.after(before, value))
        return counted[count - 1] if count else None

    def take_back(self, count: int) -> None:
        """Keep only the first `count` reports."""
        self.reports = list(self.reports[:count])
        self._counting.clear()

    def extend(self, reports: Iterable[Report]) -> None:
        """Take in new reports."""
        if not isinstance(self.reports, list):
            self.reports = list(self.reports)
        self.reports.extend(reports)

    def compact(self, names: dict[tuple[str, ...], tuple[str, ...]]) -> None:
        """Keep the reports of a run that is over in little memory."""
        self.reports = CompactReports.of(self.reports, names)
        self._counting.clear()
        self.touch()

    def touch(self) -> None:
        """Forget the cached snapshot after a change."""
        self._snapshot = None

    def snapshot(self, folder: Path) -> Trial:
        """Return the trial as it stands; the same object until `touch`."""
        if self._snapshot is None:
            self._snapshot = Trial(
                number=self.number,
                params=self.params,
                status=self.status,
                reason=self.reason,
                ended_by=self.ended_by,
                reports_so_far=self.reports,
                count=len(self.reports),
                started=self.started,
                ended=self.ended,
                slot=self.slot,
                failure=self.failure,
                why=self.why,
                folder=folder,
            )
        return self._snapshot


class Runs(Sequence[Run]):
    """All runs by number; one that has been put away is over, and known as a `Trial` alone.

    Asked for, such a run is made anew: nothing that is done to it lasts.

    Parameters
    ----------
    trials : TrialBook
        Where the trials of those are that have been put away.
    """

    def __init__(self, trials: TrialBook) -> None:
        self._trials = trials
        self._at_hand: dict[int, Run] = {}
        self._count = 0
        self._origins: dict[int, str] = {}  # of those put away that are not `_USUAL`

    def append(self, run: Run) -> None:
        """Enter the next run."""
        self._at_hand[run.number] = run
        self._count += 1

    def put_away(self, run: Run) -> None:
        """Let go of a run that is over, changes no more, and is among the trials."""
        del self._at_hand[run.number]
        if run.origin != _USUAL:
            self._origins[run.number] = run.origin

    @property
    def at_hand(self) -> Iterator[Run]:
        """Those that have not been put away."""
        return iter(self._at_hand.values())

    def may_go_on(self, number: int) -> bool:
        """Return whether a run, of any number, is one that runs or is paused."""
        run = self._at_hand.get(number)
        return run is not None and run.status in (Status.PAUSED, Status.RUNNING)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...
    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        if isinstance(index, slice):
            return [self._found(number) for number in range(self._count)[index]]
        return self._found(range(self._count)[index])

    def _found(self, number: int) -> Run:
        run = self._at_hand.get(number)
        if run is not None:
            return run
        return Run.from_trial(self._trials[number], self._origins.get(number, _USUAL))


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
