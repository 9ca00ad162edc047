"""How a sweep is written in Python, in the notebook that shows it."""

from nbtune.notebook import variable_of
from nbtune.store import Store
from nbtune.sweep import Sweep

__all__ = ["expression", "loading"]


def expression(sweep: Sweep) -> str:
    """Return an expression that is this sweep: a variable that holds it, else how to load it."""
    return variable_of(sweep) or loading(sweep)


def loading(sweep: Sweep) -> str:
    """Return how to load a sweep, in this process or another: ``nbtune.load("train-2")``."""
    folder = sweep.path.parent
    store = "" if folder == Store().path else f", {str(folder)!r}"
    return f"nbtune.load({sweep.name!r}{store})"
