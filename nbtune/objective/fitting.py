"""Whether a domain's values are of the type that their parameter is annotated with.

Judged are Python's own types, `datetime`'s, literals and unions of them; anything else takes all.
"""

import datetime
import numbers
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from nbtune.exceptions import SpaceError
from nbtune.space import Choice, Constant, Domain, Space
from nbtune.space.domains import short

__all__ = ["check_fit"]

_JUDGED = {
    *(bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, type(None)),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta),
}
_WIDER: dict[Any, Any] = {  # an int will do for a float, and YAML has no tuples
    float: numbers.Real,
    complex: numbers.Complex,
    list: (list, tuple),
    tuple: (list, tuple),
}
_INSTEAD = {
    int: "Int(...) or whole numbers",
    float: "Real(...) or numbers",
    bool: "Bool()",
    str: "Choice('a', 'b')",
}


def check_fit(domain: Domain, annotation: Any, name: str, *, optional: bool = False) -> None:
    """Raise `SpaceError` when a domain has a value that an annotation does not take.

    Parameters
    ----------
    domain : Domain
    annotation : any
        A type, evaluated; what is none, such as text for people, takes anything.
    name : str
        The parameter, for the message.
    optional : bool
        Whether None will do too, as for ``width: int = None``.
    """
    for value in _values(domain):
        if (optional and value is None) or _takes(annotation, value):
            continue
        fixed = isinstance(domain, Constant)
        written = short(domain).partition(".with_default")[0]
        origin = "fixed at" if fixed else f"{written} has values such as"
        raise SpaceError(
            f"{name}: {origin} {short(value)}, of type {type(value).__name__}, where the "
            f"annotation is {_spelt(annotation)}. Give {_instead(annotation)}, or change it."
        )


def _values(domain: Domain) -> Iterator[Any]:
    """Yield a value of each type that a domain may have."""
    if isinstance(domain, Constant):
        yield domain.value
    elif isinstance(domain, Choice):
        for option in domain.options:
            yield option.defaults if isinstance(option, Space) else option
    else:
        yield domain.default


def _takes(annotation: Any, value: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _takes(get_args(annotation)[0], value)
    if origin in (Union, types.UnionType):
        return any(_takes(each, value) for each in get_args(annotation))
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in get_args(annotation))
    kind = annotation if origin is None else origin
    if kind is None:
        return value is None
    if not isinstance(kind, type) or kind not in _JUDGED:
        return True
    return isinstance(value, _WIDER.get(kind, kind))


def _instead(annotation: Any) -> str:
    known = _INSTEAD.get(annotation) if isinstance(annotation, type) else None
    return known or "such values"


def _spelt(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
