"""DataFrames over trials and reports."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nbtune.space import Space
from nbtune.trial import Goal, Status, Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ranked", "reports_frame", "trials_frame"]


def trials_frame(trials: Iterable[Trial], space: Space) -> "pd.DataFrame":
    """Return one row a trial, indexed by ``number``.

    Columns: ``status``, ``reason``, ``params.<name>``, ``metrics.<name>`` (the last value) with
    ``.min`` and ``.max`` over all reports (NaN left out), ``steps`` (the last step), ``started``
    (UTC), ``seconds``, ``slot``.
    """
    import pandas as pd  # noqa: PLC0415 - `import nbtune` stays light

    rows, names = [], {}
    for trial in trials:
        row: dict[str, object] = {"status": trial.status.value, "reason": trial.reason}
        row |= {f"params.{name}": value for name, value in space.flatten(trial.params).items()}
        for name, values in _by_metric(trial).items():
            finite = [value for value in values if not math.isnan(value)]
            row[f"metrics.{name}"] = values[-1]
            row[f"metrics.{name}.min"] = min(finite, default=math.nan)
            row[f"metrics.{name}.max"] = max(finite, default=math.nan)
        row |= {"steps": trial.steps, "started": trial.started}
        row |= {"seconds": trial.seconds, "slot": trial.slot}
        rows.append(row)
        names |= dict.fromkeys(row)
    index = pd.RangeIndex(len(rows), name="number")
    frame = pd.DataFrame(rows, index=index, columns=_ordered(names))
    frame["started"] = pd.to_datetime(frame["started"].astype("float64"), unit="s", utc=True)
    frame["seconds"] = frame["seconds"].astype("float64")
    frame["slot"] = frame["slot"].astype("Int64")
    frame["steps"] = frame["steps"].astype("int64")
    return frame


def _by_metric(trial: Trial) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for report in trial.reports:
        for name, value in report.metrics.items():
            values.setdefault(name, []).append(value)
    return values


def _ordered(names: Iterable[str]) -> list[str]:
    first, last = ["status", "reason"], ["steps", "started", "seconds", "slot"]
    names = list(names)
    params = [name for name in names if name.startswith("params.")]
    metrics = [name for name in names if name.startswith("metrics.")]
    return [*first, *params, *metrics, *last]


def reports_frame(trials: Iterable[Trial]) -> "pd.DataFrame":
    """Return one row a report: ``trial``, ``step``, ``time`` (UTC) and one column a metric."""
    import pandas as pd  # noqa: PLC0415 - as above

    rows = [
        {"trial": trial.number, "step": report.step, "time": report.time, **report.metrics}
        for trial in trials
        for report in trial.reports
    ]
    fixed = ["trial", "step", "time"]
    columns = [*fixed, *dict.fromkeys(name for row in rows for name in row if name not in fixed)]
    frame = pd.DataFrame(rows, columns=columns)
    frame["time"] = pd.to_datetime(frame["time"].astype("float64"), unit="s", utc=True)
    return frame.astype({"trial": "int64", "step": "int64"})


def ranked(trials: Sequence[Trial], goal: Goal) -> list[Trial]:
    """Return the trials that have a value, best first, the earlier of equals first.

    NaN ranks last; failed trials and those without the metric are left out.
    """
    scored = [
        (score, trial)
        for trial in trials
        if trial.status is not Status.FAILED
        and (score := goal.score(trial.value(goal.metric))) is not None
    ]
    scored.sort(key=lambda pair: (-pair[0], pair[1].number))
    return [trial for _, trial in scored]
