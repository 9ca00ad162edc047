"""A Gaussian process of full runs that learns from short ones: biased, noisy looks at the same.

The loss of params x after a run that was short by u is g(x) + u (d(x) + m) + noise, where u is 0
for a full run: a process over params and resource whose kernel has a linear basis along the
resource, as that of FABOLAS (Klein et al. 2017, arXiv:1605.07079). Where runs are full it is an
ordinary process, g, and it is asked nowhere else: so an observation of a short run is one of g with
a bias that is alike for like params, and with more noise.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from nbtune.searchers.bayes.matern import covariance, covariance_slope

__all__ = ["Shortfall", "most_probable"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Hyperparameters: TypeAlias = Array
"""Logarithms, shape (n_groups + 5,): a length for each group of columns, the variance of g, that of
d in units of it, that of m, of the noise anywhere, and of the noise of a run that is short by 1."""

_JITTER = 1e-8
# Means and standard deviations of the priors, and bounds: of lengths, then of the five others.
_LENGTH = math.log(0.5), 1.0, (math.log(5e-3), math.log(50.0))
_OTHERS = (
    (0.0, 1.0, (-6.0, 6.0)),
    (math.log(0.25), 1.0, (-8.0, 3.0)),
    (0.0, 1.5, (-8.0, 4.0)),
    (-9.0, 2.0, (-16.0, 1.0)),
    (math.log(0.05), 1.5, (-16.0, 2.0)),
)
_STARTS = ((0.5, -3.0), (0.15, -5.0))  # lengths and the noise's logarithm
_STEPS = 40


def most_probable(x: Array, short: Array, y: Array, groups: Sequence[Array]) -> Hyperparameters:
    """Return the mode of the posterior over the hyperparameters.

    Parameters
    ----------
    x : array, shape (n, n_columns)
    short : array of float >= 0, shape (n,)
        By how much each run was short; 0 is a full one.
    y : array, shape (n,)
        With mean 0 and variance 1.
    groups : sequence of integer arrays
        Columns that share one length: those of one parameter.
    """
    apart = np.stack([_squared(x[:, columns], x[:, columns]) for columns in groups])
    flat = apart.reshape(len(groups), -1)
    priors = [_LENGTH] * len(groups) + list(_OTHERS)
    centre, spread = (np.array([prior[part] for prior in priors]) for part in (0, 1))
    fits = []
    for length, noise in _STARTS:
        start = centre.copy()
        start[: len(groups)], start[-2] = math.log(length), noise
        fits.append(
            minimize(
                _negative_log_posterior,
                start,
                args=(flat, short, y, centre, spread),
                jac=True,
                method="L-BFGS-B",
                bounds=[prior[2] for prior in priors],
                options={"maxiter": _STEPS},
            )
        )
    best: Hyperparameters = min(fits, key=lambda fit: float(fit.fun)).x
    return best


def _negative_log_posterior(
    theta: Array, apart: Array, short: Array, y: Array, centre: Array, spread: Array
) -> tuple[float, Array]:
    """Return it with its gradient; `apart` is (n_groups, n * n).

    Rasmussen and Williams 2006, equations 5.8 and 5.9, for the Matern 5/2 kernel (4.17).
    """
    n, identity, both = len(y), np.eye(len(y)), np.outer(short, short)
    shrink = np.exp(-2.0 * theta[:-5])
    variance, bias, shift, noise, short_noise = np.exp(theta[-5:])
    squared = (shrink @ apart).reshape(n, n)
    root = np.sqrt(5.0 * squared)
    decay = np.exp(-root)
    final = variance * (1.0 + root + 5.0 / 3.0 * squared) * decay
    kernel = final * (1.0 + bias * both) + shift * both
    kernel += np.diag(noise + _JITTER + short_noise * short**2)
    try:
        lower = cholesky(kernel, lower=True, check_finite=False)
    except LinAlgError:
        return 1e10, np.zeros_like(theta)
    weights = cho_solve((lower, True), y, check_finite=False)
    inner = np.outer(weights, weights) - cho_solve((lower, True), identity, check_finite=False)
    likelihood = -0.5 * float(y @ weights) - float(np.log(np.diag(lower)).sum())
    slope = inner * (-5.0 / 6.0 * variance) * decay * (1.0 + root) * (1.0 + bias * both)
    of_final = float((inner * final).sum())
    of_bias = bias * float((inner * final * both).sum())
    diagonal = np.diag(inner)
    gradient = np.empty_like(theta)
    gradient[:-5] = -shrink * (apart @ slope.ravel())
    gradient[-5] = 0.5 * (of_final + of_bias)
    gradient[-4] = 0.5 * of_bias
    gradient[-3] = 0.5 * shift * float((inner * both).sum())
    gradient[-2] = 0.5 * noise * float(diagonal.sum())
    gradient[-1] = 0.5 * short_noise * float(diagonal @ short**2)
    off = (theta - centre) / spread
    return 0.5 * float(off @ off) - likelihood, off / spread - gradient


class Shortfall:
    """The process, fitted, and asked about full runs.

    Parameters
    ----------
    hyperparameters : array
        As `most_probable` returns them.
    groups : sequence of integer arrays
        The columns of each length.
    x, short, y : array, shape (n, n_columns), (n,), (n,)
        What it is fitted to.
    """

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        groups: Sequence[Array],
        x: Array,
        short: Array,
        y: Array,
    ) -> None:
        self._hyperparameters, self._groups = hyperparameters, groups
        self._x, self._short, self._y = x, short, y
        self.lengths = np.empty(x.shape[1])
        for columns, length in zip(groups, np.exp(hyperparameters[:-5]), strict=True):
            self.lengths[columns] = length
        self._variance, self._bias, self._shift, noise, short_noise = np.exp(hyperparameters[-5:])
        kernel = self._between(x, short) + np.diag(noise + _JITTER + short_noise * short**2)
        self._lower = cholesky(kernel, lower=True, check_finite=False)
        self._weights = cho_solve((self._lower, True), y, check_finite=False)

    def posterior(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of full runs at x, shape (n, n_columns)."""
        across = self._across(x)
        solved = solve_triangular(self._lower, across.T, lower=True, check_finite=False)
        left = self._variance - (solved**2).sum(axis=0)
        return across @ self._weights, np.sqrt(np.maximum(left, 1e-12))

    def posterior_slope(self, x: Array) -> tuple[float, float, Array, Array]:
        """Return mean, standard deviation and the gradients of both at one x, (n_columns,)."""
        across, slope = covariance_slope(x, self._x, self.lengths, self._variance)
        solved = cho_solve((self._lower, True), across, check_finite=False)
        std = math.sqrt(max(self._variance - float(across @ solved), 1e-12))
        return (
            float(across @ self._weights),
            std,
            slope.T @ self._weights,
            -(slope.T @ solved) / std,
        )

    def believing(self, x: Array, short: Array | None = None) -> "Shortfall":
        """Return the process as if what it predicts had come true at x, of runs that are `short`.

        The kriging believer (Ginsbourger, Le Riche and Carraro 2010); of full runs by default.
        """
        short = np.zeros(len(x)) if short is None else short
        mean = self._between(x, short) @ self._weights
        return Shortfall(
            self._hyperparameters,
            self._groups,
            np.vstack([self._x, x]),
            np.append(self._short, short),
            np.append(self._y, mean),
        )

    def _between(self, x: Array, short: Array) -> Array:
        """Return the covariance of runs with those it is fitted to, without noise."""
        both = np.outer(short, self._short)
        kernel: Array = self._across(x) * (1.0 + self._bias * both) + self._shift * both
        return kernel

    def _across(self, x: Array) -> Array:
        return covariance(_squared(x / self.lengths, self._x / self.lengths), self._variance)


def _squared(ours: Array, theirs: Array) -> Array:
    squares: Array = ((ours[:, None, :] - theirs[None, :, :]) ** 2).sum(axis=-1)
    return squares
