"""A sweep that does not run here, read from the store."""

from dataclasses import replace

from nbtune.definition import Definition
from nbtune.engine import Snapshot, SweepStatus
from nbtune.pareto import front
from nbtune.store import Store, SweepRow
from nbtune.trial import Trial

__all__ = ["stored_history", "stored_snapshot", "stored_status"]


def stored_history(store: Store, row: SweepRow, definition: Definition) -> list[tuple[Trial, str]]:
    """Return each stored trial with its origin, by number."""
    return [
        (replace(trial, params=definition.space.from_json(params)), origin)
        for trial, params, origin in store.trials(row)
    ]


def stored_status(row: SweepRow, *, owned: bool) -> tuple[SweepStatus, str]:
    """Return status and reason; what claims to run and has no owner was interrupted."""
    status = SweepStatus(row.status)
    if status.ended or owned:
        return status, row.reason
    return SweepStatus.INTERRUPTED, "its process ended; .resume() goes on"


def stored_snapshot(
    store: Store, name: str, row: SweepRow | None, definition: Definition
) -> Snapshot:
    """Return a sweep as it stands in the store; empty and pending when it is not there yet."""
    status, reason = SweepStatus.PENDING, ""
    trials: tuple[Trial, ...] = ()
    if row is not None:
        trials = tuple(trial for trial, _ in stored_history(store, row, definition))
        status, reason = stored_status(row, owned=store.owned(name))
    return Snapshot(
        name=name,
        status=status,
        reason=reason,
        goals=definition.goals,
        step_name=definition.step,
        space=definition.space,
        trials=trials,
        front=tuple(front(trials, definition.goals)),
        elapsed=row.elapsed if row else 0.0,
        trial_limit=definition.budget.trials,
        time_limit=definition.budget.time_limit,
        plan=definition.plan,
        rungs=tuple(definition.setup_parts()[1].rungs()),
        failure=row.failure if row else None,
        version=0,
    )
