"""A sweep that does not run here, read from the store."""

import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtune.definition import Definition
from nbtune.ended_by import EndedBy
from nbtune.engine import Snapshot, SweepStatus, TrialList, progress_of
from nbtune.exceptions import StoreError
from nbtune.naming import status_of
from nbtune.pareto import front, front_order, nsga_order, scores_of_values
from nbtune.results import reports_frame_of, trials_frame
from nbtune.space import Edit
from nbtune.store import Store, SweepRow, damage_named, queries
from nbtune.sweep_warning import SweepWarning
from nbtune.trial import Goal, Status, Trial

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SnapshotCache",
    "StoredAnswers",
    "stored_definition",
    "stored_history",
    "stored_snapshot",
    "stored_status",
]

STALE_SECONDS = 1.0
_CLOCK_TICK_NS = 50_000_000  # two writes within a tick of the system's clock, 10 ms at most


def stored_history(store: Store, row: SweepRow, definition: Definition) -> list[tuple[Trial, str]]:
    """Return each stored trial with its origin, by number."""
    return _decoded(store.trials(row), row, definition)


def _decoded(
    stored: Iterable[tuple[Trial, Any, str]], row: SweepRow, definition: Definition
) -> list[tuple[Trial, str]]:
    timeline = definition.timeline
    history = []
    for trial, params, origin in stored:
        with damage_named(f"trial {trial.number} of sweep {row.name!r}"):
            known = timeline.at(trial.number).from_json(params)
        history.append((replace(trial, params=known), origin))
    return history


class StoredAnswers:
    """The answers of the store, each by a query of its own: of a sweep that runs elsewhere, or ran.

    Parameters
    ----------
    store : Store
    row : SweepRow
        As just read.
    definition : Definition
    """

    def __init__(self, store: Store, row: SweepRow, definition: Definition) -> None:
        self._store = store
        self._row = row
        self._definition = definition

    @property
    def status(self) -> SweepStatus:
        """Where the sweep stands."""
        return self._standing[0]

    @property
    def reason(self) -> str:
        """Why it stands there."""
        return self._standing[1]

    @property
    def ended_by(self) -> EndedBy | None:
        """What ended it, as data."""
        return self._row.ended_by

    @property
    def goals(self) -> tuple[Goal, ...]:
        """Each objective."""
        return self._definition.goals

    @property
    def progress(self) -> str:
        """How many trials are over."""
        return progress_of(self.status, self.counts, self._definition.budget.trials)

    @property
    def _standing(self) -> tuple[SweepStatus, str]:
        return stored_status(self._row, owned=self._store.owned(self._row.name))

    @property
    def counts(self) -> dict[Status, int]:
        """The number of trials by status."""
        with self._store.asking(self._row) as connection:
            counted = queries.counts(connection, self._row.id)
            known = {Status(status): count for status, count in counted.items()}
        return {status: known.get(status, 0) for status in Status}

    @property
    def front(self) -> list[Trial]:
        """The trials that none is better than, best in the first goal first."""
        numbers, scores = self._scores(Status.FAILED, leave_out=True)
        return self._trials([numbers[place] for place in front_order(scores)])

    @property
    def warnings(self) -> list[SweepWarning]:
        """What did not work as meant, each once, oldest first."""
        return self._store.warnings(self._row.id)

    def top(self, k: int, *, only_completed: bool) -> list[Trial]:
        """Return the `k` best trials, best first."""
        status = Status.COMPLETED if only_completed else Status.FAILED
        numbers, scores = self._scores(status, leave_out=not only_completed)
        return self._trials([numbers[place] for place in nsga_order(scores)[:k]])

    def _scores(self, status: Status, *, leave_out: bool) -> tuple[list[int], Any]:
        """Return the numbers of trials with this status, or of all but these, and their scores."""
        goals, sweep = self._definition.goals, self._row.id
        with self._store.asking(self._row) as connection:
            values = [queries.values(connection, sweep, goal) for goal in goals]
            with_status = queries.numbers_with(connection, sweep, status.value)
        numbers = [
            number
            for number in values[0]
            if (number in with_status) is not leave_out and all(number in each for each in values)
        ]
        numbers.sort()
        columns = [list(map(each.__getitem__, numbers)) for each in values]
        return numbers, scores_of_values(np.array(columns, dtype=np.float64).T, goals)

    def trial(self, number: int) -> Trial | None:
        """Return one trial with its reports, None when there is none of that number."""
        return next(iter(self._trials([number])), None)

    def _trials(self, numbers: Sequence[int]) -> list[Trial]:
        found = self._store.trials(self._row, numbers) if numbers else []
        return [trial for trial, _ in _decoded(found, self._row, self._definition)]

    def trials(self) -> "pd.DataFrame":
        """Return one row a trial."""
        with self._store.asking(self._row) as connection:
            summaries = queries.summaries(connection, self._row.id)
        found = _decoded(self._store.plain_trials(self._row), self._row, self._definition)
        hull = self._definition.timeline.hull
        return trials_frame((trial for trial, _ in found), hull, summaries)

    def reports(self) -> "pd.DataFrame":
        """Return one row a report."""
        with self._store.asking(self._row) as connection:
            fixed, metrics = queries.report_columns(connection, self._row.id)
        return reports_frame_of(fixed | metrics)


