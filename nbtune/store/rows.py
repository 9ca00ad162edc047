"""What the store's tables hold, as values at its border, and how these are spelt in columns."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from nbtune.ended_by import EndedBy, EndKind
from nbtune.exceptions import StoreError
from nbtune.sweep_warning import SweepWarning
from nbtune.trial import Failure, Goal, Report, Status, Trial

__all__ = [
    "SWEEP_COLUMNS",
    "TRIAL_COLUMNS",
    "Batch",
    "EditRow",
    "SweepRow",
    "TrialRow",
    "damage_named",
    "edit_values",
    "ended_by_values",
    "failure_text",
    "goals_text",
    "report_values",
    "stored_trial",
    "sweep_row",
    "trial_values",
    "warning_values",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """A sweep as stored; ``definition`` is what rebuilds it, pickled by its owner."""

    id: int
    name: str
    status: str
    reason: str
    goals: tuple[Goal, ...]
    step_name: str
    plan: str
    source: str
    seed: int
    created: float
    elapsed: float
    failure: Failure | None
    definition: bytes = field(repr=False)
    ended_by: EndedBy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """A trial as written: its snapshot without reports, its params as JSON text, its origin."""

    trial: Trial
    params: str
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRow:
    """A change of a sweep's space: edit `number` holds from trial `trial` on.

    ``spaces`` holds all spaces so far, that of the edit last, pickled by the sweep's owner.
    """

    number: int
    time: float
    trial: int
    spaces: bytes = field(repr=False)


@dataclass(slots=True)
class Batch:
    """What one transaction writes, in this order."""

    restarted: list[int] = field(default_factory=list)
    """Numbers of trials that run again from the start: their old reports go."""
    edits: list[EditRow] = field(default_factory=list)
    trials: list[TrialRow] = field(default_factory=list)
    reports: list[tuple[int, Report]] = field(default_factory=list)
    warnings: list[SweepWarning] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    """What became of requests, by their ids."""
    status: str = ""
    reason: str = ""
    elapsed: float = 0.0
    failure: Failure | None = None
    ended_by: EndedBy | None = None


SWEEP_COLUMNS = (*(column.name for column in fields(SweepRow)), "ended_facts")
TRIAL_COLUMNS = (
    *("number", "params", "origin", "status", "reason"),
    *("started", "ended", "slot", "failure", "why", "ended_by", "ended_facts"),
)


@contextmanager
def damage_named(what: str) -> Iterator[None]:
    """Turn what reading a damaged row raises into a StoreError that names it."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise StoreError(
            f"{what} cannot be read ({type(error).__name__}: {error}): the store is damaged, or "
            "was changed by hand. Restore it from a copy, or delete the sweep (%tune delete)."
        ) from error


def sweep_row(values: Sequence[Any]) -> SweepRow:
    """Return the sweep that stands in `SWEEP_COLUMNS`."""
    row = dict(zip(SWEEP_COLUMNS, values, strict=True))
    with damage_named(f"the row of sweep {row['name']!r}"):
        row["goals"] = tuple(Goal(**goal) for goal in json.loads(row["goals"]))
        row["goals"][0]
        row["failure"] = _failure(row["failure"])
        row["ended_by"] = _ended_by(row["ended_by"], row.pop("ended_facts"))
        row["created"], row["elapsed"] = float(row["created"]), float(row["elapsed"])
        return SweepRow(**row)


def stored_trial(
    values: Sequence[Any], reports: list[Report], folder: Path
) -> tuple[Trial, Any, str]:
    """Return ``(trial, params as JSON, origin)`` from `TRIAL_COLUMNS`; `folder` is its sweep's."""
    number, params, origin, status, reason, started, ended, slot, failure, why, *end = values
    trial = Trial(
        number=number,
        params={},
        status=Status(status),
        reason=reason,
        reports_so_far=reports,
        count=len(reports),
        started=None if started is None else float(started),
        ended=None if ended is None else float(ended),
        slot=slot,
        failure=_failure(failure),
        why=why,
        folder=folder,
        ended_by=_ended_by(*end),
    )
    return trial, json.loads(params), origin


def trial_values(sweep: int, row: TrialRow) -> tuple[Any, ...]:
    """Return the sweep, then what stands in `TRIAL_COLUMNS`."""
    trial = row.trial
    return (
        sweep,
        trial.number,
        row.params,
        row.origin,
        trial.status.value,
        trial.reason,
        trial.started,
        trial.ended,
        trial.slot,
        failure_text(trial.failure),
        trial.why,
        *ended_by_values(trial.ended_by),
    )


def report_values(
    sweep: int, reports: Iterable[tuple[int, Report]], ids: Mapping[str, int]
) -> Iterator[tuple[Any, ...]]:
    """Yield one row a metric, each by its number in `ids`; one for a report that has none."""
    for trial, report in reports:
        if not report.metrics:
            yield sweep, trial, report.step, 0, None, report.time
        for name, value in report.metrics.items():
            yield sweep, trial, report.step, ids[name], value, report.time


def edit_values(sweep: int, edit: EditRow) -> tuple[Any, ...]:
    """Return the row of an edit."""
    return sweep, edit.number, edit.time, edit.trial, edit.spaces


def warning_values(sweep: int, warning: SweepWarning) -> tuple[Any, ...]:
    """Return the row of a warning."""
    return sweep, warning.code, warning.text, warning.time


def goals_text(goals: Iterable[Goal]) -> str:
    """Return goals as they stand in a column."""
    return json.dumps([asdict(goal) for goal in goals])


def failure_text(failure: Failure | None) -> str | None:
    """Return a failure as it stands in a column."""
    return json.dumps(asdict(failure)) if failure else None


def ended_by_values(ended_by: EndedBy | None) -> tuple[str | None, str | None]:
    """Return what ended a trial or a sweep as it stands in two columns."""
    return (ended_by.kind.value, json.dumps(ended_by.facts())) if ended_by else (None, None)


def _ended_by(kind: str | None, facts: str | None) -> EndedBy | None:
    return EndedBy(kind=EndKind(kind), **json.loads(facts or "{}")) if kind else None


def _failure(text: str | None) -> Failure | None:
    return Failure(**json.loads(text)) if text else None
