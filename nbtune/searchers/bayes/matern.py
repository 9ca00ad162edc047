"""The Matern 5/2 covariance (Rasmussen and Williams 2006, equation 4.17), and how it changes."""

from typing import Any, TypeAlias

import numpy as np

__all__ = ["covariance", "covariance_slope"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def covariance(squared: Array, variance: float) -> Array:
    """Return the covariance at squared distances in units of the lengths, of the same shape."""
    root = np.sqrt(5.0 * squared)
    return np.asarray(variance * (1.0 + root + root**2 / 3.0) * np.exp(-root))


def covariance_slope(x: Array, others: Array, scale: Array, variance: float) -> tuple[Array, Array]:
    """Return the covariance of one x, (n_columns,), with others, (n, n_columns), and its gradient.

    Of shapes (n,) and (n, n_columns); `scale`, (n_columns,), holds the lengths.
    """
    off = (x - others) / scale
    root = np.sqrt(5.0 * (off**2).sum(axis=1))
    decay = variance * np.exp(-root)
    slope = (-5.0 / 3.0 * decay * (1.0 + root))[:, None] * off / scale
    return decay * (1.0 + root + root**2 / 3.0), slope