class SnapshotCache:
    """The snapshot last read from a store: the same until something was written, or may have been.

    That of a sweep that has ended stays while the store's files do; any other, whose process may
    die without a word, for `STALE_SECONDS`, or twice what it took to read where that is longer.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: tuple[Any, float, Snapshot] | None = None

    def forget(self) -> None:
        """Read it anew when it is next asked for."""
        self._kept = None

    def get(self, read: Callable[[], Snapshot]) -> Snapshot:
        """Return what `read` returns, or did."""
        kept, before = self._kept, self._signature()  # one look: another thread may renew it
        if kept is not None:
            signature, until, snapshot = kept
            unchanged = signature is not None and signature == before
            if time.monotonic() < until or (unchanged and snapshot.status.ended):
                return snapshot
        began = time.monotonic()
        snapshot = read()
        now = time.monotonic()
        self._kept = before, now + max(STALE_SECONDS, 2 * (now - began)), snapshot
        return snapshot

    def _signature(self) -> Any:
        """Return the store's signature, None while a write could come that it does not show."""
        signature = self._store.signature
        newest = max((changed for *_, changed in signature), default=0)
        return signature if time.time_ns() - newest > _CLOCK_TICK_NS else None


def stored_definition(store: Store, row: SweepRow) -> Definition:
    """Return what rebuilds a stored sweep, with the edits of its space.

    Raises
    ------
    StoreError
        When it needs code that is not there, or another user could have written it.
    """
    store.check_trusted(row.name)
    try:
        definition: Definition = pickle.loads(row.definition)
        edits = store.edits(row.id)
        # The last one holds all spaces, so that an option is the same object in each of them.
        first, *later = pickle.loads(edits[-1].spaces) if edits else (definition.space,)
        made = [
            Edit(time=edit.time, trial=edit.trial, space=space)
            for edit, space in zip(edits, later, strict=True)
        ]
    except Exception as error:
        raise StoreError(
            f"sweep {row.name!r} was stored with code that cannot be loaded here: {error!r}. "
            "Import or install what it used, then load it again."
        ) from error
    return replace(definition, space=first, edits=tuple(made))


def stored_status(row: SweepRow, *, owned: bool) -> tuple[SweepStatus, str]:
    """Return status and reason; what claims to run and has no owner was interrupted."""
    status = status_of(row, owned=owned)
    if status is SweepStatus.INTERRUPTED:
        return status, "its process ended; .resume() goes on"
    return status, row.reason


def _rungs(definition: Definition) -> tuple[int, ...]:
    """Return where trials are compared; nowhere, for a scheduler that fails."""
    try:
        return tuple(definition.setup_scheduler().rungs())
    except Exception:  # noqa: BLE001 - the results are there, whatever became of the scheduler
        return ()


def stored_snapshot(
    store: Store, name: str, row: SweepRow | None, definition: Definition
) -> Snapshot:
    """Return a sweep as it stands in the store; empty and pending when it is not there yet."""
    status, reason = SweepStatus.PENDING, ""
    trials: tuple[Trial, ...] = ()
    plan = definition.plan if row is None else row.plan
    if row is not None:
        trials = tuple(trial for trial, _ in stored_history(store, row, definition))
        status, reason = stored_status(row, owned=store.owned(name))
    return Snapshot(
        name=name,
        status=status,
        reason=reason,
        goals=definition.goals,
        step_name=definition.step,
        space=definition.timeline.hull,
        trials=TrialList.of(trials),
        front=tuple(front(trials, definition.goals)),
        elapsed=row.elapsed if row else 0.0,
        trial_limit=definition.budget.trials,
        time_limit=definition.budget.time_limit,
        plan=" · ".join(filter(None, (plan, definition.timeline.remark))),
        rungs=_rungs(definition),
        failure=row.failure if row else None,
        ended_by=row.ended_by if row else None,
        warnings=tuple(store.warnings(row.id)) if row else (),
        version=0,
    )
