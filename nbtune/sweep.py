"""`Sweep`, the face of it all: builds an engine, answers with results, opens the views."""

import asyncio
import copy
import random
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbtune import pickling
from nbtune.arguments import check_count, check_flag, check_numbers, check_params, finite
from nbtune.callbacks import Every, callbacks_of, check_callback
from nbtune.changes import with_changes
from nbtune.context import alone
from nbtune.curves import curves_of
from nbtune.definition import (
    Definition,
    budget_of,
    goals_of,
    identifier,
    rules_of,
    seed_of,
    setup_of,
    workers_of,
)
from nbtune.editing import edited, edited_space, edits_frame, refixed, store_edit, whole_space
from nbtune.elsewhere import ask_owner, released
from nbtune.engine import Engine, Snapshot, SweepStatus
from nbtune.exceptions import SpecError, SweepError
from nbtune.launching import create_row, engine_of, store_definition
from nbtune.naming import free_name
from nbtune.notebook import cell_title, has_dashboard, is_interactive, notebook_names
from nbtune.objective import Command, Objective, as_objective, check_types
from nbtune.portable import check_state, restore, state_of
from nbtune.progress import ProgressLine, described
from nbtune.replaying import Replay, replay_curves
from nbtune.results import Answers, Results, SnapshotAnswers
from nbtune.schedulers import Explanation, Scheduler
from nbtune.schedulers import build as build_scheduler
from nbtune.searchers import Searcher
from nbtune.searchers import build as build_searcher
from nbtune.shipment import Shipment
from nbtune.space import Space
from nbtune.space.matching import same
from nbtune.standing import Standing, rungs_frame
from nbtune.stopping import StopRule
from nbtune.store import Lock, Store, SweepRow, stamp_of
from nbtune.stored import (
    SnapshotCache,
    StoredAnswers,
    stored_definition,
    stored_history,
    stored_snapshot,
)
from nbtune.trial import Goal, Params, Trial
from nbtune.waiting import (
    WAIT_TICK_SECONDS,
    PausedNotice,
    WaitInterrupted,
    raise_failure,
    wait_for,
)
from nbtune.warm import all_earlier, warn_of_strangers
from nbtune.workers import Simulated, Workers
from nbtune.workers.byhand import ByHand, LoopTrial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Sweep", "WaitInterrupted", "running_here"]

_STOP_SECONDS = 60.0  # trials that do not end when they are asked to are killed after 5

_running: dict[tuple[Path, str], "Sweep"] = {}


