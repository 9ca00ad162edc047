"""Tells a scheduler, in order of time, what it was told before a restart."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from nbtune.decision import Continue, Decision, Pause
from nbtune.engine.ledger import Run
from nbtune.schedulers.base import Scheduler
from nbtune.stopping import StopRule
from nbtune.trial import Goal, Status

__all__ = ["Retold", "What", "recall", "replay"]


class What(IntEnum):
    """What happens at a moment; of the same trial at the same time in this order."""

    START = 0
    REPORT = 1
    END = 2
    MILESTONE = 3  # in a story alone: a report from which the scheduler let the trial go on


class Retold(NamedTuple):
    """Something that happened, as the engine lived it.

    ``values`` are the report's metrics; at a milestone and an end the last of each.
    """

    what: What
    number: int
    step: int
    values: Mapping[str, float]
    until: int | None = None


def replay(
    scheduler: Scheduler,
    runs: Iterable[Run],
    goal: Goal,
    tell: Callable[[Retold], None] = lambda retold: None,
) -> dict[int, Decision]:
    """Bring a fresh scheduler to where it stood after `runs`, all of which have started.

    Parameters
    ----------
    tell : callable
        Called with all that happened, in order; a pause is an end.

    Returns
    -------
    dict of int to Decision
        By trial, how the scheduler ended its last run: with Stop, Complete, Reject or Pause. One
        that neither ended nor paused, and is in there, was interrupted before that was done.
    """
    by_number = {run.number: run for run in runs}
    told = _Told(scheduler, goal, tell)
    for moment in _moments(by_number.values(), ends=True):
        match moment.what:
            case What.START:
                told.start(moment.number)
            case What.REPORT:
                told.report(moment.number, moment.step, moment.metrics)
            case What.END:
                told.end(by_number[moment.number])
    return told.ended


def recall(rules: Sequence[StopRule], runs: Iterable[Run], elapsed: float, folder: Path) -> None:
    """Tell fresh rules what came before; what they say to it is past.

    `elapsed` is how long the sweep ran until then: no moment of it is later, though the clock on
    the wall went on between its runs.
    """
    runs = list(runs)
    if not rules or not runs:
        return
    began = min(run.started or 0.0 for run in runs)
    ends = {run.number: run for run in runs if run.status.ended}
    for moment in _moments(runs):
        now = min(elapsed, moment.time - began)
        if moment.what is What.REPORT:
            for rule in rules:
                rule.reported(moment.number, moment.metrics, now)
        run = ends.get(moment.number)
        if run is not None and moment.step == run.last_step:
            for rule in rules:
                rule.ended(run.snapshot(folder), now)


class _Told:
    """What a scheduler has been told, and how far it let each trial go."""

    def __init__(self, scheduler: Scheduler, goal: Goal, tell: Callable[[Retold], None]) -> None:
        self._scheduler = scheduler
        self._goal = goal
        self._tell = tell
        self._milestones: dict[int, int | None] = {}
        self._values: dict[int, dict[str, float]] = {}  # the last of each metric, by trial
        self._steps: dict[int, int] = {}
        self.ended: dict[int, Decision] = {}

    def start(self, number: int) -> None:
        """Tell that a trial starts, or goes on after a pause."""
        self.ended.pop(number, None)
        self._milestones[number] = until = self._scheduler.start(number).until
        self._values.setdefault(number, {})
        self._tell(Retold(What.START, number, self._steps.get(number, 0), {}, until))

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> None:
        """Tell a report, if the scheduler was asked about it."""
        if isinstance(self.ended.get(number), Pause):
            self.start(number)
        self._steps[number] = step
        values = self._values[number]
        values.update(metrics)
        until, score = self._milestones[number], self._goal.score(values.get(self._goal.metric))
        if until is None or step < until:
            self._tell(Retold(What.REPORT, number, step, metrics, until))
            return
        if score is None:
            return
        decision = self._scheduler.decide(number, step, score)
        if isinstance(decision, Continue):
            self._milestones[number] = decision.until
            self._tell(Retold(What.MILESTONE, number, step, dict(values), decision.until))
        else:
            self._milestones[number] = None
            self.ended[number] = decision
            if isinstance(decision, Pause):
                self._tell(Retold(What.END, number, step, dict(values)))

    def end(self, run: Run) -> None:
        """Tell that a trial ended, unless the scheduler ended it."""
        values = self._values[run.number]
        if self._milestones.get(run.number) is not None:
            has_failed = run.status is Status.FAILED
            score = None if has_failed else self._goal.score(values.get(self._goal.metric))
            self._scheduler.end(run.number, run.last_step, score)
        self._tell(Retold(What.END, run.number, run.last_step, dict(values)))


class _Moment(NamedTuple):
    """Something that happened, as it sorts: the engine gives no two of them the same time."""

    time: float
    number: int
    what: What
    step: int = 0
    metrics: Mapping[str, float] = {}


def _moments(runs: Iterable[Run], *, ends: bool = False) -> list[_Moment]:
    """Return starts, reports and, if asked for, ends, in order of time."""
    moments = []
    for run in runs:
        time = run.started or 0.0
        moments.append(_Moment(time, run.number, What.START))
        for report in run.reports:
            time = max(time, report.time)  # what was decided on came to the engine a little later
            moments.append(_Moment(time, run.number, What.REPORT, report.step, report.metrics))
        if ends and run.status.ended:
            time = max(time, run.ended or 0.0)
            moments.append(_Moment(time, run.number, What.END))
    return sorted(moments, key=lambda moment: moment[:4])
