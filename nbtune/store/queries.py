"""Questions about one sweep, each answered by a query of its own: never by reading all of it."""

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbtune.store.rows import TRIAL_COLUMNS
from nbtune.trial import Goal, Report

__all__ = [
    "Summary",
    "counts",
    "numbers_with",
    "report_columns",
    "reports_of",
    "summaries",
    "trial_rows",
    "values",
]

_TRIALS = f"SELECT {', '.join(TRIAL_COLUMNS)} FROM trials WHERE sweep = ?"
_MOST_NUMBERS = 500  # in one query: SQLite before 3.32 takes 999 variables
# NaN is NULL in a column, and a value that is not there is NULL in a result.
_LAST = (
    "SELECT t.number, (SELECT coalesce(r.value, 'nan') FROM reports r WHERE r.sweep = t.sweep "
    "AND r.trial = t.number AND r.metric = ? ORDER BY r.step DESC LIMIT 1) "
    "FROM trials t WHERE t.sweep = ?"
)
_BEST = (
    "SELECT trial, {extreme}(CASE WHEN abs(value) < 9e999 THEN value END) FROM reports "
    "WHERE sweep = ? AND metric = ? GROUP BY trial"
)


@dataclass(slots=True)
class Summary:
    """What a table of trials says about the reports of one.

    Its last step, and of each metric the last value, the least and the greatest (NaN left out).
    """

    steps: int = 0
    metrics: dict[str, tuple[float, float, float]] = field(default_factory=dict)


def counts(connection: sqlite3.Connection, sweep: int) -> dict[str, int]:
    """Return the number of trials by status."""
    return dict(
        connection.execute(
            "SELECT status, count(*) FROM trials WHERE sweep = ? GROUP BY status", (sweep,)
        )
    )


def numbers_with(connection: sqlite3.Connection, sweep: int, status: str) -> set[int]:
    """Return the numbers of the trials with this status."""
    asked = "SELECT number FROM trials WHERE sweep = ? AND status = ?"
    return {number for (number,) in connection.execute(asked, (sweep, status))}


def trial_rows(
    connection: sqlite3.Connection, sweep: int, numbers: Sequence[int] | None = None
) -> list[tuple[Any, ...]]:
    """Return `TRIAL_COLUMNS` of these trials, of all by number where none are named."""
    if numbers is None:
        return connection.execute(f"{_TRIALS} ORDER BY number", (sweep,)).fetchall()
    return [
        row
        for part in _parts(numbers)
        for row in connection.execute(f"{_TRIALS} AND number IN ({_marks(part)})", (sweep, *part))
    ]


def reports_of(
    connection: sqlite3.Connection, sweep: int, numbers: Sequence[int] | None = None
) -> dict[int, list[Report]]:
    """Return the reports of these trials, of all where none are named, by number."""
    columns = "SELECT trial, step, metric, value, time FROM reports WHERE sweep = ?"
    order = "ORDER BY trial, step, metric"
    names = dict(connection.execute("SELECT id, name FROM metrics"))
    if numbers is None:
        return _reports(connection.execute(f"{columns} {order}", (sweep,)), names)
    found: dict[int, list[Report]] = {}
    for part in _parts(numbers):
        some = f"{columns} AND trial IN ({_marks(part)}) {order}"
        found |= _reports(connection.execute(some, (sweep, *part)), names)
    return found


def _reports(rows: Iterable[tuple[Any, ...]], names: dict[int, str]) -> dict[int, list[Report]]:
    found: dict[int, list[Report]] = {}
    number = step = None
    metrics: dict[str, float] = {}
    for trial, at, metric, value, moment in rows:
        if trial != number:
            number, step = trial, None
            reports = found[trial] = []
        if at != step:
            step, metrics = at, {}
            reports.append(Report(at, metrics, moment))
        if metric:
            metrics[names[metric]] = math.nan if value is None else float(value)
    return found


def values(connection: sqlite3.Connection, sweep: int, goal: Goal) -> dict[int, float]:
    """Return, by trial, the value by which `goal` ranks it; trials without one are left out.

    Where none of the values of a trial can be the best, because all are NaN or infinite, it is NaN.
    """
    row = connection.execute("SELECT id FROM metrics WHERE name = ?", (goal.metric,)).fetchone()
    if row is None:
        return {}
    if goal.by == "last":
        found = connection.execute(_LAST, (row[0], sweep))
        return {number: float(value) for number, value in found if value is not None}
    extreme = "max" if goal.direction == "maximize" else "min"
    found = connection.execute(_BEST.format(extreme=extreme), (sweep, row[0]))
    return {number: math.nan if value is None else float(value) for number, value in found}


def summaries(connection: sqlite3.Connection, sweep: int) -> dict[int, Summary]:
    """Return what a table of trials says about their reports, by number."""
    found: dict[int, Summary] = {}
    extremes: dict[int, dict[int, tuple[float, float]]] = {}
    for trial, metric, steps, low, high in connection.execute(
        "SELECT trial, metric, max(step), min(value), max(value) FROM reports WHERE sweep = ? "
        "GROUP BY trial, metric",
        (sweep,),
    ):
        summary = found.setdefault(trial, Summary())
        summary.steps = max(summary.steps, steps)
        if metric:
            ends = math.nan if low is None else low, math.nan if high is None else high
            extremes.setdefault(metric, {})[trial] = ends
    names = dict(connection.execute("SELECT id, name FROM metrics"))
    for metric in sorted(extremes):
        name = names[metric]
        for trial, last in connection.execute(_LAST, (metric, sweep)):
            if last is not None:
                found[trial].metrics[name] = float(last), *extremes[metric][trial]
    return found


def report_columns(
    connection: sqlite3.Connection, sweep: int
) -> tuple[dict[str, Sequence[Any]], dict[str, Sequence[Any]]]:
    """Return the columns ``trial``, ``step``, ``time`` and those of metrics, NaN where none is."""
    fixed: dict[str, Any] = {"trial": [], "step": [], "time": []}
    of_metric: dict[int, list[float]] = {}
    key = None
    size = 0
    for trial, step, metric, value, moment in connection.execute(
        "SELECT trial, step, metric, value, time FROM reports WHERE sweep = ? "
        "ORDER BY trial, step, metric",
        (sweep,),
    ):
        if (trial, step) != key:
            key = trial, step
            size += 1
            fixed["trial"].append(trial)
            fixed["step"].append(step)
            fixed["time"].append(moment)
        if metric:
            column = of_metric.setdefault(metric, [])
            if len(column) < size - 1:
                column.extend([math.nan] * (size - 1 - len(column)))
            column.append(math.nan if value is None else value)
    names = dict(connection.execute("SELECT id, name FROM metrics"))
    for column in of_metric.values():
        column.extend([math.nan] * (size - len(column)))
    return fixed, {
        names[metric]: list(map(float, of_metric[metric])) for metric in sorted(of_metric)
    }


def _parts(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _MOST_NUMBERS):
        yield numbers[start : start + _MOST_NUMBERS]


def _marks(numbers: Sequence[int]) -> str:
    return ", ".join("?" * len(numbers))
