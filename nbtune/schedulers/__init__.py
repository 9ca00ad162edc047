"""What says how long each trial may run; import a scheduler from here, or name it."""

from nbtune.registry import Registry
from nbtune.schedulers.base import Explanation, RungRow, Scheduler
from nbtune.schedulers.fifo import FIFO
from nbtune.schedulers.hyperband import Hyperband
from nbtune.schedulers.median import MedianRule
from nbtune.schedulers.optuna_pruner import OptunaPruner
from nbtune.schedulers.patience import Patience
from nbtune.schedulers.policies import AverageRule, DiffRule, TruncationRule
from nbtune.schedulers.step_cap import StepCap
from nbtune.schedulers.sync_hyperband import SyncHyperband

__all__ = [
    "FIFO",
    "AverageRule",
    "DiffRule",
    "Explanation",
    "Hyperband",
    "MedianRule",
    "OptunaPruner",
    "Patience",
    "RungRow",
    "Scheduler",
    "StepCap",
    "SyncHyperband",
    "TruncationRule",
    "build",
    "registry",
]

registry: Registry[Scheduler] = Registry(
    word="scheduler",
    base=Scheduler,  # type: ignore[type-abstract]  # only subclasses of it are ever called
    group="nbtune.schedulers",
    builtin={
        "fifo": "nbtune.schedulers:FIFO",
        "hyperband": "nbtune.schedulers:Hyperband",
        "sync_hyperband": "nbtune.schedulers:SyncHyperband",
        "median": "nbtune.schedulers:MedianRule",
        "average": "nbtune.schedulers:AverageRule",
        "diff": "nbtune.schedulers:DiffRule",
        "truncation": "nbtune.schedulers:TruncationRule",
        "patience": "nbtune.schedulers:Patience",
        "optuna_pruner": "nbtune.schedulers:OptunaPruner",
    },
    elsewhere={
        "asha": "hyperband",
        "async_hyperband": "hyperband",
        "bohb": 'hyperband, with the searcher "bayes"',
        "sha": "sync_hyperband",
        "successive_halving": "sync_hyperband",
    },
)
build = registry.build
