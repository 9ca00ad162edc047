"""One slot whose trials the caller runs: ``for trial in sweep.iterate()``."""

import queue
import sys
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbtune.context import Reporter, TrialStopped, reporting
from nbtune.decision import Complete, Decision, Stop
from nbtune.exceptions import WorkerError
from nbtune.trial import Failure, Params, Report
from nbtune.workers.base import Assignment, Ended, Inbox, Job, Reported, SlotReady, Workers
from nbtune.workers.outcome import Course, failure_of, fresh, trial_of

__all__ = ["ByHand", "LoopTrial"]


class LoopTrial:
    """A trial that the body of a loop runs.

    What the body calls may also use `nbtune.report`, `current_trial` and checkpoints. Nothing
    stops it from outside: where the sweep has ended the trial, reports say so and count no more.
    """

    def __init__(self, run: "_Run", reporter: Reporter) -> None:
        self._run = run
        self._reporter = reporter

    @property
    def number(self) -> int:
        """The trial's number in its sweep."""
        return self._run.number

    @property
    def params(self) -> Params:
        """What to run it on."""
        return self._reporter.trial.params

    @property
    def dir(self) -> Path:
        """The folder for its files."""
        return self._reporter.trial.dir

    @property
    def seed(self) -> int:
        """Its own, from the sweep's seed and its number."""
        return self._reporter.trial.seed

    def report(self, step: int | None = None, **metrics: Any) -> bool:
        """Tell how the trial stands, as `nbtune.report` does; return whether it should go on.

        Raises
        ------
        ReportError
            When the step is not a positive integer or does not grow, or a metric is not a number.
        """
        frame = sys._getframe(1)
        where = f"trial.report in {frame.f_code.co_filename}, line {frame.f_lineno}"
        self._reporter.report(step, metrics, lambda: where)
        return not self._run.told_to_end

    def fail(self, error: BaseException | str) -> None:
        """Have the trial end as failed, for this reason, when the loop goes on."""
        if isinstance(error, BaseException):
            self._run.failure = failure_of(error)
        else:
            self._run.failure = Failure(type="Failed", message=error)

    def __repr__(self) -> str:
        return f"<LoopTrial {self.number}: {self.params!r}>"


class ByHand(Workers):
    """Hands each trial to whoever iterates over `trials`.

    A trial that is killed is over for the sweep; the code that runs it goes on to its next report
    and is told there.
    """

    slots = 1

    in_processes = False

    def __init__(self) -> None:
        self._given: queue.SimpleQueue[_Run | None] = queue.SimpleQueue()
        self._run: _Run | None = None

    def describe(self) -> str:
        """Return where trials run."""
        return "in your loop"

    def open(self, job: Job, inbox: Inbox) -> None:
        """Announce the slot; raise `WorkerError` when it has served another sweep."""
        if hasattr(self, "_job"):
            raise WorkerError("one loop serves one sweep; iterate anew for another")
        self._job, self._inbox = job, inbox
        inbox.put(SlotReady(slot=0))

    def start(self, slot: int, assignment: Assignment) -> None:
        """Give a trial to the loop."""
        self._run = _Run(assignment)
        self._given.put(self._run)

    def answer(self, number: int, decision: Decision) -> None:
        """Give the trial the decision that it waits for."""
        if self._run is not None and self._run.number == number:
            self._run.orders.put(decision)

    def stop(self, number: int, reason: str) -> None:
        """Ask the trial to stop: it is told at its next report."""
        self.answer(number, Stop(reason))

    def kill(self, number: int) -> None:
        """End the trial for the sweep, and tell it at its next report."""
        if self._run is not None and self._run.number == number:
            self.stop(number, "killed")
            self._end(self._run, "killed")

    def close(self) -> None:
        """End the loop; idempotent."""
        if self._run is not None:
            self._run.orders.put(Stop("closed"))
            self._run.over = True
        self._given.put(None)

    def trials(self) -> Generator[LoopTrial, None, None]:
        """Yield the trials, one after the other, until the sweep is over.

        A trial ends when the next one is asked for; one at which the loop is left is stopped.
        """
        while (run := self._given.get()) is not None:
            reporter = self._reporter(run)
            reporter.trial.dir.mkdir(parents=True, exist_ok=True)
            try:
                with reporting(reporter):
                    yield LoopTrial(run, reporter)
            except GeneratorExit:
                self._end(run, "stopped")
                raise
            run.obey()
            match run.course.verdict:
                case _ if run.failure is not None:
                    self._end(run, "raised")
                case None:
                    self._end(run, "returned")
                case Complete():
                    self._end(run, "completed")
                case _:
                    self._end(run, "stopped")

    def _reporter(self, run: "_Run") -> Reporter:
        job, assignment = self._job, run.assignment
        trial = trial_of(run.number, fresh(assignment.params), job.folder, job.seed)

        def send(step: int, metrics: dict[str, float]) -> None:
            run.obey()
            if run.told_to_end:
                return
            milestone = run.course.milestone
            waiting = milestone is not None and step >= milestone
            report = Report(step, metrics, time.time())
            self._inbox.put(Reported(number=run.number, reports=[report], waiting=waiting))
            if waiting:
                run.follow(run.orders.get())

        return Reporter(
            trial,
            send,
            step_name=job.step_name,
            known_until=assignment.known_until,
            metric=job.result_metric,
        )

    def _end(self, run: "_Run", how: Any) -> None:
        if run.over:
            return
        run.over = True
        failure = run.failure if how == "raised" else None
        result: dict[str, float] | None = {} if how == "returned" else None
        self._inbox.put(
            Ended(
                number=run.number, slot=0, how=how, time=time.time(), result=result, failure=failure
            )
        )
        self._inbox.put(SlotReady(slot=0))


class _Run:
    """One trial as the loop and the engine share it."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.number = assignment.number
        self.orders: queue.SimpleQueue[Decision] = queue.SimpleQueue()
        self.course = Course(assignment.milestone)
        self.failure: Failure | None = None
        self.over = False

    @property
    def told_to_end(self) -> bool:
        """Whether nothing that it reports counts any more."""
        return self.over or self.course.verdict is not None

    def obey(self) -> None:
        """Follow what was ordered since the last report."""
        with suppress(queue.Empty):
            while True:
                self.follow(self.orders.get_nowait())

    def follow(self, decision: Decision) -> None:
        """Take in a decision; a loop is told, not unwound, unless its report was wrong."""
        with suppress(TrialStopped):
            self.course.follow(decision)
