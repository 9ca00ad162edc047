"""Tells a scheduler, in order of time, what it was told before a restart."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nbtune.decision import Continue, Pause
from nbtune.engine.ledger import Run
from nbtune.schedulers.base import Scheduler
from nbtune.stopping import StopRule
from nbtune.trial import Goal

__all__ = ["recall", "replay"]


def replay(scheduler: Scheduler, runs: Iterable[Run], goal: Goal) -> None:
    """Bring a fresh scheduler to where it stood after `runs`, all of them ended or paused."""
    runs = list(runs)
    told = _Told(scheduler, goal)
    for _, number, step, metrics in _moments(runs):
        if metrics is None:
            told.start(number)
        else:
            told.report(number, step, metrics)
    for run in runs:
        if run.status.ended:
            told.end(run)


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
    for moment, number, _, metrics in _moments(runs):
        now = min(elapsed, moment - began)
        if metrics is not None:
            for rule in rules:
                rule.reported(number, metrics, now)
        run = ends.get(number)
        if run is not None and (not run.reports or metrics is run.reports[-1].metrics):
            for rule in rules:
                rule.ended(run.snapshot(folder), now)


class _Told:
    """What a scheduler has been told, and how far it let each trial go."""

    def __init__(self, scheduler: Scheduler, goal: Goal) -> None:
        self._scheduler = scheduler
        self._goal = goal
        self._milestones: dict[int, int | None] = {}
        self._paused: set[int] = set()
        self._values: dict[int, float] = {}

    def start(self, number: int) -> None:
        """Tell that a trial starts, or goes on after a pause."""
        self._milestones[number] = self._scheduler.start(number).until

    def report(self, number: int, step: int, metrics: Mapping[str, float]) -> None:
        """Tell a report, if the scheduler was asked about it."""
        if number in self._paused:
            self._paused.discard(number)
            self.start(number)
        if self._goal.metric in metrics:
            self._values[number] = metrics[self._goal.metric]
        until, score = self._milestones[number], self._goal.score(self._values.get(number))
        if until is None or step < until or score is None:
            return
        decision = self._scheduler.decide(number, step, score)
        self._milestones[number] = decision.until if isinstance(decision, Continue) else None
        if isinstance(decision, Pause):
            self._paused.add(number)

    def end(self, run: Run) -> None:
        """Tell that a trial ended, unless the scheduler ended it."""
        if self._milestones.get(run.number) is not None:
            score = self._goal.score(self._values.get(run.number))
            self._scheduler.end(run.number, run.last_step, score)


def _moments(runs: Iterable[Run]) -> list[tuple[float, int, int, Mapping[str, float] | None]]:
    """Return starts and reports as (time, trial, step, metrics), a start before its reports."""
    moments: list[tuple[float, int, int, Mapping[str, float] | None]] = []
    for run in runs:
        moments.append((run.started or 0.0, run.number, 0, None))
        moments.extend(
            (report.time, run.number, report.step, report.metrics) for report in run.reports
        )
    return sorted(moments, key=lambda moment: moment[:3])
