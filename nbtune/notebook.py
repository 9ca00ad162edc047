"""The notebook that this process may be; nothing is imported to find out."""

import sys
from typing import Any

from nbtune.exceptions import SweepError

__all__ = ["cell_title", "has_dashboard", "is_interactive", "notebook_names", "variable_of"]


def _shell() -> Any:
    """Return the running IPython, None outside one; imports nothing."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def has_dashboard() -> bool:
    """Return whether this process is a notebook's kernel, so that sweeps can be drawn."""
    return hasattr(_shell(), "kernel")


def is_interactive() -> bool:
    """Return whether this process goes on after an interrupt: a notebook or a prompt."""
    return _shell() is not None or hasattr(sys, "ps1") or bool(sys.flags.interactive)


def cell_title(filename: str) -> str | None:
    """Return the name by which a notebook's user knows a file of code, "Cell In[3]"."""
    shell = _shell()
    label = shell.compile.format_code_name(filename) if shell else None
    return " ".join(label) if label else None


def variable_of(value: object) -> str | None:
    """Return the name of a notebook's variable that is `value`; None where there is none."""
    shell = _shell()
    names = list(shell.user_ns.items()) if shell else []  # a cell may be changing it
    return next((name for name, each in names if each is value and name[0] != "_"), None)


def notebook_names() -> dict[str, Any]:
    """Return the notebook's namespace.

    Raises
    ------
    SweepError
        Outside a notebook.
    """
    shell = _shell()
    if shell is None:
        raise SweepError("apply() outside a notebook needs a namespace: apply(globals())")
    return shell.user_ns  # type: ignore[no-any-return]
