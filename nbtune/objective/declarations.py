"""The search dimensions that a cell declares: its top-level annotated assignments.

A command has no cell: its dimensions are declared one by one, in the same grammar.
"""

import ast
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nbtune.exceptions import ObjectiveError, SpaceError
from nbtune.objective.annotations import EXAMPLE, calls_domain, domain_named_in, public_names
from nbtune.objective.call import PARAMS
from nbtune.objective.names import names_used
from nbtune.space import Domain, Space

__all__ = ["Declarations", "declarations", "declared"]

_COMPUTED = object()  # stands for a value that only a run of the cell knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Declarations:
    """What `declarations` found; `tree` takes the values from `PARAMS`, all else as written."""

    space: Space
    tree: ast.Module


def declarations(tree: ast.Module, namespace: Mapping[str, Any]) -> Declarations:
    """Return the search dimensions of a cell.

    Parameters
    ----------
    tree : ast.Module
        The cell; not changed.
    namespace : mapping
        The notebook's variables, which domains and defaults may use.

    Raises
    ------
    ObjectiveError
        When there is none, one is declared twice or inside a block, or uses what only a run of
        the cell can know.
    SpaceError
        When a domain contradicts itself, or a default is outside it.
    """
    reader = _Reader(namespace)
    body = [reader.read(statement) for statement in tree.body]
    space = Space({name: domain for name, (domain, _) in reader.found.items()})
    if space.n_dims == 0:
        raise ObjectiveError(_nothing_to_search(tree, reader.scope))
    return Declarations(space=space, tree=ast.Module(body, type_ignores=[]))


def declared(texts: Iterable[str], namespace: Mapping[str, Any]) -> Space:
    """Return the space that texts such as ``"lr=Real(1e-4, 1e-1, log=True)=1e-3"`` declare.

    Parameters
    ----------
    texts : iterable of str
        ``name=domain``, ``name=domain=default``, the cell's ``name: domain = default``, or
        ``name=value`` for what is fixed.
    namespace : mapping
        The notebook's variables, which they may use.

    Raises
    ------
    ObjectiveError
        When a text is none of these, its code raises, or a name comes twice.
    SpaceError
        When a domain contradicts itself, or a default is outside it.
    """
    reader = _Reader(namespace)
    space: dict[str, Any] = {}
    for text in texts:
        node = _annotated(text)
        name = ast.unparse(node.target)
        if name in space:
            raise ObjectiveError(f"{name}: declared twice. Keep one of the two")
        domain = reader.domain(node)
        if domain is None and node.value is not None:
            raise ObjectiveError(f"{name}: {ast.unparse(node.annotation)} is no domain. {_FORMS}")
        space[name] = reader.value(node.annotation, name) if domain is None else domain
    return Space(space)


_FORMS = "Write 'lr=Real(1e-4, 1e-1, log=True)=1e-3', or 'epochs=10' for what is fixed"


def _annotated(text: str) -> ast.AnnAssign:
    """Return ``name=domain=default`` as the annotated assignment that a cell has for it."""
    name, _, rest = text.partition("=")
    forms = [text, f"{name}: {rest}"]
    for index, character in enumerate(rest):
        if character == "=":  # most are inside the brackets: then neither side can be parsed
            forms.append(f"{name}: ({rest[:index]}) = {rest[index + 1 :]}")
    for form in forms:
        with contextlib.suppress(SyntaxError, ValueError):
            match ast.parse(form.strip()).body:
                case [ast.AnnAssign(target=ast.Name()) as node]:
                    return node
    raise ObjectiveError(f"{text!r} declares nothing. {_FORMS}")


