"""Trials in this process, on a thread a slot: for tests, debuggers and quick objectives."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from nbtune.arguments import check_count
from nbtune.context import Reporter
from nbtune.decision import Decision, Stop
from nbtune.exceptions import WorkerError
from nbtune.objective.preparation import Preparation
from nbtune.trial import Params, Report
from nbtune.workers.base import (
    MOST_SLOTS,
    Assignment,
    Ended,
    Event,
    Inbox,
    Job,
    Reported,
    SlotReady,
    Workers,
)
from nbtune.workers.outcome import Course, fresh, perform, trial_of

__all__ = ["Inline"]


class Inline(Workers):
    """Runs trials on threads of this process.

    The objective is called as it is: nothing is pickled, captured or isolated. A thread cannot be
    killed, so ``kill`` asks the trial to stop, and it ends at its next report; one that never
    reports runs to its end, also past `close`.

    Parameters
    ----------
    slots : int >= 1
        How many trials run at once.
    """

    in_processes = False

    def __init__(self, slots: int = 1) -> None:
        check_count("slots", slots, MOST_SLOTS)
        self.slots = slots
        self._threads: list[_Slot] = []

    def open(self, job: Job, inbox: Inbox) -> None:
        """Start the threads; raise `WorkerError` when these workers serve another sweep."""
        if self._threads:
            raise WorkerError("these workers run another sweep; make an Inline(...) for each sweep")
        setup = _Once(job.setup)
        self._threads = [_Slot(index, job, setup, inbox.put) for index in range(self.slots)]

    def start(self, slot: int, assignment: Assignment) -> None:
        """Run a trial on a slot that is ready."""
        if self._threads:
            self._threads[slot].take(_Run(assignment))

    def answer(self, number: int, decision: Decision) -> None:
        """Give the trial the decision that it waits for."""
        run = self._find(number)
        if run is not None:
            run.orders.put(decision)

    def stop(self, number: int, reason: str) -> None:
        """Ask a running trial to stop: it ends at its next report."""
        self.answer(number, Stop(reason))

    def kill(self, number: int) -> None:
        """Ask a running trial to stop: it ends as killed, but at its next report."""
        run = self._find(number)
        if run is not None:
            run.killed = True
            run.orders.put(Stop("killed"))

    def _find(self, number: int) -> "_Run | None":
        runs = (slot.run for slot in self._threads)
        return next((run for run in runs if run and run.assignment.number == number), None)

    def close(self) -> None:
        """Ask what runs to stop and wait up to a second for it; idempotent."""
        slots, self._threads = self._threads, []
        for slot in slots:
            slot.close()
        deadline = time.monotonic() + 1
        for slot in slots:
            slot.thread.join(max(0.0, deadline - time.monotonic()))


class _Run:
    """One trial as its thread and the engine share it."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.orders: queue.SimpleQueue[Decision] = queue.SimpleQueue()
        self.killed = False


class _Once:
    """Calls a function at the first call, raises at each what that raised."""

    def __init__(self, function: Callable[[], object] | None) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._error: Exception | None = None

    def __call__(self) -> None:
        with self._lock:
            function, self._function = self._function, None
            try:
                if function is not None:
                    function()
            except Exception as error:  # noqa: BLE001 - the border where the user's code is called
                self._error = error
        if self._error is not None:
            raise self._error


class _Slot:
    """A thread that runs one trial after another."""

    def __init__(
        self, index: int, job: Job, setup: Callable[[], None], post: Callable[[Event], None]
    ) -> None:
        self._index = index
        self._job = job
        self._setup = setup
        self._post_open = post
        self._closed = False
        self._runs: queue.SimpleQueue[_Run | None] = queue.SimpleQueue()
        self.run: _Run | None = None
        self.thread = threading.Thread(
            target=self._work, name=f"nbtune-inline-{index}", daemon=True
        )
        self.thread.start()

    def take(self, run: _Run) -> None:
        """Run this next."""
        self.run = run
        self._runs.put(run)

    def close(self) -> None:
        """Post nothing more, and end with the present trial."""
        self._closed = True
        self._runs.put(None)
        if self.run is not None:
            self.run.orders.put(Stop("closed"))

    def _post(self, event: Event) -> None:
        if not self._closed:
            self._post_open(event)

    def _work(self) -> None:
        Preparation(self._job.preparation).in_thread()
        self._post(SlotReady(slot=self._index))
        while (run := self._runs.get()) is not None:
            ended = self._perform(run)
            self.run = None
            self._post(ended)
            self._post(SlotReady(slot=self._index))

    def _perform(self, run: _Run) -> Ended:
        number, job = run.assignment.number, self._job
        course = Course(run.assignment.milestone)
        trial = trial_of(number, fresh(run.assignment.params), job.folder, job.seed)

        def load() -> Callable[[Params], Any]:
            trial.dir.mkdir(parents=True, exist_ok=True)
            self._setup()
            return job.call

        def send(step: int, metrics: dict[str, float]) -> None:
            course.enforce()
            asked = not run.orders.empty()  # to stop: it will not be asked for a decision
            waiting = not asked and course.milestone is not None and step >= course.milestone
            report = Report(step, metrics, time.time())
            self._post(Reported(number=number, reports=[report], waiting=waiting))
            if waiting or asked:
                course.follow(run.orders.get())

        def look() -> None:
            course.enforce()
            if not run.orders.empty():
                course.follow(run.orders.get())

        outcome = perform(
            load,
            Reporter(
                trial,
                send,
                step_name=job.step_name,
                known_until=run.assignment.known_until,
                metric=job.result_metric,
                look=look,
            ),
            course,
            result_metric=job.result_metric,
        )
        return Ended(
            number=number,
            slot=self._index,
            how="killed" if run.killed and outcome.how == "stopped" else outcome.how,
            time=time.time(),
            result=outcome.result,
            failure=outcome.failure,
        )
