"""Learning curves as arrays, kept up with a sweep's snapshots at the cost of what is new."""

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nbtune.trial import Goal, Report, Trial

__all__ = ["NOTHING", "Curve", "CurveBook", "Lines", "joined"]


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
    """The curve of every trial of a sweep, by number; what else views work out a trial stays here.

    ``positions`` holds where trials cross the axes of parallel coordinates, by path and number.
    Reading 1,000 trials of which few have changed takes tens of microseconds: a trial is frozen,
    so that the same object means the same reports.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.curves: list[Curve] = []
        self.positions: dict[str, dict[int, float]] = {}
        self._seen: list[Trial] = []

    def read(self, trials: Sequence[Trial]) -> bool:
        """Take in a snapshot's trials; return whether any has changed."""
        changed = len(trials) != len(self._seen)
        if len(trials) < len(self._seen):
            self.curves, self.positions, self._seen = [], {}, []
        for index, trial in enumerate(trials):
            if index == len(self._seen):
                self._seen.append(trial)
                self.curves.append(Curve())
            elif self._seen[index] is trial:
                continue
            self._seen[index] = trial
            self.curves[index].extend(trial, self.metric)
            changed = True
        return changed


def joined(numbers: Iterable[int], curves: Sequence[Curve], most: int) -> Lines:
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
