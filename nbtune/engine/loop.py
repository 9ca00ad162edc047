"""The loop: asks, starts, hears, decides, has it written and announced.

One thread owns all state of a sweep; workers, the searcher's thread, the clock and people post
events to its inbox. It knows interfaces, no concrete searcher, scheduler or worker.
"""

import logging
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nbtune.decision import Complete, Continue, Decision, Pause, Stop
from nbtune.ended_by import EndedBy, EndKind
from nbtune.engine.announcer import Announcer
from nbtune.engine.archive import Archive
from nbtune.engine.clerk import Clerk
from nbtune.engine.ending import KILL_GRACE_SECONDS, Ending
from nbtune.engine.events import SweepEnded, TrialEnded, TrialReported, TrialStarted
from nbtune.engine.feed import Feed
from nbtune.engine.guard import GuardedRule, GuardedScheduler
from nbtune.engine.history import recall
from nbtune.engine.ledger import Budget, Ledger, Run
from nbtune.engine.lineup import Lineup
from nbtune.engine.moments import Moments
from nbtune.engine.requests import answer_to
from nbtune.engine.resuming import resumed
from nbtune.engine.snapshot import Snapshot, SweepStatus
from nbtune.engine.supply import Supply
from nbtune.engine.telling import Teller
from nbtune.engine.thinker import Suggested, Thinker
from nbtune.engine.trials import TrialBook
from nbtune.engine.turns import Turns
from nbtune.engine.verdict import (
    by_scheduler,
    common_failure,
    deserves_retry,
    leave_paused,
    missing_metric,
    outcome,
)
from nbtune.engine.warning_log import WarningLog
from nbtune.engine.watch import Watch
from nbtune.exceptions import SpaceError, StoreError, SweepError
from nbtune.schedulers.base import Scheduler
from nbtune.searchers.base import Searcher
from nbtune.space import Edit, Space, Timeline
from nbtune.stopping import StopRule
from nbtune.store import Request, Store, SweepRow
from nbtune.sweep_warning import SweepWarning
from nbtune.trial import Failure, Goal, Params, Report, Status, Trial, noted
from nbtune.workers.base import (
    Assignment,
    Ended,
    Job,
    Reported,
    SlotGone,
    SlotReady,
    Warned,
    Workers,
)
from nbtune.workers.outcome import failure_of

__all__ = ["Engine"]

logger = logging.getLogger("nbtune")

