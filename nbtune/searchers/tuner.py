"""A tuner: the user's function that proposes the params of a round. Finds it, checks its call."""

import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from nbtune.exceptions import SpecError, nearest

__all__ = ["ARGUMENTS", "GROUP", "Tuner", "arguments_taken", "find_tuner"]

Tuner: TypeAlias = Callable[..., Any]

ARGUMENTS = ("params", "configs", "metrics", "iteration", "seed")
"""What every round passes, by name, to a tuner that names it."""

GROUP = "nbtune.tuners"
"""The entry points by which packages register tuners."""

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def find_tuner(value: object) -> Tuner:
    """Return the function that `value` is or names: a registered name, else "module:attribute".

    Raises
    ------
    SpecError
        When it is neither, the name is unknown, or what it names cannot be imported or called.
    """
    if callable(value):
        return value
    if not isinstance(value, str):
        raise _error(
            f"Iterative: tuner={value!r} is a {type(value).__name__}; give a function, "
            "'module:function' or a registered name"
        )
    registered = {e.name: e.value for e in importlib.metadata.entry_points(group=GROUP)}
    target = registered.get(value, value)
    if ":" not in target:
        known = nearest(value, registered) if registered else f"No package registers any ({GROUP})."
        raise _error(
            f"Iterative: tuner {value!r} is not known. {known} "
            "Or give a function, or 'module:function'"
        )
    found = _imported(target, value if target == value else f"{value} ({target})")
    if not callable(found):
        raise _error(f"Iterative: tuner {value!r} is {found!r}, which cannot be called")
    return found


def _imported(target: str, shown: str) -> object:
    module_name, _, attribute = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise _error(
            f"Iterative: tuner {shown!r}: module {module_name!r} cannot be imported: {error}. "
            "Allowed is 'module:function' of a module that can be"
        ) from error
    found: object = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            known = [each for each in vars(found) if callable(getattr(found, each, None))]
            public = [each for each in known if not each.startswith("_")]
            raise _error(
                f"Iterative: tuner {shown!r}: {module_name!r} has no {attribute!r}. "
                f"{nearest(attribute, public)}"
            )
        found = getattr(found, name)
    return found


def arguments_taken(tuner: Tuner, own: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of `ARGUMENTS` that `tuner` takes; `own` are the user's further ones.

    Raises
    ------
    SpecError
        When the tuner needs an argument that nobody gives, or is given one that it does not take.
    """
    if taken := [name for name in own if name in ARGUMENTS]:
        raise _error(f"Iterative: {taken[0]}={own[taken[0]]!r}: each round passes its own; drop it")
    try:
        parameters = inspect.signature(tuner).parameters
    except (TypeError, ValueError):  # written in C without one: let it take what it is given
        return frozenset(ARGUMENTS)
    named = {name for name, each in parameters.items() if each.kind in _BY_NAME}
    takes_all = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    missing = [
        name
        for name, each in parameters.items()
        if each.default is each.empty
        and each.kind not in variadic
        and not (name in named and (name in ARGUMENTS or name in own))
    ]
    shown = getattr(tuner, "__qualname__", repr(tuner))
    if missing:
        raise _error(
            f"Iterative: tuner {shown} requires {', '.join(missing)}, which no round passes by "
            f"name. Passed are {', '.join(ARGUMENTS)}; give others as in "
            f"Iterative({shown}, iterations, {missing[0]}=...), or a default"
        )
    if not takes_all and (unknown := [name for name in own if name not in named]):
        raise _error(
            f"Iterative: {unknown[0]}={own[unknown[0]]!r}: tuner {shown} does not take it. "
            f"{nearest(unknown[0], sorted(named - set(ARGUMENTS)) or ARGUMENTS)}"
        )
    return frozenset(ARGUMENTS if takes_all else named.intersection(ARGUMENTS))


def _error(message: str) -> SpecError:
    return SpecError(message, "searcher.tuner")
