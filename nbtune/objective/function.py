"""A function as objective: domains in its annotations, its defaults, ``@tunable`` or a space."""

import ast
import contextlib
import functools
import inspect
import textwrap
import types
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Any, TypeVar

from nbtune.exceptions import ObjectiveError, SpaceError, nearest
from nbtune.objective.annotations import (
    EXAMPLE,
    annotated_domain,
    domain_named_in,
    public_names,
)
from nbtune.objective.base import Objective, fixed_max_t
from nbtune.objective.call import FunctionCall
from nbtune.objective.fitting import check_fit
from nbtune.objective.names import Title, closure, sources_of
from nbtune.space import Domain, Space, domain_from

__all__ = ["check_types", "from_function", "taken_by", "tunable"]

F = TypeVar("F", bound=Callable[..., Any])

_DECLARED = "__nbtune_space__"
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def tunable(*misused: Any, **declared: Any) -> Callable[[F], F]:
    """Declare the search space of a function that cannot be annotated.

    ``@tunable(lr=Real(1e-4, 1e-1, log=True), epochs=10)``: a domain is searched, any other value
    is fixed. The function itself stays as it is.

    Raises
    ------
    ObjectiveError
        When a name is not a parameter of the function.
    """
    if misused:
        raise ObjectiveError(
            f"tunable takes names, got {misused[0]!r}: write @tunable(lr=Real(1e-4, 1e-1))"
        )
    Space(declared)  # refuses here and now what is no space

    def declare(function: F) -> F:
        _check_names(declared, _signature(function), _name(function))
        setattr(function, _DECLARED, declared)
        return function

    return declare


def from_function(
    function: Callable[..., Any],
    space: Mapping[str, Any] | None = None,
    *,
    title: Title | None = None,
) -> Objective:
    """Return a function as objective.

    Parameters
    ----------
    function : callable
        A function, coroutine function, bound method, ``functools.partial`` or callable object. A
        parameter whose annotation is a domain is searched, its default is tried first. What
        ``functools.partial`` binds by name is fixed.
    space : dict or Space, optional
        More dimensions, or others in place of the annotated ones; a plain value is fixed.
    title : callable, optional
        Gives the name by which the user knows a file of code, such as "Cell In[3]".

    Raises
    ------
    ObjectiveError
        When nothing is searched, a name is not a parameter, or a parameter would get no value.
    SpaceError
        When a domain contradicts itself, a default is outside it, or its values are not of the
        type that the parameter is annotated with.
    """
    name = _name(function)
    signature = _signature(function)
    _refuse_kinds(function, name)
    given = _given(space)
    _check_names(given, signature, name)
    declared = {**_annotated(function, signature), **_declared(function, signature)}
    whole = Space({**declared, **_with_defaults(given, signature)})
    _check_complete(whole, signature, name)
    _check_types(whole, function, signature)
    defaults = {key: parameter.default for key, parameter in signature.parameters.items()}
    return Objective(
        name=name,
        space=whole,
        source=_source(function),
        call=FunctionCall(function, name, sources_of([function], title)),
        max_t=fixed_max_t(whole, defaults),
    )