HEARTBEAT_SECONDS = 1.0
SEARCHER_SECONDS = 60.0
LAST_WRITE_SECONDS = 60.0
FLOOD = 256
_TAKEN_TICK_SECONDS = 0.05


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
        Trials from earlier processes, by number. Those that had not ended run again, and those
        that ended only because a person stopped the sweep.
    edits : sequence of Edit
        What became of `space` since the first trial; `searcher` is set up in the last one.
    searcher_in : callable, optional
        Returns a searcher that is set up in a space, for an edit that another process asks for.
    window : int >= 0, optional
        How far the searcher may lag behind, as `Turns` takes it; None: it is told as things happen.
    warnings : sequence of SweepWarning
        Those of earlier processes.
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
        edits: Sequence[Edit] = (),
        searcher_in: Callable[[Space], Searcher] | None = None,
        window: int | None = None,
        warnings: Sequence[SweepWarning] = (),
    ) -> None:
        self._store = store
        self._row = row
        self._job = job
        self._timeline = Timeline(space, edits)
        self._workers = workers
        self._trials = TrialBook(Archive(goals, self._timeline, job.folder))
        self._ledger = Ledger(goals, budget, self._trials)
        self._scheduler = guarded = GuardedScheduler(
            scheduler, self._on_extension_failed, self._ledger.runs.may_go_on
        )
        self._warnings = WarningLog(row.name, warnings)
        self._clerk = Clerk(store, row, self._timeline, job.folder, self._warnings, self._trials)
        self._announcer = Announcer(self.warn)
        self._inbox = workers.inbox()
        self._turns = Turns(window)
        self._moments = Moments(self._inbox)
        self._feed = Feed(self._ledger, self._turns)
        self._lineup = Lineup(guarded, self._ledger, self._turns, self._clerk, job.folder)
        rules = [GuardedRule(rule, self._on_extension_failed) for rule in stop_rules]
        self._watch = Watch(self._ledger, rules, self._inbox, row.elapsed)
        self._ending = Ending(self._ledger, self._watch, workers, self.warn)

        self._status = SweepStatus.RUNNING
        self._final = SweepStatus.COMPLETED  # what it becomes once it has stopped
        self._reason = ""
        self._ended_by: EndedBy | None = None
        self._lost = 0  # slots whose trials do not end
        self._draining = False  # it is stopping, and what runs goes on to its end
        self._failure: Failure | None = None

        self._snapshot: Snapshot
        self._free: deque[int] = deque()
        self._version = 0
        self._thread: threading.Thread | None = None
        self._at_end: Callable[[], None] = lambda: None
        self._done = threading.Event()
        self._afterwards = threading.Lock()
        self._deaf = threading.Event()  # set when no command is heard any more
        self._searcher_in = searcher_in
        self._acts: dict[str, Callable[[Request], None]] = {
            "stop": self._stop_as_asked,
            "pause": lambda _: self._set_paused(True),
            "resume": lambda _: self._set_paused(False),
            "kill": lambda request: self._ending.kill(request.argument["trial"]),
            "enqueue": self._enqueue_as_asked,
            "edit": self._edit_as_asked,
        }
        self._handlers: dict[type, Callable[[Any], object]] = {
            SlotReady: lambda event: self._free.append(event.slot),
            SlotGone: self._on_slot_gone,
            Reported: self._on_reported,
            Ended: self._on_ended,
            Warned: lambda event: self.warn(event.code, event.text),
            _Command: lambda command: command.act(),
        }
        if history:
            self._resume(searcher, scheduler, stop_rules, history)
        else:
            self._begin(searcher)
        self._publish()

    # --- from other threads

    def start(self) -> None:
        """Run in a thread of its own."""
        name = f"nbtune-{self._row.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no thread is to be had
            self._break_off(error)
            self._end()

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

    def warn(self, code: str, text: str) -> bool:
        """Note once that something does not work as meant: shown, stored and logged.

        May be called from any thread, also when the sweep is over.

        Parameters
        ----------
        code : str
            A short fixed name of its kind, "searcher-fallback".
        text : str
            A sentence: what happened, what follows.

        Returns
        -------
        bool
            Whether it is new.
        """
        if not self._warnings.add(code, text, time.time()):
            return False
        if self._done.is_set():
            self._keep_late_warnings()
        else:
            self._inbox.put(_Command(self._clerk.mark))
        return True

    def _keep_late_warnings(self) -> None:
        """Store what came after the last batch: from a callback that is still at work, say."""
        with self._afterwards:
            late = self._warnings.take_unwritten()
            if not late:
                return
            self._snapshot = replace(self._snapshot, warnings=self._warnings.kept)
            if self._store.file.exists():
                with suppress(StoreError):  # they have been logged; the store says why elsewhere
                    self._store.add_warnings(self._row.id, late)

    def stop(self, reason: str = "", *, drain: bool = False) -> None:
        """Ask for the end: running trials are asked to stop, then killed after a grace.

        With `drain` they go on to their own end; a further stop without it ends them, too.
        """
        ended_by = EndedBy(kind=EndKind.USER, text=reason)

        def act() -> None:
            self._finish(SweepStatus.STOPPED, ended_by, drain=drain)
            self._publish()  # a resume that follows must see it

        if threading.current_thread() is self._thread:
            self._inbox.put(_Command(act))
        else:
            self._taken(act)

    def pause(self) -> None:
        """Start no more trials; those running go on."""
        self._inbox.put(_Command(lambda: self._set_paused(True)))

    def unpause(self) -> None:
        """Start trials again."""
        self._inbox.put(_Command(lambda: self._set_paused(False)))

    def kill(self, number: int) -> None:
        """End one running trial now."""
        self._inbox.put(_Command(lambda: self._ending.kill(number)))

    def enqueue(self, params: Params) -> bool:
        """Try `params`, already validated, before the next suggestion.

        Returns
        -------
        bool
            Whether they became a trial: False when the sweep was over before.
        """
        return self._taken(lambda: self._enqueue(params))

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What became of the space since the first trial."""
        return self._timeline.edits

    def edit(self, space: Space, searcher: Searcher) -> bool:
        """Go on in another space, with a searcher that is set up in it and told nothing yet.

        Returns
        -------
        bool
            Whether it took effect: False when the sweep was over before.
        """
        return self._taken(lambda: self._edit(space, searcher))

    def _taken(self, act: Callable[[], object]) -> bool:
        """Act on the engine's thread; return whether it did before the sweep was over."""
        if threading.current_thread() is self._thread:  # a trial on a virtual clock asks for it
            act()
            return True
        taken = threading.Event()

        def acknowledged() -> None:
            act()
            taken.set()

        self._inbox.put(_Command(acknowledged))
        if self._thread is None:  # it will be heard first
            return True
        while not (taken.wait(_TAKEN_TICK_SECONDS) or self._deaf.is_set()):
            pass
        return taken.is_set()

    # --- the loop

    def _run(self) -> None:
        try:
            self._clerk.open()
            self._serve()  # what was enqueued while nobody ran the sweep
            self._watch.begin()
            self._clerk.mark()
            self._workers.open(self._job, self._inbox)
            self._thinker.start()
            self._thinker.prepare()
            while not self._over():
                self._step()
            self._workers.close()
            while self._turns.tell_next():
                pass
            self._leave_paused()
        except BaseException as error:  # whatever it is: who waits must hear of it
            logger.exception("the sweep's thread failed")
            self._break_off(error)
        self._end()

    def _end(self) -> None:
        # Each is done whatever became of those before: the sweep's end is always told.
        for act in (
            self._deaf.set,
            self._workers.close,
            self._thinker.close,
            self._write_the_end,
            self._clerk.close,
            self._publish,
            lambda: self._announcer.announce(SweepEnded(self._status, self._reason)),
            self._announcer.close,
            self._at_end,
            self._done.set,
            self._keep_late_warnings,
        ):
            try:
                act()
            except BaseException:
                logger.exception("the end of the sweep's thread failed")

    def _break_off(self, error: BaseException) -> None:
        """End at once, because of what was raised on this thread: what runs is cut short."""
        failure = failure_of(error)
        self._final, self._failure = SweepStatus.FAILED, failure
        self._reason = f"{failure.type}: {failure.message}"
        self._ended_by = EndedBy(kind=EndKind.ERROR, text=self._reason)
        for run in [*self._ledger.running.values()]:
            by = EndedBy(kind=EndKind.SWEEP, text=self._reason)
            self._ledger.end(run, Status.STOPPED, by, *self._moment())
            self._clerk.mark(run)

    def _moment(self) -> tuple[float, float]:
        """Return the time of day, and the clock that measures durations."""
        return self._moments.at(self._inbox.now()), self._inbox.clock()

    def _write_the_end(self) -> None:
        """Write how it ended, patiently: on a full disk the last rows matter too."""
        self._status = self._final
        self._clerk.open()  # unless that has been done
        deadline = time.monotonic() + LAST_WRITE_SECONDS
        while not self._flush():
            if time.monotonic() >= deadline:
                self._status = SweepStatus.FAILED
                self._reason = f"{self._clerk.trouble}; it ended: {self._reason}"
                self._clerk.trouble = ""
                return
            time.sleep(HEARTBEAT_SECONDS)

    def _leave_paused(self) -> None:
        for run in self._ledger.runs.at_hand:
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
        self._serve()
        self._launch()
        self._watch_limits()
        self._watch_search()
        if self._clerk.due:
            self._flush()

    def _watch_search(self) -> None:
        """Warn where free slots, or virtual time, wait long for the searcher: it may hang."""
        is_waited_for = self._free or self._inbox.virtual
        if is_waited_for and self._thinker.busy_seconds > SEARCHER_SECONDS:
            self.warn(
                "searcher-slow",
                f"the searcher {self._thinker.name} has not answered for {SEARCHER_SECONDS:g} s: "
                "until it does, no further trial starts. Stop the sweep if it hangs.",
            )

    def _handle(self, event: Any) -> None:
        if isinstance(event, Exception):  # a slot could not come up
            self._fail(Failure(type=type(event).__name__, message=str(event)))
        else:
            self._handlers[type(event)](event)

    def _patience(self) -> float | None:
        """Return how many seconds to wait for an event, None for ever."""
        stopping = self._status is SweepStatus.STOPPING
        cuts = self._draining and self._ledger.budget.at_time_limit == "stop"
        waits = [self._watch.due_in(stopping=stopping and not cuts)]
        if not self._inbox.virtual:
            waits += [self._clerk.due_in, HEARTBEAT_SECONDS]
        known = [wait for wait in waits if wait is not None]
        return max(0.0, min(known)) if known else None

    # --- what other processes ask

    def _serve(self) -> None:
        for request in self._clerk.requests():
            self._clerk.answer(request, answer_to(request, self._acts))

    def _stop_as_asked(self, request: Request) -> None:
        drain = bool(request.argument.get("drain"))
        ended_by = EndedBy(kind=EndKind.USER)
        self._finish(SweepStatus.STOPPED, ended_by, drain=drain)

    def _enqueue(self, params: Params) -> None:
        self._lineup.enter(params, "enqueued", why="enqueued by you")

    def _enqueue_as_asked(self, request: Request) -> None:
        stated = self._timeline.spaces[request.argument["space"]]
        given = request.argument["params"]
        try:
            params = self._timeline.now.validate(stated.from_json(given))
        except SpaceError as error:  # who asked may be gone: nobody may hear the answer
            shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
            self.warn(
                "enqueued-not-tried",
                f"enqueued params ({shown}) were not tried: the space has been edited since, "
                f"and they no longer fit: {error}",
            )
            raise
        self._enqueue(params)

    def _edit_as_asked(self, request: Request) -> None:
        if self._searcher_in is None or request.blob is None:
            raise SweepError("this sweep's space cannot be edited")
        space: Space = pickle.loads(request.blob)
        self._edit(space, self._searcher_in(space))

    # --- starting trials

    def _begin(self, searcher: Searcher) -> None:
        self._set_up_search(searcher)
        if searcher.starts_with_defaults:
            self._lineup.enter(self._timeline.now.defaults, "default", why="default")

    def _resume(
        self,
        searcher: Searcher,
        scheduler: Scheduler,
        rules: Sequence[StopRule],
        history: Sequence[tuple[Trial, str]],
    ) -> None:
        """Take up the trials of earlier processes; tell all that learn from them."""
        try:
            before = resumed(
                history,
                row=self._row,
                scheduler=scheduler,
                goal=self._ledger.goals[0],
                folder=self._job.folder,
                window=self._turns.window,
            )
        except Exception as error:
            failure, who = failure_of(error), type(scheduler).__name__
            raise SweepError(
                f"sweep {self._row.name!r} cannot go on: its scheduler {who}, told what has been "
                f"reported, failed with {failure.type}: {failure.message}",
                failure.traceback,
            ) from error
        self._moments.go_on_from(before.told_until)
        over = []
        for run, (trial, _) in zip(before.runs, history, strict=True):
            again = run.status is Status.PENDING
            # They began in this order; where trials wait for decisions, it is all told now.
            if self._scheduler.judges_alone or (again and trial.started is not None):
                self._turns.begin(run.number)
            self._ledger.adopt(run)
            if again:
                self._lineup.wait(run)
            else:
                over.append(run)
            self._clerk.adopt(run)
            if run.number in before.interrupted:
                self._clerk.mark(run)
            if len(run.reports) < trial.count:  # some were taken back
                self._clerk.restart(run)
                self._clerk.report(run, run.reports)
        self._set_up_search(searcher)
        self._feed.tell_again(before.story)
        recall(rules, over, self._watch.elapsed, self._job.folder)

    def _launch(self) -> None:
        has_room = self._has_room()  # asked also by a sweep that starts nothing: it shares
        if self._status is not SweepStatus.RUNNING:
            return
        while self._free and has_room and self._status is SweepStatus.RUNNING:
            run = self._lineup.next()
            if run is None:
                break
            self._start(run)
            has_room = self._has_room()
        self._lineup.ask_ahead(needed=has_room and bool(self._free))
        if not self._ledger.running and (why := self._lineup.spent_out()):
            self._complete(why)

    def _has_room(self) -> bool:
        return self._workers.has_room(len(self._ledger.running))

    def _start(self, run: Run) -> None:
        milestone = self._scheduler.start(run.number).until
        if self._status is not SweepStatus.RUNNING:  # it failed over that
            if run.status is Status.PENDING:
                self._lineup.wait_first(run)
            return
        self._turns.begin(run.number)
        slot = self._free.popleft()
        self._feed.start(run, milestone)
        self._ledger.start(run, slot, *self._moment())
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

    # --- searching

    def _set_up_search(self, searcher: Searcher) -> None:
        """Make the searcher's side anew; what an earlier one still says is not heard."""

        def post(answer: Suggested) -> None:
            self._inbox.put(_Command(lambda: self._on_suggested(answer, thinker)))

        searcher.longest = self._scheduler.longest
        self._thinker = thinker = Thinker(searcher, post, virtual=self._inbox.virtual)
        self._inbox.stand_for(thinker.settled)
        self._supply = supply = Supply(thinker, searcher.prefetch)
        teller = Teller(thinker, self._timeline, keeps_to_listed=searcher.keeps_to_listed)
        if self._thread is not None:  # else it begins with the sweep
            thinker.start()
        self._feed.use(teller, searcher.follows, supply.result_came)
        self._lineup.use(supply, teller)

    def _edit(self, space: Space, searcher: Searcher) -> None:
        """Search another space from now on; suggestions that are not yet trials are dropped."""
        edit = Edit(time=self._inbox.now(), trial=len(self._ledger.runs), space=space)
        self._timeline = self._timeline.edited(edit)
        self._clerk.edit(self._timeline)
        self._thinker.close()
        self._set_up_search(searcher)
        self._feed.tell_all()

    def _on_suggested(self, answer: Suggested, thinker: Thinker) -> None:
        if thinker is not self._thinker:
            return  # the space has changed since
        for code, text in answer.warnings:
            self.warn(code, text)
        if answer.failure is not None:
            self._on_extension_failed(answer.failure, f"the searcher {thinker.name}")
        else:
            self._supply.receive(answer)

    # --- hearing

    def _on_slot_gone(self, event: SlotGone) -> None:
        if event.slot in self._free:  # else a trial was given to it a moment ago
            self._free.remove(event.slot)

    def _on_reported(self, event: Reported) -> None:
        run = self._ledger.running.get(event.number)
        if run is None:
            return
        if not event.reports:
            self._ending.went_on(run)
            return
        reports = self._as_told(event)
        self._ledger.report(run, reports)
        self._clerk.report(run, reports)
        if self._announcer.heard:
            self._announcer.announce(TrialReported(run.number, tuple(reports)))
        if self._feed.hears_reports:
            self._feed.report(run, reports[:-1] if event.waiting else reports)
        self._obey(self._watch.reported(run, reports))
        if event.waiting and self._turns.window is not None and not self._scheduler.judges_alone:
            self._turns.tell(run.number, partial(self._answer, run, run.retried))
        elif event.waiting:
            self._answer(run, run.retried)

    def _as_told(self, event: Reported) -> Sequence[Report]:
        """Return the reports, the one that the scheduler is asked about at a moment of its own."""
        if not event.waiting:
            return event.reports
        *earlier, last = event.reports
        return [*earlier, Report(last.step, last.metrics, self._moments.at(last.time))]

    def _obey(self, reason: str) -> None:
        """End the sweep if a rule gives a reason."""
        if reason:
            self._finish(SweepStatus.COMPLETED, EndedBy(kind=EndKind.RULE, text=reason))

    def _answer(self, run: Run, retried: int) -> None:
        """Answer a run that waits for a decision, unless it was ended or started again since."""
        if run.number in self._ledger.running and run.retried == retried:
            self._workers.answer(run.number, self._decide(run))

    def _decide(self, run: Run) -> Decision:
        if run.asked:
            return Stop(run.asked.reason)
        score = self._ledger.score(run)
        if score is None:
            return self._without_metric(run)
        decision = self._scheduler.decide(run.number, run.last_step, score)
        if isinstance(decision, Continue):
            self._feed.milestone(run, decision.until)
            return decision
        reason = getattr(decision, "reason", "")
        run.ended_by = by_scheduler(reason, self._scheduler.explain(run.number))
        run.reason, run.decision = reason, decision
        self._ending.decided(run)
        # To a worker a pause is a stop: only the engine knows that the trial may go on.
        return Stop(decision.reason) if isinstance(decision, Pause) else decision

    def _without_metric(self, run: Run) -> Decision:
        """Decide on a run that has not reported the metric yet: look again at the next report."""
        most = self._ledger.budget.trial_max_steps
        if most is None or run.last_step < most:
            return Continue(run.last_step + 1)
        run.ended_by = EndedBy(
            kind=EndKind.LIMIT, limit="trial_max_steps", allowed=most, used=run.last_step
        )
        run.reason = run.ended_by.reason
        return Complete(run.reason)

    def _on_ended(self, event: Ended) -> None:
        run = self._ledger.running.get(event.number)
        if run is None:
            return
        stopping = self._status is SweepStatus.STOPPING
        if not stopping and deserves_retry(run, event, self._ledger.budget):
            self._start_over(run, event)
            return
        if result := run.news(event.result or {}):
            report = Report(run.last_step + 1, result, event.time)
            self._ledger.report(run, [report])
            self._clerk.report(run, [report])
            self._obey(self._watch.reported(run, [report]))
        status, ended_by = outcome(run, event, self._ledger, self._job.step_name)
        run.failure = (event.failure or run.failure) if status is Status.FAILED else None
        self._ledger.end(run, status, ended_by, self._moments.at(event.time), self._inbox.clock())
        if not run.decided:
            score = None if status is Status.FAILED else self._ledger.score(run)
            end = partial(self._scheduler.end, run.number, run.last_step, score)
            self._turns.tell(run.number, end)
        self._feed.end(run)
        if status.ended and self._watch.has_rules:
            self._obey(self._watch.ended(run.snapshot(self._job.folder)))
        self._clerk.mark(run)
        if self._announcer.heard:
            self._announcer.announce(TrialEnded(run.snapshot(self._job.folder)))
        self._judge_start(run)

    def _start_over(self, run: Run, event: Ended) -> None:
        """Let a trial that crashed go on from its checkpoint, without one from its beginning."""
        run.retried += 1
        why = event.failure.message if event.failure else "it failed"
        reason = f"{why}; started again, {run.retried} of {self._ledger.budget.retries}"
        by = EndedBy(kind=EndKind.CRASH if event.how == "died" else EndKind.ERROR, text=reason)
        self._ledger.end(run, Status.PENDING, by, event.time, self._inbox.clock())
        run.why = noted(run.why, f"started again after {why}")
        self._lineup.wait_first(run)
        self._clerk.mark(run)

    def _judge_start(self, run: Run) -> None:
        """End a sweep that cannot work: the metric never comes, or all fails in one way."""
        missing = self._ledger.missing(run) if run.status is Status.COMPLETED else ""
        if missing:
            self._fail(missing_metric(run, missing, self._job))
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
            ended_by = self._ledger.used_up() or EndedBy(kind=EndKind.COMPLETED, text=why)
            self._finish(SweepStatus.COMPLETED, ended_by)

    def _on_extension_failed(self, failure: Failure, who: str) -> None:
        """End because of what a part of the sweep raised, which may be the user's own."""
        if self._status is SweepStatus.STOPPING:  # its end has a reason already
            self.warn("extension-failed", f"{who} failed with {failure.type}: {failure.message}")
        else:
            self._fail(failure, f"{who} failed with ")

    def _fail(self, failure: Failure, prefix: str = "") -> None:
        if self._failure is None:
            self._failure = failure
            text = f"{prefix}{failure.type}: {failure.message}"
            self._finish(SweepStatus.FAILED, EndedBy(kind=EndKind.ERROR, text=text))

    def _finish(self, status: SweepStatus, ended_by: EndedBy, *, drain: bool = False) -> None:
        """Begin to end: nothing more starts, and what runs is asked to stop.

        With `drain` it runs to its end, unless the sweep is ended once more, without.
        """
        if self._status is SweepStatus.STOPPING and (drain or not self._draining):
            return
        self._final = status
        self._status, self._draining = SweepStatus.STOPPING, drain
        self._ended_by, self._reason = replace(ended_by, drained=drain), ended_by.reason
        if not drain:
            self._ending.ask_all(self._reason)
        self._clerk.mark()

    def _set_paused(self, paused: bool) -> None:
        if self._status in (SweepStatus.PAUSED, SweepStatus.RUNNING):
            self._status = SweepStatus.PAUSED if paused else SweepStatus.RUNNING
            self._reason = "paused by you" if paused else ""
            self._clerk.mark()

    def _watch_limits(self) -> None:
        if spent := self._watch.spent():
            drain = self._ledger.budget.at_time_limit == "drain"
            self._finish(SweepStatus.COMPLETED, spent, drain=drain)
        self._obey(self._watch.tick())
        for run in self._ending.pursue():
            self._give_up(run)

    def _give_up(self, run: Run) -> None:
        """Count a trial as over whose end nobody has heard of, though it was killed."""
        slot = -1 if run.slot is None else run.slot
        self._on_ended(Ended(number=run.number, slot=slot, how="killed", time=self._inbox.now()))
        self._lost += 1
        self.warn(
            "trial-not-ended",
            f"trial {run.number} did not end within {KILL_GRACE_SECONDS:g} s of being killed; "
            "its slot is not used any more",
        )
        if self._lost >= self._workers.slots and not self._workers.elastic:
            self._fail(Failure(type="WorkerError", message="no slot is left that ends its trials"))

    # --- writing down

    def _flush(self) -> bool:
        written = self._clerk.flush(
            status=self._status.value,
            reason=self._reason,
            elapsed=self._watch.elapsed,
            failure=self._failure,
            ended_by=self._ended_by,
        )
        self._publish()
        for run in self._clerk.take_settled():
            self._ledger.runs.put_away(run)
        return written

    def _publish(self) -> None:
        elapsed = self._watch.elapsed
        trouble = self._clerk.trouble
        active = self._status in (SweepStatus.RUNNING, SweepStatus.PAUSED)
        self._version += 1
        trials = self._clerk.trials()
        self._snapshot = Snapshot(
            name=self._row.name,
            status=self._status,
            reason=f"{trouble}, trying again" if trouble else self._reason,
            goals=self._ledger.goals,
            step_name=self._job.step_name,
            space=self._timeline.hull,
            trials=trials,
            front=self._trials.best(self._ledger.front),
            elapsed=elapsed,
            budgets=self._ledger.remaining(self._inbox.clock(), elapsed) if active else (),
            trial_limit=self._ledger.budget.trials,
            time_limit=self._ledger.budget.time_limit,
            plan=" · ".join(
                filter(None, (self._row.plan, self._workers.remark, self._timeline.remark))
            ),
            rungs=tuple(self._scheduler.rungs()),
            failure=self._failure,
            warnings=self._warnings.kept,
            ended_by=self._ended_by,
            version=self._version,
            draining=self._draining and self._status is SweepStatus.STOPPING,
        )
