"""What a sweep has found: best trials, and DataFrames over trials and reports."""

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nbtune.arguments import check_flag, finite, is_whole
from nbtune.engine import Snapshot, SweepStatus
from nbtune.exceptions import SpecError, SweepError
from nbtune.pareto import Scores, hypervolume, nsga_order, scores_of
from nbtune.progress import Described
from nbtune.space import Choice, Int, Space
from nbtune.store.queries import Summary
from nbtune.sweep_warning import SweepWarning
from nbtune.trial import CompactReports, Goal, Status, Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Answers",
    "Results",
    "SnapshotAnswers",
    "best_value",
    "moments",
    "reports_frame",
    "reports_frame_of",
    "trials_frame",
    "value_of",
]


def trials_frame(
    trials: Iterable[Trial], space: Space, summaries: Mapping[int, Summary] | None = None
) -> "pd.DataFrame":
    """Return one row a trial, indexed by ``number``.

    `summaries` stand for the trials' reports, by number, where these are not at hand.

    Columns: ``status``, ``reason``, ``params.<name>`` (also of each choice among branches, with the
    label of the branch that was chosen), ``metrics.<name>`` (the last value) with
    ``.min`` and ``.max`` over all reports (NaN left out), ``steps`` (the last step), ``started``
    (UTC, without a time zone), ``seconds``, ``slot``, ``why`` (why it was tried, empty where nobody
    says). Listed values stand as they were given: where they are of several types, as in
    ``Choice(None, 3, 5)``, the column holds objects; whole numbers stay so where a branch lacks
    them.
    """
    import pandas as pd  # noqa: PLC0415 - `import nbtune` stays light

    rows: list[dict[str, object]] = []
    names: dict[str, None] = {}
    for trial in trials:
        row: dict[str, object] = {"status": trial.status.value, "reason": trial.reason}
        row |= {f"params.{name}": value for name, value in space.flatten(trial.params).items()}
        summary = _summary(trial) if summaries is None else summaries.get(trial.number, Summary())
        for name, (last, low, high) in summary.metrics.items():
            row |= {
                f"metrics.{name}": last,
                f"metrics.{name}.min": low,
                f"metrics.{name}.max": high,
            }
        row |= {"steps": summary.steps, "started": trial.started}
        row |= {"seconds": trial.seconds, "slot": trial.slot, "why": trial.why}
        rows.append(row)
        names |= dict.fromkeys(row)
    index = pd.RangeIndex(len(rows), name="number")
    frame = pd.DataFrame(rows, index=index, columns=_ordered(names))
    for name in _mixed(space, rows):
        given = [row.get(name, math.nan) for row in rows]
        frame[name] = pd.Series(given, index=index, dtype=object)
    for name in _whole(space).intersection(frame.columns):
        if frame[name].isna().any():  # a branch that is not taken: 3 is no 3.0 for that
            frame[name] = frame[name].astype("Int64")
    frame["started"] = moments(frame["started"])
    frame["seconds"] = frame["seconds"].astype("float64")
    frame["slot"] = frame["slot"].astype("Int64")
    frame["steps"] = frame["steps"].astype("int64")
    return frame


def moments(seconds: "pd.Series[Any]") -> "pd.Series[Any]":
    """Return seconds since the epoch as times in UTC, without a time zone: Excel takes no other."""
    import pandas as pd  # noqa: PLC0415 - as above

    return pd.to_datetime(seconds.astype("float64"), unit="s")


