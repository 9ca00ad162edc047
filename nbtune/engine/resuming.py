"""Where the trials of earlier processes stand when their sweep goes on."""

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from nbtune.checkpoint import has_checkpoint
from nbtune.decision import Complete, Decision, Pause, Stop
from nbtune.ended_by import EndedBy, EndKind
from nbtune.engine.history import Retold, What, replay
from nbtune.engine.ledger import Run
from nbtune.engine.snapshot import SweepStatus
from nbtune.engine.verdict import take_up_paused
from nbtune.schedulers.base import Scheduler
from nbtune.store import SweepRow
from nbtune.trial import Goal, Status, Trial

__all__ = ["Resumed", "resumed"]


class Resumed(NamedTuple):
    """What a sweep goes on with.

    ``runs`` are all its trials, by number. Those in ``interrupted`` had not come to their end: they
    are pending and start again, after the reports that they have, unless the scheduler had ended
    or paused them. ``story`` is what the scheduler was told of them all, until ``told_until``.
    """

    runs: list[Run]
    interrupted: frozenset[int]
    story: list[Retold]
    told_until: float


def resumed(
    history: Sequence[tuple[Trial, str]],
    *,
    row: SweepRow,
    scheduler: Scheduler,
    goal: Goal,
    folder: Path,
    window: int | None,
) -> Resumed:
    """Return where trials stand, and bring a fresh scheduler to where it stood after them.

    Parameters
    ----------
    history : sequence of (Trial, origin)
        By number.
    row : SweepRow
        How the sweep ended: trials that ended only because a person stopped it go on.
    scheduler : Scheduler
    goal : Goal
        What the scheduler compares.
    folder : Path
        The sweep's, in which checkpoints are.
    window : int >= 0, optional
        As `Turns` takes it.
    """
    runs = [Run.from_trial(trial, origin) for trial, origin in history]
    told_until = max((time for run in runs for time in run.times), default=0.0)
    for run in runs:
        _take_up_cut_short(run, row)
    if window == 0 or (window is not None and scheduler.judges_alone):
        # All must come out as if nothing had interrupted it.
        _forget_unfinished(runs, copy.deepcopy(scheduler), goal, folder)
    decisions, story = replay(scheduler, _started(runs), goal)
    interrupted = frozenset(run.number for run in runs if not _is_over(run))
    for number in interrupted:
        if not _close(runs[number], decisions.get(number)):
            runs[number] = _again(runs[number], folder)
    for run in runs:
        take_up_paused(run)
    return Resumed(runs, interrupted, story, told_until)


def _started(runs: Iterable[Run]) -> list[Run]:
    return [run for run in runs if run.started is not None]


def _is_over(run: Run) -> bool:
    return run.status.ended or run.status is Status.PAUSED


def _take_up_cut_short(run: Run, row: SweepRow) -> None:
    """Take a trial that ended only because its sweep was stopped, or failed, as one that runs."""
    goes_on = row.status in (SweepStatus.STOPPED, SweepStatus.FAILED)
    cut_short = run.ended_by is not None and run.ended_by.kind is EndKind.SWEEP
    if goes_on and cut_short and run.status is Status.STOPPED:
        run.status, run.reason, run.ended = Status.RUNNING, "", None
        run.ended_by = None


def _forget_unfinished(runs: Sequence[Run], scheduler: Scheduler, goal: Goal, folder: Path) -> None:
    """Take back what trials reported that start again without a checkpoint.

    It is reported again, and then the scheduler is asked again: no other trial has been judged
    by it meanwhile. What a trial did before a pause stays: it will be promoted again.
    """
    started = _started(runs)
    _, story = replay(scheduler, started, goal)
    kept = {each.number: each.reports for each in story if each.what is What.END}
    for run in started:
        if not _is_over(run) and not has_checkpoint(folder / str(run.number)):
            run.take_back(kept.get(run.number, 0))
            if not run.reports:
                run.started = None


def _close(run: Run, decision: Decision | None) -> bool:
    """End or pause a trial that was interrupted after the scheduler said so; return whether it is.

    One that had been promoted since, and has not reported again, is paused anew: it loses nothing.
    """
    match decision:
        case Stop(reason):
            run.status = Status.STOPPED
        case Complete(reason):
            run.status = Status.COMPLETED
        case Pause(reason):
            run.status = Status.PAUSED
        case _:
            return False
    run.ended_by = EndedBy(kind=EndKind.SCHEDULER, text=reason)
    run.reason = reason
    run.ended = run.reports[-1].time if run.reports else run.started
    return True


def _again(run: Run, folder: Path) -> Run:
    """Return a trial that starts again: from its checkpoint, without one from the start."""
    again = Run(run.number, run.params, run.origin, run.why)
    if has_checkpoint(folder / str(run.number)):
        again.reports, again.started = run.reports, run.started
    return again
