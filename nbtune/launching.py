"""From a definition to what runs: a row in the store, and an engine that owns it."""

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from nbtune import pickling
from nbtune.definition import Definition
from nbtune.editing import edited
from nbtune.engine import Engine
from nbtune.objective.preparation import packed
from nbtune.shipment import Shipment
from nbtune.store import Lock, Store, SweepRow
from nbtune.trial import Trial
from nbtune.workers.base import Job, Workers

__all__ = ["create_row", "engine_of", "store_definition"]


def create_row(
    store: Store, name: str, definition: Definition, shipment: Shipment, *, replace_old: bool
) -> tuple[SweepRow, Lock]:
    """Put a new sweep into the store, its objective with it; return its row and its lock, held.

    Both are there at once or not at all, whenever this process is killed. With `replace_old` it
    takes the place of one of that name, which stays until the new one is complete.
    """
    with store.draft() as (folder, lock):
        threading.Thread(target=definition.workers.prepare, name="nbtune-prepare").start()
        shipment.write(folder=folder)
        if replace_old and store.find(name) is not None:
            store.delete(name)  # not the data that the new one uses too
        row = store.create(
            name,
            goals=definition.goals,
            step_name=definition.step,
            plan=definition.plan,
            source=definition.source,
            seed=definition.seed,
            definition=pickling.dumps(definition.within_store()),
            draft=folder,
        )
    return row, lock


def store_definition(store: Store, row: SweepRow, definition: Definition) -> None:
    """Put another definition in the place of the one that a sweep was stored with."""
    store.redefine(
        row.id,
        plan=definition.plan,
        source=definition.source,
        definition=pickling.dumps(definition.within_store()),
    )


def engine_of(
    store: Store,
    row: SweepRow,
    definition: Definition,
    shipment: Shipment,
    *,
    history: Sequence[tuple[Trial, str]],
    lock: Lock,
    workers: Workers | None = None,
    at_end: Callable[[], object],
) -> Engine:
    """Return an engine for a stored sweep that this process owns, not yet begun.

    Parameters
    ----------
    store, row, definition, shipment
        The sweep.
    history : sequence of (Trial, origin)
        Its trials so far, by number.
    lock : Lock
        The sweep's, which the engine gives back at its end; the caller does when this raises.
    workers : Workers, optional
        What runs them in place of the definition's.
    at_end : callable
        Called when all is on disk, before the sweep is given back.
    """
    engine = _engine(store, row, definition, shipment, history, workers)
    shipment.cargo.keep(lambda trouble: engine.warn("data-not-stored", trouble))

    def give_back() -> None:
        at_end()
        shipment.close()
        lock.close()

    engine.at_end(give_back)
    return engine


def _engine(
    store: Store,
    row: SweepRow,
    definition: Definition,
    shipment: Shipment,
    history: Sequence[tuple[Trial, str]],
    workers: Workers | None,
) -> Engine:
    if workers is not None:
        row = replace(row, plan=replace(definition, workers=workers).plan)
    if remark := shipment.cargo.remark:
        row = replace(row, plan=f"{row.plan} · {remark}")
    return Engine(
        store=store,
        row=row,
        job=Job(
            call=shipment.call,
            payload=shipment.path,
            step_name=definition.step,
            result_metric=definition.goals[0].metric,
            folder=store.folder(row.name),
            seed=definition.seed,
            data=shipment.cargo.places,
            preparation=packed(definition.setup),
            setup=definition.setup,
        ),
        space=definition.space,
        goals=definition.goals,
        searcher=definition.setup_searcher(),
        scheduler=definition.setup_scheduler(),
        workers=workers or copy.deepcopy(definition.workers),
        budget=definition.budget,
        stop_rules=definition.setup_rules(),
        history=history,
        edits=definition.edits,
        searcher_in=lambda space: edited(definition, space, trial=0).setup_searcher(),
        window=definition.window,
        warnings=store.warnings(row.id),
    )
