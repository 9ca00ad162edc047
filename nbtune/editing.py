"""A sweep's space changed after it was declared: what may change, and how it is told and stored."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nbtune.definition import Definition
from nbtune.engine import edit_row
from nbtune.exceptions import SpaceError, SweepError, nearest
from nbtune.objective import taken_by
from nbtune.results import moments
from nbtune.space import Constant, Edit, Space, Timeline
from nbtune.store import Lock, Store, SweepRow
from nbtune.trial import Params

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["edited", "edited_space", "edits_frame", "refixed", "store_edit", "whole_space"]


def edited_space(
    space: Space, changes: Mapping[str, Any], load: Callable[[], Callable[[Params], Any]]
) -> Space:
    """Return `space` with some domains changed; a plain value fixes its param.

    Parameters
    ----------
    space : Space
    changes : mapping
        Domains and values by name; a name that is new must be a parameter of the objective.
    load : callable
        Returns the objective; asked only where a name is new.

    Raises
    ------
    SpaceError
        When a name is no param of the objective, or a number is replaced by something else.
    """
    added = {name: value for name, value in changes.items() if name not in space}
    known = {name: value for name, value in changes.items() if name in space}
    if added:
        taken = taken_by(load(), added)
        if taken is None:
            name = next(iter(added))
            raise SpaceError(f"{name}: the objective has no such param. {nearest(name, space)}")
        added = dict(taken)
    changed = space.changed(known)
    return Space({**changed, **added}) if added else changed


def whole_space(
    space: Space, given: Mapping[str, Any], load: Callable[[], Callable[[Params], Any]]
) -> Space:
    """Return `given` as the space to go on in; a name that it lacks is fixed at its default."""
    kept = Space(given)
    lost = {name: domain for name, domain in space.items() if name not in kept}
    gone = {name: Constant(domain.default) for name, domain in lost.items()}
    return edited_space(space, {**given, **gone}, load)


def refixed(
    space: Space, params: Mapping[str, Any], load: Callable[[], Callable[[Params], Any]]
) -> Space:
    """Return `space` with what is not searched fixed at the values of `params`.

    A name that the space lacks must be a parameter of the objective, which `load` returns.

    Raises
    ------
    SpaceError, ObjectiveError
        When a name is no param of the objective, or a number is replaced by something else.
    """
    fixed = {
        name: Constant(value)
        for name, value in params.items()
        if name not in space or space[name].size == 1
    }
    return edited_space(space, fixed, load)


def edited(definition: Definition, space: Space, *, trial: int) -> Definition:
    """Return the definition of a sweep that goes on in `space` from trial `trial` on.

    Raises
    ------
    SweepError
        When its searcher keeps to the space in which it started.
    SpaceError
        When the space cannot be stored.
    """
    if not definition.searcher.editable:
        raise SweepError(
            f"{type(definition.searcher).__name__} keeps to the space in which it started. Start "
            "another sweep, with warm_start= for what this one has found."
        )
    edit = Edit(time=time.time(), trial=trial, space=space)
    made = replace(definition, edits=(*definition.edits, edit))
    try:
        edit_row(made.timeline)
    except Exception as error:  # an option may be any object
        raise SpaceError(
            f"the space cannot be stored: {error}. Give options that can be pickled, for instance "
            "names that the objective looks up."
        ) from error
    return made


def store_edit(store: Store, row: SweepRow, definition: Definition, space: Space) -> Definition:
    """Enter an edit of a sweep that does not run; return its definition from now on.

    Raises
    ------
    SweepError
        When a process runs it after all.
    """
    lock = Lock(store.folder(row.name) / "lock")
    try:
        made = edited(definition, space, trial=sum(store.counts().get(row.name, {}).values()))
        made.setup_searcher()
        store.add_edit(row.id, edit_row(made.timeline))
    finally:
        lock.close()
    return made


def edits_frame(timeline: Timeline) -> "pd.DataFrame":
    """Return one row a domain that was changed; see ``sweep.edits``."""
    import pandas as pd  # noqa: PLC0415 - `import nbtune` stays light

    rows = [
        (edit.time, edit.trial, name, before, after)
        for edit, name, before, after in timeline.changes()
    ]
    frame = pd.DataFrame(rows, columns=["time", "trial", "param", "before", "after"])
    frame["time"] = moments(frame["time"])
    return frame
