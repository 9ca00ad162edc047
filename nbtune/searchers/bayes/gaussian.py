"""A Gaussian process whose kernel is found by its posterior, not its likelihood alone.

scikit-optimize's own (0.10.2) maximises the likelihood, which few trials leave almost free: lengths
end at their bounds, and a suggestion takes seconds at 300 trials. Priors and closed-form gradients
over distances that are computed once cost milliseconds.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri, dpotrs
from scipy.optimize import minimize
from skopt.learning import GaussianProcessRegressor
from skopt.learning.gaussian_process.kernels import ConstantKernel, Matern

from nbtune.searchers.bayes.matern import covariance, covariance_slope

__all__ = ["Array", "GaussianProcess", "Hyperparameters", "most_probable"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Hyperparameters: TypeAlias = Array
"""Logarithms, shape (n_groups + 2,): a length for each group of columns, variance, noise."""

_JITTER = 1e-8
_LENGTH = math.log(0.5), 1.0  # mean and standard deviation of the prior on a length's logarithm
_VARIANCE = 0.0, 1.0
_NOISE = -9.0, 2.0  # of a variance; the losses have variance 1
_BOUNDS = (math.log(5e-3), math.log(50.0)), (-6.0, 6.0), (-16.0, 1.0)
_STARTS = ((0.5, -6.0), (0.15, -9.0))  # lengths and the noise's logarithm
_STEPS = 40


def most_probable(
    x: Array, y: Array, groups: Sequence[Array], *, noise: tuple[float, float] = _NOISE
) -> Hyperparameters:
    """Return the mode of the posterior over the kernel's hyperparameters.

    Parameters
    ----------
    x : array, shape (n, n_columns)
    y : array, shape (n,)
        With mean 0 and variance 1.
    groups : sequence of integer arrays
        Columns that share one length: those of one parameter.
    noise : pair of float
        Mean and standard deviation of the prior on the logarithm of the noise's variance.

    Returns
    -------
    array, shape (n_groups + 2,)
    """
    apart = np.stack([_squared_distances(x[:, columns]) for columns in groups])
    count = len(groups)
    pairs = [_LENGTH] * count + [_VARIANCE, noise]
    prior = np.array([mean for mean, _ in pairs]), np.array([spread for _, spread in pairs])
    bounds = [_BOUNDS[0]] * count + list(_BOUNDS[1:])
    fits = [
        minimize(
            _negative_log_posterior,
            np.array([math.log(length)] * count + [0.0, start]),
            args=(apart.reshape(count, -1), y, prior),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": _STEPS},
        )
        for length, start in _STARTS
    ]
    best: Hyperparameters = min(fits, key=lambda fit: float(fit.fun)).x
    return best


def _squared_distances(columns: Array) -> Array:
    squares: Array = ((columns[:, None, :] - columns[None, :, :]) ** 2).sum(axis=-1)
    return squares


def _negative_log_posterior(
    theta: Array, apart: Array, y: Array, prior: tuple[Array, Array]
) -> tuple[float, Array]:
    """Return it with its gradient; `apart` is (n_groups, n * n).

    The prior is normal, and given by means and standard deviations.

    Rasmussen and Williams 2006, equations 5.8 and 5.9, for the Matern 5/2 kernel (4.17).
    """
    n = len(y)
    shrink = np.exp(-2.0 * theta[:-2])
    variance, noise = math.exp(theta[-2]), math.exp(theta[-1])
    squared = (shrink @ apart).reshape(n, n)
    root = np.sqrt(5.0 * squared)
    decay = np.exp(-root)
    kernel = variance * (1.0 + root + 5.0 / 3.0 * squared) * decay
    kernel.flat[:: n + 1] += noise + _JITTER
    lower, failed = dpotrf(kernel, lower=True)  # without SciPy's checks, which take as long
    if failed:
        return 1e10, np.zeros_like(theta)
    kernel.flat[:: n + 1] -= noise + _JITTER
    weights = dpotrs(lower, y, lower=True)[0]
    inverse = np.tril(dpotri(lower, lower=True)[0])
    inner = np.outer(weights, weights) - (inverse + np.tril(inverse, -1).T)
    likelihood = -0.5 * float(y @ weights) - float(np.log(np.diag(lower)).sum())
    slope = inner * (-5.0 / 6.0 * variance) * decay * (1.0 + root)  # by the squared distance
    gradient = np.empty_like(theta)
    gradient[:-2] = -shrink * (apart @ slope.ravel())
    gradient[-2] = 0.5 * float((inner * kernel).sum())
    gradient[-1] = 0.5 * noise * float(np.trace(inner))
    centre, spread = prior
    off = (theta - centre) / spread
    return 0.5 * float(off @ off) - likelihood, off / spread - gradient


class GaussianProcess(GaussianProcessRegressor):  # type: ignore[misc] # ships no types
    """scikit-optimize's Gaussian process with a Matern 5/2 kernel that is given.

    Parameters
    ----------
    hyperparameters : array
        As `most_probable` returns them.
    groups : sequence of integer arrays
        The columns of each length.
    """

    def __init__(self, hyperparameters: Hyperparameters, groups: Sequence[Array]) -> None:
        self.hyperparameters = hyperparameters
        self.groups = groups
        scale = np.empty(sum(map(len, groups)))
        for columns, length in zip(groups, np.exp(hyperparameters[:-2]), strict=True):
            scale[columns] = length
        self.lengths = scale
        self._variance = math.exp(hyperparameters[-2])
        super().__init__(
            ConstantKernel(self._variance, "fixed") * Matern(scale, "fixed", nu=2.5),
            alpha=math.exp(hyperparameters[-1]) + _JITTER,
            optimizer=None,
        )

    def posterior(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at x, shape (n, n_columns), each of shape (n,)."""
        # Not `predict`: its product with the inverse is slow, and loses the digits that tell how
        # little is left to gain near the best trial.
        across = self._across(x)
        solved = solve_triangular(self.L_, across.T, lower=True, check_finite=False)
        left = self._variance - (solved**2).sum(axis=0)
        return across @ self.alpha_, np.sqrt(np.maximum(left, 1e-12))

    def _across(self, x: Array) -> Array:
        ours, theirs = x / self.lengths, self.X_train_ / self.lengths
        squared = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2.0 * ours @ theirs.T
        return covariance(np.maximum(squared, 0.0), self._variance)

    def posterior_slope(self, x: Array) -> tuple[float, float, Array, Array]:
        """Return mean, standard deviation and the gradients of both at one x, (n_columns,)."""
        across, slope = covariance_slope(x, self.X_train_, self.lengths, self._variance)
        solved = dpotrs(self.L_, across, lower=True)[0]
        std = math.sqrt(max(self._variance - float(across @ solved), 1e-12))
        return float(across @ self.alpha_), std, slope.T @ self.alpha_, -(slope.T @ solved) / std

    def believing(self, x: Array) -> "GaussianProcess":
        """Return the process as if what it predicts at x, shape (n, n_columns), had come true.

        The kriging believer (Ginsbourger, Le Riche and Carraro 2010): no other trial seems worth it
        near by, and the prediction elsewhere stays.
        """
        mean, _ = self.posterior(x)
        sure = GaussianProcess(self.hyperparameters, self.groups)
        sure.fit(np.vstack([self.X_train_, x]), np.append(self.y_train_, mean))
        return sure
