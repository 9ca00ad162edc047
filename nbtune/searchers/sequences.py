"""Sequences of points that fill the unit cube more evenly than independent draws do."""

from typing import Any, TypeAlias

import numpy as np

__all__ = ["SEQUENCES", "point_of"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

SEQUENCES = ("roberts", "sobol", "halton")
_STREAM = 0xBA7E5  # keeps these draws apart from other families' draws for the same seed


def point_of(sequence: str, number: int, n_dims: int, *, seed: int) -> Array:
    """Return point `number` of a sequence, shape (n_dims,), without those before it.

    "roberts" is an additive recurrence: multiples of powers of the generalised golden ratio, modulo
    1, from an origin drawn from `seed` (Roberts 2018, "The unreasonable effectiveness of
    quasirandom sequences"). "sobol" and "halton" are SciPy's, scrambled by `seed` (Owen 1998,
    "Scrambling Sobol and Niederreiter-Xing points"; Owen 2017, arXiv:1706.02808).
    """
    rng = np.random.default_rng((_STREAM, seed))
    if sequence == "roberts":
        origin = rng.random(n_dims)
        powers = _golden(n_dims) ** -np.arange(1.0, n_dims + 1)
        return np.asarray((origin + (number + 1) * powers) % 1.0, dtype=np.float64)
    from scipy.stats import qmc  # noqa: PLC0415 - costs a second

    engine = (qmc.Sobol if sequence == "sobol" else qmc.Halton)(n_dims, rng=rng)
    if number:  # SciPy's Sobol sequence does not go forward by 0
        engine.fast_forward(number)
    return np.asarray(engine.random(1)[0], dtype=np.float64)


def _golden(n_dims: int) -> float:
    """Return the root of ratio ** (n_dims + 1) == ratio + 1."""
    ratio = 2.0
    for _ in range(64):
        ratio = (1.0 + ratio) ** (1.0 / (n_dims + 1))
    return ratio
