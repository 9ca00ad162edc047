"""Checks on what a scheduler is constructed with; every error names the argument."""

import math
import operator
from typing import SupportsFloat

from nbtune.exceptions import SpecError

__all__ = ["check_integer", "check_number", "check_share"]


def check_integer(owner: str, name: str, value: object, least: int) -> int:
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
            f"scheduler.{name}",
        )
    return number


def check_number(owner: str, name: str, value: object) -> float:
    """Return `value` as a float of at least 0; raise `SpecError` when it is none."""
    number = _as_float(value)
    if number < 0:
        raise SpecError(
            f"{owner}({name}={value!r}): needs a number of at least 0", f"scheduler.{name}"
        )
    return number


def check_share(owner: str, name: str, value: object) -> float:
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
            f"scheduler.{name}",
        )
    return number if number <= 1 else number / 100


def _as_float(value: object) -> float:
    """Return a finite float; -1 for anything else."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        return -1.0
    return float(value) if math.isfinite(value) else -1.0
