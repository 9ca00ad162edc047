"""The Gaussian process: its kernel's posterior, its predictions, their slopes."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from nbtune.searchers.bayes.gaussian import (
    GaussianProcess,
    _negative_log_posterior,
    _squared_distances,
    most_probable,
)

RNG = np.random.default_rng(5)
X = RNG.random((25, 4))
GROUPS = [np.array([0]), np.array([1]), np.array([2, 3])]
Y = np.sin(6 * X[:, 0]) + 0.1 * X[:, 1]
Y = (Y - Y.mean()) / Y.std()
PRIOR = np.zeros(5), np.ones(5)
THETA = np.log([0.3, 1.5, 0.8, 1.2, 1e-3])


def process(theta=THETA):
    return GaussianProcess(theta, GROUPS).fit(X, Y)


def test_the_gradient_of_the_posterior_is_that_of_differences():
    apart = np.stack([_squared_distances(X[:, group]) for group in GROUPS]).reshape(3, -1)

    value, gradient = _negative_log_posterior(THETA, apart, Y, PRIOR)

    differences = approx_fprime(
        THETA, lambda t: _negative_log_posterior(t, apart, Y, PRIOR)[0], 1e-6
    )
    assert np.isfinite(value)
    assert gradient == pytest.approx(differences, rel=1e-3, abs=1e-3)


def test_a_column_that_matters_has_a_shorter_length_than_one_that_does_not():
    theta = most_probable(X, Y, GROUPS)

    assert theta[0] < theta[1] - 0.5
    assert theta[0] < theta[2] - 0.5


def test_a_kernel_that_cannot_be_factored_is_no_candidate():
    apart = np.zeros((3, 25 * 25))

    value, _ = _negative_log_posterior(np.array([0.0, 0, 0, 6, -40]), apart, Y, PRIOR)

    assert value >= 1e9 or np.isfinite(value)


def test_the_posterior_is_scikit_learns():
    places = RNG.random((7, 4))

    mean, std = process().posterior(places)

    expected = process().predict(places, return_std=True)
    assert mean == pytest.approx(expected[0])
    assert std == pytest.approx(expected[1], rel=1e-4)


def test_the_slope_of_the_posterior_is_that_of_differences():
    place = np.array([0.31, 0.42, 0.53, 0.64])
    model = process()

    mean, std, mean_slope, std_slope = model.posterior_slope(place)

    here = model.posterior(place[None])
    assert (mean, std) == pytest.approx((here[0][0], here[1][0]))
    for which, slope in ((0, mean_slope), (1, std_slope)):
        differences = approx_fprime(place, lambda x, w=which: model.posterior(x[None])[w][0], 1e-6)
        assert slope == pytest.approx(differences, rel=1e-3, abs=1e-4)


def test_it_is_sure_where_it_believes_and_predicts_the_same_there():
    place = np.array([[0.9, 0.1, 0.9, 0.1]])
    model = process()
    before = model.posterior(place)

    mean, std = model.believing(place).posterior(place)

    assert mean == pytest.approx(before[0], abs=1e-2)
    assert std[0] < 0.5 * before[1][0]
