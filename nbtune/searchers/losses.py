"""Scores as losses that a model can believe in, and back."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from nbtune.searchers.surrogate import quiet

__all__ = ["losses_of", "scores_again", "warped"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

# What SciPy has been seen to raise.
_ERRORS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def losses_of(scores: Sequence[float | None]) -> Array:
    """Return scores as losses with mean 0 and standard deviation 1, shape (n,).

    Scores that are None or not finite become the worst that is; at least one must be finite.
    """
    losses = -np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
    finite = np.isfinite(losses)
    losses[~finite] = losses[finite].max()
    losses /= max(float(np.abs(losses).max()), 1e-300)  # the squares of 1e300 would overflow
    losses -= losses.mean()
    return losses / max(float(losses.std()), 1e-12)


def scores_again(losses: Array, scores: Sequence[float | None]) -> Array:
    """Return losses, shape (n,), in the unit of `scores`, of which `losses_of` made theirs.

    At least one of the scores must be finite; where all are one number, so is the result.
    """
    known = np.array([score for score in scores if score is not None and np.isfinite(score)])
    theirs = losses_of(scores)[[score is not None and np.isfinite(score) for score in scores]]
    low, high = int(np.argmin(known)), int(np.argmax(known))
    with np.errstate(all="ignore"):  # the range of floats is no float
        slope = (known[high] - known[low]) / min(theirs[high] - theirs[low], -1e-300)
        return np.asarray(known[high] + slope * (losses - theirs[high]))


def warped(losses: Array) -> Array:
    """Return losses, shape (n,), made as normal as a Yeo-Johnson transformation makes them.

    A Gaussian process believes in normal losses: without it a few very bad trials leave the
    differences between the good ones to the noise (Cowen-Rivers et al. 2022, HEBO, section 3.2).
    """
    from scipy.stats import yeojohnson  # noqa: PLC0415 - scipy comes with scikit-optimize

    with quiet():
        standard = _standard(losses)
        try:
            bent = _standard(yeojohnson(standard)[0])
        except _ERRORS:
            return standard
    return bent if np.isfinite(bent).all() and bent.std() > 0.5 else standard


def _standard(losses: Array) -> Array:
    return np.asarray((losses - losses.mean()) / max(float(losses.std()), 1e-12))
