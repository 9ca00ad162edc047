"""Tells a scheduler, in order of time, what it was told before a restart."""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from nbtune.decision import Continue, Decision, Pause
from nbtune.engine.ledger import Run
from nbtune.schedulers.base import Scheduler
from nbtune.stopping import StopRule
from nbtune.trial import Goal, Status

__all__ = ["Replayed", "Retold", "What", "recall", "replay"]


class What(IntEnum):
    """What happens at a moment; of the same trial at the same time in this order."""

    START = 0
    REPORT = 1
    END = 2
    MILESTONE = 3  # in a story alone: a report from which the scheduler let the trial go on


class Retold(NamedTuple):
    """Something that happened to trial `number`, when it had made so many `reports`.

    A pause is an end. ``until`` is how far the scheduler let the trial go, None where it ended it.
    """

    what: What
    number: int
    reports: int
    until: int | None = None


class Replayed(NamedTuple):
    """What came of a replay.

    ``decisions`` says, by trial, how the scheduler ended its last run: with Stop, Complete, Reject
    or Pause. One that neither ended nor paused, and is in there, was interrupted before that was
    done. ``story`` is all that happened, as the engine lived it.
    """

    decisions: dict[int, Decision]
    story: list[Retold]


def replay(scheduler: Scheduler, runs: Iterable[Run], goal: Goal) -> Replayed:
    """Bring a fresh scheduler to where it stood after `runs`, all of which have started."""
    by_number = {run.number: run for run in runs}
    told = _Told(scheduler, goal)
    for moment in _moments(by_number.values(), ends=True):
        match moment.what:
            case What.START:
                told.start(moment.number)
            case What.REPORT:
                told.report(moment.number, moment.step, moment.metrics)
            case What.END:
                told.end(by_number[moment.number])
    return Replayed(told.ended, told.story)


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

    def __init__(self, scheduler: Scheduler, goal: Goal) -> None:
        self._scheduler = scheduler
        self._goal = goal
        self._milestones: dict[int, int | None] = {}
        self._values: dict[int, float] = {}
        self._counts: dict[int, int] = {}
        self.ended: dict[int, Decision] = {}
        self.story: list[Retold] = []

    def start(self, number: int) -> None:
        """Tell that a trial starts, or goes on after a pause."""
        self.ended.pop(number, None)
        self._milestones[number] = until = self._scheduler.start(number).until
        self.story.append(Retold(What.START, number, self._counts.get(number, 0), until))

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> None:
        """Tell a report, if the scheduler was asked about it."""
        if isinstance(self.ended.get(number), Pause):
            self.start(number)
        self._counts[number] = count = self._counts.get(number, 0) + 1
        if (value := metrics.get(self._goal.metric)) is not None:
            self._values[number] = self._goal.after(self._values.get(number), value)
        until, score = self._milestones[number], self._goal.score(self._values.get(number))
        if until is None or step < until:
            self.story.append(Retold(What.REPORT, number, count, until))
            return
        if score is None:
            return
        decision = self._scheduler.decide(number, step, score)
        if isinstance(decision, Continue):
            self._milestones[number] = decision.until
            self.story.append(Retold(What.MILESTONE, number, count, decision.until))
            return
        self._milestones[number] = None
        self.ended[number] = decision
        if isinstance(decision, Pause):
            self.story.append(Retold(What.END, number, count))

    def end(self, run: Run) -> None:
        """Tell that a trial ended; the scheduler, unless it ended it itself."""
        self.story.append(Retold(What.END, run.number, len(run.reports)))
        if self._milestones.get(run.number) is None:
            return
        has_failed = run.status is Status.FAILED
        score = None if has_failed else self._goal.score(self._values.get(run.number))
        self._scheduler.end(run.number, run.last_step, score)


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
