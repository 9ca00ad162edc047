"""From a definition to what runs: a row in the store, and an engine for it."""

import copy
import threading
from collections.abc import Sequence
from dataclasses import replace

import cloudpickle

from nbtune.definition import Definition
from nbtune.engine import Engine
from nbtune.shipment import Shipment
from nbtune.store import Store, SweepRow
from nbtune.trial import Trial
from nbtune.workers.base import Job, Workers

__all__ = ["create_row", "engine_of", "store_definition"]


def create_row(store: Store, name: str, definition: Definition, shipment: Shipment) -> SweepRow:
    """Put a new sweep into the store, its objective with it; return its row."""
    row = store.create(
        name,
        goals=definition.goals,
        step_name=definition.step,
        plan=definition.plan,
        source=definition.source,
        seed=definition.seed,
        definition=cloudpickle.dumps(definition.within_store()),
    )
    threading.Thread(target=definition.workers.prepare, name="nbtune-prepare").start()
    try:
        shipment.write()
    except BaseException:
        store.delete(name)
        raise
    return row


def store_definition(store: Store, row: SweepRow, definition: Definition) -> None:
    """Put another definition in the place of the one that a sweep was stored with."""
    store.redefine(
        row.id,
        plan=definition.plan,
        source=definition.source,
        definition=cloudpickle.dumps(definition.within_store()),
    )


def engine_of(
    store: Store,
    row: SweepRow,
    definition: Definition,
    shipment: Shipment,
    *,
    history: Sequence[tuple[Trial, str]],
    workers: Workers | None = None,
) -> Engine:
    """Return an engine for a stored sweep, not yet begun.

    `history` is that of its trials; `workers` run them in place of those of the definition.
    """
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
        window=definition.window,
    )
