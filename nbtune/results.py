"""What a sweep has found: best trials, and DataFrames over trials and reports."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtune.engine import Snapshot, SweepStatus
from nbtune.exceptions import SpecError, SweepError
from nbtune.pareto import Scores, hypervolume, ranked, scores_of, scores_table
from nbtune.space import Space
from nbtune.sweep_warning import SweepWarning
from nbtune.trial import Goal, Status, Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Results", "best_value", "reports_frame", "trials_frame", "value_of"]


def trials_frame(trials: Iterable[Trial], space: Space) -> "pd.DataFrame":
    """Return one row a trial, indexed by ``number``.

    Columns: ``status``, ``reason``, ``params.<name>``, ``metrics.<name>`` (the last value) with
    ``.min`` and ``.max`` over all reports (NaN left out), ``steps`` (the last step), ``started``
    (UTC), ``seconds``, ``slot``, ``why`` (why it was tried, empty where nobody says).
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
        row |= {"seconds": trial.seconds, "slot": trial.slot, "why": trial.why}
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
    first, last = ["status", "reason"], ["steps", "started", "seconds", "slot", "why"]
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


def value_of(trial: Trial, goals: Sequence[Goal]) -> Any:
    """Return the value by which a trial is ranked; with several goals a dict of them by metric."""
    values = {goal.metric: trial.value_for(goal) for goal in goals}
    known = {metric: math.nan if value is None else value for metric, value in values.items()}
    return known if len(goals) > 1 else known[goals[0].metric]


def best_value(snapshot: Snapshot) -> Any:
    """Return the value of the best trial, or None; with several goals those of the front."""
    values = [value_of(trial, snapshot.goals) for trial in snapshot.front]
    return values if len(snapshot.goals) > 1 else next(iter(values), None)


def _reference_scores(reference: Mapping[str, float], goals: Sequence[Goal]) -> Scores:
    metrics = [goal.metric for goal in goals]
    scores = scores_of(goals, reference.get) if set(reference) == set(metrics) else None
    if scores is None or -math.inf in scores:
        example = ", ".join(f"{metric!r}: ..." for metric in metrics)
        raise SpecError(
            f"reference={dict(reference)!r}: give a finite value of each objective, {{{example}}}",
            "reference",
        )
    return scores


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
    def goals(self) -> tuple[Goal, ...]:
        """Each objective, its metric and its direction; first what is maximised."""

    @property
    def goal(self) -> Goal:
        """The metric and its direction; of several objectives the first."""
        return self.goals[0]

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
    def counts(self) -> dict[str, int]:
        """The number of trials by status, as in ``{"completed": 8, "failed": 1, ...}``."""
        return {str(status): count for status, count in self.snapshot().counts.items()}

    @property
    def warnings(self) -> list[SweepWarning]:
        """What did not work as meant, each once, oldest first; empty where all did."""
        return list(self.snapshot().warnings)

    @property
    def running(self) -> list[Trial]:
        """The trials that run now."""
        return [trial for trial in self.snapshot().trials if trial.status is Status.RUNNING]

    @property
    def best(self) -> Any:
        """The best trial so far, by its last or its best value (``by=``); None before any.

        With several objectives the list of trials on the Pareto front, best in the first objective
        first: those than which no other is at least as good in all and better in one. Trials that
        are equal in all are all on it; one with a NaN is not.
        """
        front = list(self.snapshot().front)
        return front if len(self.goals) > 1 else next(iter(front), None)

    @property
    def best_params(self) -> Any:
        """The params of the best trial; with several objectives a list of them, as in `best`.

        Raises
        ------
        SweepError
            While no trial has reported the metric, where there is but one objective.
        """
        return self._of_best(lambda trial: dict(trial.params))

    @property
    def best_value(self) -> Any:
        """The best trial's value of the metric, by which it is ranked, in its own unit.

        With several objectives a list of dicts, metric to value, as in `best`.
        """
        return self._of_best(lambda trial: value_of(trial, self.goals))

    def _of_best(self, ask: Callable[[Trial], Any]) -> Any:
        if len(self.goals) > 1:
            return [ask(trial) for trial in self.best]
        return ask(self._best())

    def _best(self) -> Trial:
        """Return the one best trial."""
        best = self.best
        if isinstance(best, list):
            raise SweepError(
                f"sweep {self.name!r} has {len(self.goals)} objectives, so there is no one best "
                f"trial but a front of {len(best)}: give params, for instance "
                f"params={self.name}.best[0].params, or those of {self.name}.trial(number)."
            )
        if best is None:
            raise SweepError(
                f"sweep {self.name!r} has no best trial yet: none has reported "
                f"{self.goal.metric!r}."
            )
        return best  # type: ignore[no-any-return]

    def top(self, k: int = 10, *, only_completed: bool = False) -> list[Trial]:
        """Return the `k` best trials, best first.

        With several objectives by non-dominated sorting: front by front, and in each the trials
        first that stand farthest from their neighbours (`nbtune.pareto.nsga_order`).
        """
        trials = [
            trial
            for trial in self.snapshot().trials
            if not only_completed or trial.status is Status.COMPLETED
        ]
        return ranked(trials, self.goals)[:k]

    def hypervolume(self, reference: Mapping[str, float] | None = None) -> float:
        """Return how much the trials dominate: the volume between the front and `reference`.

        It grows as the front moves out or fills up, so that of two sweeps with the same reference
        the one with more has the better front.

        Parameters
        ----------
        reference : dict of str to float, optional
            A value of each objective, in its own unit, that any good trial is better than. By
            default the worst that this sweep has seen of each, which no other sweep shares.

        Returns
        -------
        float
            In the product of the objectives' units; 0 before any trial.

        Raises
        ------
        SpecError
            When `reference` does not name each objective, with a finite number.
        """
        _, scores = scores_table(self.snapshot().trials, self.goals)
        scores = scores[np.isfinite(scores).all(axis=1)]
        if reference is not None:
            return hypervolume(scores, _reference_scores(reference, self.goals))
        return hypervolume(scores, scores.min(axis=0)) if len(scores) else 0.0

    def trial(self, number: int) -> Trial:
        """Return one trial with its reports, log and failure."""
        trials = self.snapshot().trials
        if not 0 <= number < len(trials):
            raise SweepError(f"sweep {self.name!r} has {len(trials)} trials, no trial {number}.")
        return trials[number]

    @property
    def trials(self) -> "pd.DataFrame":
        """One row a trial; see `nbtune.results.trials_frame` for the columns."""
        snapshot = self.snapshot()
        return trials_frame(snapshot.trials, snapshot.space)

    @property
    def reports(self) -> "pd.DataFrame":
        """One row a report; see `nbtune.results.reports_frame` for the columns."""
        return reports_frame(self.snapshot().trials)
