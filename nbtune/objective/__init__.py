"""What is tuned, a function, a cell or a command, made callable on a worker.

Names are imported at first use: a worker needs the payload, and no space.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbtune.objective.base import Objective
    from nbtune.objective.cell import from_cell
    from nbtune.objective.command import Command
    from nbtune.objective.declarations import declared
    from nbtune.objective.function import check_types, from_function, taken_by, tunable
    from nbtune.objective.given import as_objective
    from nbtune.objective.payload import Payload
    from nbtune.objective.payload import write as write_payload

__all__ = [
    "Command",
    "Objective",
    "Payload",
    "as_objective",
    "check_types",
    "declared",
    "from_cell",
    "from_function",
    "taken_by",
    "tunable",
    "write_payload",
]

_HOME = {
    "Command": ("command", "Command"),
    "Objective": ("base", "Objective"),
    "Payload": ("payload", "Payload"),
    "check_types": ("function", "check_types"),
    "declared": ("declarations", "declared"),
    "as_objective": ("given", "as_objective"),
    "from_cell": ("cell", "from_cell"),
    "from_function": ("function", "from_function"),
    "taken_by": ("function", "taken_by"),
    "tunable": ("function", "tunable"),
    "write_payload": ("payload", "write"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