class Sweep(Results):
    """One search over a space: its run and its results.

    Nothing runs before `start`. Everything is on disk within a second, so that
    ``nbtune.load(name).resume()`` goes on after whatever ends the process.

    Parameters
    ----------
    objective : callable, Command or Objective
        What is tuned: a function whose annotations that are domains declare the space, or a
        command line; None where `iterate` runs the trials.
    space : Space or dict, optional
        Domains by parameter name, added to the annotations; a command's whole space.
    maximize, minimize : str or list of str
        The metric's name; one of the two. With several names in all there are several objectives:
        `best` is then the Pareto front, and searchers look along it. Schedulers compare the first,
        maximised ones before minimised ones.
    by : {"last", "best"}, default "last"
        Which of the values that a trial reports counts, for the ranking, the searcher, the
        scheduler and the stop rules alike: its last, or the best at any step (of several metrics
        each one's own best), as where the model of the best epoch is the one to keep.
    searcher : str or Searcher, default "bayes"
        Says which params come next.
    scheduler : str or Scheduler, default "fifo"
        Says how long each trial may run.
    step : str, default "epoch"
        What a step is called in ``report(epoch=3, ...)``.
    trials : int, optional
        How many trials to run.
    time_limit, compute_time_limit : float, optional
        Seconds of running, and seconds summed over trials, after which the sweep ends in order.
    at_time_limit : {"stop", "drain"}, default "stop"
        What becomes of the trials that run when one of these two limits is reached: they are asked
        to stop, or run to their end while no other starts.
    trial_time_limit : float, optional
        Seconds after which a trial is asked to stop; 5 s later it is killed.
    trial_max_steps : int, optional
        The most steps of one trial, under any scheduler: it is complete there.
    max_total_steps : int, optional
        Start trials only while fewer steps than this have been reported in all.
    retries : int, default 0
        How often a trial whose process died starts again, from its checkpoint where it has one. Its
        steps are not told twice.
    retry_exceptions : bool, default False
        Start a trial that raised again, too.
    stop_when : StopRule or sequence of StopRule
        Further rules that end the sweep, from `nbtune.stopping`; any of them does.
    workers : int, str, Workers, distributed.Client or cluster object, optional
        Slots on this machine, or where else to run. By default as many as its cores allow: sweeps
        that run at once in this process share them, while a number is kept to. Elsewhere is a Dask
        cluster, by its address (``"tcp://10.0.0.1:8786"``), a client or a cluster object.
    cpus, gpus : float
        What one slot takes; not used when `workers` is an instance of `Workers`.
    memory : int or str, optional
        What a trial may use at most, in bytes or as "2 GB" or "512 MiB"; it fails when it uses
        more. On this machine only, and used as `cpus` is.
    name : str, optional
        Letters, digits, ``_`` and ``-``; by default the function's name, with the next number
        where another sweep has that when this one starts.
    seed : int, optional
        Makes the search repeatable; drawn and stored when not given. With one slot the same seed
        gives the same trials, bit for bit, also when the sweep is interrupted or stopped, and
        resumed. Limits of time, and what a person does meanwhile, are up to the clock.
    deterministic : bool, default False
        Keep that promise on several slots, whichever trial is faster: results are told in the order
        in which trials began, and a suggestion sees those of all trials but the last few, twice the
        slots less one. A slot waits where one trial takes far longer than the others. With the
        schedulers "fifo", "patience" and "sync_hyperband" (there a resume is no such promise); any
        other decides by who is first.
    store : path, optional
        The store's folder; by default ``NBTUNE_STORE``, else ``.nbtune`` in the folder that was the
        working one when nbtune was loaded or first used.
    replace : bool, default False
        Delete a stored sweep of this name first; where it runs, it is stopped and waited for.
    warm_start : Sweep, str, or sequence of these, optional
        Earlier sweeps, or their names in the store, whose results inform the searcher before its
        first suggestion; none of them becomes a trial of this one. They must have optimised this
        sweep's metric in the same direction; their space may be another (`nbtune.space.recast`
        says what becomes of it). Results are told as they are, even if the data has changed.
        Searchers that learn nothing, `Chain` and `Reinforce` make no use of them.
    setup : callable, optional
        Called without arguments once in each worker process, before its trials, for what a
        notebook has set that does not reach them by itself (what does: the default dtype, device
        and precision of torch, the config of scikit-learn, ``numpy.seterr`` and its printing,
        decimal's context, filters of warnings, levels and ``basicConfig`` of logging). What it
        raises each trial raises. On `Inline` workers it is called once, here.
    progress : bool, optional
        Whether a line on stderr says how the sweep stands while `wait` or `run` blocks; by default
        everywhere but in a notebook, which has the dashboard.
    callbacks : sequence of callable or Every
        Called with each event (`TrialStarted`, `TrialReported`, `TrialEnded`, `SweepEnded`) in a
        thread of their own; ``Every(60, function)`` calls a function with the sweep now and then.

    Raises
    ------
    SpaceError, ObjectiveError, SpecError, SweepError
        For bad input, before any worker starts.
    """

    def __init__(
        self,
        objective: Callable[..., Any] | Command | Objective | None,
        space: Space | Mapping[str, Any] | None = None,
        *,
        maximize: str | Sequence[str] | None = None,
        minimize: str | Sequence[str] | None = None,
        by: str = "last",
        searcher: str | Searcher = "bayes",
        scheduler: str | Scheduler = "fifo",
        step: str = "epoch",
        trials: int | None = None,
        time_limit: float | None = None,
        trial_time_limit: float | None = None,
        compute_time_limit: float | None = None,
        at_time_limit: str = "stop",
        max_total_steps: int | None = None,
        trial_max_steps: int | None = None,
        retries: int = 0,
        retry_exceptions: bool = False,
        stop_when: StopRule | Sequence[StopRule] = (),
        workers: int | str | Workers | Any = None,
        cpus: int = 1,
        gpus: float = 0,
        memory: int | str | None = None,
        name: str | None = None,
        seed: int | None = None,
        deterministic: bool = False,
        store: Path | str | None = None,
        replace: bool = False,
        warm_start: "Sweep | str | Sequence[Sweep | str] | None" = None,
        setup: Callable[[], object] | None = None,
        progress: bool | None = None,
        callbacks: Sequence[Callable[[Any], None] | Every] = (),
    ) -> None:
        if progress is not None:
            check_flag("sweep", "Sweep", "progress", progress)
        objective = as_objective(objective, space, title=cell_title)
        self._store = Store(store)
        goals = goals_of(maximize, minimize, by)
        self._definition = Definition(
            space=objective.space,
            goals=goals,
            searcher=build_searcher(searcher),
            scheduler=build_scheduler(scheduler),
            workers=workers_of(workers, cpus=cpus, gpus=gpus, memory=memory),
            budget=budget_of(
                trials=trials,
                time_limit=time_limit,
                trial_time_limit=trial_time_limit,
                compute_time_limit=compute_time_limit,
                at_time_limit=at_time_limit,
                max_total_steps=max_total_steps,
                trial_max_steps=trial_max_steps,
                retries=retries,
                retry_exceptions=retry_exceptions,
            ),
            stop_when=rules_of(stop_when),
            step=identifier(step, "step"),
            seed=random.SystemRandom().randrange(2**31) if seed is None else seed_of(seed),
            max_t=objective.max_t,
            objective_name=objective.name,
            source=objective.source,
            deterministic=deterministic,
            earlier=all_earlier(warm_start, goals, self._named),
            setup=setup_of(setup),
        )
        self._definition.check()
        callbacks = callbacks_of(callbacks)
        check_flag("sweep", "Sweep", "replace", replace)
        warn_of_strangers(self._definition.earlier, self.space)
        self._name = free_name(self._store, name, default=objective.name, replace=replace)
        self._shipment = Shipment(self._store, self._name, objective.call)
        self._named_by_default = name is None
        self._replace, self._progress = replace, progress
        self._row: SweepRow | None = None
        self._queued: list[Params] = []
        self._callbacks: list[Callable[[Any], None]] = []
        self._init_runtime()
        for callback in callbacks:
            self.subscribe(callback)

    def _named(self, name: str) -> "Sweep":
        return running_here(self._store, name) or Sweep.stored(self._store, self._store.sweep(name))

    _engine: Engine | None = None
    _defined: Definition

    def _init_runtime(self) -> None:
        self._waiting_calls: list[Callable[[], None]] = []
        self._stored = SnapshotCache(self._store)
        self._stamp: tuple[int, int] | None = None  # of the lock, when the engine had it
        self._reading = threading.RLock()  # for what is known of the stored row
        self._listening = threading.Lock()  # for the callbacks
        self._selected: list[int] | None = None
        self._standing = Standing()
        self._guard = threading.RLock()

    @classmethod
    def stored(cls, store: Store, row: SweepRow) -> "Sweep":
        """Return the sweep that stands in a store; `nbtune.load` finds it by name."""
        sweep = cls.__new__(cls)
        sweep._definition = stored_definition(store, row)
        sweep._store, sweep._row, sweep._name = store, row, row.name
        sweep._shipment = Shipment(store, row.name)
        sweep._queued, sweep._callbacks = [], []
        sweep._replace = sweep._named_by_default = False
        sweep._progress = None
        sweep._init_runtime()
        return sweep

    # --- running

    def start(self) -> "Sweep":
        """Begin, and return at once.

        Raises
        ------
        ObjectiveError
            When something that the objective uses cannot be sent to a worker.
        SweepError
            When it has been started already; `resume` goes on with one that ended.
        StoreError
            When the store cannot be written.
        """
        with self._guard:
            self._start()
        return self

    def _start(self, workers: Workers | None = None) -> None:
        if self._row is not None:
            raise SweepError(
                f"sweep {self._name!r} was started already and is {self.status}. "
                "Use .resume() to go on."
            )
        self._row, lock = self._create()
        with _given_back(lock):
            self._launch(self._row, lock, history=[], workers=workers)

    def _create(self) -> tuple[SweepRow, Lock]:
        """Enter the sweep; a default name that was taken meanwhile gets the next number."""
        if self._replace:
            _end_running(self._store, self._name)
        while True:
            try:
                return create_row(
                    self._store,
                    self._name,
                    self._definition,
                    self._shipment,
                    replace_old=self._replace,
                )
            except SweepError:
                taken, default = self._name, self._definition.objective_name
                if self._named_by_default:
                    self._name = free_name(self._store, None, default=default, replace=False)
                if self._name == taken:
                    raise
            self._shipment = Shipment(self._store, self._name, self._shipment.loaded)

    def _launch(
        self,
        row: SweepRow,
        lock: Lock,
        *,
        history: list[tuple[Trial, str]],
        workers: Workers | None,
    ) -> None:
        key = _key(self._store, self._name)
        engine = engine_of(
            self._store,
            row,
            self._definition,
            self._shipment,
            history=history,
            lock=lock,
            workers=workers,
            at_end=lambda: _running.pop(key, None),
        )
        self._stamp = lock.stamp
        with self._listening:
            for callback in self._callbacks:
                engine.subscribe(callback)
            self._engine, _running[key] = engine, self
        for params in self._queued:
            engine.enqueue(params)
        self._queued = []
        engine.start()

    def run(self) -> "Sweep":
        """Start and wait for the end."""
        self.start()
        self.wait()
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the sweep ends; interrupting the wait leaves the sweep running.

        Where the sweep is paused meanwhile, it says so, and how to go on.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Returns
        -------
        bool
            True when the sweep has ended, False when the time ran out first.

        Raises
        ------
        TrialError, SweepError
            When the sweep failed: no trial could run, or the metric was never reported.
        WaitInterrupted
            A KeyboardInterrupt that says how to stop the sweep.
        """
        if timeout is not None and (finite(timeout) is None or timeout < 0):
            raise SpecError(
                f"timeout={timeout!r}: give a number of seconds from 0, or leave it out",
                "timeout",
            )
        with self._progress_shown() as show:
            return self._wait(timeout, PausedNotice(self._name), show)

    @contextmanager
    def _progress_shown(self) -> Iterator[Callable[[Snapshot], None]]:
        """Give what shows how the sweep stands; at the end it makes room for what comes next."""
        line = ProgressLine()
        shows = not has_dashboard() if self._progress is None else self._progress
        try:
            yield line.show if shows else lambda _: None
        finally:
            line.leave()

    def _wait(
        self, timeout: float | None, notice: PausedNotice, show: Callable[[Snapshot], None]
    ) -> bool:
        if self._row is None:
            raise SweepError(f"sweep {self._name!r} has not been started: call .start() first")
        engine = self._own_engine()

        def tick() -> None:
            notice.look(self._told_status())
            if engine is not None:  # of another process's sweep the trials would have to be read
                show(engine.snapshot)
            self._call_waiting()

        def is_over(seconds: float) -> bool:
            return released(self._store, self._name, seconds)

        done = is_over if engine is None else engine.done.wait
        goes_on = engine is None or is_interactive()
        if not wait_for(done, timeout, name=self._name, tick=tick, goes_on=goes_on):
            return False
        self._stored.forget()
        if engine is not None:
            show(self.snapshot())
        self._call_waiting()
        snapshot = self.snapshot()
        raise_failure(snapshot)
        if snapshot.status is SweepStatus.INTERRUPTED:
            raise SweepError(
                f"sweep {self._name!r} was interrupted, so that it will not end: {snapshot.reason}"
            )
        return True

    def _told_status(self) -> SweepStatus:
        """Return where the sweep stands, without reading its trials."""
        if (engine := self._engine) is not None:
            return engine.snapshot.status
        assert self._row is not None
        return SweepStatus(self._store.status(self._row.id) or SweepStatus.PENDING)

    def __await__(self) -> Generator[Any, None, "Sweep"]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> "Sweep":
        notice = PausedNotice(self._name)
        with self._progress_shown() as show:
            while not self._wait(0, notice, show):
                await asyncio.sleep(WAIT_TICK_SECONDS)
        return self

    def while_waiting(self, callback: Callable[[], None]) -> None:
        """Call `callback` in the waiting thread at each tick of `wait`, and once at its end."""
        check_callback("callback", callback)
        self._waiting_calls.append(callback)

    def _call_waiting(self) -> None:
        for callback in self._waiting_calls:
            callback()

    def stop(self, *, drain: bool = False) -> None:
        """End the sweep: trials are asked to stop, and killed when they do not within 5 s.

        Parameters
        ----------
        drain : bool, default False
            Start no more trials, and let those that run go on to their own end; `stop` without it
            then still ends them.
        """
        drain = check_flag("stop", "stop", "drain", drain)
        self._order("stop", lambda engine: engine.stop(drain=drain), drain=drain)

    def pause(self) -> None:
        """Start no more trials; those running go on to their end."""
        self._order("pause", Engine.pause)

    def kill(self, trial: int | Trial | LoopTrial) -> None:
        """End one running trial now, with its child processes; the sweep goes on."""
        # A loop has its trial a moment before the snapshot that is counted here shows it.
        number = trial.number if isinstance(trial, LoopTrial) else self._number_of(trial)
        self._order("kill", lambda engine: engine.kill(number), trial=number)

    def resume(
        self,
        *,
        objective: Callable[..., Any] | Command | Objective | None = None,
        trials: int | None = None,
        time_limit: float | None = None,
        trial_time_limit: float | None = None,
        compute_time_limit: float | None = None,
        at_time_limit: str | None = None,
        max_total_steps: int | None = None,
        retries: int | None = None,
        retry_exceptions: bool | None = None,
        stop_when: StopRule | Sequence[StopRule] | None = None,
        workers: int | str | Workers | Any = None,
        cpus: int | None = None,
        gpus: float | None = None,
        memory: int | str | None = None,
        searcher: str | Searcher | None = None,
        **kept: Any,
    ) -> "Sweep":
        """Go on: after `pause`, after an end, or after the process died; returns at once.

        Finished trials are kept, trials that were running when it ended or was stopped start
        again, the searcher continues from all that was observed.

        Parameters
        ----------
        objective : callable, Command or Objective, optional
            New code for the remaining trials; its space must be the same.
        trials, time_limit, compute_time_limit, max_total_steps
            New budgets in all, earlier runs included.
        trial_time_limit, at_time_limit, retries, retry_exceptions, stop_when
            As `Sweep` takes them, from now on.
        workers, cpus, gpus, memory
            Where to run from now on.
        searcher : str or Searcher, optional
            Another searcher, which is told of all trials so far; not one that walks a list.
        **kept
            Whatever else `Sweep` takes, such as ``scheduler`` and ``seed``: the same as at the
            start, or it is refused by name.

        Raises
        ------
        SpecError
            When something is given that cannot change.
        SweepError
            When something is given and the sweep runs, here or in another process.
        """
        given = {
            "trials": trials,
            "time_limit": time_limit,
            "trial_time_limit": trial_time_limit,
            "compute_time_limit": compute_time_limit,
            "at_time_limit": at_time_limit,
            "max_total_steps": max_total_steps,
            "retries": retries,
            "retry_exceptions": retry_exceptions,
            "stop_when": stop_when,
            "workers": workers,
            "cpus": cpus,
            "gpus": gpus,
            "memory": memory,
            "searcher": searcher,
            **kept,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        with self._guard:
            self.settle()
            if self.running_here:
                if objective is not None or changes:
                    raise SweepError(f"sweep {self._name!r} is running: stop it before changing it")
                self._order("resume", Engine.unpause)
                return self
            if self._row is None:
                self._definition = with_changes(self._definition, changes, name=self._name)
                return self.start()
            if objective is None and not changes and self._ask("resume"):
                return self
            with self._owned_here() as lock:
                self._shipment.forget()
                self._redefine(objective, changes)
                self._go_on(lock)
        return self

    @contextmanager
    def _owned_here(self) -> Iterator[Lock]:
        """Own the stored sweep, as it stands now: from the first change until the engine's end."""
        with _given_back(Lock(self.path / "lock")) as lock:
            self._refresh()
            yield lock

    def _go_on(self, lock: Lock, workers: Workers | None = None) -> None:
        row = self._refresh()
        history = stored_history(self._store, row, self._definition)
        self._launch(row, lock, history=history, workers=workers)

    def iterate(self) -> Iterator[LoopTrial]:
        """Yield each trial for the caller to run here, in the body of a loop.

        As in ``for trial in sweep.iterate(): trial.report(loss=f(**trial.params))``. The searcher,
        the scheduler, the budget and the store are the sweep's own; its workers and its objective
        are not used, so that ``Sweep(None, space, ...)`` is enough. A trial is over when the loop
        asks for the next one. Leaving the loop stops the sweep and the trial in hand; iterating
        again goes on, with that trial first. Nothing begins before the first trial is asked for.

        Yields
        ------
        LoopTrial
            With ``number``, ``params``, ``dir`` and ``seed``; ``report(...)``, which returns
            whether the trial should go on; ``fail(error)``.

        Raises
        ------
        SweepError, TrialError
            When the sweep runs already, or, at the end of the loop, when it has failed.
        """
        hand = ByHand()
        with self._guard:
            if self.running_here:
                raise SweepError(f"sweep {self._name!r} is running: stop it before iterating")
            if self._row is None:
                self._start(hand)
            else:
                with self._owned_here() as lock:
                    self._shipment.forget()
                    self._go_on(lock, hand)
            engine = self._engine
        if engine is None:
            raise SweepError(f"sweep {self._name!r} did not begin")
        trials = hand.trials()
        try:
            for trial in trials:  # noqa: UP028 - the sweep is to stop before the trial does
                yield trial
        finally:
            engine.stop("its loop was left")  # falls on deaf ears where it is over
            trials.close()
            engine.done.wait()
        raise_failure(self.snapshot())

    def _redefine(
        self,
        objective: Callable[..., Any] | Command | Objective | None,
        changes: Mapping[str, Any],
    ) -> None:
        definition = with_changes(self._definition, changes, name=self._name)
        if objective is not None:
            space = self.space if isinstance(objective, Command) else None
            objective = as_objective(objective, space, title=cell_title)
            definition = definition.recoded(objective, name=self._name)
            self._shipment.write(objective.call)
            self._store.clear_data()
        if definition is not self._definition and self._row is not None:
            self._definition = definition
            store_definition(self._store, self._row, definition)
            self._row = self._store.sweep(self._name)

    def enqueue(self, params: Params) -> None:
        """Try these params before the next suggestion; those left out take their defaults.

        A sweep that does not run keeps them, and tries them first when it goes on.
        """
        check_params("enqueue", params)
        with self._guard:
            if self._row is None:
                space = self.space
                self._queued.append(space.validate({**space.defaults, **params}))
                return
        engine = self._own_engine()
        if engine is None:
            self._refresh()
        space, edits = self.space, len(self._definition.edits)
        checked = space.validate({**space.defaults, **params})
        if engine is None or not engine.enqueue(checked):
            self._ask("enqueue", keep=True, space=edits, params=space.to_json(checked))

    def edit(self, /, **changes: Any) -> "Sweep":
        """Search other values of some params from now on: wider, narrower, or a fixed one.

        As in ``sweep.edit(lr=Real(1e-5, 1, log=True), width=64)``. Trials so far stay as they are,
        those that run or wait go on; the searcher is set up anew and told of all that it can use
        (`nbtune.space.recast`), suggestions that are not yet trials are dropped. A sweep that does
        not run goes on in the new space when it is resumed.

        Parameters
        ----------
        **changes
            A domain by the name of its param, or a plain value that fixes it. A domain without a
            written default keeps the old one where that is inside. A name that is new must be a
            parameter of the function that is tuned.

        Raises
        ------
        SpaceError, ObjectiveError
            When a name is no param of the objective, or the searcher cannot walk the space.
        SweepError
            When another process is running the sweep, or its searcher keeps to its space.
        """
        with self._guard:
            self._go_on_in(edited_space(self.space, changes, lambda: self._shipment.call))
        return self

    def _go_on_in(self, space: Space) -> None:
        if self._row is not None and self._own_engine() is None:
            self._refresh()
        if space == self.space:
            return
        check_types(self._shipment.loaded, space)
        if self._row is None:
            definition = replace(self._definition, space=space)
            definition.check()
            for params in self._queued:
                space.validate(params)
            self._definition = definition
            return
        made = edited(self._definition, space, trial=0)  # refuses what cannot be
        if self.running_here:
            searcher = made.setup_searcher()
            if self._engine is not None and self._engine.edit(space, searcher):
                return
            self._wait_for_engine()
        if not self._ask("edit", blob=pickling.dumps(space)):
            stored = store_edit(self._store, self._refresh(), self._definition, space)
            self._engine, self._definition = None, stored
        self._stored.forget()

    @property
    def edits(self) -> "pd.DataFrame":
        """The changes of the space since the first trial, one row a param that changed.

        Columns: ``time`` (UTC), ``trial`` (the first one after the change), ``param``, ``before``,
        ``after``.
        """
        self.snapshot()  # another process may be running it
        return edits_frame(self._definition.timeline)

    def subscribe(self, callback: Callable[[Any], None] | Every) -> None:
        """Call `callback` with each event from now on, in a thread of its own."""
        check_callback("callback", callback)
        if isinstance(callback, Every):
            callback = callback.of(self)
        with self._listening:
            self._callbacks.append(callback)
            if self._engine is not None:
                self._engine.subscribe(callback)

    @property
    def running_here(self) -> bool:
        """Whether this process is running the sweep now."""
        engine = self._engine
        return engine is not None and not engine.done.is_set()

    def _own_engine(self) -> Engine | None:
        """Return this process's engine; None without one, or once another process went on."""
        engine = self._engine
        if engine is None or self._row is None or not engine.done.is_set():
            return engine
        stamp = stamp_of(self.path / "lock")
        if stamp in (None, self._stamp):  # removed, or not taken since
            return engine
        with self._reading:
            row = self._store.find(self._name)
            if row is None or row.created != self._row.created:
                self._stamp = stamp  # another sweep has the name: this one stays as it was
            elif self._engine is engine:
                self._engine = None
                self._stored.forget()
        return self._engine

    def settle(self) -> None:
        """Wait for the end of a sweep that is stopping here, which takes a few seconds."""
        engine = self._engine
        if engine is not None and engine.snapshot.status is SweepStatus.STOPPING:
            engine.done.wait()

    def _wait_for_engine(self) -> None:
        """Wait until this process has given the sweep back."""
        if self._engine is not None:
            self._engine.done.wait()

    def _order(self, verb: str, act: Callable[[Engine], object], **argument: Any) -> None:
        """Have whoever runs the sweep do something; nothing where it has just ended here."""
        engine = self._own_engine()
        if engine is not None:
            act(engine)
        elif not self._ask(verb, **argument):
            raise SweepError(
                f"cannot {verb} sweep {self._name!r}: it is {self.status}, not running."
            )

    def _ask(
        self, verb: str, *, blob: bytes | None = None, keep: bool = False, **argument: Any
    ) -> bool:
        """Have the process that runs the sweep do something; return whether there is one."""
        if self._row is None or self.running_here:
            return False
        asked = ask_owner(self._store, self._row, verb, argument, blob, keep=keep)
        self._stored.forget()
        return asked

    # --- what it knows

    @property
    def name(self) -> str:
        """The sweep's name, unique in its store."""
        return self._name

    @property
    def space(self) -> Space:
        """What is searched; what is assigned here is searched from now on, as `edit` says.

        A param that is left out is fixed at its default.
        """
        return self._definition.timeline.now

    @space.setter
    def space(self, space: Space | Mapping[str, Any]) -> None:
        with self._guard:
            self._go_on_in(whole_space(self.space, space, lambda: self._shipment.call))

    @property
    def path(self) -> Path:
        """The sweep's folder in the store."""
        return self._store.folder(self._name)

    @property
    def source(self) -> str:
        """The objective's source code."""
        return self._definition.source

    @property
    def goals(self) -> tuple[Goal, ...]:
        """Each objective, its metric and its direction; first what is maximised."""
        return self._definition.goals

    def snapshot(self) -> Snapshot:
        """Return the sweep as it stands, immutable and cheap; what views read."""
        if (engine := self._own_engine()) is not None:
            snapshot = engine.snapshot
            if trouble := self._shipment.trouble:
                snapshot = replace(
                    snapshot, reason="; ".join(filter(None, (snapshot.reason, trouble)))
                )
            return snapshot
        return self._stored.get(self._read)

    def _answers(self) -> Answers:
        if self._own_engine() is None and self._row is not None:
            return StoredAnswers(self._store, self._refresh(), self._definition)
        return SnapshotAnswers(self.snapshot())

    def _read(self) -> Snapshot:
        if self._row is not None:
            self._refresh()
        return stored_snapshot(self._store, self._name, self._row, self._definition)

    def _refresh(self) -> SweepRow:
        """Read what another process may have written since; return the sweep's row."""
        with self._reading:
            before, row = self._row, self._store.sweep(self._name)
            changed = before is None or row.definition != before.definition
            if changed or len(self._store.edits(row.id)) != len(self._definition.edits):
                self._definition = stored_definition(self._store, row)
            self._row = row
        return row

    @property
    def _definition(self) -> Definition:
        """What the sweep is made of, with the edits made so far, also those from elsewhere."""
        if (engine := self._engine) is not None and engine.edits is not self._defined.edits:
            self._defined = replace(self._defined, edits=engine.edits)
        return self._defined

    @_definition.setter
    def _definition(self, definition: Definition) -> None:
        self._defined = definition

    # --- elsewhere

    def state_dict(self) -> dict[str, Any]:
        """Return all that goes on from this sweep elsewhere, as plain values and bytes.

        The definition, the objective with its data, every trial with its reports, and the
        checkpoints of trials that have not ended; not what trials printed. `from_state_dict` takes
        it, also from a file: ``pickle.dump(sweep.state_dict(), file)``.

        Raises
        ------
        SweepError
            When the sweep has not been started.
        """
        if self._row is None:
            raise SweepError(f"sweep {self._name!r} has not been started: there is nothing to save")
        return state_of(self._store, self._store.sweep(self._name), self._shipment.payload)

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, Any],
        *,
        name: str | None = None,
        store: Path | str | None = None,
        replace: bool = False,
    ) -> "Sweep":
        """Put a sweep that `state_dict` returned into a store; ``resume()`` goes on with it.

        It holds pickled code: take it only from where you would run code.

        Parameters
        ----------
        state : dict
        name : str, optional
            By default the name that it had.
        store : path, optional
            The store's folder; by default ``NBTUNE_STORE``, else ``.nbtune``.
        replace : bool, default False
            Delete a stored sweep of this name first.

        Raises
        ------
        SpecError
            When `state` is something else.
        SweepError
            When the store has a sweep of that name.
        """
        home = Store(store)
        check_state(state)
        check_flag("sweep", "from_state_dict", "replace", replace)
        wanted = state["name"] if name is None else name
        chosen = free_name(home, wanted, default="", replace=replace)
        if replace and home.find(chosen) is not None:
            _end_running(home, chosen)
            home.delete(chosen)
        row = restore(state, home, chosen)
        try:
            return cls.stored(home, row)
        except BaseException:
            home.delete(chosen)
            raise

    # --- what follows

    def rungs(self) -> "pd.DataFrame":
        """Return one row a rung: ``bracket``, ``level``, ``trials``, ``passed``, ``cutoff``.

        ``cutoff`` is the score that a trial needs to go on, higher is better whatever the sweep's
        direction; NaN while none can be judged.
        """
        return rungs_frame(self._told())

    def explain(self, trial: int | Trial) -> Explanation | None:
        """Return how a trial stood when it was last compared with others, None if it never was.

        Its rung, its rank among how many, its score and the cutoff that it had to reach.
        """
        return self._told().explain(self._number_of(trial))

    def _told(self) -> Scheduler:
        """Return a scheduler that has been told what the sweep's own was."""
        return self._standing.after(self.snapshot().trials, self._definition)

    @property
    def selected(self) -> "pd.DataFrame":
        """The trials brushed in the dashboard, as in ``trials``; all of them without a brush."""
        trials = self.snapshot().trials
        numbers = range(len(trials)) if self._selected is None else self._selected
        return self.trials.loc[[number for number in numbers if number < len(trials)]]

    @selected.setter
    def selected(self, numbers: Sequence[int] | None) -> None:
        if numbers is None:
            self._selected = None
            return
        chosen, count = check_numbers("selected", numbers), len(self.snapshot().trials)
        if chosen and chosen[-1] >= count:
            raise SpecError(f"selected={numbers!r}: give numbers below {count}", "selected")
        self._selected = chosen

    def rerun(self, params: Params | None = None, **changes: Any) -> Any:
        """Run the objective here, once, outside the search; reports are shown, not stored.

        A param that was fixed in the search may have another value here, as in
        ``sweep.rerun(epochs=50)``: the best params, with more epochs.

        Parameters
        ----------
        params : dict, optional
            By default the best, of which there must be one: with several objectives say which, as
            in ``sweep.rerun(sweep.best[0].params)``. Those left out take their defaults. A dict
            that names only what was not searched changes the best params.
        **changes
            Other values of single params, by name.

        Returns
        -------
        object
            What the objective returns.
        """
        chosen = self._chosen(params, changes)
        with alone(chosen):
            return self._shipment.call(chosen)

    def _chosen(self, params: Params | None, changes: Mapping[str, Any] | None = None) -> Params:
        """Return these params, checked and completed, or those of the one best trial."""
        if params is not None:
            check_params("params", params)
        known = self.snapshot().space  # a trial may be of a space that was edited since
        given = {**(params or {}), **(changes or {})}
        space = refixed(known, given, lambda: self._shipment.call)
        names_searched = any(name in known and known[name].size != 1 for name in params or {})
        from_defaults = names_searched or params == {}
        base = self.space.defaults if from_defaults else self._best().params
        # What a tuner has tried may be none of the values that are listed: it can be run again.
        tried = (trial.params for trial in self.snapshot().trials)
        strict = params is not None and not any(same(params, each) for each in tried)
        if not strict and changes:
            space.validate({**space.defaults, **changes})
        return space.validate({**base, **given}, strict=strict)

    def apply(
        self, namespace: dict[str, Any] | None = None, *, params: Params | None = None
    ) -> Params:
        """Put the best params into the notebook's namespace, or `namespace`; return them.

        Parameters
        ----------
        namespace : dict, optional
        params : dict, optional
            Others than the best. With several objectives they must be given, as in
            ``sweep.apply(params=sweep.best[0].params)``; those left out take their defaults.
        """
        params = self._chosen(params)
        if not isinstance(namespace, MutableMapping | None):
            raise SpecError(f"namespace={namespace!r}: give a dict, such as globals()", "namespace")
        (notebook_names() if namespace is None else namespace).update(params)
        return params

    def replay(
        self, *, scheduler: str | Scheduler = "hyperband", workers: int | None = None
    ) -> Replay:
        """Run this sweep's curves again under another scheduler, on a virtual clock.

        It answers "what would Hyperband have saved?": the trials are the same and come in the same
        order, each reports what it reported, as fast as it did; a sweep of which every trial ran
        to its end (FIFO) has the most to tell.

        Parameters
        ----------
        scheduler : str or Scheduler
            What decides this time.
        workers : int, optional
            How many slots; by default as many as the sweep has.

        Returns
        -------
        Replay
            Its ``seconds``, the share ``saved``, ``steps`` and ``best``, and its ``snapshot``.
        """
        definition = self._definition
        if workers is not None:
            check_count("workers", workers, Simulated.most_slots)
        return replay_curves(
            curves_of(self.snapshot().trials, self.goal.metric),
            goals=definition.goals,
            scheduler=copy.deepcopy(build_scheduler(scheduler)),
            slots=definition.workers.slots if workers is None else workers,
            step_name=definition.step,
            seed=definition.seed,
        )

    def dashboard(self) -> Any:
        """Show the live dashboard, or the result of a sweep that has ended."""
        from nbtune.widgets import show  # noqa: PLC0415 - the one door upward

        return show(self)

    @property
    def plot(self) -> Any:
        """Plotly figures: ``sweep.plot.curves()``, ``.parallel()``, ``.pareto()``."""
        from nbtune.plots import Plots  # noqa: PLC0415 - plotly is heavy

        return Plots(self.snapshot)

    def __repr__(self) -> str:
        return f"<Sweep {self._name!r}: {described(self._answers())}>"


@contextmanager
def _given_back(lock: Lock) -> Iterator[Lock]:
    """Give a lock back where what follows fails; else an engine has it now."""
    try:
        yield lock
    except BaseException:
        lock.close()
        raise


def _end_running(store: Store, name: str) -> None:
    """Stop the sweep that has a name, whichever process runs it, and wait for its end."""
    here = running_here(store, name)
    if here is not None:
        here.stop()
        here._wait_for_engine()
        return
    row = store.find(name)
    asked = row is not None and ask_owner(store, row, "stop", {})
    if asked and not released(store, name, _STOP_SECONDS):
        raise SweepError(
            f"sweep {name!r} runs in another process, which has been stopping it for "
            f"{_STOP_SECONDS:g} s. Wait for its end, or pick another name."
        )


def running_here(store: Store, name: str) -> Sweep | None:
    """Return the sweep of that name if this process is running it."""
    return _running.get(_key(store, name))


def _key(store: Store, name: str) -> tuple[Path, str]:
    return store.path.resolve(), name  # the same by whichever link it is reached
