"""Bayes, and what it is made of: results, models of them, and the search for what promises most.

Results come in as `courses`, are made ready by `losses`, `warp` and `fidelity`, and fitted by
`models` (`gaussian`, `shortfall`, `surrogate`); an `outlook` says what each place promises
(`acquisition`, `feasibility`), and `ascent` finds the best one.
"""

from nbtune.searchers.bayes.searcher import Bayes

__all__ = ["Bayes"]
