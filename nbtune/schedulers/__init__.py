"""What says how long each trial may run; import a scheduler from here, or name it."""

from nbtune.registry import Registry
from nbtune.schedulers.base import Scheduler
from nbtune.schedulers.fifo import FIFO
from nbtune.schedulers.hyperband import Hyperband

__all__ = ["FIFO", "Hyperband", "Scheduler", "build", "registry"]

registry: Registry[Scheduler] = Registry(
    word="scheduler",
    base=Scheduler,  # type: ignore[type-abstract]  # only subclasses of it are ever called
    group="nbtune.schedulers",
    builtin={
        "fifo": "nbtune.schedulers:FIFO",
        "hyperband": "nbtune.schedulers:Hyperband",
    },
)
build = registry.build
