"""Checks on what a searcher, scheduler or rule is constructed with; errors name the argument.

Each takes the ``part`` of a spec, such as "scheduler", that the ``owner`` is, its class, and the
argument's ``name``.
"""

import math
import operator
from collections.abc import Sequence
from typing import SupportsFloat

from nbtune.exceptions import SpecError, nearest

__all__ = ["check_flag", "check_integer", "check_known", "check_number", "check_share"]


def check_integer(part: str, owner: str, name: str, value: object, least: int) -> int:
    """Return `value` as an int of at least `least`.

    Raises
    ------
    SpecError
        When it is no integer, a bool, or too small.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least:
        raise SpecError(
            f"{owner}({name}={value!r}): needs an integer of at least {least}",
            f"{part}.{name}",
        )
    return number


def check_number(part: str, owner: str, name: str, value: object) -> float:
    """Return `value` as a float of at least 0; raise `SpecError` when it is none."""
    number = _as_float(value)
    if number < 0:
        raise SpecError(
            f"{owner}({name}={value!r}): needs a number of at least 0", f"{part}.{name}"
        )
    return number


def check_share(part: str, owner: str, name: str, value: object) -> float:
    """Return `value` as a share in [0, 1]; above 1 it is read as a percentage, up to 99.

    Raises
    ------
    SpecError
        When it is no number from 0 to 99.
    """
    number = _as_float(value)
    if not 0 <= number <= 99:
        raise SpecError(
            f"{owner}({name}={value!r}): needs a share from 0 to 1, or a percentage up to 99",
            f"{part}.{name}",
        )
    return number if number <= 1 else number / 100


def check_flag(part: str, owner: str, name: str, value: object) -> bool:
    """Return a bool; raise `SpecError` for anything else."""
    if not isinstance(value, bool):
        raise SpecError(f"{owner}({name}={value!r}): needs True or False", f"{part}.{name}")
    return value


def check_known(part: str, owner: str, name: str, value: object, known: Sequence[str]) -> str:
    """Return one of `known`; raise `SpecError`, with the nearest, for anything else."""
    if not isinstance(value, str) or value not in known:
        raise SpecError(
            f"{owner}({name}={value!r}): is not known. {nearest(str(value), known)}",
            f"{part}.{name}",
        )
    return value


def _as_float(value: object) -> float:
    """Return a finite float; -1 for anything else."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        return -1.0
    return float(value) if math.isfinite(value) else -1.0
