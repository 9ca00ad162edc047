"""The loop: asks, starts, hears, decides, has it written and announced.

One thread owns all state of a sweep; workers, the searcher's thread, the clock and people post
events to its inbox. It knows interfaces, no concrete searcher, scheduler or worker.
"""

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nbtune.checkpoint import discard_checkpoints, has_checkpoint
from nbtune.decision import Continue, Decision, Pause, Promote, Sample, Stop, Wait
from nbtune.engine.announcer import Announcer
from nbtune.engine.clerk import Clerk
from nbtune.engine.events import SweepEnded, TrialEnded, TrialReported, TrialStarted
from nbtune.engine.history import recall, replay
from nbtune.engine.ledger import Budget, Ledger, Run
from nbtune.engine.snapshot import Snapshot, SweepStatus
from nbtune.engine.supply import Supply
from nbtune.engine.thinker import Suggested, Thinker
from nbtune.exceptions import nearest
from nbtune.schedulers.base import Scheduler
from nbtune.searchers.base import Searcher
from nbtune.space import Space
from nbtune.stopping import StopRule
from nbtune.store import Store, SweepRow
from nbtune.trial import Failure, Goal, Params, Report, Status, Trial
from nbtune.workers.base import Assignment, Ended, Job, Reported, SlotReady, Workers

__all__ = ["Engine"]

logger = logging.getLogger("nbtune")

