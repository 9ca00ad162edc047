"""Where trials run: worker processes here, a Dask cluster, this process, or virtual time.

Each name is imported at its first use, so that a worker process does not load the driver's side.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbtune.workers.base import Workers
    from nbtune.workers.dask.driver import Dask
    from nbtune.workers.inline import Inline
    from nbtune.workers.local import Local
    from nbtune.workers.simulated import Simulated

__all__ = ["Dask", "Inline", "Local", "Simulated", "Workers"]

_MODULE_OF = {
    "Dask": "nbtune.workers.dask.driver",
    "Inline": "nbtune.workers.inline",
    "Local": "nbtune.workers.local",
    "Simulated": "nbtune.workers.simulated",
    "Workers": "nbtune.workers.base",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'nbtune.workers' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
