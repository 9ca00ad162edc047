"""A notebook cell as objective: compiled as the module that it is, with what it uses."""

import ast
import builtins
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from nbtune.objective.annotations import public_names
from nbtune.objective.base import Objective, fixed_max_t
from nbtune.objective.call import RESULT, CellCall, Sources
from nbtune.objective.declarations import declarations
from nbtune.objective.names import Title, free_names, sources_of, submodules_used
from nbtune.objective.syntax import parse

__all__ = ["from_cell"]


def from_cell(
    source: str,
    namespace: Mapping[str, Any],
    *,
    filename: str,
    first_line: int = 1,
    transform: Callable[[str], str] | None = None,
    title: Title | None = None,
) -> Objective:
    """Return a cell as objective.

    A top-level annotated assignment whose annotation is a domain is searched; what it assigns is
    tried first. The value of the cell's last expression is its metric only where the trial has
    reported nothing.

    Parameters
    ----------
    source : str
        The cell, its magic line left out.
    namespace : dict
        The notebook's variables: the dict itself, so that functions defined in the notebook see
        what the cell assigns. Only what the cell uses is kept.
    filename : str
        What tracebacks call the cell, for instance "Cell In[3]".
    first_line : int >= 1
        The line of the whole cell on which `source` begins, 2 below a magic line.
    transform : callable, optional
        IPython's ``transform_cell``.
    title : callable, optional
        Gives the name by which the user knows another cell's file of code.

    Raises
    ------
    SyntaxError
        With the cell's file name, line and text.
    ObjectiveError
        When nothing is searched, or a line cannot run in a worker process.
    SpaceError
        When a domain contradicts itself, or a default is outside it.
    """
    lines = ["\n"] * (first_line - 1) + source.splitlines(keepends=True)
    # IPython shows the text of a SyntaxError as linecache has it, which may be an older cell's.
    Sources(lines={filename: lines}, titles={}).install()
    tree = parse(source, filename=filename, first_line=first_line, transform=transform)
    _compiled(tree, filename, lines)
    found = declarations(tree, namespace)
    code = _compiled(_with_result(found.tree), filename, lines)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # compiling the whole has given them
        names = free_names(found.tree)
    variables = _variables(names, namespace)
    sources = sources_of(variables.values(), title, {filename: lines})
    return Objective(
        name="cell",
        space=found.space,
        source=source,
        call=CellCall(code, variables, sources, namespace, submodules_used(found.tree, namespace)),
        max_t=fixed_max_t(found.space, {**variables, **_constants(found.tree)}),
    )


def _compiled(tree: ast.Module, filename: str, lines: list[str]) -> types.CodeType:
    try:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code: types.CodeType = compile(tree, filename, "exec", flags=flags, dont_inherit=True)
    except SyntaxError as error:  # such as `return` outside a function; without its text
        if error.text is None and error.lineno and error.lineno <= len(lines):
            error.text = lines[error.lineno - 1]
        raise
    return code


def _with_result(tree: ast.Module) -> ast.Module:
    """Keep the value of a last expression, as the notebook would show it."""
    *body, last = tree.body
    if isinstance(last, ast.Expr):
        target = ast.Name(RESULT, ast.Store())
        last = ast.copy_location(ast.Assign([ast.copy_location(target, last)], last.value), last)
    return ast.Module([*body, last], type_ignores=[])


def _variables(names: list[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return those variables of the notebook that the cell uses, and what nbtune adds."""
    public = public_names()
    found = {}
    for name in names:
        if name in namespace:
            if not _is_ipythons(name, namespace[name]):
                found[name] = namespace[name]
        elif name in public and not hasattr(builtins, name):
            found[name] = public[name]
    return found


def _is_ipythons(name: str, value: Any) -> bool:
    """Whether IPython has put `value` in the place of a builtin; a worker does without IPython."""
    if not (hasattr(builtins, name) or name == "display"):
        return False
    # IPython 9 gives its `open` the module of the builtin; its globals tell.
    home = getattr(value, "__globals__", {}).get("__name__") or type(value).__module__
    return str(home).partition(".")[0] == "IPython"


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Return the names that the cell assigns a written number, the last one where several."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            found.update({each.id: value for each in targets if isinstance(each, ast.Name)})
    return found