def taken_by(call: Any, added: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return `added` as further dimensions of a function's call, each with its own default.

    None for other calls: a cell and a command have the params that they were declared with.

    Raises
    ------
    ObjectiveError
        When a name is not a parameter of the function.
    SpaceError
        When a domain's values are not of the type that the parameter is annotated with.
    """
    if not isinstance(call, FunctionCall):
        return None
    signature = _signature(call.function)
    _check_names(added, signature, call.name)
    taken = _with_defaults(added, signature)
    _check_types(Space(taken), call.function, signature)
    return taken


def check_types(call: Any, space: Space) -> None:
    """Raise `SpaceError` when a domain does not fit its parameter's annotation in a function.

    Any other call, and None for one that is not loaded, takes all.
    """
    if isinstance(call, FunctionCall):
        _check_types(space, call.function, _signature(call.function))


def _name(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    return "lambda" if name == "<lambda>" else str(name)


def _signature(function: Any) -> Signature:
    if not callable(function):
        raise ObjectiveError(
            f"the objective is {function!r}, a {type(function).__name__}; give a function"
        )
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        raise ObjectiveError(
            f"{_name(function)} does not tell its parameters. Wrap it: "
            f"def train(...): return {_name(function)}(...)"
        ) from None


def _refuse_kinds(function: Any, name: str) -> None:
    if inspect.isclass(function):
        raise ObjectiveError(
            f"{name} is a class: calling it makes an object and gives no metrics. Give a function "
            "that makes one, trains it and reports"
        )
    code = _plain(function)
    if inspect.isgeneratorfunction(code) or inspect.isasyncgenfunction(code):
        raise ObjectiveError(
            f"{name} is a generator: its `yield` would never run. Report with report(...), "
            "and return the last value"
        )


def _plain(function: Any) -> Any:
    """Return the Python function below partials, decorators, methods and callable objects."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.isfunction(vars(type(function)).get("__call__")):
            function = type(function).__call__
        else:
            return function


def _given(space: Any) -> Mapping[str, Any]:
    if space is None:
        return {}
    if not isinstance(space, Mapping):
        raise ObjectiveError(
            f"space={space!r} is a {type(space).__name__}; give a dict of domains or a Space"
        )
    return space


def _annotated(function: Any, signature: Signature) -> dict[str, Domain]:
    """Return the domains among the annotations, each with the default assigned to it."""
    bound = function.keywords if isinstance(function, functools.partial) else {}
    found = {}
    for name, parameter in signature.parameters.items():
        domain = _domain_of(function, name, parameter.annotation)
        if domain is None or name in bound:
            continue
        if parameter.kind not in _NAMED:
            raise ObjectiveError(
                f"{_name(function)}: {parameter} cannot be searched, it is not passed by name. "
                f"Write {name}: {domain!r}"
            )
        written = parameter.default is not Parameter.empty
        found[name] = domain.with_default(parameter.default, name) if written else domain
    return found


def _domain_of(function: Any, name: str, annotation: Any) -> Domain | None:
    if not isinstance(annotation, str):
        return annotated_domain(annotation, name)
    try:
        node = ast.parse(annotation.strip(), mode="eval").body
    except SyntaxError:
        return None  # text for people
    return domain_named_in(node, _scope(_plain(function)), name)


def _scope(function: Any) -> dict[str, Any]:
    """Return the names that string annotations of `function` may use."""
    scope = {**public_names(), **getattr(function, "__globals__", {})}
    return {**scope, **closure(function)} if inspect.isfunction(function) else scope


def _check_names(declared: Mapping[str, Any], signature: Signature, name: str) -> None:
    parameters = signature.parameters.values()
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters if parameter.kind in _NAMED]
    for key in declared:
        if key not in known:
            hint = nearest(str(key), known) if known else "It has none that is passed by name."
            raise ObjectiveError(f"{key!r} is not a parameter of {name}. {hint}")


def _declared(function: Any, signature: Signature) -> dict[str, Any]:
    """Return what ``@tunable`` declares, each domain with the default of its parameter."""
    bound: set[str] = set()
    while isinstance(function, functools.partial):
        bound.update(function.keywords)
        positional = list(inspect.signature(function.func).parameters)[: len(function.args)]
        bound.update(positional)
        function = function.func
    return {
        name: _with_default(domain, signature, name)
        for name, domain in getattr(function, _DECLARED, {}).items()
        if name not in bound
    }


def _with_defaults(given: Mapping[str, Any], signature: Signature) -> dict[str, Any]:
    """Return `given`, each domain with its parameter's default where that is inside."""
    found = dict(given)
    for name, domain in given.items():
        with contextlib.suppress(SpaceError):  # a space may well leave the default out
            found[name] = _with_default(domain, signature, name)
    return found


def _with_default(domain: Any, signature: Signature, name: str) -> Any:
    """Return a domain for which no default is written with that of its parameter."""
    domain = domain_from(name, domain) or domain
    parameter = signature.parameters.get(name)
    if not isinstance(domain, Domain) or domain._default is not None:
        return domain
    if parameter is None or parameter.default is Parameter.empty:
        return domain
    return domain.with_default(parameter.default, name)


def _check_complete(space: Space, signature: Signature, name: str) -> None:
    if space.n_dims == 0:
        raise ObjectiveError(
            f"{name} has no search dimension. Annotate a parameter with a domain, for instance "
            f"def {name}({EXAMPLE}), or give space={{'lr': Real(1e-4, 1e-1, log=True)}}"
        )
    missing = [
        repr(key)
        for key, parameter in signature.parameters.items()
        if parameter.default is Parameter.empty
        and parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        and key not in space
    ]
    if missing:
        raise ObjectiveError(
            f"{name} needs {' and '.join(missing)}: neither in the space nor with a default. "
            f"Annotate with a domain, give a default, or bind with functools.partial({name}, ...)"
        )


def _check_types(space: Space, function: Any, signature: Signature) -> None:
    """Refuse values that are not of the type that their parameter is annotated with."""
    for name, domain in space.items():
        parameter = signature.parameters.get(name)
        if parameter is not None and parameter.kind in _NAMED:
            annotation = _evaluated(parameter.annotation, function)
            check_fit(domain, annotation, name, optional=parameter.default is None)


def _evaluated(annotation: Any, function: Any) -> Any:
    """Return an annotation, of text what it says; `Parameter.empty` where that is no code."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, _scope(_plain(function)))
    except Exception:  # noqa: BLE001 - text for people, or a name for type checkers alone
        return Parameter.empty


def _source(function: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(_plain(function)))
    except (OSError, TypeError):
        return ""
