"""The loop: asks, starts, hears, decides, has it written and announced.

One thread owns all state of a sweep; workers, the searcher's thread, the clock and people post
events to its inbox. It knows interfaces, no concrete searcher, scheduler or worker.
"""

import logging
import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nbtune.checkpoint import discard_checkpoints, has_checkpoint
from nbtune.decision import Continue, Decision, Pause, Promote, Sample, Stop, Wait
from nbtune.engine.announcer import Announcer
from nbtune.engine.clerk import Clerk
from nbtune.engine.events import SweepEnded, TrialEnded, TrialReported, TrialStarted
from nbtune.engine.feed import Feed
from nbtune.engine.history import recall, replay
from nbtune.engine.ledger import Budget, Ledger, Run
from nbtune.engine.snapshot import Snapshot, SweepStatus
from nbtune.engine.supply import Supply
from nbtune.engine.thinker import Suggested, Thinker
from nbtune.engine.verdict import (
    close_interrupted,
    common_failure,
    leave_paused,
    missing_metric,
    outcome,
    take_up_paused,
)
from nbtune.engine.watch import Watch
from nbtune.schedulers.base import Scheduler
from nbtune.searchers.base import Searcher
from nbtune.space import Space
from nbtune.stopping import StopRule
from nbtune.store import Store, SweepRow
from nbtune.trial import Failure, Goal, Params, Report, Status, Trial
from nbtune.workers.base import Assignment, Ended, Job, Reported, SlotGone, SlotReady, Workers

__all__ = ["Engine"]

logger = logging.getLogger("nbtune")

STOP_GRACE_SECONDS = 5.0
HEARTBEAT_SECONDS = 1.0
FLOOD = 256


@dataclass(frozen=True, slots=True)
class _Command:
    """Something a person asks for: runs on the engine's thread."""

    act: Callable[[], object]


