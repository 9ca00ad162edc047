"""A sweep that does not run here, read from the store."""

import pickle
from dataclasses import replace

from nbtune.definition import Definition
from nbtune.engine import Snapshot, SweepStatus
from nbtune.exceptions import StoreError
from nbtune.naming import status_of
from nbtune.pareto import front
from nbtune.space import Edit
from nbtune.store import Store, SweepRow, damage_named
from nbtune.trial import Trial

__all__ = ["stored_definition", "stored_history", "stored_snapshot", "stored_status"]


def stored_history(store: Store, row: SweepRow, definition: Definition) -> list[tuple[Trial, str]]:
    """Return each stored trial with its origin, by number."""
    timeline = definition.timeline
    history = []
    for trial, params, origin in store.trials(row):
        with damage_named(f"trial {trial.number} of sweep {row.name!r}"):
            known = timeline.at(trial.number).from_json(params)
        history.append((replace(trial, params=known), origin))
    return history


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
        trials=trials,
        front=tuple(front(trials, definition.goals)),
        elapsed=row.elapsed if row else 0.0,
        trial_limit=definition.budget.trials,
        time_limit=definition.budget.time_limit,
        plan=" · ".join(filter(None, (plan, definition.timeline.remark))),
        rungs=tuple(definition.setup_scheduler().rungs()),
        failure=row.failure if row else None,
        warnings=tuple(store.warnings(row.id)) if row else (),
        version=0,
    )
