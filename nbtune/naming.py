"""What a sweep may be called in a store."""

import re

from nbtune.engine import SweepStatus
from nbtune.exceptions import SpecError, SweepError
from nbtune.store import Store, SweepRow, damage_named

__all__ = ["MOST_OF_A_NAME", "free_name", "status_of"]

MOST_OF_A_NAME = 128  # bytes: a sweep's folder has its name, and eCryptfs takes 143


def free_name(store: Store, name: str | None, *, default: str, replace: bool) -> str:
    """Return the name under which a new sweep can be stored.

    Parameters
    ----------
    store : Store
    name : str or None
        What the user wants; None for one made of `default`, numbered when that is taken.
    default : str
        Any text.
    replace : bool
        Whether the sweep that has the name will go.

    Raises
    ------
    SpecError
        When `name` has other characters than letters, digits, ``_`` and ``-``, or too many.
    SweepError
        When it is taken.
    """
    if name is None:
        base = name = _shortened(re.sub(r"\W+", "_", default).strip("_")) or "sweep"
        taken, number = set(store.names()), 2
        while name in taken or store.folder(name).exists():
            name, number = f"{base}-{number}", number + 1
        return name
    if isinstance(name, str) and len(name) > MOST_OF_A_NAME:
        raise SpecError(
            f"name={name[:40] + '...'!r} has {len(name):,} characters: "
            f"give {MOST_OF_A_NAME} at most",
            "name",
        )
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII):
        raise SpecError(
            f"name={name!r}: use letters, digits, '_' and '-', as in 'digits-2'", "name"
        )
    row = store.find(name)
    if row is not None and not replace:
        status = status_of(row, owned=store.owned(name))
        count = sum(store.counts().get(name, {}).values())
        if store.owned(name):
            raise SweepError(
                f"a sweep {name!r} is running ({count} trials). Stop it and start over with "
                f"replace=True, look at it with nbtune.load({name!r}), or pick another name."
            )
        raise SweepError(
            f"a sweep {name!r} exists already ({count} trials, {status}). Go on with "
            f"nbtune.load({name!r}).resume(), replace it with replace=True, or pick another name."
        )
    return name


def status_of(row: SweepRow, *, owned: bool) -> SweepStatus:
    """Return a stored sweep's status; what claims to run and has no owner was interrupted."""
    with damage_named(f"the status of sweep {row.name!r}"):
        status = SweepStatus(row.status)
    return status if status.ended or owned else SweepStatus.INTERRUPTED


def _shortened(text: str) -> str:
    room = MOST_OF_A_NAME - 8  # for a number
    return text.encode()[:room].decode(errors="ignore")
