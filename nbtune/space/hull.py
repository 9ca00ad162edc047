"""One space for values of several: what views of a sweep draw on whose space was edited."""

from collections.abc import Iterable
from functools import reduce
from typing import Any

from nbtune.exceptions import SpaceError
from nbtune.space.choice import Choice, Constant
from nbtune.space.domains import Domain
from nbtune.space.narrowing import covers
from nbtune.space.normal import Normal
from nbtune.space.numeric import Int, Real
from nbtune.space.ranges import Range
from nbtune.space.recast import means_the_same
from nbtune.space.space import Space

__all__ = ["hull"]

_MOST_LISTED = 100  # values of a domain that become options


def hull(spaces: Iterable[Space]) -> Space:
    """Return a space with all names of `spaces`, oldest first, and all their values.

    Numbers get the widest bounds, options come in the order in which they were first there. Where
    no domain could hold the values of both, a later domain takes an earlier one's place.
    """
    return reduce(_joined, spaces)


def _joined(old: Space, new: Space) -> Space:
    both = {name: _widest(old[name], new[name]) for name in old if name in new}
    try:
        return Space({**old, **new, **both})
    except SpaceError:  # two names that tables would mix up
        return new


def _widest(old: Domain, new: Domain) -> Domain:
    if covers(old, new):
        return old
    if covers(new, old):
        return new
    try:
        return _numbers(old, new) or _options(old, new) or new
    except SpaceError:
        return new


def _numbers(old: Domain, new: Domain) -> Domain | None:
    """Return a domain with the numbers of both, None where not all are numbers."""
    ends = [*_ends(old), *_ends(new)]
    if not (_ends(old) and _ends(new)):
        is_open = isinstance(old, Normal) or isinstance(new, Normal)
        return Normal(0.0, 1.0) if ends and is_open else None
    low, high = min(ends), max(ends)
    log = bool(getattr(new, "log", getattr(old, "log", False))) and low > 0
    if all(isinstance(end, int) for end in ends):
        return Int(low, high, log=log)
    return Real(low, high, log=log)


def _ends(domain: Domain) -> tuple[Any, ...]:
    """Return the least and the largest number of a domain, nothing for others."""
    if isinstance(domain, Real | Int):
        return domain.ends
    if isinstance(domain, Range):
        return domain.low, domain.high
    value = domain.value if isinstance(domain, Constant) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (value, value) if is_number else ()


def _options(old: Domain, new: Domain) -> Domain | None:
    """Return a choice among the values of both, None where one has too many."""
    if not (_is_listed(old) and _is_listed(new)):
        return None
    options = [*_listed(old)]
    for option in _listed(new):
        place = _place(option, options)
        if place is None:
            options.append(option)
        elif isinstance(option, Space):
            options[place] = _joined(options[place], option)
    return Choice(*options)


def _is_listed(domain: Domain) -> bool:
    return isinstance(domain, Choice) or (domain.size is not None and domain.size <= _MOST_LISTED)


def _listed(domain: Domain) -> list[Any]:
    return list(domain.options) if isinstance(domain, Choice) else domain.grid()


def _place(option: Any, options: list[Any]) -> int | None:
    """Return where an option stands among others, a space by the constants that tell it apart."""
    for place, other in enumerate(options):
        if isinstance(option, Space) and isinstance(other, Space):
            ours, theirs = option.signature, other.signature
            shared = ours.keys() & theirs.keys()
            if shared and all(ours[name] == theirs[name] for name in shared):
                return place
        elif means_the_same(option, other):
            return place
    return None