def _mixed(space: Space, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the columns of listed values that pandas would convert: those of several types."""
    listed = {f"params.{dim.path}" for dim in space.dims if isinstance(dim.domain, Choice)}
    kinds = {name: {type(row.get(name, math.nan)) for row in rows} for name in listed}
    return [name for name, types in kinds.items() if len(types) > 1]


def _whole(space: Space) -> set[str]:
    """Return the columns of params that are whole numbers wherever they are."""
    paths = {f"params.{dim.path}" for dim in space.dims if isinstance(dim.domain, Int)}
    return paths - {f"params.{dim.path}" for dim in space.dims if not isinstance(dim.domain, Int)}


def _summary(trial: Trial) -> Summary:
    values: dict[str, list[float]] = {}
    if isinstance(trial.reports_so_far, CompactReports):
        values = {name: list(each) for name, each in trial.reports_so_far.columns.items()}
    else:
        for report in trial.reports:
            for name, value in report.metrics.items():
                values.setdefault(name, []).append(value)
    known = {name: [value for value in given if value == value] for name, given in values.items()}
    return Summary(
        trial.steps,
        {
            name: (
                given[-1],
                min(known[name], default=math.nan),
                max(known[name], default=math.nan),
            )
            for name, given in values.items()
        },
    )


def _ordered(names: Iterable[str]) -> list[str]:
    first, last = ["status", "reason"], ["steps", "started", "seconds", "slot", "why"]
    names = list(names)
    params = [name for name in names if name.startswith("params.")]
    metrics = [name for name in names if name.startswith("metrics.")]
    return [*first, *params, *metrics, *last]


_FIXED = ("trial", "step", "time")


def reports_frame(trials: Iterable[Trial]) -> "pd.DataFrame":
    """Return one row a report: ``trial``, ``step``, ``time`` (naive UTC), one column a metric."""
    fixed: dict[str, list[NDArray[Any]]] = {name: [] for name in _FIXED}
    parts: dict[str, list[tuple[int, NDArray[np.float64]]]] = {}
    size = 0
    for trial in trials:
        if not trial.count:
            continue
        steps, times, values = _curves(trial)
        for name, each in zip(
            _FIXED, (np.full(len(steps), trial.number), steps, times), strict=True
        ):
            fixed[name].append(each)
        for name, column in values.items():
            parts.setdefault(name, []).append((size, column))
        size += len(steps)
    columns: dict[str, NDArray[Any]] = {
        name: np.concatenate(arrays) if arrays else np.empty(0) for name, arrays in fixed.items()
    }
    for name, found in parts.items():
        if name not in _FIXED:
            columns[name] = np.full(size, np.nan)
            for start, column in found:
                columns[name][start : start + len(column)] = column
    return reports_frame_of(columns)


def _curves(
    trial: Trial,
) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return steps, times, and the values of each metric, NaN where a report has none."""
    if isinstance(trial.reports_so_far, CompactReports):
        names = trial.reports_so_far.names
        table = np.frombuffer(trial.reports_so_far.table).reshape(-1, 2 + len(names))
        values = dict(zip(names, table.T[2:], strict=True))
        return table[:, 0].astype(np.int64), table[:, 1], values
    reports = trial.reports
    metrics = dict.fromkeys(name for report in reports for name in report.metrics)
    steps = np.array([report.step for report in reports], np.int64)
    times = np.array([report.time for report in reports], np.float64)
    return (
        steps,
        times,
        {
            name: np.array([report.metrics.get(name, math.nan) for report in reports], np.float64)
            for name in metrics
        },
    )


def reports_frame_of(columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> "pd.DataFrame":
    """Return what `reports_frame` does from its columns."""
    import pandas as pd  # noqa: PLC0415 - as above

    return _typed(pd.DataFrame(columns))


def _typed(frame: "pd.DataFrame") -> "pd.DataFrame":
    frame["time"] = moments(frame["time"])
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
    named = isinstance(reference, Mapping) and set(reference) == set(metrics)
    whole = named and all(finite(value) is not None for value in reference.values())
    scores = scores_of(goals, reference.get) if whole else None
    if scores is None or -math.inf in scores:
        example = ", ".join(f"{metric!r}: ..." for metric in metrics)
        raise SpecError(
            f"reference={reference!r}: give a finite value of each objective, {{{example}}}",
            "reference",
        )
    return scores


class Answers(Described, Protocol):
    """What is known of a sweep, each question answered by as little work as it takes."""

    @property
    def counts(self) -> dict[Status, int]:
        """The number of trials by status."""

    @property
    def warnings(self) -> Sequence[SweepWarning]:
        """What did not work as meant, each once, oldest first."""

    def top(self, k: int, *, only_completed: bool) -> list[Trial]:
        """Return the `k` best trials, best first."""

    def trial(self, number: int) -> Trial | None:
        """Return one trial, None when there is none of that number."""

    def trials(self) -> "pd.DataFrame":
        """Return one row a trial."""

    def reports(self) -> "pd.DataFrame":
        """Return one row a report."""


class SnapshotAnswers:
    """The answers of a snapshot, which holds all there is to know."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.status, self.reason = snapshot.status, snapshot.reason
        self.front, self.warnings = snapshot.front, snapshot.warnings
        self.goals, self.ended_by = snapshot.goals, snapshot.ended_by

    @property
    def progress(self) -> str:
        """How many trials are over."""
        return self._snapshot.progress

    @property
    def counts(self) -> dict[Status, int]:
        """The number of trials by status."""
        return self._snapshot.counts

    def top(self, k: int, *, only_completed: bool) -> list[Trial]:
        """Return the `k` best trials, best first."""
        trials = self._snapshot.trials
        numbers, scores = trials.scored(self._snapshot.goals)
        if only_completed:
            completed = trials.are(Status.COMPLETED)[numbers]
            numbers, scores = numbers[completed], scores[completed]
        return [trials[numbers[place]] for place in nsga_order(scores)[:k]]

    def trial(self, number: int) -> Trial | None:
        """Return one trial, None when there is none of that number."""
        trials = self._snapshot.trials
        return trials[number] if 0 <= number < len(trials) else None

    def trials(self) -> "pd.DataFrame":
        """Return one row a trial."""
        return trials_frame(self._snapshot.trials, self._snapshot.space)

    def reports(self) -> "pd.DataFrame":
        """Return one row a report."""
        return reports_frame(self._snapshot.trials)


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

    def _answers(self) -> Answers:
        """Return what answers single questions."""
        return SnapshotAnswers(self.snapshot())

    @property
    def status(self) -> SweepStatus:
        """Where the sweep stands."""
        return self._answers().status

    @property
    def reason(self) -> str:
        """What ended it, or why it stands where it stands."""
        return self._answers().reason

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials by status, as in ``{"completed": 8, "failed": 1, ...}``."""
        return {str(status): count for status, count in self._answers().counts.items()}

    @property
    def warnings(self) -> list[SweepWarning]:
        """What did not work as meant, each once, oldest first; empty where all did."""
        return list(self._answers().warnings)

    @property
    def running(self) -> list[Trial]:
        """The trials that run now."""
        return list(self.snapshot().trials.with_status(Status.RUNNING))

    @property
    def best(self) -> Any:
        """The best trial so far, by its last or its best value (``by=``); None before any.

        With several objectives the list of trials on the Pareto front, best in the first objective
        first: those than which no other is at least as good in all and better in one. Trials that
        are equal in all are all on it; one with a NaN is not.
        """
        front = list(self._answers().front)
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
        if not is_whole(k, 0):
            raise SpecError(f"top(k={k!r}): give how many trials, a whole number from 0", "k")
        check_flag("top", "top", "only_completed", only_completed)
        return self._answers().top(k, only_completed=only_completed)

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
        _, scores = self.snapshot().trials.scored(self.goals)
        scores = scores[np.isfinite(scores).all(axis=1)]
        if reference is not None:
            return hypervolume(scores, _reference_scores(reference, self.goals))
        return hypervolume(scores, scores.min(axis=0)) if len(scores) else 0.0

    def trial(self, number: int) -> Trial:
        """Return one trial with its reports, log and failure."""
        found = self._answers().trial(self._number_of(number))
        if found is None:
            raise self._no_trial(number)
        return found

    def _number_of(self, trial: object) -> int:
        """Return the number of a trial of this sweep, given as such or as the trial itself."""
        number = trial.number if isinstance(trial, Trial) else trial
        try:
            index = -1 if isinstance(number, bool) else operator.index(number)  # type: ignore[arg-type]
        except TypeError:
            index = -1
        if not 0 <= index < sum(self._answers().counts.values()):
            raise self._no_trial(number)
        return index

    def _no_trial(self, number: object) -> SweepError:
        count = sum(self._answers().counts.values())
        return SweepError(f"sweep {self.name!r} has {count} trials, no trial {number!r}.")

    @property
    def trials(self) -> "pd.DataFrame":
        """One row a trial; see `nbtune.results.trials_frame` for the columns."""
        return self._answers().trials()

    @property
    def reports(self) -> "pd.DataFrame":
        """One row a report; see `nbtune.results.reports_frame` for the columns."""
        return self._answers().reports()