class Engine:
    """Runs one sweep, from its first trial or on from its history, to its end.

    Parameters
    ----------
    store, row
        Where it is written.
    job : Job
        What the workers run.
    space, goals, searcher, scheduler, workers, budget, stop_rules
        The parts; searcher, scheduler and rules are set up, workers not yet open.
    history : sequence of (Trial, origin)
        Trials from earlier processes, by number. Those that had not ended run again.
    """

    def __init__(
        self,
        *,
        store: Store,
        row: SweepRow,
        job: Job,
        space: Space,
        goals: Sequence[Goal],
        searcher: Searcher,
        scheduler: Scheduler,
        workers: Workers,
        budget: Budget,
        stop_rules: Sequence[StopRule] = (),
        history: Sequence[tuple[Trial, str]] = (),
    ) -> None:
        self._row = row
        self._job = job
        self._space = space
        self._scheduler = scheduler
        self._workers = workers
        self._ledger = Ledger(goals, budget)
        self._clerk = Clerk(store, row, space, job.folder)
        self._announcer = Announcer()
        self._inbox = workers.inbox()
        searcher.longest = scheduler.longest
        self._thinker = Thinker(searcher, self._inbox.put, inline=self._inbox.virtual)
        self._feed = Feed(self._thinker, searcher.follows, goals)
        self._supply = Supply(self._thinker, searcher.prefetch)
        self._watch = Watch(self._ledger, stop_rules, self._inbox, row.elapsed)

        self._status = SweepStatus.RUNNING
        self._final = SweepStatus.COMPLETED  # what it becomes once it has stopped
        self._reason = ""
        self._failure: Failure | None = None

        self._told_at = -math.inf  # the moment of what the scheduler was told last
        self._free: deque[int] = deque()
        self._waiting: deque[Run] = deque()  # entered, not started

        self._version = 0
        self._at_end: Callable[[], None] = lambda: None
        self._done = threading.Event()
        self._handlers: dict[type, Callable[[Any], None]] = {
            SlotReady: lambda event: self._free.append(event.slot),
            SlotGone: self._on_slot_gone,
            Reported: self._on_reported,
            Ended: self._on_ended,
            Suggested: self._on_suggested,
            _Command: lambda command: command.act(),
        }
        self._take_up(history, stop_rules)
        if not history and searcher.starts_with_defaults:
            self._enter(space.defaults, "default")
        self._publish()

    # --- from other threads

    def start(self) -> None:
        """Run in a thread of its own."""
        threading.Thread(target=self._run, name=f"nbtune-{self._row.name}", daemon=True).start()

    @property
    def done(self) -> threading.Event:
        """Set once the sweep is over and everything is on disk."""
        return self._done

    @property
    def snapshot(self) -> Snapshot:
        """The sweep as last published, some 50 ms ago at most while anything happens."""
        return self._snapshot

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the engine's thread when all is on disk, before ``done`` is set."""
        self._at_end = callback

    def subscribe(self, callback: Callable[[Any], None]) -> None:
        """Call `callback` with each event from now on, in a thread of its own."""
        self._announcer.subscribe(callback)

    def stop(self, reason: str = "stopped by you") -> None:
        """Ask for the end: running trials are asked to stop, then killed after a grace."""
        self._inbox.put(_Command(lambda: self._finish(SweepStatus.STOPPED, reason)))

    def pause(self) -> None:
        """Start no more trials; those running go on."""
        self._inbox.put(_Command(lambda: self._set_paused(True)))

    def unpause(self) -> None:
        """Start trials again."""
        self._inbox.put(_Command(lambda: self._set_paused(False)))

    def kill(self, number: int) -> None:
        """End one running trial now."""
        self._inbox.put(_Command(lambda: self._kill(number)))

    def enqueue(self, params: Params) -> None:
        """Try `params`, already validated, before the next suggestion."""
        self._inbox.put(_Command(lambda: self._enter(params, "enqueued")))

    # --- the loop

    def _run(self) -> None:
        try:
            self._clerk.open()
            self._watch.begin()
            self._clerk.mark()
            self._workers.open(self._job, self._inbox)
            while not self._over():
                self._step()
            self._workers.close()
            self._leave_paused()
            self._status = self._final
            while not self._flush():  # a full disk: the last rows matter too
                time.sleep(HEARTBEAT_SECONDS)
        except Exception as error:
            logger.exception("the sweep's thread failed")
            self._status, self._reason = SweepStatus.FAILED, f"{type(error).__name__}: {error}"
            self._failure = Failure(
                type=type(error).__name__, message=str(error), traceback=traceback.format_exc()
            )
            self._workers.close()
        finally:
            self._thinker.close()
            self._clerk.close()
            self._publish()
            self._announcer.announce(SweepEnded(self._status, self._reason))
            self._announcer.close()
            self._at_end()
            self._done.set()

    def _leave_paused(self) -> None:
        for run in self._ledger.runs:
            if run.status is Status.PAUSED:
                leave_paused(run, self._scheduler.explain(run.number))
                self._clerk.mark(run)

    def _over(self) -> bool:
        return self._status is SweepStatus.STOPPING and not self._ledger.running

    def _step(self) -> None:
        event = self._inbox.get(self._patience())
        if event is None:
            self._publish()  # a clock that stands still looks like a sweep that hangs
        taken = 0
        while event is not None:
            self._handle(event)
            taken += 1
            if self._inbox.virtual or taken == FLOOD:  # limits and store get their turn
                break
            event = self._inbox.get(0)
        self._launch()
        self._watch_limits()
        if self._clerk.due:
            self._flush()

    def _handle(self, event: Any) -> None:
        if isinstance(event, Exception):  # a slot could not come up
            self._fail(Failure(type=type(event).__name__, message=str(event)))
        else:
            self._handlers[type(event)](event)

    def _patience(self) -> float | None:
        """Return how many seconds to wait for an event, None for ever."""
        waits = [self._watch.due_in(stopping=self._status is SweepStatus.STOPPING)]
        if not self._inbox.virtual:
            waits += [self._clerk.due_in, HEARTBEAT_SECONDS]
        known = [wait for wait in waits if wait is not None]
        return max(0.0, min(known)) if known else None

    # --- starting trials

    def _take_up(self, history: Sequence[tuple[Trial, str]], rules: Sequence[StopRule]) -> None:
        runs = [Run.from_trial(trial, origin) for trial, origin in history]
        started = [run for run in runs if run.started is not None]
        decisions = replay(self._scheduler, started, self._ledger.goals[0], self._feed.remember)
        over = []
        for run, (trial, origin) in zip(runs, history, strict=True):
            if origin == "suggested":
                self._supply.skip()
            if not run.status.ended and run.status is not Status.PAUSED:
                if not close_interrupted(run, decisions.get(run.number)):
                    self._start_again(trial, origin)
                    continue
                self._clerk.mark(run)
            take_up_paused(run)
            self._ledger.adopt(run)
            self._clerk.adopt(run)
            self._thinker.begin(run.number, run.params)
            over.append(run)
        told = self._feed.tell_again(self._ledger.runs)
        for run in sorted(over, key=lambda run: run.ended or 0.0):
            if run.number not in told:
                self._feed.end(run, self._ledger.scores(run))
        recall(rules, over, self._watch.elapsed, self._job.folder)

    def _start_again(self, trial: Trial, origin: str) -> None:
        """Take up a trial that was running: from its checkpoint, without one from the start."""
        run = self._enter(trial.params, origin)
        if trial.dir is not None and has_checkpoint(trial.dir):
            run.reports = list(trial.reports)
            run.started = trial.started
        elif trial.started is not None:
            self._clerk.restart(run)

    def _enter(self, params: Params, origin: str, *, suggestion: int | None = None) -> Run:
        run = self._ledger.add(params, origin)
        self._waiting.append(run)
        self._thinker.begin(run.number, params, suggestion=suggestion)
        self._clerk.mark(run)
        return run

    def _launch(self) -> None:
        if self._status is not SweepStatus.RUNNING:
            return
        while self._free and (run := self._next_run()) is not None:
            self._start(run, self._free.popleft())
        self._supply.ask_ahead(self._ledger.room())
        if not self._ledger.running and (why := self._spent_out()):
            self._complete(why)

    def _next_run(self) -> Run | None:
        match self._scheduler.next(new=self._has_new()):
            case Promote(number):
                run = self._ledger.runs[number]
                if number in self._ledger.running:
                    return None  # paused a moment ago, its worker is still on the way out
                if not self._scheduler.resume:
                    discard_checkpoints(self._job.folder / str(number))
                return run
            case Sample():
                return self._new_run()
        # What a person enqueued is not held up by a schedule that has no place for it.
        return self._waiting.popleft() if self._waiting else None

    def _has_new(self) -> bool:
        """Whether a trial that has never run is there or may still come."""
        return bool(self._waiting) or not (self._ledger.room() == 0 or self._supply.exhausted)

    def _new_run(self) -> Run | None:
        if not self._waiting and self._ledger.room() != 0 and (taken := self._supply.take()):
            index, params = taken
            self._enter(params, "suggested", suggestion=index)
        return self._waiting.popleft() if self._waiting else None

    def _start(self, run: Run, slot: int) -> None:
        milestone = self._scheduler.start(run.number).until
        self._feed.start(run, milestone)
        self._ledger.start(run, slot, self._moment(self._inbox.now()))
        self._watch.set_deadline(run, self._ledger.budget.trial_time_limit)
        self._workers.start(
            slot,
            Assignment(
                number=run.number,
                params=run.params,
                milestone=milestone,
                known_until=run.last_step,
            ),
        )
        self._clerk.mark(run)
        if self._announcer.heard:
            self._announcer.announce(TrialStarted(run.snapshot(self._job.folder)))

    def _on_suggested(self, answer: Suggested) -> None:
        if answer.failure is not None:
            self._fail(answer.failure)
        else:
            self._supply.receive(answer)

    def _spent_out(self) -> str:
        """Return why no further trial can start, empty while one can."""
        budget = self._ledger.budget
        has_new = self._has_new()
        if self._waiting or not isinstance(self._scheduler.next(new=has_new), Wait):
            return ""
        if has_new:
            return "the schedule is complete"
        if self._ledger.room() == 0:
            if budget.trials is not None and len(self._ledger.runs) >= budget.trials:
                return f"{len(self._ledger.runs)} of {budget.trials} trials"
            return f"{self._ledger.steps} of {budget.max_total_steps} steps"
        return self._supply.end_reason

    # --- hearing

    def _on_slot_gone(self, event: SlotGone) -> None:
        if event.slot in self._free:  # else a trial was given to it a moment ago
            self._free.remove(event.slot)

    def _on_reported(self, event: Reported) -> None:
        run = self._ledger.running.get(event.number)
        if run is None:
            return
        reports = self._as_told(event)
        self._ledger.report(run, reports)
        self._clerk.report(run, reports)
        if self._announcer.heard:
            self._announcer.announce(TrialReported(run.number, tuple(reports)))
        if self._feed.hears_reports:
            self._feed.report(run, reports[:-1] if event.waiting else reports)
        self._obey(self._watch.reported(run, reports))
        if event.waiting:
            self._workers.answer(run.number, self._decide(run))

    def _as_told(self, event: Reported) -> Sequence[Report]:
        """Return the reports, the one that the scheduler is asked about at a moment of its own."""
        if not event.waiting:
            return event.reports
        *earlier, last = event.reports
        return [*earlier, Report(last.step, last.metrics, self._moment(last.time))]

    def _moment(self, time: float) -> float:
        """Return `time`, or the next moment after all that the scheduler has been told.

        Processes report at once, and are heard one after the other: what is stored is in the order
        in which the scheduler heard it, so that it can be told the same again.
        """
        time = min(time, self._inbox.now())  # a clock elsewhere may be ahead
        self._told_at = max(time, math.nextafter(self._told_at, math.inf))
        return self._told_at

    def _obey(self, reason: str) -> None:
        """End the sweep if a limit or a rule gives a reason."""
        if reason:
            self._finish(SweepStatus.COMPLETED, reason)

    def _decide(self, run: Run) -> Decision:
        if run.asked:
            return Stop(run.asked)
        score = self._ledger.score(run)
        if score is None:  # not the metric yet: look again at the next report
            return Continue(run.last_step + 1)
        decision = self._scheduler.decide(run.number, run.last_step, score)
        if isinstance(decision, Continue):
            self._feed.milestone(run, self._ledger.scores(run), decision.until)
            return decision
        run.reason = getattr(decision, "reason", "")
        run.decided = True
        run.pausing = isinstance(decision, Pause)
        # To a worker a pause is a stop: only the engine knows that the trial may go on.
        return Stop(decision.reason) if isinstance(decision, Pause) else decision

    def _on_ended(self, event: Ended) -> None:
        run = self._ledger.running.get(event.number)
        if run is None:
            return
        if self._deserves_retry(run, event):
            self._start_over(run, event)
            return
        if event.result:
            report = Report(run.last_step + 1, event.result, event.time)
            self._ledger.report(run, [report])
            self._clerk.report(run, [report])
            self._obey(self._watch.reported(run, [report]))
        status, reason = outcome(run, event, self._ledger, self._job.step_name)
        run.failure = event.failure if status is Status.FAILED else None
        self._ledger.end(run, status, reason, self._moment(event.time))
        if not run.decided:
            score = None if status is Status.FAILED else self._ledger.score(run)
            self._scheduler.end(run.number, run.last_step, score)
        self._feed.end(run, self._ledger.scores(run))
        self._supply.result_came()
        if status.ended:
            self._obey(self._watch.ended(run.snapshot(self._job.folder)))
        self._clerk.mark(run)
        if self._announcer.heard:
            self._announcer.announce(TrialEnded(run.snapshot(self._job.folder)))
        self._judge_start(run)

    def _deserves_retry(self, run: Run, event: Ended) -> bool:
        budget = self._ledger.budget
        is_retriable = event.how == "died" or (event.how == "raised" and budget.retry_exceptions)
        if not is_retriable or run.asked or run.decided or self._status is SweepStatus.STOPPING:
            return False
        return run.retried < budget.retries

    def _start_over(self, run: Run, event: Ended) -> None:
        """Let a trial that crashed go on from its checkpoint, without one from its beginning."""
        run.retried += 1
        why = event.failure.message if event.failure else "it failed"
        reason = f"{why}; started again, {run.retried} of {self._ledger.budget.retries}"
        self._ledger.end(run, Status.PENDING, reason, event.time)
        self._waiting.appendleft(run)
        self._clerk.mark(run)

    def _judge_start(self, run: Run) -> None:
        """End a sweep that cannot work: the metric never comes, or all fails in one way."""
        missing = self._ledger.missing(run) if run.status is Status.COMPLETED else ""
        if missing:
            self._fail(missing_metric(run, missing, self._job.step_name))
        elif failure := common_failure(self._ledger):
            self._fail(failure, f"the first {self._ledger.ended} trials all failed with ")

    # --- ending

    def _complete(self, why: str) -> None:
        """End because all is done; a sweep of which nothing came has failed."""
        runs = self._ledger.runs
        first = runs[0].failure if runs else None
        if first is not None and all(run.status is Status.FAILED for run in runs):
            self._fail(first, f"all {len(runs)} trials failed, the first with ")
        else:
            self._finish(SweepStatus.COMPLETED, why)

    def _fail(self, failure: Failure, prefix: str = "") -> None:
        if self._failure is None:
            self._failure = failure
            self._finish(SweepStatus.FAILED, f"{prefix}{failure.type}: {failure.message}")

    def _finish(self, status: SweepStatus, reason: str) -> None:
        """Begin to end: nothing more starts, what runs is asked to stop."""
        if self._status is SweepStatus.STOPPING:
            return
        self._final = status
        self._status, self._reason = SweepStatus.STOPPING, reason
        for run in self._ledger.running.values():
            self._ask_to_stop(run, reason)
        self._clerk.mark()

    def _ask_to_stop(self, run: Run, reason: str) -> None:
        run.asked = reason
        self._watch.set_deadline(run, STOP_GRACE_SECONDS)
        self._workers.stop(run.number, reason)

    def _kill(self, number: int) -> None:
        run = self._ledger.running.get(number)
        if run is not None:
            run.asked = run.asked or "killed by you"
            self._workers.kill(number)

    def _set_paused(self, paused: bool) -> None:
        if self._status in (SweepStatus.PAUSED, SweepStatus.RUNNING):
            self._status = SweepStatus.PAUSED if paused else SweepStatus.RUNNING
            self._reason = "paused by you" if paused else ""
            self._clerk.mark()

    def _watch_limits(self) -> None:
        self._obey(self._watch.spent())
        for run in self._watch.overdue():
            if run.asked:
                run.asked += f"; killed, it did not report within {STOP_GRACE_SECONDS:g} s"
                self._watch.set_deadline(run, None)
                self._workers.kill(run.number)
            else:
                limit = self._ledger.budget.trial_time_limit
                self._ask_to_stop(run, f"over its time limit of {limit:g} s")

    # --- writing down

    def _flush(self) -> bool:
        written = self._clerk.flush(
            status=self._status.value,
            reason=self._reason,
            elapsed=self._watch.elapsed,
            failure=self._failure,
        )
        self._publish()
        return written

    def _publish(self) -> None:
        elapsed = self._watch.elapsed
        active = self._status in (SweepStatus.RUNNING, SweepStatus.PAUSED)
        self._version += 1
        self._snapshot = Snapshot(
            name=self._row.name,
            status=self._status,
            reason=self._clerk.trouble or self._reason,
            goals=self._ledger.goals,
            step_name=self._job.step_name,
            space=self._space,
            trials=self._clerk.trials(),
            front=tuple(run.snapshot(self._job.folder) for run in self._ledger.front),
            elapsed=elapsed,
            budgets=self._ledger.remaining(self._inbox.now(), elapsed) if active else (),
            trial_limit=self._ledger.budget.trials,
            time_limit=self._ledger.budget.time_limit,
            plan=self._row.plan,
            rungs=tuple(self._scheduler.rungs()),
            failure=self._failure,
            version=self._version,
        )
