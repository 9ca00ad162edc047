"""Checks on what a searcher, scheduler or rule is constructed with; errors name the argument.

Each takes the ``part`` of a spec, such as "scheduler", that the ``owner`` is, its class, and the
argument's ``name``.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from nbtune.exceptions import SpaceError, SpecError, nearest

__all__ = [
    "LARGEST",
    "check_count",
    "check_flag",
    "check_integer",
    "check_known",
    "check_number",
    "check_numbers",
    "check_params",
    "check_share",
    "finite",
    "is_whole",
]

LARGEST = 2**63 - 1
"""The largest whole number that the store can hold."""


def is_whole(value: object, least: int, most: int = LARGEST) -> bool:
    """Return whether `value` is a whole number between the two, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def finite(value: object) -> float | None:
    """Return `value` as a float; None when it is no number, a bool, NaN, infinite or too large."""
    if isinstance(value, bool | type) or not isinstance(value, SupportsFloat):
        return None
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def check_count(name: str, value: object, most: int = LARGEST) -> None:
    """Raise `SpecError` when `value` is no whole number from 1 to `most`."""
    if is_whole(value, 1, LARGEST) and not is_whole(value, 1, most):
        raise SpecError(f"{name}={value!r}: at most {most:,} are possible.", name)
    if not is_whole(value, 1):
        raise SpecError(f"{name}={value!r}: a whole number of at least 1 is needed.", name)


def check_integer(part: str, owner: str, name: str, value: object, least: int) -> int:
    """Return `value` as an int of at least `least`.

    Raises
    ------
    SpecError
        When it is no integer, a bool, too small or too large.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if not least <= number <= LARGEST:
        bounds = f"of at least {least}" if number < least else f"from {least} to {LARGEST}"
        raise SpecError(f"{owner}({name}={value!r}): needs an integer {bounds}", f"{part}.{name}")
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


def check_params(what: str, params: object) -> Mapping[str, Any]:
    """Return a dict of params; raise `SpaceError` for anything else."""
    if not isinstance(params, Mapping):
        raise SpaceError(f"{what}: got {params!r}, allowed is a dict, as in {{'lr': 0.1}}")
    return params


def check_numbers(what: str, numbers: object) -> list[int]:
    """Return trials' numbers, ascending; raise `SpecError` for anything else."""
    try:
        given = list(numbers)  # type: ignore[call-overload]
        found = [-1 if isinstance(number, bool) else operator.index(number) for number in given]
    except TypeError:
        found = [-1]
    if isinstance(numbers, str | bytes | Mapping) or any(number < 0 for number in found):
        raise SpecError(f"{what}={numbers!r}: give a list of trials' numbers, such as [0, 3]", what)
    return sorted(found)


def _as_float(value: object) -> float:
    """Return a finite float; -1 for anything else."""
    number = finite(value)
    return -1.0 if number is None else number
