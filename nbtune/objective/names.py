"""The names that code uses, and what hangs on the values behind them.

Scoping is left to Python's own compiler: names are read from the code objects that it makes.
"""

import ast
import contextlib
import dis
import functools
import linecache
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from nbtune.objective.call import Sources

__all__ = [
    "Title",
    "closure",
    "free_names",
    "names_used",
    "references",
    "sources_of",
    "submodules_used",
]

Title: TypeAlias = Callable[[str], str | None]
"""Gives the name that the user knows a file of code by, None where it has no other."""

_LOADS = {
    "LOAD_NAME",
    "LOAD_GLOBAL",
    "LOAD_FROM_DICT_OR_GLOBALS",  # class bodies from Python 3.12 on
    "DELETE_NAME",
    "DELETE_GLOBAL",
}
_STORES = {"STORE_NAME", "STORE_GLOBAL"}
_IMPLICIT = {"__name__", "__annotations__", "__conditional_annotations__"}  # every module's own
_PYTHON_CLASS = 1 << 9  # Py_TPFLAGS_HEAPTYPE: not one of the interpreter's own
_LONGEST_CONTAINER = 1000
_MOST_VALUES = 20_000  # looked through for code; nested lists of data hold none


def names_used(code: types.CodeType, bound: set[str] | None = None) -> Iterator[str]:
    """Yield the global names that `code` reads before it binds them, its inner code included.

    For the code of a module, `bound` holds the names bound so far; what `code` binds is added.
    """
    here = set() if bound is None else bound
    for instruction in dis.get_instructions(code):
        name = instruction.argval
        if instruction.opname in _STORES:
            here.add(name)
        elif instruction.opname in _LOADS and name not in here and name not in _IMPLICIT:
            yield name
        elif isinstance(name, types.CodeType):
            # What a class binds is its own, a module's names are seen by all inner code.
            yield from (inner for inner in names_used(name) if bound is None or inner not in bound)


def free_names(tree: ast.Module) -> list[str]:
    """Return the names that a module reads before it has bound them itself, in order.

    What is bound in only some branches of an ``if`` or ``match`` does not count as bound after
    it. Bodies of loops and of ``try`` count as if they ran. A nested function or class counts as
    if it ran where it is defined.
    """
    reading = _Reading()
    reading.block(tree.body, set())
    return list(reading.free)


class _Reading:
    """Walks statements in the order in which they run; `bound` holds what is bound so far."""

    def __init__(self) -> None:
        self.free: dict[str, None] = {}

    def block(self, body: Iterable[ast.stmt], bound: set[str]) -> set[str]:
        for statement in body:
            self._statement(statement, bound)
        return bound

    def _statement(self, node: ast.stmt, bound: set[str]) -> None:
        match node:
            case ast.Break() | ast.Continue():
                pass  # not allowed outside their loop, and without names
            case ast.If():
                self._simple(ast.Expr(node.test), bound)
                bound |= self.block(node.body, set(bound)) & self.block(node.orelse, set(bound))
            case ast.While():
                self._simple(ast.Expr(node.test), bound)
                self.block([*node.body, *node.orelse], bound)
            case ast.For() | ast.AsyncFor() | ast.With() | ast.AsyncWith():
                self._simple(_without_body(node), bound)
                self.block([*node.body, *getattr(node, "orelse", [])], bound)
            case ast.Try() | ast.TryStar():
                self._try(node, bound)
            case ast.Match():
                self._match(node, bound)
            case _:
                self._simple(node, bound)

    def _simple(self, node: ast.stmt, bound: set[str]) -> None:
        tree = ast.fix_missing_locations(ast.Module([node], type_ignores=[]))
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(tree, "<cell>", "exec", flags=flags, dont_inherit=True)
        self.free.update(dict.fromkeys(names_used(code, bound)))

    def _try(self, node: ast.Try | ast.TryStar, bound: set[str]) -> None:
        before = set(bound)
        self.block(node.body, bound)
        for handler in node.handlers:
            inside = set(before)
            if handler.type is not None:
                self._simple(ast.Expr(handler.type), inside)
            if handler.name is not None:
                inside.add(handler.name)
            self.block(handler.body, inside)
        self.block([*node.orelse, *node.finalbody], bound)

    def _match(self, node: ast.Match, bound: set[str]) -> None:
        after = []
        for case in node.cases:
            inside = set(bound)
            passing = ast.match_case(case.pattern, case.guard, [ast.Pass()])
            self._simple(ast.Match(node.subject, [passing]), inside)
            after.append(self.block(case.body, inside))
        last = node.cases[-1]
        takes_all = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
        if takes_all and last.guard is None:
            bound |= set.intersection(*after)


def _without_body(node: ast.For | ast.AsyncFor | ast.With | ast.AsyncWith) -> ast.stmt:
    kept = {name: value for name, value in ast.iter_fields(node) if name not in ("body", "orelse")}
    if isinstance(node, ast.For | ast.AsyncFor):
        kept["orelse"] = []
    return ast.copy_location(type(node)(**kept, body=[ast.Pass()]), node)


