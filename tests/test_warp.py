"""Losses are bent until they look normal."""

import numpy as np
import pytest
from scipy.stats import yeojohnson

from nbtune.searchers.bayes.warp import warped

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    "losses",
    [RNG.exponential(size=60), RNG.standard_normal(40), -RNG.gamma(3.0, size=50)],
    ids=["few bad", "normal", "few good"],
)
def test_it_is_the_likeliest_yeo_johnson_transformation(losses):
    standard = (losses - losses.mean()) / losses.std()
    expected = yeojohnson(standard)[0]

    bent = warped(losses)

    assert bent == pytest.approx((expected - expected.mean()) / expected.std(), abs=1e-4)


def test_a_few_very_bad_losses_no_longer_hide_the_others():
    losses = np.append(np.linspace(0.0, 1.0, 30), [50.0, 80.0, 300.0])

    bent = warped(losses)

    assert np.ptp(bent[:30]) > 10 * np.ptp(((losses - losses.mean()) / losses.std())[:30])


@pytest.mark.parametrize("losses", [[2.0, 2.0, 2.0], [0.0, 1.0], [0.0, 0.0, 0.0, 1e-9], [5.0]])
def test_the_order_stays_and_what_is_constant_becomes_zero(losses):
    bent = warped(np.array(losses))

    assert np.isfinite(bent).all()
    assert np.array_equal(np.argsort(bent, kind="stable"), np.argsort(losses, kind="stable"))
    assert bent.mean() == pytest.approx(0.0, abs=1e-9)
