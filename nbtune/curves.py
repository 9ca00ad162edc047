"""Learning curves, taken from finished trials or from a table: what a replay runs again."""

import itertools
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtune.exceptions import SpecError, nearest
from nbtune.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Curve", "curves_from", "curves_of"]

NOT_METRICS = ("trial", "step", "time", "seconds")


@dataclass(frozen=True, slots=True)
class Curve:
    """What one trial reported.

    ``steps`` ascend; ``metrics`` and ``seconds`` go with them: the values at each step, and how
    long the trial took to get there from the step before.
    """

    steps: Sequence[int]
    metrics: Sequence[Mapping[str, float]]
    seconds: Sequence[float]


def curves_of(trials: Iterable[Trial], metric: str) -> list[Curve]:
    """Return the curves of those trials that reported `metric`, by number.

    A trial that was stopped early has no more to replay than it reported.
    """
    curves = []
    for trial in trials:
        if trial.value(metric) is None or trial.started is None:
            continue
        times = [trial.started, *(report.time for report in trial.reports)]
        curves.append(
            Curve(
                [report.step for report in trial.reports],
                [dict(report.metrics) for report in trial.reports],
                # Rounded: the engine tells simultaneous moments apart by their last digits.
                [round(max(0.0, after - now), 6) for now, after in itertools.pairwise(times)],
            )
        )
    return curves


def curves_from(table: Any, *, metric: str, seconds: Any = None) -> list[Curve]:
    """Return the curves that a table holds, in its order; `nbtune.replay` says how it may look.

    Raises
    ------
    SpecError
        When it is of another form, is empty, or has values that no trial can report.
    """
    pandas = sys.modules.get("pandas")  # who has a DataFrame has imported it
    if pandas is not None and isinstance(table, pandas.DataFrame):
        curves = _from_frame(table, metric, seconds)
    elif isinstance(table, Mapping):
        curves = _from_mapping(table, metric, seconds)
    elif isinstance(table, np.ndarray):
        curves = _from_array(table, metric, seconds)
    else:
        raise SpecError(
            f"table is a {type(table).__name__}: give a DataFrame with one row a report, as "
            "sweep.reports; a dict {trial: values}; or an array of trials x steps",
            "table",
        )
    if not curves:
        raise SpecError("table is empty: give at least one trial's curve", "table")
    return curves


# --- the three forms


def _from_mapping(table: Mapping[Any, Any], metric: str, seconds: Any) -> list[Curve]:
    curves = []
    for name, given in table.items():
        where = f"table[{name!r}]"
        values = _numbers(given, where)
        if values.ndim != 1 or not values.size:
            raise SpecError(f"{where}: give at least one value, in a flat sequence", "table")
        cost = _of_trial(seconds, name) if isinstance(seconds, Mapping) else seconds
        curves.append(_unstepped(values, metric, _costs(cost, values.shape)))
    return curves


def _from_array(table: np.ndarray, metric: str, seconds: Any) -> list[Curve]:
    values = _numbers(table, "table")
    if values.ndim != 2:
        raise SpecError(
            f"table has the shape {table.shape}: give two dimensions, trials x steps; one curve "
            "is values[np.newaxis, :]",
            "table",
        )
    costs = _costs(seconds, values.shape, where=~np.isnan(values))
    curves = []
    for row, (curve, cost) in enumerate(zip(values, costs, strict=True)):
        reported = np.flatnonzero(~np.isnan(curve))
        if not reported.size:
            raise SpecError(f"table[{row}] has no value: leave out trials without a curve", "table")
        length = reported[-1] + 1  # NaN between values is one; after the last it is none
        curves.append(_unstepped(curve[:length], metric, cost[:length]))
    return curves


def _unstepped(values: np.ndarray, metric: str, costs: np.ndarray) -> Curve:
    steps = range(1, len(values) + 1)
    return Curve(steps, [{metric: value} for value in values.tolist()], costs.tolist())


def _from_frame(table: "pd.DataFrame", metric: str, seconds: Any) -> list[Curve]:
    names = [str(name) for name in table.columns]
    for needed in ("trial", "step", metric):
        if needed not in names:
            raise SpecError(f"table has no column {needed!r}. {nearest(needed, names)}", "table")
    steps = _steps(table["step"])
    rows_of: dict[Any, list[int]] = {}
    for row, trial in enumerate(table["trial"].tolist()):
        rows_of.setdefault(trial, []).append(row)
    for trial, rows in rows_of.items():
        rows.sort(key=steps.__getitem__)
        _check_once(trial, steps[rows])
    reports = _reports(table, metric)
    costs = _frame_costs(table, rows_of, seconds)
    return [
        Curve(
            steps[rows].tolist(),
            [reports[row] for row in rows],
            costs[rows].tolist(),
        )
        for rows in rows_of.values()
    ]


