"""The sweeps of a store: found, listed, deleted."""

from pathlib import Path
from typing import TYPE_CHECKING

from nbtune.exceptions import SweepError
from nbtune.results import moments
from nbtune.store import Store
from nbtune.stored import stored_status
from nbtune.sweep import Sweep, running_here

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["delete", "load", "sweeps"]


def load(name: str, store: Path | str | None = None) -> Sweep:
    """Return a stored sweep: its results, and ``resume()``.

    A stored sweep holds pickled code, which this runs: take stores only from where you would run
    code.

    Raises
    ------
    SweepError
        When the store has none of that name; it names the nearest.
    StoreError
        When the store cannot be read, another user has written it, or every user may.
    """
    home = Store(store)
    if not isinstance(name, str):
        raise SweepError(f"load(name={name!r}): give a name that nbtune.sweeps() lists")
    return running_here(home, name) or Sweep.stored(home, home.sweep(name))


def sweeps(store: Path | str | None = None) -> "pd.DataFrame":
    """Return one row a stored sweep, oldest first.

    Columns: ``status``, ``reason``, ``metric``, ``direction``, ``trials``, ``completed``,
    ``stopped``, ``failed``, ``created`` (UTC, naive), ``seconds``, ``plan``; indexed by
    ``name``. Of more objectives than one ``metric`` and ``direction`` list each, in the same order.
    """
    import pandas as pd  # noqa: PLC0415 - `import nbtune` stays light

    home = Store(store)
    counts = home.counts()
    rows = []
    for row in home.sweeps():
        live = running_here(home, row.name) is not None
        status, reason = stored_status(row, owned=live or home.owned(row.name))
        count = counts.get(row.name, {})
        rows.append(
            {
                "name": row.name,
                "status": status.value,
                "reason": reason,
                "metric": ", ".join(goal.metric for goal in row.goals),
                "direction": ", ".join(goal.direction for goal in row.goals),
                "trials": sum(count.values()),
                **{name: count.get(name, 0) for name in ("completed", "stopped", "failed")},
                "created": row.created,
                "seconds": row.elapsed,
                "plan": row.plan,
            }
        )
    columns = ["name", "status", "reason", "metric", "direction", "trials", "completed", "stopped"]
    columns += ["failed", "created", "seconds", "plan"]
    frame = pd.DataFrame(rows, columns=columns).set_index("name")
    frame["created"] = moments(frame["created"])
    return frame


def delete(name: str, store: Path | str | None = None) -> None:
    """Remove a sweep, its trials and its folder for good.

    Raises
    ------
    SweepError
        When there is none of that name, or it is running.
    """
    Store(store).delete(name)
