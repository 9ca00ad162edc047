"""Annotations that are domains: found, evaluated where they are text, explained where they fail."""

import ast
import difflib
import inspect
from collections.abc import Iterator
from typing import Annotated, Any, get_origin

from nbtune import space as spaces
from nbtune.checkpoint import load_checkpoint, save_checkpoint
from nbtune.context import current_trial, report
from nbtune.exceptions import ObjectiveError, SpaceError, nearest
from nbtune.objective.fitting import check_fit
from nbtune.space import Choice, Constant, Domain, Space, domain_from, named

__all__ = ["EXAMPLE", "annotated_domain", "calls_domain", "domain_named_in", "public_names"]

EXAMPLE = "lr: Real(1e-4, 1e-1, log=True) = 1e-3"

_DOMAINS = {
    name: kind
    for name, kind in sorted(vars(spaces).items())
    if isinstance(kind, type)
    and issubclass(kind, Domain)
    and not inspect.isabstract(kind)
    and kind is not Constant
}


_ELSEWHERE = {
    **dict.fromkeys(("float", "double", "uniform", "loguniform", "quniform"), "Real"),
    **dict.fromkeys(("integer", "randint", "intuniform"), "Int"),
    **dict.fromkeys(("categorical", "enum", "list"), "Choice"),
    **dict.fromkeys(("boolean", "binary"), "Bool"),
    **dict.fromkeys(("gaussian", "randn"), "Normal"),
}
"""What domains are called in other libraries, in lower case."""


def public_names() -> dict[str, Any]:
    """Return what a ``%%tune`` cell may use of nbtune without importing it."""
    called = (report, current_trial, save_checkpoint, load_checkpoint)
    return {**_DOMAINS, "Space": Space, **{function.__name__: function for function in called}}


def annotated_domain(annotation: Any, name: str) -> Domain | None:
    """Return the domain that an evaluated annotation is or carries, None if there is none.

    Raises
    ------
    ObjectiveError
        When the annotation is the class of a domain, not called.
    SpaceError
        When ``Annotated[int, Real(...)]`` contradicts itself.
    """
    candidates = annotation.__metadata__ if get_origin(annotation) is Annotated else (annotation,)
    for candidate in candidates:
        if isinstance(candidate, Domain | Space):
            domain = Choice(candidate) if isinstance(candidate, Space) else candidate
            check_fit(domain, annotation, name, optional=True)  # a default of None says so
            return domain
        found = _stands_for(candidate, name, alone=candidate is annotation)
        if found is not None:
            check_fit(found, annotation, name, optional=True)
            return found
        if isinstance(candidate, type) and issubclass(candidate, Domain):
            raise ObjectiveError(
                f"{name}: the annotation is the class {candidate.__name__}, not a domain. "
                f"Call it: {name}: {candidate.__name__}(...)"
            )
    return None


def _stands_for(candidate: Any, name: str, *, alone: bool) -> Domain | None:
    """Return the domain that a list, a range or a distribution stands for in an annotation.

    A list of types is a hint of old, and what else stands in ``Annotated`` is for others to read.
    """
    if isinstance(candidate, list) and (
        not alone or all(isinstance(item, type) or get_origin(item) for item in candidate)
    ):
        return None
    if isinstance(candidate, type | str | set | frozenset):
        return None
    return domain_from(name, candidate)


def domain_named_in(node: ast.expr, scope: dict[str, Any], name: str) -> Domain | None:
    """Return the domain that an annotation in the source is or carries, None if there is none.

    Parameters
    ----------
    node : ast.expr
        The annotation, or a string constant that holds one.
    scope : dict
        The names that it may use; not changed.
    name : str
        What is annotated, for messages.

    Raises
    ------
    SpaceError
        When the domain contradicts itself or its arguments do not fit.
    ObjectiveError
        When it looks like a domain and is none, with the nearest name.
    """
    node = _unquoted(node)
    try:
        value = eval(compile(ast.Expression(node), "<annotation>", "eval"), dict(scope))
    except SpaceError as error:
        raise named(error, name) from None
    except Exception as error:  # noqa: BLE001 - whatever the user's expression does
        _explain(node, scope, name, error)
        return None  # a type that is not there yet, such as a class of the same cell
    domain = annotated_domain(value, name)
    if domain is None:
        _refuse_stranger(node, scope, name)
    return domain


def calls_domain(node: ast.expr, scope: dict[str, Any]) -> bool:
    """Whether an expression calls a domain or lists values, judged by its text."""
    if isinstance(node, ast.List) and all(isinstance(item, ast.Constant) for item in node.elts):
        return bool(node.elts)
    return any(
        _resolve(call.func, scope) in _DOMAINS.values() or _last_name(call.func) in _DOMAINS
        for call in _calls(node)
    )


def _unquoted(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            inner = ast.parse(node.value.strip(), mode="eval").body
        except SyntaxError:
            return node
        for part in ast.walk(inner):
            ast.copy_location(part, node)
        return inner
    return node


def _explain(node: ast.expr, scope: dict[str, Any], name: str, error: Exception) -> None:
    """Raise a better error than `error` when the annotation calls something."""
    for call in _calls(node):
        callee = _last_name(call.func)
        kind = _resolve(call.func, scope)
        if kind is None and callee.lower() in _ELSEWHERE:
            here = _form(_DOMAINS[_ELSEWHERE[callee.lower()]])
            raise ObjectiveError(f"{name}: {callee!r} is not defined. Write {here}") from None
        if kind is None and difflib.get_close_matches(callee, _DOMAINS, cutoff=0.5):
            raise ObjectiveError(
                f"{name}: {callee!r} is not defined. {nearest(callee, _DOMAINS)}"
            ) from None
        if kind in _DOMAINS.values() and isinstance(error, TypeError):
            raise SpaceError(
                f"{name}: {ast.unparse(call)}: {error}. Write {_form(kind)}."
            ) from None
    if any(_calls(node)):
        raise ObjectiveError(
            f"{name}: the annotation {ast.unparse(node)} raised {type(error).__name__}: {error}"
        ) from error


def _form(kind: type[Domain]) -> str:
    """Return how the constructor of a domain is called, "Real(low, high, *, log=False)"."""
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(kind).parameters.values()
    ]
    return f"{kind.__name__}{inspect.Signature(plain)}"


def _refuse_stranger(node: ast.expr, scope: dict[str, Any], name: str) -> None:
    """Refuse a domain of another library that has the name of one of ours."""
    for call in _calls(node):
        stranger = _resolve(call.func, scope)
        callee = _last_name(call.func)
        if callee in _DOMAINS and stranger is not _DOMAINS[callee]:
            home = getattr(stranger, "__module__", "another module")
            raise ObjectiveError(
                f"{name}: {callee} here is the one of {home}, not nbtune's. "
                f"Write nbtune.{ast.unparse(call).removeprefix('nbtune.')}"
            )


def _calls(node: ast.expr) -> Iterator[ast.Call]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Call))


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _resolve(node: ast.expr, scope: dict[str, Any]) -> Any:
    """Return what a dotted name stands for, None where it does not exist."""
    if isinstance(node, ast.Name):
        return scope.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_resolve(node.value, scope), node.attr, None)
    return None
