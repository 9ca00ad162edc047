"""What failed trials say of others."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from nbtune.searchers.bayes.columns import Columns
from nbtune.searchers.bayes.feasibility import Feasibility
from nbtune.searchers.bayes.gaussian import GaussianProcess
from nbtune.searchers.bayes.outlook import Outlook
from nbtune.space import Choice, Real, Space

SPACE = Space({"x": Real(0, 1), "y": Real(0, 1)})
COLUMNS = Columns(SPACE)
PLACES = np.random.default_rng(2).random((40, 2))
FINE = PLACES[:, 0] < 0.6


def outlook():
    """Return one that promises more the larger x is."""
    model = GaussianProcess(np.log([1.0, 1.0, 1.0, 1e-4]), COLUMNS.groups)
    return Outlook(COLUMNS, model.fit(PLACES, -PLACES[:, 0]), -1.0, kind="EI", xi=0.0, kappa=0.0)


def feasible(places=PLACES, fine=FINE):
    return Feasibility(COLUMNS).of(outlook(), places, fine)


def test_without_a_failure_nothing_changes():
    plain = outlook()

    assert Feasibility(COLUMNS).of(plain, PLACES, np.ones(40, bool)) is plain


def test_what_is_likely_to_fail_promises_less():
    places = np.array([[0.1, 0.5], [0.5, 0.5], [0.9, 0.5]])

    taken = outlook().promise(places) - feasible().promise(places)

    assert taken[0] == pytest.approx(0.0, abs=0.05)
    assert taken[1] < 1.0
    assert taken[2] > 3.0


def test_failures_without_a_pattern_take_little_from_most_places():
    rng = np.random.default_rng(0)
    places, fine = rng.random((80, 2)), rng.random(80) > 0.2
    elsewhere = rng.random((50, 2))
    one = Feasibility(COLUMNS).of(outlook(), places, fine)

    taken = outlook().promise(elsewhere) - one.promise(elsewhere)

    assert np.median(taken) < 0.6
    assert np.mean(taken < 2.0) > 0.9


def test_the_slope_is_that_of_differences():
    place = np.array([0.55, 0.4])
    both = feasible()

    value, slope = both.slope(place)

    assert value == pytest.approx(both.promise(place[None])[0])
    differences = approx_fprime(place, lambda x: both.promise(x[None])[0], 1e-6)
    assert slope == pytest.approx(differences, rel=1e-3, abs=1e-3)


def test_it_says_how_sure_a_place_is():
    good, bad = (feasible().sure(np.array([[x, 0.5]])) for x in (0.1, 0.9))

    assert 0.9 < good <= 1.0
    assert bad < 0.1


def test_an_option_that_always_fails_is_known_as_one():
    space = Space({"kind": Choice("a", "b", "c"), "x": Real(0, 1)})
    columns = Columns(space)
    points = [space.sample(seed) for seed in range(24)]
    places = np.array([space.to_unit(point) for point in points])
    model = GaussianProcess(np.log([1.0, 1.0, 1.0, 1e-4]), columns.groups)
    flat = Outlook(
        columns, model.fit(columns.of(places), np.zeros(24)), 0.0, kind="EI", xi=0.0, kappa=0.0
    )
    fine = np.array([point["kind"] != "b" for point in points])

    both = Feasibility(columns).of(flat, places, fine)

    at = {k: both.promise(space.to_unit({"kind": k, "x": 0.5})[None])[0] for k in "abc"}
    assert at["b"] < min(at["a"], at["c"]) - 2.0


def test_the_kernel_depends_on_the_trials_and_not_on_when_it_was_asked_for():
    rng = np.random.default_rng(1)
    places = rng.random((95, 2))
    fine = places.sum(axis=1) < 1.2
    often, seldom = Feasibility(COLUMNS), Feasibility(COLUMNS)
    for count in range(50, 95):
        often.of(outlook(), places[:count], fine[:count])

    one, other = (each.of(outlook(), places, fine) for each in (often, seldom))

    assert np.array_equal(one.promise(PLACES), other.promise(PLACES))


def test_the_first_failure_after_many_successes_is_taken_in():
    fine = np.ones(95, bool)
    fine[-1] = False
    places = np.random.default_rng(1).random((95, 2))

    taken = outlook().promise(places) - feasible(places, fine).promise(places)

    assert np.argmax(taken) == 94
