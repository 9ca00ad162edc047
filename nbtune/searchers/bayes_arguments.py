"""Checks on what `Bayes` is constructed with; every error names the argument."""

import operator
from collections.abc import Sequence

from nbtune.exceptions import SpecError, nearest

__all__ = ["check_count", "check_flag", "check_known"]


def check_count(name: str, value: object, least: int) -> int:
    """Return a count as an int of at least `least`; raise `SpecError` when it is none."""
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least:
        raise SpecError(
            f"Bayes({name}={value!r}): needs an integer of at least {least}", f"searcher.{name}"
        )
    return number


def check_flag(name: str, value: object) -> bool:
    """Return a bool; raise `SpecError` for anything else."""
    if not isinstance(value, bool):
        raise SpecError(f"Bayes({name}={value!r}): needs True or False", f"searcher.{name}")
    return value


def check_known(name: str, value: object, known: Sequence[str]) -> str:
    """Return one of `known`; raise `SpecError`, with the nearest, for anything else."""
    if not isinstance(value, str) or value not in known:
        raise SpecError(
            f"Bayes({name}={value!r}): is not known. {nearest(str(value), known)}",
            f"searcher.{name}",
        )
    return value