class _Reader:
    """Reads statements in order; `bound` holds the names that the cell has bound so far."""

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self.scope: dict[str, Any] = {**public_names(), **namespace}
        self.found: dict[str, tuple[Domain, int]] = {}
        self._bound: dict[str, Any] = {}

    def read(self, node: ast.stmt) -> ast.stmt:
        """Return the statement as the worker shall run it."""
        if isinstance(node, ast.AnnAssign):
            try:
                domain = self.domain(node)
            except (SpaceError, ObjectiveError) as error:
                raise type(error)(f"line {node.lineno}: {error}") from error.__cause__
            if domain is not None:
                return self._declare(node, domain)
        else:
            self._refuse_nested(node)
        self._note(node)
        return node

    def domain(self, node: ast.AnnAssign) -> Domain | None:
        """Return the domain that an assignment declares, with its default; None if it does not."""
        name = ast.unparse(node.target)
        computed = self._prepare(node.annotation)
        if computed and not calls_domain(node.annotation, self.scope):
            return None
        self._refuse_computed(computed, name)
        domain = domain_named_in(node.annotation, self.scope, name)
        if domain is None:
            return None
        if not isinstance(node.target, ast.Name):
            raise ObjectiveError(
                f"{name} cannot be searched, only a plain name can. Write {EXAMPLE}"
            )
        if name in self.found:
            raise ObjectiveError(
                f"{name}: declared twice, first on line {self.found[name][1]}. Keep one of the two"
            )
        if node.value is None:
            return domain
        self._refuse_computed(self._prepare(node.value), name)
        return domain.with_default(self.value(node.value, name), name)

    def value(self, node: ast.expr, name: str) -> Any:
        """Return what an expression gives, the default of `name` or what it is fixed to."""
        try:
            return eval(compile(ast.Expression(node), "<default>", "eval"), dict(self.scope))
        except Exception as error:
            raise ObjectiveError(
                f"{name}: the default {ast.unparse(node)} raised {type(error).__name__}: {error}"
            ) from error

    def _declare(self, node: ast.AnnAssign, domain: Domain) -> ast.stmt:
        name = ast.unparse(node.target)
        self.found[name] = (domain, node.lineno)
        self._bound[name] = _COMPUTED
        value = ast.Subscript(ast.Name(PARAMS, ast.Load()), ast.Constant(name), ast.Load())
        assign = ast.Assign([ast.Name(name, ast.Store())], value)
        for part in ast.walk(assign):
            ast.copy_location(part, node)
        return assign

    def _prepare(self, expression: ast.expr) -> list[str]:
        """Put into the scope what `expression` uses of the cell; return what only a run knows."""
        computed = []
        for name in _names_in(expression):
            value = self._bound.get(name, self)
            if isinstance(value, ast.Import | ast.ImportFrom):
                module = ast.Module([value], type_ignores=[])
                exec(compile(module, "<import>", "exec"), self.scope)
            elif value is _COMPUTED:
                computed.append(name)
            elif value is not self:
                self.scope[name] = value
        return computed

    def _refuse_computed(self, computed: list[str], name: str) -> None:
        for other in computed:
            what = "which is searched too" if other in self.found else "which the cell computes"
            raise ObjectiveError(
                f"{name}: its domain and default are read before the cell runs and cannot use "
                f"{other!r}, {what}. Compute it in a cell above"
            )

    def _note(self, node: ast.stmt) -> None:
        """Remember what a statement binds, with its value where that is written out."""
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
            self._bound.update(dict.fromkeys(names, node))
            return
        value = _literal(node.value) if isinstance(node, ast.Assign | ast.AnnAssign) else _COMPUTED
        self._bound.update(dict.fromkeys(_stored_in(node), value))

    def _refuse_nested(self, node: ast.stmt) -> None:
        for inner in ast.walk(node):
            if isinstance(inner, ast.AnnAssign) and calls_domain(inner.annotation, self.scope):
                raise ObjectiveError(
                    f"line {inner.lineno}: {ast.unparse(inner)} stands inside the block of line "
                    f"{node.lineno}; a search dimension is declared at the top level of the cell, "
                    "without an indent"
                )


def _names_in(expression: ast.expr) -> list[str]:
    return list(names_used(compile(ast.Expression(expression), "<names>", "eval")))


def _literal(node: ast.expr | None) -> Any:
    try:
        return _COMPUTED if node is None else ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _COMPUTED


def _stored_in(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement may bind."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield part.name


def _declared_by(function: ast.FunctionDef, scope: dict[str, Any]) -> str:
    """Return the parameters of a function that are annotated with domains: "lr, width"."""
    parameters = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return ", ".join(
        p.arg for p in parameters if p.annotation and calls_domain(p.annotation, scope)
    )


def _nothing_to_search(tree: ast.Module, scope: dict[str, Any]) -> str:
    """Return the message about a cell without dimensions, near misses named."""
    message = f"no search dimension in the cell: write one, for instance {EXAMPLE}"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and (inside := _declared_by(node, scope)):
            return (
                f"no search dimension in the cell: line {node.lineno} declares {inside} for "
                f"{node.name}(), and a cell has its own, without an indent. Define {node.name} in "
                f"a cell above and write %tune {node.name} --maximize METRIC ..., or declare "
                f"{inside} here and call {node.name}(...)"
            )
        value = getattr(node, "value", None)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not isinstance(value, ast.Call):
            continue
        if calls_domain(value, scope):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            return (
                f"no search dimension in the cell: line {node.lineno} assigns the domain itself. "
                f"Write {ast.unparse(target)}: {ast.unparse(value)} = ... with the value to try "
                "first"
            )
    return message
