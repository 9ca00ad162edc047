"""The notebook's side of a magic: its cells, their numbers, its variables."""

import ast
import sys
import traceback
from collections.abc import Mapping
from typing import Any

from IPython.core.error import UsageError

from nbtune.exceptions import ObjectiveError

__all__ = [
    "CellSyntaxError",
    "first_line",
    "refuse_to_shadow",
    "running_cell",
    "title",
    "with_values",
]


class CellSyntaxError(ObjectiveError):
    """A syntax error in the tuned cell.

    It is no SyntaxError itself: IPython shows the frames of a magic that raises one.
    """

    def __init__(self, error: SyntaxError) -> None:
        super().__init__(f"{error.filename}, line {error.lineno}: {error.msg}")
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.error,)

    def _render_traceback_(self) -> list[str]:
        return "".join(traceback.format_exception_only(self.error)).splitlines()


def running_cell(shell: Any) -> str:
    """Return the name of the running cell, ``"Cell In[3]"`` with the number that the user sees.

    IPython counts up before a cell runs, and not at all without history (measured on 9.18), so
    the cell's own frame is asked, then the counter.
    """
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        found = title(shell, frame.f_code.co_filename)
        if found:
            return found
    return f"Cell In[{shell.execution_count}]"


def title(shell: Any, filename: str) -> str | None:
    """Return the name by which the user knows a file of code, None when it is no cell's."""
    label = shell.compile.format_code_name(filename)
    return " ".join(label) if label else None


def first_line(shell: Any, cell: str) -> int:
    """Return the line of the notebook's cell, from 1, on which the magic's `cell` begins.

    It is 2 unless other magics or empty lines stand above.
    """
    typed = shell.history_manager.input_hist_raw[-1] if shell.history_manager else ""
    above, found, _ = typed.rpartition(cell.strip("\n"))
    leading = len(cell) - len(cell.lstrip("\n"))
    return above.count("\n") + 1 - leading if found and above.lstrip().startswith("%%") else 2


def refuse_to_shadow(name: str, namespace: Mapping[str, Any]) -> None:
    """Raise a `UsageError` when binding a sweep to `name` would hide something that is no sweep."""
    value = namespace.get(name)
    sweep = sys.modules.get("nbtune.sweep")  # not imported: no value can be a sweep
    if value is not None and not (sweep and isinstance(value, sweep.Sweep)):
        raise UsageError(
            f"{name!r} is a variable of this notebook ({type(value).__name__}) and the sweep "
            "would take its place: pick another name"
        )


def with_values(source: str, params: Mapping[str, Any]) -> str | None:
    """Return a cell's source with the declarations of `params` replaced by assignments.

    ``lr: Real(1e-4, 1e-1, log=True) = 1e-3`` becomes ``lr = 0.02``; lines keep their numbers. A
    value that no literal can say (an option that is a function) is expected in the namespace, so
    its declaration is dropped. None when nothing is declared: `source` is no tuned cell.
    """
    lines = source.encode().splitlines(keepends=True)  # columns count bytes
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a command line
        return None
    declared = [
        node
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id in params
    ]
    if not declared:
        return None
    for node in reversed(declared):
        name = node.target.id  # type: ignore[union-attr]
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        text = f"{name} = {params[name]!r}" if _is_literal(params[name]) else "pass"
        rest = lines[last][node.end_col_offset :]
        lines[first : last + 1] = [
            lines[first][: node.col_offset] + text.encode() + rest,
            *[b"\n"] * (last - first),
        ]
    return b"".join(lines).decode()


def _is_literal(value: object) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False
