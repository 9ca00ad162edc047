"""Translates params from one space to another: what an old result says in a new space's terms.

Pure: nothing here knows sweeps or searchers.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbtune.space.choice import Choice, Constant
from nbtune.space.domains import Domain, snap
from nbtune.space.matching import alike, json_of, same
from nbtune.space.narrowing import admits
from nbtune.space.normal import LogNormal, Normal
from nbtune.space.numeric import Int, Real
from nbtune.space.ranges import Range
from nbtune.space.space import Space

__all__ = ["NEAR", "Recast", "declares_the_same", "means_the_same", "recast"]

NEAR = 0.1
"""Of a domain's unit interval: a param that is now fixed may have been so far from its value."""

_NUMBERS = (Real, Int, Range, Normal, LogNormal)


@dataclass(frozen=True, slots=True)
class Recast:
    """Params as a point of another space; ``exact`` when the objective gets just the same."""

    params: dict[str, Any]
    exact: bool


def recast(params: Mapping[str, Any], old: Space, new: Space) -> Recast | None:
    """Return params of `old` as a point of `new`, None where they cannot be expressed there.

    - A name that only `new` has takes its default; one that only `old` has is dropped.
    - A number inside the new bounds moves to the nearest one on a new step; one outside is not
      expressed: at the border it would speak of a place where nothing was tried.
    - An option that is gone is not expressed. Objects of which each process has its own, such as
      functions, are known by their names.
    - A param that is now fixed must have been near: within `NEAR` of the old domain's unit
      interval, where that is of numbers, else equal. A fixed value that is another now takes the
      new one, as a name does that is new; inside a branch it says which branch, and must agree.

    Parameters
    ----------
    params : mapping
        Inside `old`.
    old, new : Space
    """
    return _recast(params, old, new, nested=False)


def _recast(params: Mapping[str, Any], old: Space, new: Space, *, nested: bool) -> Recast | None:
    values: dict[str, Any] = {}
    exact = all(name in new for name in params)
    for name, domain in new.items():
        before = old.get(name)
        if before is None or name not in params:
            values[name], exact = domain.default, False
            continue
        found = _expressed(params[name], before, domain, nested=nested)
        if found is None:
            return None
        values[name], unchanged = found
        exact &= unchanged
    return Recast(values, exact)


def _expressed(value: Any, old: Domain, new: Domain, *, nested: bool) -> tuple[Any, bool] | None:
    """Return a value as one of `new`, and whether it is the same; None where it is none."""
    if isinstance(new, Constant):
        if means_the_same(value, new.value):
            return new.value, True
        moved = not nested if isinstance(old, Constant) else _is_near(value, new.value, old)
        return (new.value, False) if moved else None
    if admits(new, value):
        return new.validate(value), True
    if isinstance(new, Choice):
        return _option(value, old, new)
    snapped = _snapped(value, new)
    return None if snapped is None else (snapped, False)


def _is_near(value: Any, fixed: Any, old: Domain) -> bool:
    """Return whether a number of `old` is near the one at which it is now fixed."""
    if not isinstance(old, _NUMBERS) or not admits(old, fixed):
        return False
    return abs(old.to_unit(value) - old.to_unit(fixed)) <= NEAR


def _snapped(value: Any, new: Domain) -> Any:
    """Return the number of a stepped domain that is nearest to a value inside its bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if not isinstance(new, Real | Int | Range) or not new.low <= value <= new.high:
        return None
    if isinstance(new, Int):
        return new.at(new.lattice.nearest(round(value)))
    return snap(value, new.lattice) if isinstance(new, Real) else new.from_unit(new.to_unit(value))


def _option(value: Any, old: Domain, new: Choice) -> tuple[Any, bool] | None:
    """Return the option of the same name, or the point of the branch that is most like it."""
    if isinstance(value, Mapping):
        return _in_branch(value, old, new)
    if not _is_plain(value):
        for option in new.options:
            if means_the_same(value, option):
                return option, True
    return None


def _in_branch(value: Mapping[str, Any], old: Domain, new: Choice) -> tuple[Any, bool] | None:
    before = old.branches.get(old.index(value)) if isinstance(old, Choice) else None
    if not isinstance(before, Space):
        return None
    for _, branch in new._likeliest(value):
        if isinstance(branch, Space) and (branch.keys() & value.keys() or not branch):
            found = _recast(value, before, branch, nested=True)
            if found is not None:
                return found.params, found.exact
    return None


def means_the_same(one: Any, other: Any) -> bool:
    """Return whether two values are alike, or are objects of one name and type."""
    if alike(one, other):
        return True
    if type(one) is not type(other) or _is_plain(one):
        return False
    return same(json_of(one), json_of(other))


def _is_plain(value: Any) -> bool:
    """Return whether JSON holds the value itself."""
    try:
        return alike(json.loads(json.dumps(value, allow_nan=False)), value)
    except (TypeError, ValueError, RecursionError):
        return False


def declares_the_same(one: Space, other: Space) -> bool:
    """Return whether two spaces have the same params, in the same order, with equal domains.

    Options that are functions or other objects, which a cell that runs again makes anew, are known
    by their names.
    """
    return [*one] == [*other] and all(_is_equal(one[name], other[name]) for name in one)


def _is_equal(one: Domain, other: Domain) -> bool:
    if isinstance(one, Constant) and isinstance(other, Constant):
        return _is_one_value(one.value, other.value)
    if not (isinstance(one, Choice) and isinstance(other, Choice)):
        return one == other
    return (
        one.weights == other.weights
        and len(one.options) == len(other.options)
        and all(map(_is_one_value, one.options, other.options))
        and _is_one_value(one.default, other.default)
    )


def _is_one_value(one: Any, other: Any) -> bool:
    if isinstance(one, Space) and isinstance(other, Space):
        return declares_the_same(one, other)
    if isinstance(one, dict) and isinstance(other, dict):  # the default of a branch
        return [*one] == [*other] and all(_is_one_value(one[name], other[name]) for name in one)
    if same(one, other):
        return True
    is_named = type(one) is type(other) and not _is_plain(one)
    return is_named and same(json_of(one), json_of(other))
