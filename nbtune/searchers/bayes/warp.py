"""Bends losses until they look normal, as a Gaussian process takes them to be."""

import math
from typing import Any, TypeAlias

import numpy as np

__all__ = ["warped"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_POWERS = -5.0, 2.0


def warped(losses: Array) -> Array:
    """Return losses, shape (n,), bent by the likeliest Yeo-Johnson power, with mean 0, variance 1.

    A Gaussian process believes in normal losses: without it a few very bad trials leave the
    differences between the good ones to the noise (Cowen-Rivers et al. 2022, HEBO, section 3.2).
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - scipy takes half a second

    standard = _standard(losses)
    logs = float((np.sign(standard) * np.log1p(np.abs(standard))).sum())

    def unlikelihood(power: float) -> float:
        spread = max(float(_bent(standard, power).var()), 1e-300)
        return 0.5 * len(standard) * math.log(spread) - (power - 1.0) * logs

    power = minimize_scalar(unlikelihood, bounds=_POWERS, method="bounded").x
    return _standard(_bent(standard, float(power)))


def _bent(values: Array, power: float) -> Array:
    """Return the transformation of values (Yeo and Johnson 2000, equation 2.1)."""
    logs = np.log1p(np.abs(values))
    return np.where(values < 0.0, -_powered(logs, 2.0 - power), _powered(logs, power))


def _powered(logs: Array, power: float) -> Array:
    """Return ((1 + y)**power - 1) / power of log(1 + y); the logarithm where the power is 0."""
    if abs(power) < 1e-9:
        return logs
    return np.asarray(np.expm1(power * logs) / power)


def _standard(losses: Array) -> Array:
    return np.asarray((losses - losses.mean()) / max(float(losses.std()), 1e-12))
