"""What a sweep may be called in a store."""

import re

from nbtune.exceptions import SpecError, SweepError
from nbtune.store import Store

__all__ = ["free_name"]


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
        When `name` has other characters than letters, digits, ``_`` and ``-``.
    SweepError
        When it is taken.
    """
    if name is None:
        base = name = re.sub(r"\W+", "_", default).strip("_") or "sweep"
        taken, number = set(store.names()), 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        return name
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][\w-]*", name, re.ASCII):
        raise SpecError(
            f"name={name!r}: use letters, digits, '_' and '-', as in 'digits-2'", "name"
        )
    row = store.find(name)
    if row is not None and not replace:
        count = sum(store.counts().get(name, {}).values())
        raise SweepError(
            f"a sweep {name!r} exists already ({count} trials, {row.status}). Go on with "
            f"nbtune.load({name!r}).resume(), replace it with replace=True, or pick another name."
        )
    return name
