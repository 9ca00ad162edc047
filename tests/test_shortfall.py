"""The process of full runs that learns from short ones."""

import numpy as np
import pytest

from nbtune.searchers.bayes import shortfall
from nbtune.searchers.bayes.gaussian import GaussianProcess
from nbtune.searchers.bayes.shortfall import Shortfall, most_probable

GROUPS = [np.array([0]), np.array([1])]


def waves(x):
    return np.sin(6 * x[:, 0]) + np.cos(4 * x[:, 1])


def runs(count, *, noise=0.0, seed=0):
    """Return runs, four in five of them short, with a bias that differs from place to place."""
    rng = np.random.default_rng(seed)
    x, short = rng.random((count, 2)), rng.choice([0.0, 0.5, 1.0], count, p=[0.2, 0.3, 0.5])
    y = waves(x) + short * (1.0 + 0.3 * x[:, 0] + noise * rng.standard_normal(count))
    return x, short, (y - y.mean()) / y.std()


def fitted(x, short, y):
    return Shortfall(most_probable(x, short, y, GROUPS), GROUPS, x, short, y)


def test_with_full_runs_alone_it_is_an_ordinary_process():
    x, _, y = runs(20)
    theta = np.log([0.4, 0.3, 1.2, 0.5, 0.7, 0.01, 0.2])
    there = np.random.default_rng(1).random((9, 2))

    ours = Shortfall(theta, GROUPS, x, np.zeros(20), y).posterior(there)
    ordinary = GaussianProcess(theta[[0, 1, 2, 5]], GROUPS).fit(x, y).posterior(there)

    assert ours[0] == pytest.approx(ordinary[0], rel=1e-6, abs=1e-8)
    assert ours[1] == pytest.approx(ordinary[1], rel=1e-6, abs=1e-8)


def test_gradients_are_those_of_finite_differences():
    model, at, step = fitted(*runs(30, noise=0.3)), np.array([0.4, 0.6]), 1e-5

    mean, std, by_mean, by_std = model.posterior_slope(at)

    ahead, behind = (model.posterior(at + sign * step * np.eye(2)) for sign in (1, -1))
    there = [float(value[0]) for value in model.posterior(at[None])]
    assert [mean, std] == pytest.approx(there, rel=1e-5)
    assert by_mean == pytest.approx((ahead[0] - behind[0]) / (2 * step), rel=1e-3, abs=1e-5)
    assert by_std == pytest.approx((ahead[1] - behind[1]) / (2 * step), rel=1e-3, abs=1e-5)


def test_the_posterior_over_hyperparameters_has_the_gradient_that_is_climbed():
    x, short, y = runs(25, noise=0.3)
    apart = np.stack([(x[:, [d]] - x[:, d]).ravel() ** 2 for d in (0, 1)])
    theta = np.random.default_rng(2).normal(-1.0, 0.3, 7)

    def both(at):
        return shortfall._negative_log_posterior(at, apart, short, y, np.zeros(7), np.ones(7))

    slopes = [(both(theta + e)[0] - both(theta - e)[0]) / 2e-6 for e in 1e-6 * np.eye(7)]
    assert both(theta)[1] == pytest.approx(slopes, rel=1e-4, abs=1e-5)


# FEATURES A6
def test_short_runs_tell_which_full_runs_are_good():
    x, short, y = runs(60, noise=0.2, seed=3)
    there = np.random.default_rng(4).random((200, 2))
    is_full = short == 0.0

    joint = fitted(x, short, y).posterior(there)[0]
    full = fitted(x[is_full], short[is_full], y[is_full]).posterior(there)[0]

    right = [np.corrcoef(mean, waves(there))[0, 1] for mean in (joint, full)]
    assert right[0] > 0.9
    assert right[0] > right[1]


def test_noise_in_short_runs_leaves_full_ones_believed():
    rng = np.random.default_rng(5)
    x, short = rng.random((80, 2)), np.repeat([0.0, 1.0], 40)
    y = np.where(short == 0.0, waves(x), 2.0 * rng.standard_normal(80))
    y = (y - y.mean()) / y.std()

    mean, _ = fitted(x, short, y).posterior(x[:40])

    assert np.corrcoef(mean, y[:40])[0, 1] > 0.95


def test_what_is_believed_leaves_the_prediction_and_takes_doubt_away():
    model = fitted(*runs(20, noise=0.1))
    there = np.array([[0.1, 0.9], [0.8, 0.2]])
    before = model.posterior(there)

    short = model.believing(there, np.array([1.0, 1.0])).posterior(there)
    full = model.believing(there).posterior(there)

    assert short[0] == pytest.approx(before[0], abs=1e-5)
    assert full[0] == pytest.approx(before[0], abs=1e-5)
    assert (full[1] < short[1]).all()
    assert (short[1] < before[1]).all()
