"""When two values are the same, and what stands for a value in JSON."""

import json
import math
from collections.abc import Hashable, Iterable, Sequence
from datetime import date
from typing import Any

import numpy as np

from nbtune.space.domains import spell

__all__ = ["alike", "bucket", "distinct", "index_in", "json_of", "same"]


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of one type: 1, 1.0 and True are three values."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    try:
        return (one == other) is True
    except Exception:  # noqa: BLE001 - the user's own __eq__; data frames raise in theirs
        return False


def alike(one: Any, other: Any) -> bool:
    """Return whether two values mean the same: 16.0 for 16, a list for a tuple; True is not 1."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    kinds = (type(one), type(other))
    return same(one, other) or (kinds in ((int, float), (float, int)) and bool(one == other))


def json_of(value: Any) -> Any:
    """Return `value` as JSON would give it back; a readable name where JSON has no such value."""
    if isinstance(value, set | frozenset):  # whose order is new in each process
        value = sorted(value, key=repr)
    if isinstance(value, date):  # or a datetime
        return value.isoformat()
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        text = spell(value)
        readable = len(text) <= 80 and " at 0x" not in text  # an address is new in each process
        return text if readable else type(value).__name__


def index_in(value: Any, options: Sequence[Any]) -> int | None:
    """Return where `value` is among the options, by equality first, then by meaning."""
    if isinstance(value, np.generic):
        value = value.item()
    for equal in (same, alike):
        for index, option in enumerate(options):
            if equal(option, value):
                return index
    return None


def distinct(encoded: Iterable[Any]) -> list[Any]:
    """Return JSON values, with ``#position`` added to those that came before."""
    taken: set[str] = set()
    kept = []
    for position, value in enumerate(encoded):
        text = json.dumps(value, sort_keys=True)
        kept.append(f"{value}#{position}" if text in taken else value)
        taken.add(text)
    return kept


def bucket(option: Any) -> Hashable:
    """Return something that options share when they are the same, and few others do."""
    if isinstance(option, float) and math.isnan(option):  # no two NaNs have one hash
        return "nan"
    try:
        return hash(option)
    except TypeError:
        return type(option).__qualname__
