"""Learning curves as arrays, kept up with a sweep's snapshots at the cost of what is new."""

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nbtune.column import Column
from nbtune.engine import TrialList
from nbtune.trial import Goal, Report, Status, Trial

__all__ = ["NOTHING", "Curve", "CurveBook", "Lines", "joined"]

MOST_CURVES_KEPT = 2_000
"""Of trials that are over: more than views draw at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Many curves in one trace: a NaN stands between two curves.

    Attributes
    ----------
    x, y : array of float32, shape (n_points,)
        Steps, and values in the metric's own unit; infinite values are NaN.
    trial : array of int32, shape (n_points,)
        The trial's number at each point, also at the NaN that ends its curve.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    trial: NDArray[np.int32]

    def same(self, other: "Lines") -> bool:
        """Whether both draw the same."""
        return self is other or (
            self.x.size == other.x.size
            and np.array_equal(self.y, other.y, equal_nan=True)
            and np.array_equal(self.x, other.x, equal_nan=True)
        )


@dataclass(slots=True)
class Curve:
    """The points of one trial's metric, in the order reported."""

    steps: "array[float]" = field(default_factory=lambda: array("d"))
    values: "array[float]" = field(default_factory=lambda: array("d"))
    source: Sequence[Report] = ()
    read: int = 0
    lowest: float | None = None
    highest: float | None = None

    @property
    def last(self) -> float | None:
        """The last value, None when the metric was not reported."""
        return self.values[-1] if self.values else None

    def value_for(self, goal: Goal) -> float | None:
        """Return the value by which `goal`, whose metric this is, ranks the trial."""
        best = self.highest if goal.direction == "maximize" else self.lowest
        return self.last if goal.by == "last" or best is None else best

    def place_for(self, goal: Goal) -> int:
        """Return which of the values that is, the first of equals."""
        value = self.value_for(goal)
        if goal.by == "last" or value is None or not math.isfinite(value):
            return len(self.values) - 1
        return self.values.index(value)

    def extend(self, trial: Trial, metric: str) -> None:
        """Take in the reports that are new; start over when the trial did."""
        reports = trial.reports_so_far
        if reports is not self.source or trial.count < self.read:
            self.steps, self.values, self.read = array("d"), array("d"), 0
            self.lowest = self.highest = None
        self.source = reports
        for index in range(self.read, trial.count):
            report = reports[index]
            value = report.metrics.get(metric)
            if value is not None:
                self.steps.append(report.step)
                self.values.append(value)
                if math.isfinite(value):
                    self.lowest = value if self.lowest is None else min(self.lowest, value)
                    self.highest = value if self.highest is None else max(self.highest, value)
        self.read = trial.count


