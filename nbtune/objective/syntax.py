"""What IPython allows in a cell and Python does not: found, and refused with its line."""

import ast
import itertools
from collections.abc import Callable

from nbtune.exceptions import ObjectiveError

__all__ = ["parse"]


def parse(
    source: str, *, filename: str, first_line: int, transform: Callable[[str], str] | None
) -> ast.Module:
    """Return the tree of a cell, its line numbers those that the user sees.

    Parameters
    ----------
    source : str
    filename : str
        What tracebacks call the cell.
    first_line : int >= 1
        The line of the cell on which `source` begins.
    transform : callable, optional
        IPython's ``transform_cell``.

    Raises
    ------
    SyntaxError
        With the cell's file name and line.
    ObjectiveError
        When a line is a command or magic of IPython.
    """
    lines = source.splitlines()
    if transform is not None:
        source = _transformed(source, lines, first_line, transform)
    try:
        tree = ast.parse("\n" * (first_line - 1) + source, filename)
    except SyntaxError as error:
        number = (error.lineno or first_line) - first_line
        if 0 <= number < len(lines) and _is_command(lines[number]):
            raise _refused(lines[number], number + first_line) from None
        raise
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "get_ipython":
            raise ObjectiveError(
                f"line {node.lineno}: get_ipython() does not exist in a worker process; "
                "use it in a cell above"
            )
    return tree


def _transformed(
    source: str, lines: list[str], first_line: int, transform: Callable[[str], str]
) -> str:
    """Return `source` as plain Python (IPython takes off indents and prompts)."""
    blank = sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), lines))
    text = "\n" * blank + transform(source).lstrip("\n")  # IPython drops blank lines on top
    for number, (plain, line) in enumerate(zip(text.splitlines(), lines, strict=False)):
        if "get_ipython()" in plain and plain.strip() != line.strip():
            raise _refused(line, number + first_line)
    return text


def _is_command(line: str) -> bool:
    text = line.strip()
    assigned = text.partition("=")[2].lstrip()
    return text.startswith(("!", "%", "?")) or text.endswith("?") or assigned[:1] in ("!", "%")


def _refused(line: str, number: int) -> ObjectiveError:
    text = line.strip()
    if text.startswith("%%"):
        advice = "%%tune runs the cell by itself; take this line out"
    elif text.startswith("?") or text.endswith("?"):
        advice = "ask in a cell of its own"
    elif "!" in text.partition("=")[2][:2] or text.startswith("!"):
        advice = "run it in a cell above, or use subprocess.run(...)"
    else:
        advice = "put it into a cell above"
    return ObjectiveError(
        f"line {number}: {text!r} is IPython's and does not work in a worker process; {advice}"
    )
