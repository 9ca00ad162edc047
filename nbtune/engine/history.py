"""Tells a scheduler, in order of time, what it was told before a restart."""

from collections.abc import Iterable

from nbtune.decision import Continue
from nbtune.engine.ledger import Run
from nbtune.schedulers.base import Scheduler
from nbtune.trial import Goal

__all__ = ["replay"]


def replay(scheduler: Scheduler, runs: Iterable[Run], goal: Goal) -> None:
    """Bring a fresh scheduler to where it stood after `runs`, all of them ended."""
    runs = list(runs)
    milestones: dict[int, int | None] = {}
    values: dict[int, float] = {}
    for _, number, step, metrics in _moments(runs):
        if metrics is None:
            milestones[number] = scheduler.start(number).until
            continue
        if goal.metric in metrics:
            values[number] = metrics[goal.metric]
        until, score = milestones[number], goal.score(values.get(number))
        if until is not None and step >= until and score is not None:
            decision = scheduler.decide(number, step, score)
            milestones[number] = decision.until if isinstance(decision, Continue) else None
    for run in runs:
        if milestones.get(run.number) is not None:
            scheduler.end(run.number, run.last_step, goal.score(values.get(run.number)))


def _moments(runs: Iterable[Run]) -> list[tuple[float, int, int, dict[str, float] | None]]:
    """Return starts and reports as (time, trial, step, metrics), a start before its reports."""
    moments: list[tuple[float, int, int, dict[str, float] | None]] = []
    for run in runs:
        moments.append((run.started or 0.0, run.number, 0, None))
        moments.extend(
            (report.time, run.number, report.step, dict(report.metrics)) for report in run.reports
        )
    return sorted(moments, key=lambda moment: moment[:3])
