"""Trials on a virtual clock: a sweep of thousands of slots and hours takes seconds.

Objectives are called for real, but at once and to their end; what they report is then replayed in
virtual time. This is how schedulers are tested and compared.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from nbtune.arguments import check_count, finite
from nbtune.context import Reporter
from nbtune.decision import Complete, Continue, Decision, Reject, Stop
from nbtune.exceptions import SpecError, WorkerError
from nbtune.trial import Failure, Params, Report
from nbtune.workers.base import (
    Assignment,
    Ended,
    Event,
    Inbox,
    Job,
    Reported,
    SlotReady,
    Workers,
)
from nbtune.workers.outcome import Course, Outcome, fresh, perform, trial_of

__all__ = ["Simulated", "VirtualInbox"]

IDLE_SECONDS = 0.2
"""Of real time, in which virtual time stands because nothing is to come."""

_Told: TypeAlias = tuple[int, Mapping[str, float]]


class VirtualInbox(Inbox):
    """An inbox whose clock jumps to whatever is due next.

    `put` may be called from any thread; all else belongs to the thread that calls `get`.
    """

    virtual = True

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._ready: deque[Event] = deque()
        self._order = itertools.count()
        self._settled: Callable[[float], bool] = lambda seconds: True

    def stand_for(self, settled: Callable[[float], bool]) -> None:
        """Let virtual time stand while another thread has the next word.

        Parameters
        ----------
        settled : callable
            Waits so many real seconds at most until the thread is through; returns whether it is.
        """
        self._settled = settled

    def now(self) -> float:
        """Return the virtual time: seconds since the start."""
        return self._now

    def clock(self) -> float:
        """Return the virtual time."""
        return self._now

    def go_on_from(self, moment: float) -> None:
        """Let virtual time go on from `moment`."""
        self._now = max(self._now, moment)

    def emit(self, event: Event) -> None:
        """Deliver `event` at the present moment, after what has been emitted before."""
        self._ready.append(event)

    def schedule(self, delay: float, action: Callable[[], None]) -> None:
        """Call `action`, which may emit events, `delay` virtual seconds from now."""
        heapq.heappush(self._due, (self._now + delay, next(self._order), action))

    def get(self, timeout: float | None) -> Event | None:
        """Return what was put from outside, else what is due next, moving the clock there.

        None after `timeout` virtual seconds in which nothing is due; also after `IDLE_SECONDS` of
        real time, where only an event from outside can come: so its caller can look elsewhere.
        """
        deadline = None if timeout is None else self._now + timeout
        while True:
            settled = self._settled(IDLE_SECONDS)
            event = super().get(0)
            if event is not None or not settled:
                return event
            if self._ready:
                return self._ready.popleft()
            if not self._due:
                return self._get_outside(deadline)
            if deadline is not None and self._due[0][0] > deadline:
                self._now = deadline
                return None
            self._now, _, action = heapq.heappop(self._due)
            action()

    def _get_outside(self, deadline: float | None) -> Event | None:
        # Virtual time would run away from another thread: it gets a millisecond.
        event = super().get(IDLE_SECONDS if deadline is None else 0.001)
        if event is None and deadline is not None:
            self._now = max(self._now, deadline)
        return event


class Simulated(Workers):
    """Runs trials on a virtual clock, as many at once as wanted.

    Each trial's objective runs to its end when the trial starts, without folder or log, and is
    replayed from there: its reports arrive `seconds` apart. One that goes on after a pause is taken
    to have a checkpoint: its earlier steps cost nothing. Use the inbox of these workers.

    Parameters
    ----------
    slots : int >= 1
        How many trials run at once.
    seconds : float >= 0, or callable
        Virtual seconds from one report to the next; a callable is asked with ``(params, step)``.
        A trial without reports takes as long as one step.
    """

    _clock: VirtualInbox  # since `open`: a queue would keep these workers from being pickled

    most_slots = 1_000_000
    """How many slots there can be at once."""

    def __init__(
        self, slots: int = 2, *, seconds: float | Callable[[Params, int], float] = 1.0
    ) -> None:
        check_count("slots", slots, self.most_slots)
        number = finite(seconds)
        if (number is None or number < 0) and (isinstance(seconds, type) or not callable(seconds)):
            raise SpecError(f"seconds={seconds!r}: a time of at least 0 is needed.", "seconds")
        self.slots = slots
        self._seconds = seconds
        self._job: Job | None = None
        self._runs: dict[int, _Run] = {}
        self._paused: dict[int, _Run] = {}

    def inbox(self) -> Inbox:
        """Return an inbox on virtual time, beginning at 0."""
        return VirtualInbox()

    def open(self, job: Job, inbox: Inbox) -> None:
        """Announce the slots; raise `WorkerError` unless `inbox` is one of `Simulated.inbox`."""
        if self._job is not None:
            raise WorkerError(
                "these workers run another sweep; make a Simulated(...) for each sweep"
            )
        if not isinstance(inbox, VirtualInbox):
            raise WorkerError("Simulated runs on virtual time: open it with its own inbox()")
        self._job, self._clock, self._runs, self._paused = job, inbox, {}, {}
        for slot in range(self.slots):
            inbox.emit(SlotReady(slot=slot))

    def start(self, slot: int, assignment: Assignment) -> None:
        """Run the trial's objective now, and replay it from now on."""
        if self._job is None:
            return
        run = self._paused.pop(assignment.number, None)
        if run is None or not assignment.known_until:
            run = _Run(assignment.number, assignment.params, *self._course(assignment, self._job))
        run.milestone, run.slot = assignment.milestone, slot
        self._runs[run.number] = run
        self._schedule(run, first=True)

    def _course(self, assignment: Assignment, job: Job) -> tuple[deque[_Told], Outcome]:
        """Run the objective; return what it reports, and how it ends."""
        params = fresh(assignment.params)
        reports: list[_Told] = []
        outcome = perform(
            lambda: job.call,
            Reporter(
                trial_of(assignment.number, params, job.folder, job.seed),
                lambda step, metrics: reports.append((step, metrics)),
                step_name=job.step_name,
                known_until=assignment.known_until,
                keeps=False,
                metric=job.result_metric,
            ),
            Course(None),
            result_metric=job.result_metric,
        )
        return deque(reports), outcome

    def _seconds_of(self, run: "_Run") -> float:
        if not callable(self._seconds):
            return self._seconds
        return self._seconds(run.params, run.reports[0][0] if run.reports else 1)

    def _schedule(self, run: "_Run", *, first: bool = False) -> None:
        # The end comes with the last report; a trial without reports takes a step.
        delay = self._seconds_of(run) if run.reports or first else 0.0
        self._clock.schedule(delay, lambda: self._advance(run))

    def _advance(self, run: "_Run") -> None:
        """Deliver the run's next report, or its end."""
        if run.number not in self._runs:
            return  # killed meanwhile
        if not run.reports:
            self._end(run, run.outcome.how, run.outcome)
            return
        step, metrics = run.reports.popleft()
        asked = run.milestone is not None and step >= run.milestone
        run.waiting = asked and not run.stopping
        report = Report(step, metrics, self._clock.now())
        self._clock.emit(Reported(number=run.number, reports=[report], waiting=run.waiting))
        if run.stopping:
            self._end(run, "stopped")
        elif not run.waiting:
            self._schedule(run)

    def _end(
        self,
        run: "_Run",
        how: Literal["returned", "stopped", "completed", "raised", "killed"],
        outcome: Outcome | None = None,
    ) -> None:
        del self._runs[run.number]
        self._clock.emit(
            Ended(
                number=run.number,
                slot=run.slot,
                how=how,
                time=self._clock.now(),
                result=outcome.result if outcome else None,
                failure=outcome.failure if outcome else None,
            )
        )
        self._clock.emit(SlotReady(slot=run.slot))

    def answer(self, number: int, decision: Decision) -> None:
        """Give the trial the decision that it waits for."""
        run = self._runs.get(number)
        if run is None or not run.waiting:
            return
        run.waiting = False
        match decision:
            case Continue(until):
                run.milestone = until
                self._schedule(run)
            case Stop():
                self._paused[number] = run  # the engine may mean a pause
                self._end(run, "stopped")
            case Complete():
                self._end(run, "completed")
            case Reject(message):
                failure = Failure(type="ReportError", message=message)
                self._end(run, "raised", Outcome(how="raised", failure=failure))

    def stop(self, number: int, reason: str) -> None:
        """Ask a running trial to stop: it ends at its next report."""
        run = self._runs.get(number)
        if run is None:
            return
        run.stopping = True
        if run.waiting:
            self._end(run, "stopped")

    def kill(self, number: int) -> None:
        """End a running trial now."""
        run = self._runs.get(number)
        if run is not None:
            self._end(run, "killed")

    def close(self) -> None:
        """Forget what runs; idempotent."""
        self._job = None
        self._runs, self._paused = {}, {}


class _Run:
    """A trial that has been computed and is being replayed."""

    def __init__(
        self, number: int, params: Params, reports: deque[_Told], outcome: Outcome
    ) -> None:
        self.number = number
        self.params = params
        self.milestone: int | None = None
        self.slot = 0
        self.reports = reports
        self.outcome = outcome
        self.waiting = False
        self.stopping = False
