"""Spaces: domains of single hyperparameters, and named domains together."""

from nbtune.space.choice import Choice, Constant
from nbtune.space.coerce import domain_from
from nbtune.space.domains import Bool, Domain, named
from nbtune.space.hull import hull
from nbtune.space.normal import LogNormal, Normal
from nbtune.space.numeric import Int, Real
from nbtune.space.ranges import Range
from nbtune.space.recast import Recast, declares_the_same, recast
from nbtune.space.space import Dimension, Space
from nbtune.space.timeline import Edit, Timeline

__all__ = [
    "Bool",
    "Choice",
    "Constant",
    "Dimension",
    "Domain",
    "Edit",
    "Int",
    "LogNormal",
    "Normal",
    "Range",
    "Real",
    "Recast",
    "Space",
    "Timeline",
    "declares_the_same",
    "domain_from",
    "hull",
    "named",
    "recast",
]
