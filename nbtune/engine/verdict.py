"""What the end of a trial means: its status and reason, and whether the sweep can work at all."""

import sys
from dataclasses import replace

from nbtune.decision import Complete, Pause, Reject
from nbtune.ended_by import EndedBy, EndKind
from nbtune.engine.ledger import Budget, Ledger, Run
from nbtune.exceptions import nearest
from nbtune.objective.call import Call
from nbtune.schedulers.base import Explanation
from nbtune.trial import Failure, Status
from nbtune.workers.base import Ended, Job

__all__ = [
    "by_scheduler",
    "common_failure",
    "deserves_retry",
    "leave_paused",
    "missing_metric",
    "outcome",
    "take_up_paused",
]

_SAME_FAILURES = 3
# One for all: most trials end so, and to make one takes 3 us.
_BY_ITSELF = EndedBy(kind=EndKind.COMPLETED)
_BY_SCHEDULER = EndedBy(kind=EndKind.SCHEDULER)
_NOT_PROMOTED = "; not promoted when the sweep ended"


def deserves_retry(run: Run, event: Ended, budget: Budget) -> bool:
    """Return whether a trial that is over is to start again: it crashed, nobody ended it."""
    is_retriable = event.how == "died" or (event.how == "raised" and budget.retry_exceptions)
    return is_retriable and not run.asked and not run.decided and run.retried < budget.retries


def outcome(run: Run, event: Ended, ledger: Ledger, step_name: str) -> tuple[Status, EndedBy]:
    """Return the status of a trial that is over, and what ended it; its reports are in `ledger`."""
    told = run.ended_by or _BY_SCHEDULER
    if not run.asked and event.how in ("stopped", "killed"):
        match run.decision:  # one that did not obey, and was killed, counts as it was told
            case Pause():
                return Status.PAUSED, told
            case Complete():
                return Status.COMPLETED, told
            case Reject(message):
                run.failure = Failure(type="ReportError", message=message)
                return Status.FAILED, _failed(run, "raised", run.failure, step_name)
    if event.how in ("stopped", "killed"):
        return Status.STOPPED, run.asked or told
    if event.failure is not None:
        return Status.FAILED, _failed(run, event.how, event.failure, step_name)
    if (missing := ledger.missing(run)) and ledger.front:
        text = f"{missing} was never reported"
        return Status.FAILED, EndedBy(kind=EndKind.ERROR, text=text)
    return Status.COMPLETED, run.ended_by or _BY_ITSELF


def by_scheduler(reason: str, stood: Explanation | None) -> EndedBy:
    """Return that a scheduler ended or paused a trial, which `stood` so when it was compared."""
    by = EndedBy(kind=EndKind.SCHEDULER, text=sys.intern(str(reason)))  # many trials have the same
    return by if stood is None else _standing(by, stood)


def _standing(by: EndedBy, stood: Explanation) -> EndedBy:
    return replace(by, rung=stood.rung, rank=stood.rank, of=stood.of, cutoff=stood.cutoff)


def leave_paused(run: Run, stood: Explanation | None) -> None:
    """Have a trial that is still paused at the sweep's end say how it stands, and go on no more."""
    by = replace(run.ended_by or _BY_SCHEDULER, left_paused=True)
    if stood is not None:  # by now: what was said when it paused may be long past
        by = _standing(replace(by, text=""), stood)
    run.ended_by, run.reason = by, by.reason


def take_up_paused(run: Run) -> None:
    """Have a paused trial of a sweep that is resumed say what it did before the end."""
    if run.ended_by is not None and run.ended_by.left_paused:
        run.ended_by = replace(run.ended_by, left_paused=False)
        run.reason = run.ended_by.reason


def _failed(run: Run, how: str, failure: Failure, step_name: str) -> EndedBy:
    kind = EndKind.CRASH if how == "died" else EndKind.ERROR
    return EndedBy(kind=kind, text=_why_failed(run, how, failure, step_name))


def _why_failed(run: Run, how: str, failure: Failure, step_name: str) -> str:
    at = f" at {step_name} {run.last_step}" if run.last_step else ""
    if how == "died":
        reason = failure.message + at
    else:
        reason = f"{failure.type}{at}: {failure.message}".splitlines()[0][:300]
    return f"{reason} (started {run.retried + 1} times)" if run.retried else reason


def common_failure(ledger: Ledger) -> Failure | None:
    """Return the failure that the first three trials to end share, at the moment when they have."""
    if ledger.ended != _SAME_FAILURES:
        return None
    failures = [run.failure for run in ledger.runs if run.status.ended]
    first, *others = [failure and _kind(failure) for failure in failures]
    return failures[0] if first and all(other == first for other in others) else None


def _kind(failure: Failure) -> tuple[str, str]:
    """Return what makes two failures the same: type and the line of the user's code."""
    lines = [line for line in failure.traceback.splitlines() if line.lstrip().startswith("File ")]
    return failure.type, lines[-1].strip() if lines else failure.message


def missing_metric(run: Run, metric: str, job: Job) -> Failure:
    """Return the failure of a sweep whose objective does not report what is optimised."""
    reported = sorted({name for report in run.reports for name in report.metrics})
    kind = type(job.call) if isinstance(job.call, Call) else Call
    hint = kind.how_to_report(job.step_name, metric)
    if reported:
        hint = nearest(metric, reported)
    instead = ", ".join(map(repr, reported)) or "nothing"
    return Failure(
        type="ReportError",
        message=f"metric {metric!r} was never reported; trial {run.number} reported {instead}. "
        f"{hint}",
    )