# --- a DataFrame's columns


def _steps(column: "pd.Series[Any]") -> np.ndarray:
    steps = _numbers(column, "table['step']")
    good = (steps >= 1) & np.isfinite(steps) & (steps == np.floor(steps))
    if not good.all():
        raise SpecError(
            f"table['step'] has {steps[~good][0]:g}: give whole numbers from 1, the steps that a "
            "trial has spent",
            "table",
        )
    return steps.astype(int)


def _check_once(trial: object, steps: np.ndarray) -> None:
    twice = steps[1:][np.diff(steps) == 0]
    if twice.size:
        raise SpecError(
            f"table has step {twice[0]} of trial {trial!r} twice: give one row a report", "table"
        )


def _reports(table: "pd.DataFrame", metric: str) -> list[dict[str, float]]:
    """Return what each row reports of the metric.

    By NaN a DataFrame says that a report left the metric out, and also that it was NaN: the first
    where the row has a value of another metric, else the second.
    """
    values = _numbers(table[metric], f"table[{metric!r}]")
    others = table.drop(columns=[metric, *NOT_METRICS], errors="ignore").select_dtypes("number")
    left_out = np.isnan(values) & others.notna().any(axis=1).to_numpy()
    return [
        {} if out else {metric: value} for value, out in zip(values.tolist(), left_out, strict=True)
    ]


def _frame_costs(
    table: "pd.DataFrame", rows_of: Mapping[Any, Sequence[int]], seconds: Any
) -> np.ndarray:
    """Return the cost of each row: as given, else by the column ``seconds``, else by ``time``."""
    if seconds is not None:
        return _costs(seconds, (len(table),))
    if "seconds" in table:
        return _costs(table["seconds"], (len(table),))
    if "time" in table:
        return _costs_by_time(table["time"], rows_of)
    return np.ones(len(table))


def _costs_by_time(column: "pd.Series[Any]", rows_of: Mapping[Any, Sequence[int]]) -> np.ndarray:
    """Return the seconds between the rows of each trial.

    When its first step began is not in the table: that costs as much as the trial's mean step,
    where there is no other as much as the mean step of all.
    """
    if column.dtype.kind == "M":
        column = (column - column.min()).dt.total_seconds()
    times = _numbers(column, "table['time']")
    costs = np.full(len(times), math.nan)
    for trial, rows in rows_of.items():
        between = np.diff(times[rows])
        if not (between >= 0).all():
            raise SpecError(
                f"table['time'] does not ascend with the steps of trial {trial!r}: give the time "
                "of each report, or what each step cost as a column 'seconds'",
                "table",
            )
        if between.size:
            costs[rows] = [between.mean(), *between]
    unknown = np.isnan(costs)
    costs[unknown] = 1.0 if unknown.all() else costs[~unknown].mean()
    return costs


# --- numbers


def _numbers(values: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise SpecError(f"{where} holds something else than numbers: {values!r}", "table") from None
    return array


def _of_trial(seconds: Mapping[Any, Any], name: object) -> Any:
    if name not in seconds:
        raise SpecError(
            f"seconds has nothing for trial {name!r}: give a number, or the cost of each step for "
            "every trial of the table",
            "seconds",
        )
    return seconds[name]


def _costs(seconds: Any, shape: tuple[int, ...], where: Any = True) -> np.ndarray:
    """Return the cost of each step, an array of that shape; only those `where` are looked at."""
    try:
        costs = np.asarray(1.0 if seconds is None else seconds, dtype=float)
    except (TypeError, ValueError):
        costs = np.array(math.nan)
    if costs.ndim and costs.shape != shape:
        raise SpecError(
            f"seconds has the shape {costs.shape}: give one number, or one for each of the "
            f"table's values, in the shape {shape}",
            "seconds",
        )
    costs = np.broadcast_to(costs, shape)
    if not np.isfinite(costs[where]).all() or (costs[where] < 0).any():
        raise SpecError(
            f"seconds={seconds!r}: give the cost of a step, in seconds from 0", "seconds"
        )
    return costs