class CurveBook:
    """What views need of every trial of a sweep, by number: a few numbers, and the latest curves.

    ``last``, ``lowest`` and ``highest`` hold values of the metric (finite ones alone in the latter
    two), ``points`` how many it has, ``steps`` how far the trial came. ``positions`` holds where
    trials cross the axes of parallel coordinates, by path. ``curves`` reads one that it does not
    have any more. ``version`` is another after each change, ``finished`` after each change of a
    trial that does not run.

    Parameters
    ----------
    metric : str
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.version = self.finished = 0
        self.curves = _Curves(metric)
        self._begin()

    def _begin(self) -> None:
        self.positions: dict[str, Column] = {}
        self.trials = TrialList({})
        self._last, self._lowest, self._highest = (Column(np.float64, np.nan) for _ in range(3))
        self._points, self._steps = Column(np.int32, 0), Column(np.int64, 0)
        self.curves.clear()

    def read(self, trials: Sequence[Trial]) -> bool:
        """Take in a snapshot's trials; return whether any has changed."""
        trials, before = TrialList.of(trials), self.trials
        if trials is before:
            return False
        version = self.version
        if len(trials) < len(before):
            self._begin()
            self.version += 1
            before = self.trials
        self.trials = self.curves.trials = trials
        for trial in trials.changed(before):
            self.version += 1
            self.finished += trial.status is not Status.RUNNING
            self._take(trial)
        return self.version != version

    def _take(self, trial: Trial) -> None:
        number, curve = trial.number, self.curves.of(trial)
        self._steps[number], self._points[number] = trial.steps, len(curve.values)
        self._last[number] = math.nan if curve.last is None else curve.last
        self._lowest[number] = math.nan if curve.lowest is None else curve.lowest
        self._highest[number] = math.nan if curve.highest is None else curve.highest

    @property
    def points(self) -> NDArray[np.int32]:
        """How many values of the metric each trial has, shape (n_trials,)."""
        return self._points.first(len(self.trials))

    @property
    def steps(self) -> NDArray[np.int64]:
        """The last step of each trial, 0 before the first, shape (n_trials,)."""
        return self._steps.first(len(self.trials))

    def values(self, goal: Goal) -> NDArray[np.float64]:
        """Return the value by which `goal` ranks each trial, shape (n_trials,); NaN without one."""
        last = self._last.first(len(self.trials))
        if goal.by == "last":
            return last.copy()
        best = self._highest if goal.direction == "maximize" else self._lowest
        known = best.first(len(self.trials))
        return np.where(np.isnan(known), last, known)

    def scores(self, goal: Goal) -> NDArray[np.float64]:
        """Return `values` so that higher is better; ``-inf`` for what is no number."""
        values = self.values(goal)
        scores = values if goal.direction == "maximize" else -values
        return np.where(np.isfinite(values), scores, -np.inf)


class _Curves(dict[int, Curve]):
    """Curves by number; that of a trial whose curve was let go is read again."""

    def __init__(self, metric: str) -> None:
        super().__init__()
        self._metric = metric
        self._most = 2 * MOST_CURVES_KEPT
        self.trials = TrialList({})

    def of(self, trial: Trial) -> Curve:
        """Return the curve of a trial as it stands now."""
        curve = self.get(trial.number)
        if curve is None:
            curve = self[trial.number] = Curve()
            self._let_go()
        curve.extend(trial, self._metric)
        return curve

    def __missing__(self, number: int) -> Curve:
        return self.of(self.trials[number])

    def _let_go(self) -> None:
        """Keep those of the trials that run, and of the others the ones that were read last."""
        if len(self) <= self._most:
            return
        runs = self.trials.are(Status.RUNNING)
        over = [number for number in self if not runs[number]]
        for number in over[:-MOST_CURVES_KEPT]:
            del self[number]
        self._most = len(self) + MOST_CURVES_KEPT


def joined(numbers: Iterable[int], curves: Mapping[int, Curve], most: int) -> Lines:
    """Return the curves of these trials as `Lines`, each thinned to `most` points or fewer.

    A thinned curve keeps its first and its last point, and evenly spaced ones between.
    """
    xs: list[NDArray[np.float64]] = []
    ys: list[NDArray[np.float64]] = []
    chosen: list[int] = []
    gap = np.array([np.nan])
    for number in numbers:
        # np.array copies: a view would stop the array from growing while it lives.
        x, y = np.array(curves[number].steps), np.array(curves[number].values)
        if not x.size:
            continue
        if x.size > most:
            keep = np.linspace(0, x.size - 1, most).round().astype(np.intp)
            x, y = x[keep], y[keep]
        xs += (x, gap)
        ys += (y, gap)
        chosen += [number] * (x.size + 1)
    if not xs:
        return NOTHING
    y_all = np.concatenate(ys)
    y_all[np.isinf(y_all)] = np.nan
    with np.errstate(over="ignore"):  # beyond float32 becomes inf, which is not drawn
        y32 = y_all.astype(np.float32)
    y32[np.isinf(y32)] = np.nan
    return Lines(
        np.concatenate(xs).astype(np.float32)[:-1], y32[:-1], np.array(chosen, np.int32)[:-1]
    )


NOTHING = Lines(np.empty(0, np.float32), np.empty(0, np.float32), np.empty(0, np.int32))
