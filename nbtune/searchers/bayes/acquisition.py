"""How promising a place is, from what a model says of the loss there; more is better."""

import math
from typing import Any, TypeAlias

import numpy as np
from scipy.special import erfcx, log_ndtr

__all__ = ["log_h", "promise", "promise_slope"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def promise(kind: str, mean: Array, std: Array, best: float, *, xi: float, kappa: float) -> Array:
    """Return the promise of each place, shape (n,).

    Parameters
    ----------
    kind : {"EI", "LCB", "PI"}
        The logarithm of the expected improvement (Ament et al. 2023, arXiv:2310.20708, equation
        9), the lower confidence bound, the logarithm of the probability of improvement.
    mean, std : array, shape (n,)
        Of the loss.
    best : float
        The least loss so far.
    xi : float
        The improvement that counts, in the unit of the losses.
    kappa : float
        How many standard deviations the bound lies below the mean.
    """
    if kind == "LCB":
        return kappa * std - mean
    z = (best - xi - mean) / std
    if kind == "PI":
        return np.asarray(log_ndtr(z))
    return log_h(z) + np.log(std)


def promise_slope(
    kind: str, mean: float, std: float, best: float, *, xi: float, kappa: float
) -> tuple[float, float, float]:
    """Return the promise of one place, its slope by the mean, and its slope by the deviation."""
    if kind == "LCB":
        return kappa * std - mean, -1.0, kappa
    z = (best - xi - mean) / std
    below = float(log_ndtr(z))
    if kind == "PI":
        by_z = math.exp(min(-0.5 * z * z - _HALF_LOG_TWO_PI - below, 700.0))
        return below, -by_z / std, -by_z * z / std
    height = _log_h(z, below)
    by_z = math.exp(min(below - height, 700.0))
    return height + math.log(std), -by_z / std, (1.0 - by_z * z) / std


def _log_h(z: float, below: float) -> float:
    """Return `log_h` of one number, whose normal distribution function's logarithm is `below`."""
    log_density = -0.5 * z * z - _HALF_LOG_TWO_PI
    if z > -1.0:
        return math.log(math.exp(log_density) + z * math.exp(below))
    if z < -1e3:
        return log_density - 2.0 * math.log(-z)
    ratio = z * math.sqrt(math.pi / 2.0) * float(erfcx(-z / math.sqrt(2.0)))
    return log_density + math.log1p(max(ratio, -1.0 + 1e-15))


def log_h(z: Array) -> Array:
    """Return log(phi(z) + z Phi(z)), also where both terms cancel (Ament et al. 2023, eq. 9)."""
    z = np.asarray(z, dtype=np.float64)
    out = np.empty_like(z)
    near, far = z > -1.0, z < -1e3
    middle = ~near & ~far
    a, b, c = z[near], z[middle], z[far]
    out[near] = np.log(np.exp(-0.5 * a * a - _HALF_LOG_TWO_PI) + a * np.exp(log_ndtr(a)))
    ratio = b * math.sqrt(math.pi / 2.0) * erfcx(-b / math.sqrt(2.0))
    out[middle] = -0.5 * b * b - _HALF_LOG_TWO_PI + np.log1p(np.maximum(ratio, -1.0 + 1e-15))
    out[far] = -0.5 * c * c - _HALF_LOG_TWO_PI - 2.0 * np.log(-c)
    return out