def submodules_used(tree: ast.Module, namespace: Mapping[str, Any]) -> list[types.ModuleType]:
    """Return the modules that code finds through their package, such as ``matplotlib.pyplot``.

    Importing the package alone need not bring them: an earlier cell may have imported them.
    cloudpickle does the same for functions.
    """
    modules = {name: each for name, each in namespace.items() if _is_module(each)}
    modules |= _imported(tree)
    found = (
        _submodule(node, modules) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    )
    return list(dict.fromkeys(module for module in found if module is not None))


def _is_module(value: Any) -> bool:
    return isinstance(value, types.ModuleType)


def _imported(tree: ast.Module) -> dict[str, types.ModuleType]:
    """Return the modules that code imports and this process has, by the names that it gives."""
    named: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                root = each.name.partition(".")[0]
                named[each.asname or root] = each.name if each.asname else root
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for each in node.names:
                named[each.asname or each.name] = f"{node.module}.{each.name}"
    return {name: sys.modules[module] for name, module in named.items() if module in sys.modules}


def _submodule(node: ast.expr, modules: Mapping[str, types.ModuleType]) -> types.ModuleType | None:
    """Return the module that a dotted name stands for where that is a package's submodule."""
    if not isinstance(node, ast.Attribute):
        return None
    inner = node.value
    package = modules.get(inner.id) if isinstance(inner, ast.Name) else _submodule(inner, modules)
    module = sys.modules.get(f"{getattr(package, '__name__', '')}.{node.attr}")
    # Nothing is asked of the package: one that loads its parts when asked would load them.
    return module if _is_module(module) and vars(package).get(node.attr) is module else None


def references(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what goes along when `value` is pickled, with words for each: ``("'x' of f", x)``.

    Of functions the globals and closure, of classes that are sent by value the members, of
    containers the items, of instances the attributes.
    """
    match value:
        case types.FunctionType() if _sent_by_value(value):
            yield from _function_references(value)
        case types.MethodType():
            yield from (("", value.__func__), ("", value.__self__))
        case functools.partial():
            yield from (("", value.func), ("", value.args), ("", value.keywords))
        case type() if _sent_by_value(value):
            for name, member in list(vars(value).items()):
                yield f"{value.__name__}.{name}", _plain_member(member)
        case dict() | list() | tuple() if len(value) <= _LONGEST_CONTAINER:
            items = value.items() if isinstance(value, dict) else enumerate(value)
            yield from ((f"[{key!r}]", item) for key, item in items)
        case types.ModuleType() | type() | types.FunctionType():
            pass
        case _:
            yield from ((f".{name}", item) for name, item in _attributes(value).items())
            yield "", type(value)


def _attributes(value: Any) -> dict[str, Any]:
    try:
        return dict(vars(value))
    except TypeError:
        return {}


def _function_references(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for name in dict.fromkeys(names_used(function.__code__)):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    yield from closure(function).items()
    yield "", function.__defaults__ or ()
    yield "", function.__kwdefaults__ or {}
    if hasattr(function, "__wrapped__"):
        yield "", function.__wrapped__


def closure(function: types.FunctionType) -> dict[str, Any]:
    """Return the variables of enclosing functions that `function` uses and that have a value."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    found = {}
    for name, cell in cells:
        with contextlib.suppress(ValueError):  # not assigned yet
            found[name] = cell.cell_contents
    return found


def _plain_member(member: Any) -> Any:
    if isinstance(member, staticmethod | classmethod):
        return member.__func__
    return member.fget if isinstance(member, property) else member


def _sent_by_value(value: Any) -> bool:
    """Whether a function or class is sent with its code: importing its module does not give it."""
    if isinstance(value, type) and not value.__flags__ & _PYTHON_CLASS:
        return False
    module = getattr(value, "__module__", None)
    if module in (None, "__main__") or module not in sys.modules:
        return True
    found: Any = sys.modules[module]
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is not value


def sources_of(
    values: Iterable[Any], title: Title | None, given: Mapping[str, list[str]] | None = None
) -> Sources:
    """Return the sources of all code that `values` reach and that is in no file.

    `given` are sources known already, by the name to show.
    """
    lines = dict(given or {})
    titles: dict[str, str] = {}
    for function in _functions_reached(values):
        filename = function.__code__.co_filename
        if filename in titles or filename in lines or Path(filename).is_file():
            continue
        text = linecache.getlines(filename)
        shown = (title(filename) if title else None) or filename
        if shown != filename:
            titles[filename] = shown
        if text:
            lines.setdefault(shown, text)
    return Sources(lines=lines, titles=titles)


def _functions_reached(values: Iterable[Any]) -> Iterator[types.FunctionType]:
    waiting = list(values)
    seen: dict[int, Any] = {}  # keeps what it names alive, so that no id comes twice
    while waiting and len(seen) < _MOST_VALUES:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, types.FunctionType) and _sent_by_value(value):
            yield value
        if _may_hold_functions(value):
            waiting.extend(item for _, item in references(value))


def _may_hold_functions(value: Any) -> bool:
    """Whether to look inside: code, containers, and instances of the user's own classes."""
    kinds = (types.FunctionType, types.MethodType, functools.partial, dict, list, tuple)
    return isinstance(value, kinds) or _sent_by_value(
        value if isinstance(value, type) else type(value)
    )
