"""Runs recorded curves again, on a virtual clock, under another scheduler or number of slots."""

import copy
import heapq
import tempfile
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbtune.arguments import check_count
from nbtune.curves import Curve, curves_from
from nbtune.definition import goals_of, identifier, seed_of
from nbtune.engine import Budget, Engine, Snapshot
from nbtune.exceptions import SpecError, SweepError
from nbtune.results import best_value
from nbtune.schedulers import Scheduler
from nbtune.schedulers import build as build_scheduler
from nbtune.searchers import Searcher
from nbtune.space import Int, Space
from nbtune.store import Store
from nbtune.trial import Goal, Params
from nbtune.workers import Simulated
from nbtune.workers.base import Assignment, Job
from nbtune.workers.outcome import Outcome

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["Replay", "replay", "replay_curves"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a replay came to; ``snapshot`` is its sweep, trial n of it is the n-th curve.

    ``seconds`` is the virtual time that it took, and ``saved`` the share of time that it saved
    against running every curve to its end, in the same order on as many slots: 0.8 says that it
    took a fifth. ``steps`` is what its trials reported in all, and ``best`` the best value that
    it found, None when it found none; with several objectives the values on its front.
    """

    scheduler: str
    slots: int
    seconds: float
    saved: float
    steps: int
    best: float | list[dict[str, float]] | None
    snapshot: Snapshot = field(repr=False)


def replay(
    table: "pd.DataFrame | Mapping[Any, Sequence[float]] | np.ndarray",
    *,
    maximize: str | None = None,
    minimize: str | None = None,
    by: str = "last",
    scheduler: str | Scheduler = "hyperband",
    workers: int = 1,
    seconds: Any = None,
    step: str = "epoch",
    seed: int = 0,
) -> Replay:
    """Run a table of learning curves under a scheduler, on a virtual clock.

    It answers what a scheduler would have made of curves that are there already, in the time that
    it takes to read them: which it had stopped, how much time that had saved, and whether the
    best would still have been found. Curves start in the order of the table.

    Parameters
    ----------
    table : DataFrame, mapping or array
        - A DataFrame with one row a report, as ``sweep.reports``: the columns ``trial``, ``step``
          (whole numbers from 1) and the metric's; ``seconds``, what the step cost, or ``time``,
          when it was reported (seconds or dates), if there. A row whose metric is NaN while
          another metric is a number is a report without it; any other NaN ranks last.
        - A mapping from trials to their values, one a step from 1.
        - A NumPy array, shape (n_trials, n_steps), with NaN after the end of a shorter curve.
    maximize, minimize : str
        The metric's name, exactly one of the two; for a mapping or an array any name.
    by : {"last", "best"}, default "last"
        Whether a curve is ranked by its last value or by the best at any step.
    scheduler : str or Scheduler, default "hyperband"
        What decides.
    workers : int >= 1, default 1
        How many trials run at once.
    seconds : float >= 0 or array, optional
        What a step costs: one number, or one for each of the table's values (rows of the
        DataFrame, a mapping of sequences, an array of the table's shape). By default what the
        DataFrame says, else 1.
    step : str, default "epoch"
        What a step is called in the scheduler's words.
    seed : int >= 0, default 0
        For a scheduler that draws.

    Returns
    -------
    Replay
        Its ``seconds``, the share ``saved``, ``steps`` and ``best``, and its ``snapshot``.

    Raises
    ------
    SpecError
        When an argument is wrong, or the table has another form or values than these.
    SweepError
        When the scheduler can make nothing of the curves, because they skip its rungs, say.
    """
    goal, *others = goals_of(maximize, minimize, by)
    if others:
        raise SpecError(
            f"maximize={maximize!r}, minimize={minimize!r}: a table is replayed for one metric, "
            "give one name",
            "maximize" if maximize is not None else "minimize",
        )
    check_count("workers", workers, Simulated.most_slots)
    return replay_curves(
        curves_from(table, metric=goal.metric, seconds=seconds),
        goals=[goal],
        scheduler=copy.deepcopy(build_scheduler(scheduler)),
        slots=workers,
        step_name=identifier(step, "step"),
        seed=seed_of(seed),
    )


def replay_curves(
    curves: Sequence[Curve],
    *,
    goals: Sequence[Goal],
    scheduler: Scheduler,
    slots: int,
    step_name: str = "epoch",
    seed: int = 0,
) -> Replay:
    """Run `curves` in their order, as trials whose reports come as they came then.

    Parameters
    ----------
    curves : sequence of Curve
        At least one.
    goals : sequence of Goal
        What is optimised; the scheduler compares the first.
    scheduler : Scheduler
        Not set up yet.
    slots : int >= 1
        How many run at once.

    Raises
    ------
    SweepError
        When there are no curves, or the replay fails.
    """
    if not curves:
        raise SweepError("there is nothing to replay: no trial has reported anything yet")
    space = Space({"curve": Int(0, max(1, len(curves) - 1))})
    searcher = _InOrder(len(curves))
    searcher.setup(space, seed=seed)
    longest = max(curve.steps[-1] for curve in curves)
    scheduler.setup(seed=seed, step_name=step_name, max_t=longest)

    with tempfile.TemporaryDirectory(prefix="nbtune-replay-") as folder:
        store = Store(folder)
        row = store.create(
            "replay",
            goals=goals,
            step_name=step_name,
            plan=repr(scheduler),
            source="",
            seed=seed,
            definition=b"",
        )
        engine = Engine(
            store=store,
            row=row,
            job=Job(
                call=_nothing,
                payload=None,
                step_name=step_name,
                result_metric=goals[0].metric,
                folder=Path(folder) / "replay",
                seed=seed,
            ),
            space=space,
            goals=goals,
            searcher=searcher,
            scheduler=scheduler,
            workers=_Recorded(slots, curves),
            budget=Budget(),
        )
        engine.start()
        engine.done.wait()
        snapshot = engine.snapshot
    if snapshot.failure is not None:
        raise SweepError(f"the curves cannot be replayed: {snapshot.reason}")
    whole = _seconds_to_the_end(curves, slots)
    return Replay(
        scheduler=repr(scheduler),
        slots=slots,
        seconds=snapshot.elapsed,
        saved=1 - snapshot.elapsed / whole if whole else 0.0,
        steps=sum(trial.steps for trial in snapshot.trials),
        best=best_value(snapshot),
        snapshot=snapshot,
    )


def _seconds_to_the_end(curves: Iterable[Curve], slots: int) -> float:
    """Return the time that all curves take, each on the slot that is free first."""
    free_at = [0.0] * slots
    for curve in curves:
        now = free_at[0]
        for seconds in curve.seconds:  # added one by one, as the virtual clock does
            now += seconds
        heapq.heapreplace(free_at, now)
    return max(free_at)


class _InOrder(Searcher):
    """Suggests one curve after the other."""

    starts_with_defaults = False
    finite = True
    quick = True
    learns = False

    def __init__(self, count: int) -> None:
        self._count = count

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return the curve of this number."""
        return {"curve": number} if number < self._count else None

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Learn nothing."""

    def size(self) -> int:
        """Return the number of curves."""
        return self._count


class _Recorded(Simulated):
    """Delivers curves as they are, where `Simulated` would run an objective that reports them."""

    def __init__(self, slots: int, curves: Sequence[Curve]) -> None:
        super().__init__(slots, seconds=self._elapsed)
        self._curves = curves
        self._costs = [dict(zip(curve.steps, curve.seconds, strict=True)) for curve in curves]

    def _elapsed(self, params: Params, step: int) -> float:
        """Return the seconds to `step`, 0 for the end after the last one."""
        return self._costs[params["curve"]].get(step, 0.0)

    def _course(
        self, assignment: Assignment, job: Job
    ) -> tuple[deque[tuple[int, Mapping[str, float]]], Outcome]:
        curve = self._curves[assignment.params["curve"]]
        known = bisect_right(curve.steps, assignment.known_until)
        reports = zip(curve.steps[known:], curve.metrics[known:], strict=True)
        return deque(reports), Outcome(how="returned")


def _nothing(params: Params) -> None:
    """Stand for an objective: nobody calls it."""
