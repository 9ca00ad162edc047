"""The arithmetic of rungs and brackets, in whole numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "BracketPlan",
    "bracket_plans",
    "bracket_weights",
    "cutoff",
    "draw_bracket",
    "rung_levels",
    "share_in_words",
]

_STREAM = 0x48B  # keeps the bracket's draw apart from a searcher's draw for the same trial


def rung_levels(grace_period: int, reduction_factor: int, max_t: int) -> list[int]:
    """Return the rungs ``grace_period * reduction_factor**k`` up to `max_t`, ascending.

    A power that equals `max_t` is among them, although a trial that gets there is complete and
    is compared with no other. Whole numbers throughout: a quotient of logarithms, as in the
    papers' formulas, loses the top rung of (1, 3, 243) and (1, 10, 1000).

    Parameters
    ----------
    grace_period : int >= 1
        The first rung, in steps.
    reduction_factor : int >= 2
        Each rung is this many times the one before it (eta in the papers).
    max_t : int >= 1
        The most steps that one trial may spend.
    """
    levels = []
    level = grace_period
    while level <= max_t:
        levels.append(level)
        level *= reduction_factor
    return levels


def bracket_weights(brackets: int, rungs: int, reduction_factor: int) -> list[float]:
    """Return the probability that a new trial joins each bracket, shape (min(brackets, rungs),).

    Bracket s leaves out the first s rungs, and is drawn in proportion to
    ``S / (S - s) * eta**(S - s - 1)`` with S rungs in bracket 0: the share of trials that the
    bracket has in synchronous Hyperband (Li et al. 2018, arXiv:1603.06560, Algorithm 1).
    """
    weights = [
        rungs / (rungs - s) * reduction_factor ** (rungs - s - 1)
        for s in range(min(brackets, rungs))
    ]
    total = sum(weights)
    return [weight / total for weight in weights]


@dataclass(frozen=True, slots=True)
class BracketPlan:
    """One bracket: how many trials run up to which step; both have one entry for each rung."""

    sizes: tuple[int, ...]
    levels: tuple[int, ...]


def bracket_plans(max_t: int, reduction_factor: int, grace_period: int = 1) -> list[BracketPlan]:
    """Return the brackets in the order in which they run, the one with the most trials first.

    With R = `max_t`, eta = `reduction_factor`, r = `grace_period` and s_max the largest s with
    ``r * eta**s <= R``, bracket s = s_max ... 0 begins with
    ``n = ceil((s_max + 1) * eta**s / (s + 1))`` trials, and runs ``floor(n / eta**k)`` of them up
    to ``R / eta**(s - k)`` steps, rounded down, for k = 0 ... s (Li et al. 2018, arXiv:1603.06560,
    Algorithm 1). Whole numbers throughout: the logarithms of the paper lose the top of R = 243,
    eta = 3.

    Parameters
    ----------
    max_t : int >= 1
        The most steps that one trial may spend.
    reduction_factor : int >= 2
        Keep one trial in this many at each rung.
    grace_period : int >= 1, at most `max_t`
        No rung is lower: the paper's unit of the resource.
    """
    eta = reduction_factor
    count = len(rung_levels(grace_period, eta, max_t))
    plans = []
    for s in reversed(range(count)):
        size = -(-count * eta**s // (s + 1))
        plans.append(
            BracketPlan(
                sizes=tuple(size // eta**k for k in range(s + 1)),
                levels=tuple(max_t // eta ** (s - k) for k in range(s + 1)),
            )
        )
    return plans


def cutoff(scores: Sequence[float], *, reduction_factor: int) -> float | None:
    """Return the score that a trial must reach to get past a rung.

    A trial passes when its score is at least the ``1 - 1 / reduction_factor`` quantile, linearly
    interpolated, of the scores that the rung has seen before it: the stopping form of ASHA (Li et
    al. 2020, arXiv:1810.05934), as AutoGluon 0.0.15 has it. The quantile's position is computed
    in whole numbers, so that a tie with the score that it falls on passes.

    Parameters
    ----------
    scores : sequence of float, ascending, shape (n_trials,)
        The score of every trial that reached the rung; higher is better, ``-inf`` for NaN.
    reduction_factor : int >= 2
        Keep one trial in this many (eta in the paper).

    Returns
    -------
    float or None
        In the scores' own unit; None while the rung is empty, so that the first trial passes.
    """
    if not scores:
        return None
    below, rest = divmod((len(scores) - 1) * (reduction_factor - 1), reduction_factor)
    low = scores[below]
    if rest == 0 or math.isinf(low):  # from an infinity there is no interpolating
        return low
    return low + (scores[below + 1] - low) * (rest / reduction_factor)


def draw_bracket(weights: Sequence[float], *, seed: int, index: int) -> int:
    """Draw a bracket by `weights`, from ``(seed, index)`` alone."""
    if len(weights) == 1:
        return 0
    rng = np.random.default_rng((_STREAM, seed, index))
    return int(rng.choice(len(weights), p=weights))


def share_in_words(reduction_factor: int) -> str:
    """Return ``1 / reduction_factor`` as it is spoken: "half", "third", "1/5"."""
    return {2: "half", 3: "third", 4: "quarter"}.get(reduction_factor, f"1/{reduction_factor}")
