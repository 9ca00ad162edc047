"""Spaces: domains of single hyperparameters, and named domains together."""

from nbtune.space.choice import Choice, Constant
from nbtune.space.domains import Bool, Domain, named
from nbtune.space.normal import LogNormal, Normal
from nbtune.space.numeric import Int, Real
from nbtune.space.ranges import Range
from nbtune.space.space import Dimension, Space

__all__ = [
    "Bool",
    "Choice",
    "Constant",
    "Dimension",
    "Domain",
    "Int",
    "LogNormal",
    "Normal",
    "Range",
    "Real",
    "Space",
    "named",
]
