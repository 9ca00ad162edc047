"""One trial's run, the same on every kind of worker: call the objective, say how it ended."""

import hashlib
import numbers
import threading
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nbtune.context import CurrentTrial, Reporter, TrialStopped, reporting
from nbtune.decision import Complete, Continue, Decision, Pause, Reject, Stop
from nbtune.exceptions import ReportError, TrialError
from nbtune.trial import Failure, Params

__all__ = ["Course", "Outcome", "failure_of", "fresh", "perform", "plain", "seed_of", "trial_of"]

_PACKAGE = f"{Path(__file__).parents[1]}/"
_LONGEST_MESSAGE = 10_000
_LONGEST_TRACEBACK = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a trial ended, in the words of `base.Ended`."""

    how: Literal["returned", "stopped", "completed", "raised"]
    result: dict[str, float] | None = None
    failure: Failure | None = None


class Course:
    """How far a trial may go, seen from inside it.

    A verdict stays: code that swallows the exception meets it again at its next report.
    """

    def __init__(self, milestone: int | None) -> None:
        self.milestone = milestone
        self.verdict: Stop | Pause | Complete | Reject | None = None

    def follow(self, decision: Decision) -> None:
        """Take in a decision; raise when it ends the trial."""
        if isinstance(decision, Continue):
            self.milestone = decision.until
        else:
            self.verdict = decision
            self.enforce()

    def enforce(self) -> None:
        """Raise if the trial has been ended."""
        match self.verdict:
            case Stop(reason) | Pause(reason):
                raise TrialStopped(reason)
            case Complete(reason):
                raise TrialStopped(reason, complete=True)
            case Reject(message):
                raise ReportError(message)


def perform(
    load: Callable[[], Callable[[Params], Any]],
    reporter: Reporter,
    course: Course,
    *,
    result_metric: str,
    whole_process: bool = False,
    earlier: Collection[threading.Thread] = (),
) -> Outcome:
    """Run one trial to its end, whatever that is.

    Parameters
    ----------
    load : callable
        Returns the objective's ``call``; its errors are the trial's.
    reporter : Reporter
        Takes the trial's reports, and knows its params.
    course : Course
        What the reporter's ``send`` obeys.
    result_metric : str
        The name of a bare number that the objective returns.
    whole_process : bool
        Whether reports of all threads are this trial's.
    earlier : collection of Thread
        All but these, then: they were there before.
    """
    try:
        with reporting(reporter, whole_process=whole_process, earlier=earlier):
            returned = load()(reporter.trial.params)
        course.enforce()
        return Outcome(how="returned", result=_metrics_of(returned, reporter, result_metric))
    except BaseException as error:  # noqa: BLE001 - the border where the user's code is called
        return _outcome_of(error, course)


def _outcome_of(error: BaseException, course: Course) -> Outcome:
    # A verdict counts for more than what the trial's own cleanup raised on the way out.
    if isinstance(course.verdict, Stop | Pause):
        return Outcome(how="stopped")
    if isinstance(course.verdict, Complete):
        return Outcome(how="completed")
    if isinstance(error, TrialStopped):
        return Outcome(how="completed" if error.complete else "stopped")
    if isinstance(course.verdict, Reject) and not isinstance(error, ReportError):
        return Outcome(
            how="raised", failure=Failure(type="ReportError", message=course.verdict.message)
        )
    return Outcome(how="raised", failure=failure_of(error))


def _metrics_of(returned: object, reporter: Reporter, result_metric: str) -> dict[str, float]:
    """Return what the objective returned as metrics, checked as reports are.

    A cell may end in anything: what is neither a number nor a dict by names counts as nothing.
    """
    if _is_number(returned):
        metrics: dict[str, object] = {result_metric: returned}
    elif isinstance(returned, Mapping) and all(isinstance(name, str) for name in returned):
        metrics = dict(returned)
    else:
        return {}
    checked: dict[str, float] = {}
    if metrics:
        judge = Reporter(
            reporter.trial,
            lambda _step, values: checked.update(values),
            step_name=reporter.step_name,
        )
        judge.report(None, metrics, lambda: "the value that the objective returned")
    return checked


def _is_number(value: object) -> bool:
    # NumPy and PyTorch scalars, and arrays without dimensions, are numbers too.
    return isinstance(value, numbers.Real) or (
        getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None))
    )


def failure_of(error: BaseException) -> Failure:
    """Return `error` as plain text, its traceback from the user's code on."""
    told = traceback.TracebackException.from_exception(error, compact=True)
    frames = list(told.stack)
    while frames and frames[0].filename.startswith(_PACKAGE):
        frames.pop(0)
    # For a report that broke the contract the last line shown is the call, not nbtune's check.
    while isinstance(error, ReportError) and frames and frames[-1].filename.startswith(_PACKAGE):
        frames.pop()
    told.stack = traceback.StackSummary.from_list(frames)
    try:
        message = str(error)
    except Exception as broken:  # noqa: BLE001 - the user's __str__
        message = f"(its __str__ raised {type(broken).__name__})"
    trace = "".join(told.format())
    if isinstance(error, TrialError) and not frames:  # a command failed: its own words count
        trace = error.worker_traceback
    return Failure(
        type=type(error).__name__,
        message=plain(message, _LONGEST_MESSAGE),
        traceback=plain(trace, _LONGEST_TRACEBACK),
    )


def plain(text: str, longest: int) -> str:
    """Return `text` without lone surrogates, its middle cut where it is too long."""
    if len(text) > longest:
        text = f"{text[: longest // 2]}\n[...]\n{text[-longest // 2 :]}"
    return text.encode("utf-8", "backslashreplace").decode()


def trial_of(number: int, params: Params, folder: Path, seed: int) -> CurrentTrial:
    """Return what the objective may know of trial `number` of a sweep with this folder and seed."""
    return CurrentTrial(
        number=number, params=params, dir=folder / str(number), seed=seed_of(seed, number)
    )


def fresh(params: Params) -> Params:
    """Return params whose dicts are the trial's own; values stay the same objects."""
    return {
        name: fresh(value) if isinstance(value, dict) else value for name, value in params.items()
    }


def seed_of(seed: int, number: int) -> int:
    """Return the seed of trial `number`, in [0, 2**31), from the sweep's seed."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) >> 1
