"""What says which params come next; import a searcher from here, or name it."""

from nbtune.registry import Registry
from nbtune.searchers.base import Searcher
from nbtune.searchers.bayes import Bayes
from nbtune.searchers.chain import Chain
from nbtune.searchers.grid import Grid
from nbtune.searchers.iterative import Iterative
from nbtune.searchers.optuna_searcher import OptunaSearcher
from nbtune.searchers.points import Points
from nbtune.searchers.random import Random
from nbtune.searchers.reinforce import Reinforce
from nbtune.searchers.scalarised import Scalarised, searcher_for

__all__ = [
    "Bayes",
    "Chain",
    "Grid",
    "Iterative",
    "OptunaSearcher",
    "Points",
    "Random",
    "Reinforce",
    "Scalarised",
    "Searcher",
    "build",
    "registry",
    "searcher_for",
]

registry: Registry[Searcher] = Registry(
    word="searcher",
    base=Searcher,  # type: ignore[type-abstract]  # only subclasses of it are ever called
    group="nbtune.searchers",
    builtin={
        "random": "nbtune.searchers:Random",
        "grid": "nbtune.searchers:Grid",
        "chain": "nbtune.searchers:Chain",
        "points": "nbtune.searchers:Points",
        "bayes": "nbtune.searchers:Bayes",
        "iterative": "nbtune.searchers:Iterative",
        "reinforce": "nbtune.searchers:Reinforce",
        "optuna": "nbtune.searchers:OptunaSearcher",
    },
    elsewhere={
        "tpe": 'OptunaSearcher("TPESampler")',
        "hyperopt": 'OptunaSearcher("TPESampler")',
        "cmaes": 'OptunaSearcher("CmaEsSampler")',
        "nsga2": 'OptunaSearcher("NSGAIISampler")',
        "bo": "bayes",
        "gp": "bayes",
        "skopt": "bayes",
        "mapping": "Points([...])",
        "rl": "reinforce",
    },
)
build = registry.build
