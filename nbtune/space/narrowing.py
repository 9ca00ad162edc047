"""Whether all values of one domain are values of another."""

import math
from typing import Any

from nbtune.exceptions import SpaceError
from nbtune.space.choice import Branch, Choice
from nbtune.space.domains import Domain
from nbtune.space.normal import LogNormal, Normal
from nbtune.space.numeric import Int, Real

__all__ = ["admits", "covers"]

_Number = Real | Int | Normal | LogNormal


def admits(domain: Domain, value: Any, *, strict: bool = True) -> bool:
    """Return whether `value` is inside `domain`; `strict` is as in `Domain.validate`."""
    try:
        domain.validate(value, strict=strict)
    except SpaceError:
        return False
    return True


def covers(old: Domain, new: Domain) -> bool:
    """Return whether every value of `new` is one of `old`; whole numbers are not reals here."""
    if isinstance(new, Choice):
        return all(_covers_option(old, option) for option in new.options)
    if not isinstance(new, _Number):
        return new.size is not None and all(admits(old, value) for value in new.grid())
    if not isinstance(old, _Number) or isinstance(old, Int) is not isinstance(new, Int):
        return False
    (low, high), (new_low, new_high) = _bounds(old), _bounds(new)
    if not (low <= new_low and new_high <= high):
        return False
    if old.lattice is None or new.lattice is None:
        return old.lattice is None
    return old.lattice.covers(new.lattice)


def _bounds(domain: _Number) -> tuple[float, float]:
    if isinstance(domain, Real | Int):
        return domain.ends
    if isinstance(domain, Normal):
        return -math.inf, math.inf
    return (math.ulp(0.0) if domain.step is None else 0.0), math.inf


def _covers_option(old: Domain, option: Any) -> bool:
    if not isinstance(option, Branch):
        return admits(old, option)
    return isinstance(old, Choice) and any(b.covers(option) for b in old.branches.values())
