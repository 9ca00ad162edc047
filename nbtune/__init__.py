"""nbtune tunes a notebook cell: the public names, and nothing heavy.

Each name is imported from its module at first use (PEP 562), so that ``import nbtune`` and
``%load_ext nbtune`` stay quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbtune.callbacks import Every
    from nbtune.catalog import load, sweeps
    from nbtune.checkpoint import load_checkpoint, save_checkpoint
    from nbtune.context import current_trial, report
    from nbtune.exceptions import (
        NbtuneError,
        NbtuneWarning,
        ObjectiveError,
        QueryError,
        ReportError,
        SpaceError,
        SpecError,
        StoreError,
        SweepError,
        TrialError,
        WorkerError,
    )
    from nbtune.objective import Command, tunable
    from nbtune.objective.per_worker import per_worker
    from nbtune.replaying import replay
    from nbtune.space import Bool, Choice, Int, LogNormal, Normal, Range, Real, Space
    from nbtune.sweep import Sweep
    from nbtune.trial import Trial

__version__ = "0.1.0"

_HOME = {
    "nbtune.callbacks": ("Every",),
    "nbtune.catalog": ("load", "sweeps"),
    "nbtune.checkpoint": ("load_checkpoint", "save_checkpoint"),
    "nbtune.context": ("current_trial", "report"),
    "nbtune.objective.per_worker": ("per_worker",),
    "nbtune.exceptions": (
        "NbtuneError",
        "NbtuneWarning",
        "ObjectiveError",
        "QueryError",
        "ReportError",
        "SpaceError",
        "SpecError",
        "StoreError",
        "SweepError",
        "TrialError",
        "WorkerError",
    ),
    "nbtune.objective": ("Command", "tunable"),
    "nbtune.replaying": ("replay",),
    "nbtune.space": ("Bool", "Choice", "Int", "LogNormal", "Normal", "Range", "Real", "Space"),
    "nbtune.sweep": ("Sweep",),
    "nbtune.trial": ("Trial",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Bool",
    "Choice",
    "Command",
    "Every",
    "Int",
    "LogNormal",
    "NbtuneError",
    "NbtuneWarning",
    "Normal",
    "ObjectiveError",
    "QueryError",
    "Range",
    "Real",
    "ReportError",
    "Space",
    "SpaceError",
    "SpecError",
    "StoreError",
    "Sweep",
    "SweepError",
    "Trial",
    "TrialError",
    "WorkerError",
    "__version__",
    "current_trial",
    "load",
    "load_checkpoint",
    "per_worker",
    "replay",
    "report",
    "save_checkpoint",
    "sweeps",
    "tunable",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'nbtune' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})


def load_ipython_extension(ipython: Any) -> None:
    """Register the magics: what ``%load_ext nbtune`` calls."""
    from nbtune.magics import register  # noqa: PLC0415 - IPython is needed only here
    from nbtune.store import starting_folder  # noqa: PLC0415 - as above

    starting_folder()  # the store stays here, wherever os.chdir goes
    register(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Undo what `load_ipython_extension` did."""
    from nbtune.magics import unregister  # noqa: PLC0415 - as above

    unregister(ipython)
