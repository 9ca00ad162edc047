"""Scores as losses that a model can believe in, and back."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

__all__ = ["losses_of", "scores_again", "succeeded"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]


def succeeded(scores: Sequence[float | None]) -> Flags:
    """Return which scores, shape (n,), are numbers, and finite."""
    numbers = [np.nan if score is None else score for score in scores]
    return np.asarray(np.isfinite(np.array(numbers, dtype=np.float64)))


def losses_of(scores: Sequence[float | None]) -> Array:
    """Return scores as losses with mean 0 and standard deviation 1, shape (n,).

    Scores that are None or not finite become the worst that is; at least one must be finite.
    """
    losses = -np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
    finite = succeeded(scores)
    losses[~finite] = losses[finite].max()
    losses /= max(float(np.abs(losses).max()), 1e-300)  # the squares of 1e300 would overflow
    losses -= losses.mean()
    return losses / max(float(losses.std()), 1e-12)


def scores_again(losses: Array, scores: Sequence[float | None]) -> Array:
    """Return losses, shape (n,), in the unit of `scores`, of which `losses_of` made theirs.

    At least one of the scores must be finite; where all are one number, so is the result.
    """
    fine = succeeded(scores)
    known = np.array([score for score, is_fine in zip(scores, fine, strict=True) if is_fine])
    theirs = losses_of(scores)[fine]
    low, high = int(np.argmin(known)), int(np.argmax(known))
    with np.errstate(all="ignore"):  # the range of floats is no float
        slope = (known[high] - known[low]) / min(theirs[high] - theirs[low], -1e-300)
        return np.asarray(known[high] + slope * (losses - theirs[high]))
