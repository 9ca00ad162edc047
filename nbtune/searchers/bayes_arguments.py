"""Checks on what `Bayes` is constructed with; every error names the argument."""

import operator
from collections.abc import Sequence

from nbtune.exceptions import SpecError, nearest

__all__ = ["check_count", "check_flag", "check_known"]


def check_count(value: object) -> int:
    """Return ``n_initial`` as an int of at least 1; raise `SpecError` when it is none."""
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1:
        raise SpecError(
            f"Bayes(n_initial={value!r}): needs an integer of at least 1", "searcher.n_initial"
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
