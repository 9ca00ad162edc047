"""Polyaxon's utilityFunction as options of Bayes."""

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, Matern

from nbtune.exceptions import SpecError
from nbtune.searchers import Bayes
from nbtune.searchers.bayes.acquisition import promise
from nbtune.searchers.bayes.utility import options_of_utility
from nbtune.space import Real, Space

SPACE = Space({"x": Real(0.0, 1.0), "y": Real(0.0, 1.0)})


@pytest.mark.parametrize(
    ("utility", "options"),
    [
        ({}, {"acquisition": "LCB", "kappa": 2.576, "xi": 0.0}),
        (
            {"acquisitionFunction": "ucb", "kappa": 1.2, "numWarmup": 5, "numIterations": 10},
            {"acquisition": "LCB", "kappa": 1.2, "xi": 0.0},
        ),
        (
            {"acquisition_function": "ei", "eps": 0.1, "num_warmup": 20},
            {"acquisition": "EI", "kappa": 2.576, "xi": 0.1},
        ),
        (
            {"acquisitionFunction": "poi", "eps": 0, "gaussianProcess": None},
            {"acquisition": "PI", "kappa": 2.576, "xi": 0.0},
        ),
    ],
)
def test_either_spelling_gives_the_options_of_bayes(utility, options):  # FEATURES P1
    assert options_of_utility(utility) == options
    assert Bayes.from_utility(utility, 7).n_initial == 7


def test_the_upper_bound_of_a_score_is_the_lower_one_of_the_loss():  # FEATURES P1
    mean, std = np.array([0.5, -1.0]), np.array([0.1, 2.0])

    promised = promise("LCB", -mean, std, 0.0, xi=0.0, kappa=1.5)

    assert promised.tolist() == (mean + 1.5 * std).tolist()


@pytest.mark.parametrize(
    ("process", "kernel", "restarts"),
    [
        ({}, Matern(1.0, nu=1.5), 0),
        ({"kernel": "matern", "lengthScale": 2, "nu": 0.5}, Matern(2.0, nu=0.5), 0),
        ({"kernel": "rbf", "length_scale": 0.5, "nu": 1.9}, RBF(0.5), 0),
        ({"num_restarts_optimizer": 3}, Matern(1.0, nu=1.5), 3),
    ],
)
def test_a_gaussian_process_that_is_asked_for_is_used(process, kernel, restarts):  # FEATURES P1
    model = options_of_utility({"gaussianProcess": process})["base_estimator"]

    assert model.kernel == kernel
    assert model.n_restarts_optimizer == restarts


@pytest.mark.parametrize("kind", ["ucb", "ei", "poi"])
def test_it_finds_where_scores_are_high(kind):  # FEATURES P1
    searcher = Bayes.from_utility(
        {"acquisitionFunction": kind, "gaussianProcess": {"kernel": "rbf"}}, 5
    )
    searcher.setup(SPACE, seed=0)
    scores = []
    for number in range(20):
        params = searcher.suggest(number, [])
        scores.append(-((params["x"] - 0.3) ** 2) - (params["y"] - 0.7) ** 2)
        searcher.observe(params, scores[-1], step=1, ended=True)

    assert max(scores) > -0.003 > max(scores[:5])


@pytest.mark.parametrize(
    ("utility", "path", "message"),
    [
        ("ucb", "", "got 'ucb', allowed are acquisitionFunction, kappa"),
        ({"kapa": 1}, "", "unknown key 'kapa'. Did you mean 'kappa'"),
        ({"numWarmup": 1, "num_warmup": 1}, "", "'numWarmup' is there in both cases"),
        ({"acquisitionFunction": "eii"}, ".acquisitionFunction", "'eii': Did you mean 'ei'"),
        ({"acquisitionFunction": ["ei"]}, ".acquisitionFunction", r"\['ei'\]"),
        ({"kappa": "much"}, ".kappa", "'much': needs a number of at least 0"),
        ({"eps": -0.1}, ".eps", "-0.1: needs a number of at least 0"),
        ({"kappa": float("nan")}, ".kappa", "nan"),
        ({"numIterations": 0}, ".numIterations", "0: needs an integer of at least 1"),
        ({"numWarmup": True}, ".numWarmup", "True"),
        ({"gaussianProcess": "rbf"}, ".gaussianProcess", "got 'rbf', allowed are kernel"),
        ({"gaussianProcess": {"kernel": "rbff"}}, ".gaussianProcess.kernel", "Did you mean 'rbf'"),
        ({"gaussianProcess": {"nu": 0}}, ".gaussianProcess.nu", "0: needs a number above 0"),
        (
            {"gaussianProcess": {"numRestartsOptimizer": -1}},
            ".gaussianProcess.numRestartsOptimizer",
            "-1: needs an integer of at least 0",
        ),
    ],
)
def test_what_is_not_allowed_is_refused_by_its_key(utility, path, message):
    with pytest.raises(SpecError, match=rf"^utilityFunction{path}: .*{message}") as caught:
        options_of_utility(utility)

    assert caught.value.path == f"utilityFunction{path}"
