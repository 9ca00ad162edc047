"""The loop: asks, starts, hears, decides, writes, announces.

One thread owns all state of a sweep; workers, the searcher's thread, the clock and people post
events to its inbox. It knows interfaces, no concrete searcher, scheduler or worker.
"""

import logging
import math
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from nbtune.decision import Continue, Decision, Stop
from nbtune.engine.events import SweepEnded, TrialEnded, TrialReported, TrialStarted
from nbtune.engine.ledger import Budget, Ledger, Run
from nbtune.engine.snapshot import Snapshot, SweepStatus
from nbtune.engine.thinker import Suggested, Thinker
from nbtune.exceptions import nearest
from nbtune.schedulers.base import Scheduler
from nbtune.searchers.base import Searcher
from nbtune.space import Space
from nbtune.store import Batch, Store, SweepRow, TrialRow
from nbtune.trial import Failure, Goal, Params, Report, Status, Trial
from nbtune.workers.base import Assignment, Ended, Job, Reported, SlotReady, Workers

__all__ = ["Engine"]

logger = logging.getLogger("nbtune")

BATCH_SECONDS = 0.05
STOP_GRACE_SECONDS = 5.0
RETRY_WRITE_SECONDS = 1.0
HEARTBEAT_SECONDS = 1.0
SAME_FAILURES = 3


@dataclass(frozen=True, slots=True)
class _Command:
    """Something a person asks for: runs on the engine's thread."""

    act: Callable[[], None]


