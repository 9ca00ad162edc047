"""What an objective calls while it runs: ``report``, ``current_trial``, checkpoints later.

A worker installs a `Reporter` before it calls the objective, and the script of a command finds one
by its environment. Without either, ``report`` shows its values and returns, so that a cell, a
function or a script also runs by itself; ``current_trial`` gives a trial numbered None.
"""

import atexit
import functools
import math
import operator
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbtune.exceptions import ReportError
from nbtune.trial import Params

__all__ = [
    "SCRIPT_VARIABLE",
    "CurrentTrial",
    "Reporter",
    "TrialStopped",
    "active_reporter",
    "alone",
    "current_trial",
    "report",
    "reporting",
]


SCRIPT_VARIABLE = "NBTUNE_REPORT"
"""The environment variable by which a command's script finds its trial (`script`)."""
_LONGEST_NAME = 500  # characters
MOST_STEPS = 2**53
"""The last step there can be: what follows it is stored, and plotted, exactly, too."""
MOST_METRICS = 1000
"""How many metrics a trial may report: their number is what the store's time goes with."""


class TrialStopped(BaseException):
    """Unwinds a trial that was asked to stop; not an Exception, so user code does not catch it."""

    def __init__(self, reason: str = "", *, complete: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.complete = complete


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentTrial:
    """What a running objective may know about its trial.

    Attributes
    ----------
    number : int or None
        Its number in the sweep, from 0; None outside a sweep.
    params : dict
        What it runs on; empty where a cell, function or script runs by itself.
    dir : Path
        The folder for its files. Outside a sweep a temporary one, which stays once something is
        in it.
    seed : int
        Its own, from the sweep's seed and its number; 0 outside a sweep.
    """

    number: int | None
    params: Params
    dir: Path
    seed: int


class Reporter:
    """Checks one trial's reports and hands them to a worker's `send`.

    Parameters
    ----------
    trial : CurrentTrial
    send : callable
        Called with ``(step, metrics)``; it may block at a milestone and may raise `TrialStopped`
        or `ReportError`.
    step_name : str
        The keyword that names the step, for instance "epoch".
    known_until : int
        The last step that an earlier run of this trial reported: reports up to it are checked and
        dropped, so that a trial that starts over is not told twice. 0 for a fresh trial.
    keeps : bool
        Whether checkpoints are kept; not where a trial's whole course is computed ahead.
    metric : str
        What the sweep optimises; empty where that is not known.
    look : callable
        Raises as `send` does when the trial has been told to end since its last report; returns at
        once.

    Attributes
    ----------
    threads : set of int
        The identifiers of the threads that have reported, the trial's own left out.
    over : bool
        Whether the trial has ended, so that a report comes from what it left behind.
    """

    def __init__(
        self,
        trial: CurrentTrial,
        send: Callable[[int, dict[str, float]], None],
        *,
        step_name: str = "epoch",
        known_until: int = 0,
        keeps: bool = True,
        metric: str = "",
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self.trial = trial
        self.step_name = step_name
        self.last_step = 0
        self.known_until = known_until
        self.keeps = keeps
        self.metric = metric
        self.look = look
        self.threads: set[int] = set()
        self.over = False
        self._thread = threading.get_ident()
        self._send = send
        self._names: set[str] = set()  # that have been looked at
        self._lock = threading.RLock()

    @property
    def has_reported(self) -> bool:
        """Whether the trial has reported, in this run of it or in an earlier one."""
        return max(self.last_step, self.known_until) > 0

    def report(self, step: object, metrics: dict[str, object], caller: Callable[[], str]) -> None:
        """Check one report and send it; raise `ReportError` where it breaks the contract."""
        if self.over:
            raise ReportError(
                f"{caller()}: trial {self.trial.number} is over; end its threads before it ends"
            )
        if threading.get_ident() != self._thread:
            self.threads.add(threading.get_ident())
        if self.step_name in metrics:
            if step is not None:
                name = self.step_name
                raise ReportError(
                    f"{caller()}: both step={step!r} and {name}={metrics[name]!r} given; "
                    "they are the same thing, keep one"
                )
            step = metrics.pop(self.step_name)
        elif step is not None and not metrics and not _is_integer(step):
            name, shown = self.metric or "loss", _short(step)
            raise ReportError(
                f"{caller()}: report({shown}) gives the {self.step_name} and no metric. "
                f"Name the metric: report({name}={name})"
            )
        values = {name: _number(name, value, caller) for name, value in metrics.items()}
        if not self._names.issuperset(values):
            self._check_names(values, caller)
        with self._lock:
            number = self.last_step + 1 if step is None else self._check_step(step, caller)
            self.last_step = number
            if number > self.known_until:
                self._send(number, values)

    def _check_names(self, names: Collection[str], caller: Callable[[], str]) -> None:
        count = len(self._names.union(names))
        if count > MOST_METRICS:
            raise ReportError(
                f"{caller()}: {count:,} different metrics; a trial has {MOST_METRICS:,} at most. "
                "Report what you would look at, and write the rest to a file in current_trial().dir"
            )
        for name in names:
            try:
                name.encode()
            except UnicodeEncodeError:
                raise ReportError(
                    f"{caller()}: {name!a} holds half a character, which is no metric's name"
                ) from None
            if len(name) > _LONGEST_NAME:
                raise ReportError(
                    f"{caller()}: {name[:40]!r}... has {len(name):,} characters; a metric's name "
                    f"has {_LONGEST_NAME} at most"
                )
        self._names.update(names)

    def _check_step(self, step: object, caller: Callable[[], str]) -> int:
        number = _step(self.step_name, step, caller)
        if number <= self.last_step:
            raise ReportError(
                f"{caller()}: {self.step_name}={number} does not grow, the last report was at "
                f"{self.last_step}; report each step once, all its metrics in one call"
            )
        return number


def _is_integer(step: object) -> bool:
    try:
        operator.index(step)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(step, bool)


def _step(name: str, step: object, caller: Callable[[], str]) -> int:
    if _is_integer(step):
        number = operator.index(step)  # type: ignore[arg-type]
    else:
        if not (isinstance(step, float) and step.is_integer()):
            raise ReportError(
                f"{caller()}: {name}={step!r} is not an integer; count steps 1, 2, 3, ..."
            )
        number = int(step)
    if number > MOST_STEPS:
        raise ReportError(
            f"{caller()}: {name}={number} is too large, at most {MOST_STEPS:,} steps "
            "can be counted; count from 1"
        )
    if number < 1:
        raise ReportError(
            f"{caller()}: {name}={number} is not positive; the first step is 1, "
            f"for instance `for {name} in range(1, n + 1)`"
        )
    return number


def _number(name: str, value: object, caller: Callable[[], str]) -> float:
    if type(value) is float:
        return value
    if not isinstance(value, str | bytes | complex):
        try:
            item = getattr(value, "item", None)  # NumPy and PyTorch scalars, arrays of size 1
            return float(item() if callable(item) else value)  # type: ignore[arg-type]
        except (TypeError, ValueError, RuntimeError, OverflowError):
            pass
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    raise ReportError(
        f"{caller()}: {name}={shown} is a {type(value).__name__}, not a number; "
        f"report one number for each metric, for instance {name}=float(...)"
    )


_context: ContextVar[Reporter | None] = ContextVar("nbtune_reporter", default=None)
_of_process: Reporter | None = None  # threads that a trial starts do not inherit the ContextVar
_earlier: Collection[threading.Thread] = ()  # threads that are not the trial's


def active_reporter() -> Reporter | None:
    """Return what takes this context's reports, None outside a sweep.

    Raises
    ------
    ReportError
        In a thread that an earlier trial left behind.
    """
    reporter = _context.get()
    if reporter is not None:
        return reporter
    if _of_process is None:
        return _of_script()
    if threading.current_thread() in _earlier:
        _of_process.threads.add(threading.get_ident())
        raise ReportError(
            f"thread {threading.current_thread().name!r} is older than the trial that runs now; "
            "end a trial's threads before it ends"
        )
    return _of_process


def _of_script() -> Reporter | None:
    if SCRIPT_VARIABLE not in os.environ:
        return None
    from nbtune import script  # noqa: PLC0415 - it brings the socket, which few need

    return script.reporter()


@contextmanager
def reporting(
    reporter: Reporter,
    *,
    whole_process: bool = False,
    earlier: Collection[threading.Thread] = (),
) -> Iterator[None]:
    """Make `reporter` receive this context's reports, or those of all threads of the process.

    Of all threads but those that were there `earlier`.
    """
    global _of_process, _earlier
    token = _context.set(reporter)
    if whole_process:
        _of_process, _earlier = reporter, earlier
    try:
        yield
    finally:
        reporter.over = True
        with suppress(ValueError):  # a loop may be left in another cell: its context is another
            _context.reset(token)
        if whole_process:
            _of_process, _earlier = None, ()


def _line_of(frame: Any) -> str:
    return f"report in {frame.f_code.co_filename}, line {frame.f_lineno}"


def report(step: int | None = None, **metrics: Any) -> None:
    """Tell the sweep how the trial stands after one step.

    Outside a sweep it shows its values and returns, so that the code also runs by itself.

    Parameters
    ----------
    step : int >= 1, optional
        The resource spent so far (epochs, boosting rounds, samples); it must grow from report to
        report. It may be named by what it is, ``report(epoch=3, ...)``, where the sweep's ``step``
        says so ("epoch" unless told otherwise). Without it, the last step plus one.
    **metrics : float
        Any number of numeric metrics; NaN and infinity are recorded and rank last.

    Raises
    ------
    ReportError
        When the step is not a positive integer or does not grow, or a metric is not a number.

    Notes
    -----
    What a function returns, a number or a dict of numbers, is its last report, one step after the
    others; metrics that it has reported with the same values are not told again. The value of a
    cell's last expression counts only where the cell has reported nothing.
    """
    reporter = active_reporter()
    frame = sys._getframe(1)
    if reporter is None:
        for name, value in metrics.items():
            _number(name, value, lambda: _line_of(frame))
        if step is not None:
            _step("step", step, lambda: _line_of(frame))
        shown = {"step": step, **metrics} if step is not None else metrics
        sys.stdout.write(
            "  ".join(f"{name} {_short(value)}" for name, value in shown.items()) + "\n"
        )
        return
    reporter.report(step, metrics, lambda: _line_of(frame))


def _short(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return str(value)


def current_trial() -> CurrentTrial:
    """Return the trial that is running here: its number, params, folder and seed.

    The seed depends on the sweep's seed and the trial's number alone: it is the same when the trial
    starts again. Outside a sweep the trial is one numbered None, with a real folder and the seed
    0, so that a cell, a function or a script also runs by itself.
    """
    reporter = active_reporter()
    if reporter is not None:
        return reporter.trial
    trial = _alone.get() or _of_no_sweep()
    trial.dir.mkdir(parents=True, exist_ok=True)
    return trial


_alone: ContextVar[CurrentTrial | None] = ContextVar("nbtune_alone", default=None)


@contextmanager
def alone(params: Params) -> Iterator[CurrentTrial]:
    """Let `current_trial` outside a sweep give a trial with these params and a folder of its own.

    The folder goes afterwards unless something is in it.
    """
    trial = CurrentTrial(number=None, params=params, dir=_temporary_folder(), seed=0)
    token = _alone.set(trial)
    try:
        yield trial
    finally:
        _alone.reset(token)
        _remove_empty(trial.dir)


@functools.cache
def _of_no_sweep() -> CurrentTrial:
    """Return the one trial of code that runs in this process and in no sweep."""
    folder = _temporary_folder()
    atexit.register(_remove_empty, folder)
    return CurrentTrial(number=None, params={}, dir=folder, seed=0)


def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="nbtune-trial-"))


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # something is in it, or it is gone
        folder.rmdir()
