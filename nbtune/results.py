"""What a sweep has found: best trials, and DataFrames over trials and reports."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from nbtune.engine import Snapshot, SweepStatus
from nbtune.exceptions import SweepError
from nbtune.space import Space
from nbtune.trial import Goal, Params, Status, Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "ranked", "reports_frame", "trials_frame"]


def trials_frame(trials: Iterable[Trial], space: Space) -> "pd.DataFrame":
    """Return one row a trial, indexed by ``number``.

    Columns: ``status``, ``reason``, ``params.<name>``, ``metrics.<name>`` (the last value) with
    ``.min`` and ``.max`` over all reports (NaN left out), ``steps`` (the last step), ``started``
    (UTC), ``seconds``, ``slot``.
    """
    import pandas as pd  # noqa: PLC0415 - `import nbtune` stays light

    rows: list[dict[str, object]] = []
    names: dict[str, None] = {}
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


class Results(ABC):
    """What can be asked of a sweep, answered from its snapshot."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The sweep's name, unique in its store."""

    @property
    @abstractmethod
    def space(self) -> Space:
        """What is searched."""

    @property
    @abstractmethod
    def goal(self) -> Goal:
        """The metric and its direction."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Return the sweep as it stands, immutable and cheap; what views read."""

    @property
    def status(self) -> SweepStatus:
        """Where the sweep stands."""
        return self.snapshot().status

    @property
    def reason(self) -> str:
        """What ended it, or why it stands where it stands."""
        return self.snapshot().reason

    @property
    def counts(self) -> dict[Status, int]:
        """The number of trials by status."""
        return self.snapshot().counts

    @property
    def running(self) -> list[Trial]:
        """The trials that run now."""
        return [trial for trial in self.snapshot().trials if trial.status is Status.RUNNING]

    @property
    def best(self) -> Trial | None:
        """The trial with the best last value so far, None before any."""
        return self.snapshot().best

    @property
    def best_params(self) -> Params:
        """The params of the best trial.

        Raises
        ------
        SweepError
            While no trial has reported the metric.
        """
        return dict(self._best().params)

    @property
    def best_value(self) -> float:
        """The best trial's last value of the metric, in its own unit."""
        value = self._best().value(self.goal.metric)
        return float("nan") if value is None else value

    def _best(self) -> Trial:
        best = self.best
        if best is None:
            raise SweepError(
                f"sweep {self.name!r} has no best trial yet: none has reported "
                f"{self.goal.metric!r}."
            )
        return best

    def top(self, k: int = 10, *, only_completed: bool = False) -> list[Trial]:
        """Return the `k` best trials, best first."""
        trials = [
            trial
            for trial in self.snapshot().trials
            if not only_completed or trial.status is Status.COMPLETED
        ]
        return ranked(trials, self.goal)[:k]

    def trial(self, number: int) -> Trial:
        """Return one trial with its reports, log and failure."""
        trials = self.snapshot().trials
        if not 0 <= number < len(trials):
            raise SweepError(f"sweep {self.name!r} has {len(trials)} trials, no trial {number}.")
        return trials[number]

    @property
    def trials(self) -> "pd.DataFrame":
        """One row a trial; see `nbtune.results.trials_frame` for the columns."""
        return trials_frame(self.snapshot().trials, self.space)

    @property
    def reports(self) -> "pd.DataFrame":
        """One row a report; see `nbtune.results.reports_frame` for the columns."""
        return reports_frame(self.snapshot().trials)
