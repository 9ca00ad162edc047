"""A notebook cell as objective: compiled as the module that it is, with what it uses."""

import ast
import builtins
import inspect
import numbers
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from nbtune.objective.annotations import public_names
from nbtune.objective.base import Call, Objective, Sources, Title, finish, fixed_max_t
from nbtune.objective.declarations import PARAMS, declarations
from nbtune.objective.names import free_names, sources_of
from nbtune.objective.payload import duplicate
from nbtune.objective.syntax import parse
from nbtune.trial import Params

__all__ = ["CellCall", "from_cell"]

_RESULT = "__nbtune_result__"


class CellCall(Call):
    """Runs a cell's code in globals of its own.

    Parameters
    ----------
    code : types.CodeType
        The cell, its dimensions taken from `PARAMS`.
    variables : dict
        The notebook's variables that it uses.
    sources : Sources
    namespace : dict
        The notebook's; only its identity counts: functions defined in it get the cell's globals.
    """

    advice = "Create it inside the cell."

    def __init__(
        self,
        code: types.CodeType,
        variables: Mapping[str, Any],
        sources: Sources,
        namespace: Mapping[str, Any],
    ) -> None:
        self.sources = sources
        self._code = code
        self._globals = {"__name__": "__main__", "display": display, **variables}
        self._variables = variables
        self._namespace: Mapping[str, Any] | None = namespace
        self._fresh = False

    def __call__(self, params: Params) -> Any:
        """Run the cell once; return the value of its last expression if it is a metric, or more.

        Returns
        -------
        number, dict of str to number, or None
            None when the cell ends in anything else.
        """
        if not self._fresh:
            return (self.renew or self._duplicate)()(params)
        self._fresh = False
        self.sources.install()
        self._globals[PARAMS] = params
        running = eval(self._code, self._globals)
        if inspect.iscoroutine(running):
            finish(running)
        return _metrics(self._globals.get(_RESULT))

    def parts(self) -> Mapping[str, Any]:
        """Return the notebook's variables that the cell uses."""
        return self._variables

    def shared_globals(self) -> dict[int, dict[str, Any]]:
        """Return the cell's globals, in place of the notebook's namespace."""
        return {} if self._namespace is None else {id(self._namespace): self._globals}

    def _duplicate(self) -> Callable[[Params], Any]:
        return duplicate(self)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._code, self._globals, self.sources

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._code, self._globals, self.sources = state
        self._variables = self._globals
        self._namespace = None
        self._fresh = True


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
    tried first.

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
        call=CellCall(code, variables, sources, namespace),
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
        target = ast.Name(_RESULT, ast.Store())
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


def display(*objects: Any, **_options: Any) -> None:
    """Write what a cell displays to its trial's log."""
    for each in objects:
        sys.stdout.write(f"{each!r}\n")


def _metrics(value: Any) -> Any:
    """Return a number, or a dict of numbers by names, as plain Python; None for all else."""
    if not isinstance(value, Mapping):
        return _number(value)
    metrics = {name: _number(item) for name, item in value.items() if isinstance(name, str)}
    whole = len(metrics) == len(value) and None not in metrics.values()
    return metrics if metrics and whole else None


def _number(value: Any) -> int | float | None:
    """Return a number, NumPy's and PyTorch's included, as plain Python; None for all else."""
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return value if isinstance(value, int) else float(value)