STOP_GRACE_SECONDS = 5.0
HEARTBEAT_SECONDS = 1.0
SAME_FAILURES = 3
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
    space, goal, searcher, scheduler, workers, budget, stop_rules
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
        goal: Goal,
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
        self._goal = goal
        self._scheduler = scheduler
        self._workers = workers
        self._rules = stop_rules
        self._ledger = Ledger(goal, budget)
        self._clerk = Clerk(store, row, space, job.folder)
        self._announcer = Announcer()
        self._inbox = workers.inbox()
        self._thinker = Thinker(searcher, self._inbox.put, inline=self._inbox.virtual)
        self._supply = Supply(self._thinker, searcher.prefetch)

        self._status = SweepStatus.RUNNING
        self._final = SweepStatus.COMPLETED  # what it becomes once it has stopped
        self._reason = ""
        self._failure: Failure | None = None
        self._has_asked = False  # whether any trial was asked to stop from outside

        self._free: deque[int] = deque()
        self._waiting: deque[Run] = deque()  # entered, not started

        self._elapsed_before = row.elapsed
        self._began: float | None = None
        self._version = 0
        self._at_end: Callable[[], None] = lambda: None
        self._done = threading.Event()
        self._handlers: dict[type, Callable[[Any], None]] = {
            SlotReady: lambda event: self._free.append(event.slot),
            Reported: self._on_reported,
            Ended: self._on_ended,
            Suggested: self._on_suggested,
            _Command: lambda command: command.act(),
        }
        self._take_up(history)
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
            self._began = self._inbox.now()
            self._clerk.mark()
            self._workers.open(self._job, self._inbox)
            while not self._over():
                self._step()
            self._workers.close()
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
        waits = [run.deadline - self._inbox.now() for run in self._timed() if run.deadline]
        waits.extend(self._time_left())
        if not self._inbox.virtual:
            due = self._clerk.due_in
            waits.append(HEARTBEAT_SECONDS if due is None else min(due, HEARTBEAT_SECONDS))
        return max(0.0, min(waits)) if waits else None

    def _time_left(self) -> list[float]:
        """Return the seconds left by each limit of time on the sweep."""
        budget = self._ledger.budget
        left: list[float] = []
        if self._status is SweepStatus.STOPPING:
            return left
        if budget.time_limit is not None:
            left.append(budget.time_limit - self._elapsed())
        deadlines = (rule.deadline() for rule in self._rules)
        left.extend(until - self._elapsed() for until in deadlines if until is not None)
        if budget.compute_time_limit is not None and self._ledger.running:
            spent = self._ledger.compute_seconds(self._inbox.now())
            left.append((budget.compute_time_limit - spent) / len(self._ledger.running))
        return left

    def _timed(self) -> list[Run]:
        """Return the runs that may have a deadline; none, cheaply, while there are no deadlines."""
        if self._ledger.budget.trial_time_limit is None and not self._has_asked:
            return []
        return list(self._ledger.running.values())

    def _elapsed(self) -> float:
        began = self._began
        return self._elapsed_before + (0.0 if began is None else self._inbox.now() - began)

    # --- starting trials

    def _take_up(self, history: Sequence[tuple[Trial, str]]) -> None:
        ended = []
        for trial, origin in history:
            if origin == "suggested":
                self._supply.skip()
            if not (trial.status.ended or trial.status is Status.PAUSED):
                self._start_again(trial, origin)
                continue
            run = Run.from_trial(trial, origin)
            self._ledger.adopt(run)
            self._clerk.adopt(run)
            self._thinker.begin(run.number, run.params)
            ended.append(run)
        for run in sorted(ended, key=lambda run: run.ended or 0.0):
            self._observe_end(run)
        replay(self._scheduler, ended, self._goal)
        recall(self._rules, ended, self._elapsed_before, self._job.folder)

    def _start_again(self, trial: Trial, origin: str) -> None:
        """Take up a trial that was running: from its checkpoint, without one from the start."""
        run = self._enter(trial.params, origin)
        if trial.dir is not None and has_checkpoint(trial.dir):
            run.reports = list(trial.reports)
            run.started = trial.started
        elif trial.status is not Status.PENDING:
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
        now, limit = self._inbox.now(), self._ledger.budget.trial_time_limit
        self._ledger.start(run, slot, now)
        run.deadline = None if limit is None else now + limit
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
        return "every suggestion tried"

    # --- hearing

    def _on_reported(self, event: Reported) -> None:
        run = self._ledger.running.get(event.number)
        if run is None:
            return
        self._ledger.report(run, event.reports)
        self._clerk.report(run, event.reports)
        if self._announcer.heard:
            self._announcer.announce(TrialReported(run.number, tuple(event.reports)))
        if self._rules:
            self._consult_on(run, event.reports)
        if event.waiting:
            self._workers.answer(run.number, self._decide(run))

    def _consult_on(self, run: Run, reports: Iterable[Report]) -> None:
        now = self._elapsed()
        self._obey(
            rule.reported(run.number, report.metrics, now)
            for report in reports
            for rule in self._rules
        )

    def _obey(self, reasons: Iterable[str]) -> None:
        """End the sweep for the first reason that a rule gives; every rule is asked."""
        if given := [reason for reason in reasons if reason]:
            self._finish(SweepStatus.COMPLETED, given[0])

    def _decide(self, run: Run) -> Decision:
        if run.asked:
            return Stop(run.asked)
        score = self._ledger.score(run)
        if score is None:  # not the metric yet: look again at the next report
            return Continue(run.last_step + 1)
        decision = self._scheduler.decide(run.number, run.last_step, score)
        if isinstance(decision, Continue):
            self._thinker.observe(run.number, run.params, score, step=run.last_step, ended=False)
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
        if event.result:
            report = Report(run.last_step + 1, event.result, event.time)
            self._ledger.report(run, [report])
            self._clerk.report(run, [report])
            self._consult_on(run, [report])
        status, reason = self._outcome(run, event)
        run.failure = event.failure if status is Status.FAILED else None
        self._ledger.end(run, status, reason, event.time)
        if not run.decided:
            self._scheduler.end(run.number, run.last_step, self._usable_score(run))
        self._observe_end(run)
        self._supply.result_came()
        if status.ended:
            self._obey(
                rule.ended(run.snapshot(self._job.folder), self._elapsed()) for rule in self._rules
            )
        self._clerk.mark(run)
        if self._announcer.heard:
            self._announcer.announce(TrialEnded(run.snapshot(self._job.folder)))
        self._judge_start(run)

    def _outcome(self, run: Run, event: Ended) -> tuple[Status, str]:
        failure = event.failure
        if event.how == "stopped" and run.pausing and not run.asked:
            return Status.PAUSED, run.reason
        if event.how in ("stopped", "killed"):
            return Status.STOPPED, run.asked or run.reason
        if failure is not None:
            at = f" at {self._job.step_name} {run.last_step}" if run.last_step else ""
            if event.how == "died":
                return Status.FAILED, failure.message + at
            return Status.FAILED, f"{failure.type}{at}: {failure.message}".splitlines()[0][:300]
        if self._ledger.score(run) is None and self._ledger.best is not None:
            return Status.FAILED, f"{self._goal.metric} was never reported"
        return Status.COMPLETED, run.reason

    def _usable_score(self, run: Run) -> float | None:
        return None if run.status is Status.FAILED else self._ledger.score(run)

    def _observe_end(self, run: Run) -> None:
        score = self._usable_score(run)
        self._thinker.observe(run.number, run.params, score, step=run.last_step, ended=True)

    def _judge_start(self, run: Run) -> None:
        """End a sweep that cannot work: the metric never comes, or all fails in one way."""
        if run.status is Status.COMPLETED and self._ledger.score(run) is None:
            message = _missing_metric(run, self._goal.metric, self._job.step_name)
            self._fail(Failure(type="ReportError", message=message))
        elif self._ledger.ended == SAME_FAILURES:
            failures = [other.failure for other in self._ledger.runs if other.status.ended]
            if failures[0] is not None and len({_kind(failure) for failure in failures}) == 1:
                self._fail(failures[0], f"the first {SAME_FAILURES} trials all failed with ")

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
        run.deadline = self._inbox.now() + STOP_GRACE_SECONDS
        self._has_asked = True
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
        now = self._inbox.now()
        if spent := self._ledger.spent(now, self._elapsed()):
            self._finish(SweepStatus.COMPLETED, spent)
        if self._rules:
            self._obey(rule.tick(self._elapsed()) for rule in self._rules)
        for run in self._timed():
            if run.deadline is None or now < run.deadline:
                continue
            if run.asked:
                run.asked += f"; killed, it did not report within {STOP_GRACE_SECONDS:g} s"
                run.deadline = None
                self._workers.kill(run.number)
            else:
                limit = self._ledger.budget.trial_time_limit
                self._ask_to_stop(run, f"over its time limit of {limit:g} s")

    # --- writing down

    def _flush(self) -> bool:
        written = self._clerk.flush(
            status=self._status.value,
            reason=self._reason,
            elapsed=self._elapsed(),
            failure=self._failure,
        )
        self._publish()
        return written

    def _publish(self) -> None:
        best, elapsed = self._ledger.best, self._elapsed()
        active = self._status in (SweepStatus.RUNNING, SweepStatus.PAUSED)
        self._version += 1
        self._snapshot = Snapshot(
            name=self._row.name,
            status=self._status,
            reason=self._clerk.trouble or self._reason,
            goal=self._goal,
            step_name=self._job.step_name,
            space=self._space,
            trials=self._clerk.trials(),
            best=best.snapshot(self._job.folder) if best else None,
            elapsed=elapsed,
            remaining=self._ledger.remaining(elapsed) if active else None,
            trial_limit=self._ledger.budget.trials,
            time_limit=self._ledger.budget.time_limit,
            plan=self._row.plan,
            rungs=tuple(self._scheduler.rungs()),
            failure=self._failure,
            version=self._version,
        )


def _missing_metric(run: Run, metric: str, step_name: str) -> str:
    reported = sorted({name for report in run.reports for name in report.metrics})
    hint = f"Call report({step_name}=..., {metric}=...) or return the value."
    if reported:
        hint = nearest(metric, reported)
    instead = ", ".join(map(repr, reported)) or "nothing"
    return f"metric {metric!r} was never reported; trial {run.number} reported {instead}. {hint}"


def _kind(failure: Failure | None) -> tuple[str, str] | None:
    """Return what makes two failures the same: type and the line of the user's code."""
    if failure is None:
        return None
    lines = [line for line in failure.traceback.splitlines() if line.lstrip().startswith("File ")]
    return failure.type, lines[-1].strip() if lines else failure.message
