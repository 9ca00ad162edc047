"""How promising a place is."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from nbtune.searchers.bayes.acquisition import log_h, promise, promise_slope

SHAPE = {"xi": 0.05, "kappa": 1.96}
KINDS = pytest.mark.parametrize("kind", ["EI", "LCB", "PI"])


def test_expected_improvement_is_its_integral():
    mean, std, best = 0.3, 0.5, 0.1
    losses = np.linspace(mean - 8 * std, best - SHAPE["xi"], 200_001)
    gain = (best - SHAPE["xi"] - losses) * norm.pdf(losses, mean, std)

    value = promise("EI", np.array([mean]), np.array([std]), best, **SHAPE)

    assert math.exp(value[0]) == pytest.approx(np.trapezoid(gain, losses), rel=1e-5)


@pytest.mark.parametrize("z", [3.0, 0.0, -0.99, -1.01, -5.0, -20.0])
def test_log_h_is_the_logarithm_where_that_can_be_taken(z):
    plain = norm.pdf(z) + z * norm.cdf(z)

    assert log_h(np.array([z]))[0] == pytest.approx(math.log(plain), rel=1e-4)


def test_log_h_falls_on_where_the_plain_formula_is_zero():
    values = log_h(np.array([-30.0, -100.0, -999.0, -1001.0, -1e6]))

    assert np.isfinite(values).all()
    assert (np.diff(values) < 0).all()
    assert values[2] - values[3] == pytest.approx((1001**2 - 999**2) / 2, rel=1e-3)


@KINDS
def test_less_loss_and_more_doubt_promise_more(kind):
    means, stds = np.array([0.5, 0.4, 0.5]), np.array([0.2, 0.2, 0.3])

    here, better, wider = promise(kind, means, stds, 0.0, **SHAPE)

    assert better > here
    assert wider > here


@KINDS
@pytest.mark.parametrize("mean", [-0.5, 0.2, 3.0])
def test_the_slope_is_that_of_differences(kind, mean):
    def at(m, s):
        return promise(kind, np.array([m]), np.array([s]), 0.0, **SHAPE)[0]

    value, *slopes = promise_slope(kind, mean, 0.4, 0.0, **SHAPE)

    step = 1e-6
    by_mean = (at(mean + step, 0.4) - at(mean - step, 0.4)) / (2 * step)
    by_std = (at(mean, 0.4 + step) - at(mean, 0.4 - step)) / (2 * step)
    assert value == pytest.approx(at(mean, 0.4))
    assert slopes == pytest.approx([by_mean, by_std], rel=1e-3)


@pytest.mark.parametrize("z", [2.0, -0.99, -1.01, -30.0, -999.0, -1001.0])
def test_the_promise_of_one_place_is_that_of_many(z):
    alone, _, _ = promise_slope("EI", -z, 1.0, 0.0, xi=0.0, kappa=0.0)

    among = promise("EI", np.array([-z]), np.ones(1), 0.0, xi=0.0, kappa=0.0)
    assert alone == pytest.approx(among[0], rel=1e-12)
