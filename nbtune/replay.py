"""Runs recorded curves again, on a virtual clock, under another scheduler or number of slots."""

import itertools
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nbtune.context import report
from nbtune.engine import Budget, Engine, Snapshot
from nbtune.exceptions import SweepError
from nbtune.results import best_value
from nbtune.schedulers import Scheduler
from nbtune.searchers import Points
from nbtune.space import Int, Space
from nbtune.store import Store
from nbtune.trial import Goal, Params, Trial
from nbtune.workers import Simulated
from nbtune.workers.base import Job

__all__ = ["Curve", "Replay", "curves_of", "replay"]


@dataclass(frozen=True, slots=True)
class Curve:
    """What one trial reported.

    ``steps`` ascend; ``metrics`` and ``seconds`` go with them: the values at each step, and how
    long the trial took to get there from the step before.
    """

    steps: Sequence[int]
    metrics: Sequence[dict[str, float]]
    seconds: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a replay came to; ``snapshot`` is its sweep, trial n of it is the n-th curve.

    ``seconds`` is the virtual time that it took, ``steps`` what its trials reported in all, and
    ``best`` the best value that it found, None when it found none; with several objectives the
    values on its front.
    """

    scheduler: str
    slots: int
    seconds: float
    steps: int
    best: float | list[dict[str, float]] | None
    snapshot: Snapshot = field(repr=False)


def curves_of(trials: Iterable[Trial]) -> list[Curve]:
    """Return the curves of those trials that reported, by number.

    A trial that was stopped early has no more to replay than it reported.
    """
    curves = []
    for trial in trials:
        if not trial.count or trial.started is None:
            continue
        times = [trial.started, *(report.time for report in trial.reports)]
        curves.append(
            Curve(
                [report.step for report in trial.reports],
                [dict(report.metrics) for report in trial.reports],
                [max(0.0, after - before) for before, after in itertools.pairwise(times)],
            )
        )
    return curves


def replay(
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
        When there are no curves.
    """
    if not curves:
        raise SweepError("there is nothing to replay: no trial has reported anything yet")
    space = Space({"curve": Int(0, max(1, len(curves) - 1))})
    searcher = Points([{"curve": number} for number in range(len(curves))])
    searcher.setup(space, seed=seed)
    longest = max(curve.steps[-1] for curve in curves)
    scheduler.setup(seed=seed, step_name=step_name, max_t=longest)
    elapsed = _Elapsed(curves)

    def again(params: Params) -> None:
        curve = curves[params["curve"]]
        for step, metrics in zip(curve.steps, curve.metrics, strict=True):
            report(step, **metrics)

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
                call=again,
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
            workers=Simulated(slots, seconds=elapsed.of),
            budget=Budget(),
        )
        engine.start()
        engine.done.wait()
        snapshot = engine.snapshot
    return Replay(
        scheduler=repr(scheduler),
        slots=slots,
        seconds=snapshot.elapsed,
        steps=sum(trial.steps for trial in snapshot.trials),
        best=best_value(snapshot),
        snapshot=snapshot,
    )


class _Elapsed:
    """How long each curve took to each of its steps."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        self._seconds = [dict(zip(curve.steps, curve.seconds, strict=True)) for curve in curves]

    def of(self, params: Params, step: int) -> float:
        """Return the seconds to `step`, 0 for the end after the last one."""
        return self._seconds[params["curve"]].get(step, 0.0)