class Engine:
    """Runs one sweep, from its first trial or on from its history, to its end.

    Parameters
    ----------
    row : SweepRow
        The sweep in the store.
    job : Job
        What the workers run.
    space, goal, searcher, scheduler, workers, budget
        The parts; searcher and scheduler are set up, workers not yet open.
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
        history: Sequence[tuple[Trial, str]] = (),
    ) -> None:
        self._store = store
        self._row = row
        self._job = job
        self._space = space
        self._goal = goal
        self._searcher = searcher
        self._scheduler = scheduler
        self._workers = workers
        self._history = history
        self._ledger = Ledger(goal, budget)

        self._inbox = workers.inbox()
        self._thinker = Thinker(searcher, self._inbox.put, inline=self._inbox.virtual)
        self._status = SweepStatus.RUNNING
        self._reason = ""
        self._failure: Failure | None = None
        self._final = SweepStatus.COMPLETED  # what it becomes once it has stopped
        self._has_asked = False  # whether any trial was asked to stop from outside

        self._free: deque[int] = deque()
        self._waiting: deque[Run] = deque()  # entered, not started
        self._suggested: deque[tuple[int, Params]] = deque()  # ready, not entered
        self._asked: int | None = None  # the suggestion being computed
        self._next_suggestion = 0
        self._dry = False  # the searcher had nothing; it is asked again after a result
        self._exhausted = False

        self._batch = Batch()
        self._dirty: dict[int, Run] = {}
        self._flush_at: float | None = None
        self._elapsed_before = row.elapsed
        self._began = 0.0
        self._announcements: queue.SimpleQueue[Any] | None = None
        self._subscribers: list[Callable[[Any], None]] = []
        self._views: list[Trial] = []
        self._version = 0
        self._at_end: Callable[[], None] = lambda: None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._handlers: dict[type, Callable[[Any], None]] = {
            SlotReady: self._on_ready,
            Reported: self._on_reported,
            Ended: self._on_ended,
            Suggested: self._on_suggested,
            _Command: lambda command: command.act(),
        }
        self._take_up_history()
        if not history and searcher.starts_with_defaults:
            self._enter(space.defaults, "default")
        self._publish()

    # --- from other threads

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(
            target=self._run, name=f"nbtune-{self._row.name}", daemon=True
        )
        self._thread.start()

    @property
    def done(self) -> threading.Event:
        """Set once the sweep is over and everything is on disk."""
        return self._done

    @property
    def snapshot(self) -> Snapshot:
        """The sweep as last published, at most 50 ms ago."""
        return self._snapshot

    def at_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the engine's thread when all is on disk, before ``done`` is set."""
        self._at_end = callback

    def subscribe(self, callback: Callable[[Any], None]) -> None:
        """Call `callback` with each event from now on, in a thread of its own."""
        self._subscribers.append(callback)
        if self._announcements is None:
            self._announcements = queue.SimpleQueue()
            threading.Thread(
                target=self._announce_all, name="nbtune-callbacks", daemon=True
            ).start()

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

    def abandon(self) -> None:
        """Kill the workers at once, as the process ends; the store keeps what was written."""
        self._workers.close()

    # --- history

    def _take_up_history(self) -> None:
        for trial, origin in self._history:
            if trial.status.ended:
                self._ledger.adopt(Run.from_trial(trial, origin))
            else:
                run = self._enter(trial.params, origin, stored=True)
                if trial.status is not Status.PENDING:
                    self._batch.restarted.append(run.number)
            if origin == "suggested":
                self._next_suggestion += 1
        self._views = [run.snapshot(self._job.folder) for run in self._ledger.runs]
        ended = [run for run in self._ledger.runs if run.status.ended]
        for run in self._ledger.runs:
            self._thinker.begin(run.number, run.params)
        for run in sorted(ended, key=lambda run: run.ended or 0.0):
            self._observe_end(run)
        self._replay_scheduler(ended)

    def _replay_scheduler(self, ended: list[Run]) -> None:
        """Tell the scheduler, in order of time, what it was told before."""
        moments: list[tuple[float, int, Run, Report | None]] = []
        for run in ended:
            moments.append((run.started or 0.0, run.number, run, None))
            moments.extend((report.time, run.number, run, report) for report in run.reports)
        moments.sort(key=lambda moment: (moment[0], moment[1], moment[3] is not None))
        milestones: dict[int, int | None] = {}
        values: dict[int, float] = {}
        for _, number, _run, report in moments:
            if report is None:
                milestones[number] = self._scheduler.start(number).until
                continue
            values[number] = report.metrics.get(self._goal.metric, values.get(number, math.nan))
            until = milestones.get(number)
            score = self._goal.score(values[number])
            if until is not None and report.step >= until and score is not None:
                decision = self._scheduler.decide(number, report.step, score)
                milestones[number] = decision.until if isinstance(decision, Continue) else None
        for run in ended:
            if milestones.get(run.number) is not None:
                self._scheduler.end(run.number, run.last_step, self._ledger.score(run))

    # --- the loop

    def _run(self) -> None:
        try:
            with closing(self._store.connect()) as self._connection:
                self._began = self._inbox.now()
                self._mark()
                self._workers.open(self._job, self._inbox)
                while not self._over():
                    self._step()
                self._workers.close()
                self._thinker.close()
                self._close_books()
        except Exception as error:
            logger.exception("the sweep's thread failed")
            self._status, self._reason = SweepStatus.FAILED, f"internal error: {error!r}"
            self._failure = Failure(type=type(error).__name__, message=str(error))
            self._workers.close()
        finally:
            self._publish()
            self._announce(SweepEnded(self._status, self._reason))
            self._announce(None)
            self._at_end()
            self._done.set()

    def _over(self) -> bool:
        if self._ledger.running:
            return False
        return self._status.ended or self._status is SweepStatus.STOPPING

    def _step(self) -> None:
        event = self._inbox.get(self._patience())
        if event is None:
            self._publish()  # a clock that stands still looks like a sweep that hangs
        taken = 0
        while event is not None:
            handle = self._handlers.get(type(event))
            if handle is not None:
                handle(event)
            elif isinstance(event, Exception):  # a slot could not come up
                self._fail(Failure(type=type(event).__name__, message=str(event)))
            taken += 1
            if taken >= 256:  # let limits and the store have their turn in a flood
                break
            event = None if self._inbox.virtual else self._inbox.get(0)
        self._launch()
        self._watch_limits()
        self._flush_if_due()

    def _patience(self) -> float | None:
        now, waits = self._inbox.now(), []
        if not self._inbox.virtual:
            flush_in = math.inf if self._flush_at is None else self._flush_at - time.monotonic()
            waits.append(min(flush_in, HEARTBEAT_SECONDS))
        if self._status is not SweepStatus.STOPPING:
            waits.extend(limit - self._elapsed() for limit in self._time_limits())
        waits.extend(run.deadline - now for run in self._timed() if run.deadline is not None)
        return max(0.0, min(waits)) if waits else None

    def _time_limits(self) -> list[float]:
        budget, limits = self._ledger.budget, []
        if budget.time_limit is not None:
            limits.append(budget.time_limit)
        if budget.compute_time_limit is not None and self._ledger.running:
            left = budget.compute_time_limit - self._ledger.compute_seconds(self._inbox.now())
            limits.append(self._elapsed() + left / len(self._ledger.running))
        return limits

    def _timed(self) -> list[Run]:
        """Return the runs that may have a deadline: all of them while any has one."""
        if self._ledger.budget.trial_time_limit is None and not self._has_asked:
            return []
        return list(self._ledger.running.values())

    def _elapsed(self) -> float:
        return self._elapsed_before + (self._inbox.now() - self._began if self._began else 0.0)

    # --- starting trials

    def _launch(self) -> None:
        if self._status is not SweepStatus.RUNNING:
            return
        while self._free and (run := self._next_run()) is not None:
            slot = self._free.popleft()
            milestone = self._scheduler.start(run.number).until
            now = self._inbox.now()
            self._ledger.start(run, slot, now)
            if self._ledger.budget.trial_time_limit is not None:
                run.deadline = now + self._ledger.budget.trial_time_limit
            self._workers.start(
                slot, Assignment(number=run.number, params=run.params, milestone=milestone)
            )
            self._mark(run)
            if self._subscribers:
                self._announce(TrialStarted(run.snapshot(self._job.folder)))
        self._ask_ahead()
        if self._spent_out() and not self._ledger.running:
            self._finish(SweepStatus.COMPLETED, self._why_spent())

    def _next_run(self) -> Run | None:
        if self._waiting:
            return self._waiting.popleft()
        if self._suggested and self._ledger.room() != 0:
            index, params = self._suggested.popleft()
            self._enter(params, "suggested", suggestion=index)
            return self._waiting.popleft()
        return None

    def _enter(
        self, params: Params, origin: str, *, suggestion: int | None = None, stored: bool = False
    ) -> Run:
        run = self._ledger.add(params, origin)
        self._waiting.append(run)
        if not stored:
            self._thinker.begin(run.number, params, suggestion=suggestion)
            self._mark(run)
        return run

    def _ask_ahead(self) -> None:
        if self._asked is not None or self._dry or self._exhausted:
            return
        room = self._ledger.room()
        ready = len(self._suggested)
        if ready >= self._searcher.prefetch or (room is not None and room <= ready):
            return
        self._asked = self._next_suggestion
        self._next_suggestion += 1
        self._thinker.ask(self._asked)

    def _on_suggested(self, answer: Suggested) -> None:
        index, self._asked = self._asked, None
        if answer.failure is not None:
            self._fail(answer.failure)
        elif answer.params is not None and index is not None:
            self._suggested.append((index, answer.params))
        else:
            self._next_suggestion -= 1  # the index was not used
            self._dry = True
            under_way = self._waiting or self._ledger.running or self._suggested
            self._exhausted = answer.pending == 0 and not under_way
            if answer.pending == 0 and under_way:
                self._dry = False

    def _spent_out(self) -> bool:
        """Whether no further trial can start, as things stand."""
        if self._waiting or self._status is not SweepStatus.RUNNING:
            return False
        if self._ledger.room() == 0:
            return True
        return self._exhausted and not self._suggested

    def _why_spent(self) -> str:
        if self._ledger.room() == 0:
            budget = self._ledger.budget
            if budget.trials is not None and len(self._ledger.runs) >= budget.trials:
                return f"{budget.trials} of {budget.trials} trials"
            return f"{self._ledger.steps} of {budget.max_total_steps} steps"
        return "every suggestion tried"

    # --- hearing

    def _on_ready(self, event: SlotReady) -> None:
        self._free.append(event.slot)

    def _on_reported(self, event: Reported) -> None:
        run = self._ledger.running.get(event.number)
        if run is None:
            return
        self._ledger.report(run, event.reports)
        self._batch.reports.extend((run.number, report) for report in event.reports)
        self._mark(run)
        if self._subscribers:
            self._announce(TrialReported(run.number, tuple(event.reports)))
        if event.waiting:
            self._workers.answer(run.number, self._decide(run))

    def _decide(self, run: Run) -> Decision:
        if run.asked:
            return Stop(run.asked)
        score = self._ledger.score(run)
        if score is None:  # not the metric yet: look again at the next report
            return Continue(run.last_step + 1)
        decision = self._scheduler.decide(run.number, run.last_step, score)
        if isinstance(decision, Continue):
            self._thinker.observe(run.number, run.params, score, step=run.last_step, ended=False)
        else:
            run.reason = getattr(decision, "reason", "")
        return decision

    def _on_ended(self, event: Ended) -> None:
        run = self._ledger.running.get(event.number)
        if run is None:
            return
        if event.result:
            report = Report(run.last_step + 1, event.result, event.time)
            self._ledger.report(run, [report])
            self._batch.reports.append((run.number, report))
        status, reason = self._outcome(run, event)
        decided = event.how == "completed" or (event.how == "stopped" and not run.asked)
        run.failure = event.failure if status is Status.FAILED else None
        self._ledger.end(run, status, reason, event.time)
        if not decided:
            self._scheduler.end(run.number, run.last_step, self._usable_score(run))
        self._observe_end(run)
        self._dry = False
        self._mark(run)
        if self._subscribers:
            self._announce(TrialEnded(run.snapshot(self._job.folder)))
        self._judge_start(run)

    def _outcome(self, run: Run, event: Ended) -> tuple[Status, str]:
        how, failure = event.how, event.failure
        if how == "killed":
            return Status.STOPPED, run.asked or "killed"
        if how == "stopped":
            return Status.STOPPED, run.asked or run.reason
        if failure is not None:
            at = f" at {self._job.step_name} {run.last_step}" if run.last_step else ""
            if how == "died":
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
            metric, reported = self._goal.metric, sorted(run.snapshot(self._job.folder).metrics)
            instead = f"trial {run.number} reported {', '.join(reported) or 'nothing'}"
            hint = (
                nearest(metric, reported)
                if reported
                else (f"Call report({self._job.step_name}=..., {metric}=...) or return the value.")
            )
            message = f"metric {metric!r} was never reported: {instead}. {hint}"
            self._fail(Failure(type="ReportError", message=message))
        ended = [other for other in self._ledger.runs[: SAME_FAILURES + 64] if other.status.ended]
        if len(ended) == SAME_FAILURES and self._ledger.ended == SAME_FAILURES:
            kinds = {_kind(other.failure) for other in ended}
            if len(kinds) == 1 and (failure := ended[0].failure) is not None:
                self._fail(failure, f"the first {SAME_FAILURES} trials all failed with ")

    # --- ending

    def _fail(self, failure: Failure, prefix: str = "") -> None:
        if self._failure is None:
            self._failure = failure
            name = "" if failure.type == "ReportError" and not prefix else f"{failure.type}: "
            self._finish(SweepStatus.FAILED, f"{prefix}{name}{failure.message}")

    def _finish(self, status: SweepStatus, reason: str) -> None:
        """Begin to end: nothing more starts, what runs is asked to stop."""
        if self._status.ended or self._status is SweepStatus.STOPPING:
            return
        self._final = status
        self._status, self._reason = SweepStatus.STOPPING, reason
        for run in self._ledger.running.values():
            self._ask_to_stop(run, reason)
        self._mark()

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
        wanted = SweepStatus.PAUSED if paused else SweepStatus.RUNNING
        if self._status in (SweepStatus.PAUSED, SweepStatus.RUNNING):
            self._status, self._reason = wanted, "paused by you" if paused else ""
            self._mark()

    def _watch_limits(self) -> None:
        now = self._inbox.now()
        if spent := self._ledger.spent(now, self._elapsed()):
            self._finish(SweepStatus.COMPLETED, spent)
        for run in self._timed():
            if run.deadline is None or now < run.deadline:
                continue
            if run.asked:
                run.asked += ", killed: it did not report within 5 s"
                run.deadline = None
                self._workers.kill(run.number)
            else:
                limit = self._ledger.budget.trial_time_limit
                self._ask_to_stop(run, f"over its time limit of {limit:g} s")

    def _close_books(self) -> None:
        self._status = self._final
        self._mark()
        self._flush()
        while self._flush_at is not None:  # a full disk: the last rows matter too
            time.sleep(RETRY_WRITE_SECONDS)
            self._flush()

    # --- writing and announcing

    def _mark(self, run: Run | None = None) -> None:
        if run is not None:
            run.touch()
            self._dirty[run.number] = run
        if self._flush_at is None:
            self._flush_at = time.monotonic() + BATCH_SECONDS

    def _flush_if_due(self) -> None:
        if self._flush_at is not None and time.monotonic() >= self._flush_at:
            self._flush()

    def _flush(self) -> None:
        batch = self._batch
        self._publish()
        batch.trials = [
            TrialRow(
                trial=run.snapshot(self._job.folder),
                params=self._space.to_json(run.params),
                origin=run.origin,
            )
            for run in self._dirty.values()
        ]
        batch.status, batch.reason = self._status.value, self._reason
        batch.elapsed, batch.failure = self._elapsed(), self._failure
        try:
            self._store.write(self._connection, self._row.id, batch)
        except sqlite3.Error as error:  # keep everything in memory and try again
            logger.warning("the store cannot be written: %s; trying again", error)
            self._flush_at = time.monotonic() + RETRY_WRITE_SECONDS
            return
        self._batch, self._dirty, self._flush_at = Batch(), {}, None

    def _publish(self) -> None:
        runs, folder = self._ledger.runs, self._job.folder
        for run in self._dirty.values():
            if run.number < len(self._views):
                self._views[run.number] = run.snapshot(folder)
        self._views.extend(run.snapshot(folder) for run in runs[len(self._views) :])
        self._version += 1
        best = self._ledger.best
        budget = self._ledger.budget
        elapsed = self._elapsed()
        active = self._status in (SweepStatus.RUNNING, SweepStatus.PAUSED)
        self._snapshot = Snapshot(
            name=self._row.name,
            status=self._status,
            reason=self._reason,
            goal=self._goal,
            step_name=self._job.step_name,
            space=self._space,
            trials=tuple(self._views),
            best=best.snapshot(folder) if best else None,
            elapsed=elapsed,
            remaining=self._ledger.remaining(elapsed) if active else None,
            trial_limit=budget.trials,
            time_limit=budget.time_limit,
            plan=self._row.plan,
            rungs=tuple(self._scheduler.rungs()),
            failure=self._failure,
            version=self._version,
        )

    def _announce(self, event: Any) -> None:
        if self._announcements is not None:
            self._announcements.put(event)

    def _announce_all(self) -> None:
        announcements = self._announcements
        while announcements is not None and (event := announcements.get()) is not None:
            for callback in self._subscribers:
                try:
                    callback(event)
                except Exception:
                    logger.exception("a callback failed on %s", type(event).__name__)


def _kind(failure: Failure | None) -> tuple[str, str] | None:
    """Return what makes two failures the same: type and the line of the user's code."""
    if failure is None:
        return None
    lines = [line for line in failure.traceback.splitlines() if line.lstrip().startswith("File ")]
    return failure.type, lines[-1].strip() if lines else failure.message
