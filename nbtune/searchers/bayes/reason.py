"""The reason of a suggestion, in a few words for a person."""

import math
from typing import Any, TypeAlias

import numpy as np

__all__ = ["expected"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_NAMES = {"EI": "log-EI", "LCB": "LCB", "PI": "log-PI"}


def expected(
    kind: str,
    promise: float,
    foreseen: tuple[float, float, float],
    losses: Array,
    values: Array,
    *,
    pending: int,
) -> str:
    """Return what a model expects of a place, beside the best so far.

    Parameters
    ----------
    kind : {"EI", "LCB", "PI"}
        What `promise` is.
    foreseen : (mean, std, best)
        What the model says of the place, and the best so far, as losses.
    losses, values : array, shape (n,)
        Results as the model sees them and as the user does, who reads what the model says in his
        own unit: between results by their neighbours, beyond the best by the better half of them.
    pending : int >= 0
        How many trials under way the model takes into account.
    """
    said = f"{_NAMES[kind]} {promise:.2f}"
    mean, std, best = foreseen
    order = np.lexsort((values, losses))
    x, y = losses[order], values[order]
    if math.isfinite(promise) and x[0] < x[-1] and np.isfinite(y).all():
        low, middle, high = (_read(x, y, place) for place in (mean - std, mean, mean + std))
        said += f": expects {middle:.4g} ± {abs(high - low) / 2:.2g}"
        said += f" against the best {_read(x, y, best):.4g}"
    return f"{said}, {pending} pending assumed as predicted" if pending else said


def _read(x: Array, y: Array, place: float) -> float:
    """Return the value that belongs to a loss; `x` ascends, and is not constant."""
    if place >= x[0]:
        return float(np.interp(place, x, y))
    better = x <= max(float(np.median(x)), float(x[x > x[0]][0]))
    slope = float(np.cov(x[better], y[better])[0, 1] / np.var(x[better], ddof=1))
    return float(y[0] + slope * (place - x[0]))
