"""Bayes: model-based search; draws at random until its model is in place."""

from nbtune.searchers.random import Random

__all__ = ["Bayes"]


class Bayes(Random):
    """Draw at random."""

    def __repr__(self) -> str:
        return "Bayes()"
