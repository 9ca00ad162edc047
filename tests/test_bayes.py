"""Bayes: what its adapter makes of scikit-optimize."""

import math
import pickle
import re
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import qmc

from nbtune.exceptions import SpecError
from nbtune.searchers import Bayes, Random, Searcher
from nbtune.searchers.bayes.losses import losses_of
from nbtune.searchers.bayes.models import worth_modelling
from nbtune.searchers.sequences import SEQUENCES, point_of
from nbtune.space import Bool, Choice, Int, Normal, Real, Space
from nbtune.trial import Goal, Params

BRANIN = Space({"x": Real(-5, 10), "y": Real(0, 15)})
HARTMANN = Space({f"x{i}": Real(0, 1) for i in range(6)})
MIXED = Space(
    {
        "lr": Real(1e-5, 1.0, log=True),
        "depth": Int(1, 8),
        "kind": Choice("a", "b", "c"),
        "flag": Bool(),
    }
)


def branin(params: Params) -> float:
    """Dixon and Szego 1978; the least is 0.397887."""
    x, y = params["x"], params["y"]
    bowl = (y - 5.1 * x**2 / (4 * math.pi**2) + 5 * x / math.pi - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def hartmann(params: Params) -> float:
    """Hartmann's function in six dimensions (Dixon and Szego 1978); the least is -3.32237."""
    x = np.array(list(params.values()))
    a = np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    )
    p = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )
    return -float(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-(a * (x - p) ** 2).sum(axis=1)))


def mixed(params: Params) -> float:
    penalty = {"a": 0.3, "b": 0.0, "c": 0.6}[params["kind"]] + 0.2 * params["flag"]
    return (math.log10(params["lr"]) + 3) ** 2 / 4 + 0.1 * (params["depth"] - 5) ** 2 + penalty


def ready(space: Space, *, seed: int = 0, **options) -> Bayes:
    searcher = Bayes(**options)
    searcher.setup(space, seed=seed)
    return searcher


def least(
    searcher: Searcher, space: Space, loss: Callable[[Params], float], count: int, *, seed: int
) -> float:
    """Return the least loss in `count` trials, one after another, the defaults first."""
    searcher.setup(space, seed=seed)
    found = []
    for number in range(count):
        params = searcher.suggest(number, []) if number else space.defaults
        found.append(loss(params))
        searcher.observe(params, -found[-1], step=1, ended=True)
    return min(found)


def told(searcher: Bayes, space: Space, loss: Callable[[Params], float], count: int = 12) -> Bayes:
    """Tell a searcher the losses of `count` random points."""
    for seed in range(count):
        params = space.sample(seed)
        searcher.observe(params, -loss(params), step=1, ended=True)
    return searcher


@pytest.mark.parametrize(
    ("space", "loss", "count", "optimum", "share"),
    [
        (BRANIN, branin, 20, 0.397887, 0.6),
        (HARTMANN, hartmann, 28, -3.32237, 0.7),
        (MIXED, mixed, 20, 0.0, 0.6),
    ],
    ids=["branin", "hartmann", "mixed"],
)
def test_it_clearly_beats_random_search(space, loss, count, optimum, share):
    bayes, random = (
        sum(least(kind(), space, loss, count, seed=seed) - optimum for seed in range(2))
        for kind in (Bayes, Random)
    )

    assert bayes < share * random


@pytest.mark.parametrize("base_estimator", ["GP", "ET", "RF"])
@pytest.mark.parametrize("acquisition", ["EI", "LCB", "PI", "gp_hedge"])
def test_every_model_suggests_by_every_acquisition(base_estimator, acquisition):
    options = {"base_estimator": base_estimator, "acquisition": acquisition}
    searcher = told(ready(MIXED, **options), MIXED, mixed)

    assert searcher.suggest(12, []) is not None
    assert not searcher.take_warnings()


def test_a_regressor_of_ones_own_is_used():
    from sklearn.ensemble import RandomForestRegressor
    from skopt.learning import ExtraTreesRegressor

    own = told(ready(BRANIN, base_estimator=ExtraTreesRegressor(n_estimators=7)), BRANIN, branin)
    without_std = told(ready(BRANIN, base_estimator=RandomForestRegressor(5)), BRANIN, branin)

    assert own.suggest(12, []) is not None
    assert not own.take_warnings()
    assert without_std.suggest(12, []) is not None
    assert [code for code, _ in without_std.take_warnings()] == ["searcher-fallback"]


def test_the_model_is_fitted_on_one_thread():
    from skopt.learning import ExtraTreesRegressor
    from threadpoolctl import threadpool_info

    class Watched(ExtraTreesRegressor):
        def fit(self, *args, **kwargs):
            threads.update(pool["num_threads"] for pool in threadpool_info())
            return super().fit(*args, **kwargs)

    threads = set()
    told(ready(BRANIN, base_estimator=Watched(n_estimators=5)), BRANIN, branin).suggest(12, [])

    assert threads == {1}


def test_suggestions_are_python_values():
    space = MIXED | {"size": Choice(16, 32, 64), "tall": Normal(0, 1), "mix": Choice(1, "b", True)}
    searcher = told(ready(space), space, mixed)

    types = {name: type(value) for name, value in searcher.suggest(12, []).items()}

    assert types.pop("mix") in (int, str, bool)
    assert types == {
        "lr": float,
        "depth": int,
        "kind": str,
        "flag": bool,
        "size": int,
        "tall": float,
    }


def test_where_trials_failed_or_were_nan_is_kept_away_from():
    space = Space({"x": Real(0, 1)})
    searcher = ready(space)
    for number in range(24):
        x = number / 23
        score = None if x > 0.7 else -math.inf if x < 0.3 else -((x - 0.5) ** 2)
        searcher.observe({"x": x}, score, step=1, ended=True)

    assert 0.3 < searcher.suggest(24, [])["x"] < 0.7
    assert not searcher.take_warnings()


@pytest.mark.parametrize(
    ("scores", "losses"),
    [
        ([1.0, 3.0], [1.0, -1.0]),
        ([None, 3.0, 1.0, math.nan, -math.inf], [0.5, -2.0, 0.5, 0.5, 0.5]),
        ([math.inf, 3.0, 1.0, 1.0, 1.0], [0.5, -2.0, 0.5, 0.5, 0.5]),
        ([2.0, 2.0, None], [0.0, 0.0, 0.0]),
        ([1.7e308, -1.7e308], [-1.0, 1.0]),
        ([0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_losses_are_standardised_with_failures_as_the_worst(scores, losses):
    assert losses_of(scores) == pytest.approx(losses, abs=1e-9)


def test_pending_trials_are_kept_away_from():
    searcher = told(ready(BRANIN), BRANIN, branin, 20)
    pending: list[Params] = []

    for number in range(20, 24):
        pending.append(searcher.suggest(number, pending))

    places = np.array([BRANIN.to_unit(params) for params in pending])
    apart = [np.abs(a - b).max() for i, a in enumerate(places) for b in places[:i]]
    assert min(apart) > 1e-3


@pytest.mark.parametrize("base_estimator", ["GP", "ET"])
@pytest.mark.parametrize(
    "space",
    [
        MIXED,
        Space({f"c{i}": Choice("a", "b", "c", "d", "e") for i in range(6)}),
        Space(
            {"model": Choice(Space({"C": Real(1, 9)}), Space({"depth": Int(1, 9)})), "b": Bool()}
        ),
        Space({"n": Int(1, 10**9)}),
    ],
    ids=["mixed", "choices", "branches", "integer"],
)
def test_pending_trials_are_modelled_in_every_kind_of_space(space, base_estimator):
    searcher = ready(space, base_estimator=base_estimator)
    told(searcher, space, lambda params: len(repr(params)))
    pending: list[Params] = []

    for number in range(12, 15):
        pending.append(searcher.suggest(number, pending))

    assert len(set(map(space.key, pending))) == 3
    assert not searcher.take_warnings()


def test_a_small_space_is_searched_through_without_a_repeat_or_a_warning():
    space = Space({"n": Int(0, 7), "kind": Choice("a", "b", "c")})
    searcher = ready(space, n_initial=4)
    tried = []

    while (params := searcher.suggest(len(tried), [])) is not None:
        tried.append(space.key(params))
        searcher.observe(params, -float(params["n"]), step=1, ended=True)

    assert sorted(tried) == sorted(map(space.key, space.grid()))
    assert not searcher.take_warnings()


def test_the_best_of_a_small_space_comes_early():
    space = Space({"n": Int(0, 99), "kind": Choice("a", "b", "c")})

    found = least(Bayes(), space, lambda p: abs(p["n"] - 71) + 9 * (p["kind"] != "c"), 30, seed=1)

    assert found <= 1


def test_an_option_of_weight_zero_is_never_suggested():
    space = Space({"x": Real(0, 1), "kind": Choice("a", "b", weights=[1, 0])})
    searcher = ready(space, n_initial=3)

    for number in range(8):
        params = searcher.suggest(number, [])
        assert params["kind"] == "a"
        searcher.observe(params, params["x"], step=1, ended=True)


def test_a_suggestion_depends_on_the_history_the_seed_and_the_number_alone():
    one = told(ready(MIXED, seed=4), MIXED, mixed)
    other = told(ready(MIXED, seed=4), MIXED, mixed)
    one.suggest(12, [])
    one.suggest(13, [MIXED.defaults])

    assert one.suggest(14, []) == other.suggest(14, [])


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_the_first_points_fill_the_space_evenly(sequence):
    def unevenness(points):
        return qmc.discrepancy(np.array(points), method="CD")

    even = [unevenness([point_of(sequence, n, 4, seed=s) for n in range(16)]) for s in range(20)]
    uneven = [unevenness(np.random.default_rng(s).random((16, 4))) for s in range(20)]

    assert np.median(even) < 0.6 * np.median(uneven)
    assert max(even) < np.median(uneven)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("n_dims", [0, 1, 2, 40])
def test_quasi_random_points_lie_in_the_cube(n_dims, sequence):
    points = np.array([point_of(sequence, n, n_dims, seed=3) for n in range(100)])

    assert points.shape == (100, n_dims)
    assert ((points >= 0) & (points < 1)).all()


def test_before_two_finite_scores_there_is_no_model():
    searcher = ready(BRANIN, n_initial=1)
    searcher.observe(BRANIN.defaults, 1.0, step=1, ended=True)
    searcher.observe(BRANIN.sample(0), None, step=0, ended=True)

    expected = BRANIN.from_unit(point_of("roberts", 2, 2, seed=0))
    assert searcher.suggest(2, []) == expected
    assert not searcher.take_warnings()


def test_when_the_model_fails_it_draws_at_random_and_warns_once():
    class Broken:
        def fit(self, x, y):
            raise FloatingPointError("singular")

        def predict(self, x, return_std=False):
            raise FloatingPointError("singular")

    searcher = told(ready(BRANIN, base_estimator=Broken()), BRANIN, branin)

    suggested = [searcher.suggest(number, []) for number in (12, 13, 14)]

    assert all(BRANIN.validate(params) == params for params in suggested)
    [(code, text)] = searcher.take_warnings()
    assert code == "searcher-fallback"
    assert "FloatingPointError: singular" in text


def test_a_mistake_of_ours_does_not_pass_for_trouble_of_the_model(monkeypatch):
    searcher = told(ready(BRANIN), BRANIN, branin)
    monkeypatch.setattr(searcher, "_model", lambda *arguments: None.missing)

    with pytest.raises(AttributeError, match="missing"):
        searcher.suggest(12, [])


def test_a_trial_that_was_paused_and_went_on_counts_once_with_its_last_score():
    once, twice = told(ready(MIXED), MIXED, mixed, 14), ready(MIXED)
    paused = MIXED.sample(0)
    for seed in range(14):
        params = MIXED.sample(seed)
        score = -9.0 if params == paused else -mixed(params)
        twice.observe(params, score, step=1, ended=True)
    twice.observe(paused, -mixed(paused), step=9, ended=True)

    assert twice.suggest(15, []) == once.suggest(15, [])


def test_of_a_long_history_the_best_and_the_newest_are_modelled():
    losses = np.random.default_rng(0).random(1200)

    kept = worth_modelling(losses)

    assert len(kept) == 200
    assert set(np.argsort(losses)[:75]) <= set(kept)
    assert set(range(1140, 1200)) <= set(kept)


def test_a_long_history_is_survived():
    searcher = told(ready(BRANIN), BRANIN, branin, 200)

    assert searcher.suggest(200, []) is not None
    assert not searcher.take_warnings()


def test_it_pickles_with_a_regressor_of_ones_own():
    from skopt.learning import ExtraTreesRegressor

    estimator = ExtraTreesRegressor(n_estimators=7)
    searcher = told(ready(BRANIN, base_estimator=estimator), BRANIN, branin)

    assert pickle.loads(pickle.dumps(searcher)).suggest(12, []) == searcher.suggest(12, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_initial": 0}, r"Bayes\(n_initial=0\): needs an integer of at least 1"),
        ({"n_initial": True}, r"Bayes\(n_initial=True\): needs an integer"),
        ({"n_initial": 2.5}, r"Bayes\(n_initial=2\.5\): needs an integer"),
        ({"prefetch": -1}, r"Bayes\(prefetch=-1\): needs an integer of at least 0"),
        ({"searcher_data": "rung"}, r"searcher_data='rung'\): .* Did you mean 'rungs'\?"),
        ({"maxt_pending": 1}, r"maxt_pending=1\): needs True or False"),
        ({"acquisition": "ei"}, r"acquisition='ei'\): is not known\. Did you mean 'EI'\?"),
        ({"base_estimator": "GBRT"}, r"base_estimator='GBRT'\): .* Known: GP, ET, RF"),
        ({"base_estimator": 3}, r"base_estimator=3\): needs a scikit-learn regressor"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(options, message):
    with pytest.raises(SpecError, match=message):
        Bayes(**options)


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="acq_func"):
        Bayes(acq_func="EI")


def test_it_shows_the_arguments_that_are_not_the_usual():
    shown = repr(Bayes(searcher_data="all", maxt_pending=True))

    assert "searcher_data='all', maxt_pending=True" in shown
    assert "prefetch=0" in repr(Bayes(prefetch=0))
    assert "maxt_pending" not in repr(Bayes())


# --- reasons


def reason(searcher: Bayes, number: int = 12, pending: tuple[Params, ...] = ()) -> str:
    searcher.suggest(number, list(pending))
    return searcher.why


def test_a_start_says_so():
    assert reason(ready(BRANIN), 0) == "quasi-random start"


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1), ("minimize", -1)])
def test_a_reason_shows_what_is_expected_in_the_metrics_own_values(direction, sign):
    searcher = Bayes()
    searcher.set_goals([Goal(metric="y", direction=direction)])
    searcher.setup(BRANIN, seed=0)
    told(searcher, BRANIN, branin)

    why = reason(searcher)

    pattern = r"log-EI \S+: expects (\S+) ± (\S+) against the best (\S+)"
    expects, spread, best = map(float, re.fullmatch(pattern, why).groups())
    assert best == pytest.approx(-sign * min(branin(BRANIN.sample(s)) for s in range(12)), rel=1e-3)
    assert spread > 0
    assert -400 < sign * expects < 100


@pytest.mark.parametrize(("kind", "name"), [("LCB", "LCB"), ("PI", "log-PI")])
def test_a_reason_names_what_was_maximised(kind, name):
    assert reason(told(ready(BRANIN, acquisition=kind), BRANIN, branin)).startswith(f"{name} ")


def test_a_reason_counts_what_is_pending():
    searcher = told(ready(BRANIN), BRANIN, branin)

    why = reason(searcher, 12, (BRANIN.sample(50), BRANIN.sample(51)))

    assert why.endswith(", 2 pending assumed as predicted")


def test_where_trials_fail_a_reason_says_how_sure_success_is():
    space = Space({"x": Int(0, 11)})
    searcher = ready(space)
    for x in [0, 1, 2, 3, 4, 5, 7, 8, 9, 10]:
        score = None if x > 5 else float(x)
        searcher.observe({"x": x}, score, step=1, ended=True)

    assert re.search(r", success \d+% sure$", reason(searcher))


def test_where_the_model_fails_the_reason_says_so():
    class Broken:
        def fit(self, x, y):
            raise FloatingPointError("singular")

        def predict(self, x, return_std=False):
            raise FloatingPointError("singular")

    searcher = told(ready(BRANIN, base_estimator=Broken()), BRANIN, branin)

    assert reason(searcher) == "random: the model failed"


def test_equal_scores_leave_a_reason_without_a_unit():
    searcher = told(ready(BRANIN), BRANIN, lambda params: 1.0)

    assert "expects" not in reason(searcher)


def test_the_best_next_to_where_trials_fail_is_found():
    space = Space({"x": Real(0, 1), "y": Real(0, 1), "z": Real(0, 1)})

    def loss(params):
        return 1 - params["x"] + (params["y"] - 0.3) ** 2 if params["x"] < 0.7 else math.nan

    searcher, losses = ready(space), []
    for number in range(40):
        params = searcher.suggest(number, [])
        losses.append(loss(params))
        score = None if math.isnan(losses[-1]) else -losses[-1]
        searcher.observe(params, score, step=1, ended=True)

    assert np.nanmin(losses) < 0.31


def test_the_best_branch_and_its_best_params_are_found():
    space = Space(
        {
            "model": Choice(
                Space({"C": Real(1e-3, 1e3, log=True), "gamma": Real(1e-6, 1e1, log=True)}),
                Space({"depth": Int(1, 30)}),
                Space({"rate": Real(1e-5, 1.0, log=True), "width": Int(8, 512, log=True)}),
            )
        }
    )

    def loss(params):
        model = params["model"]
        if "C" in model:
            return 0.3 + 0.02 * math.log10(model["C"]) ** 2
        if "depth" in model:
            return 0.2 + 0.01 * abs(model["depth"] - 9)
        return 0.1 * (math.log10(model["rate"]) + 2.5) ** 2 + 0.02 * (model["width"] / 64 - 1) ** 2

    assert least(Bayes(), space, loss, 30, seed=0) < 0.01


def test_trials_enqueued_twice_with_different_scores_do_no_harm():
    searcher = told(ready(BRANIN), BRANIN, branin)
    for score in (-3.0, -9.0, -4.0):
        searcher.observe(BRANIN.sample(0), score, step=1, ended=True)

    assert searcher.suggest(15, []) != BRANIN.sample(0)
    assert not searcher.take_warnings()


@pytest.mark.parametrize("fails", [{0}, set(range(9)), set(range(3, 12))])
def test_few_and_many_failures_are_survived(fails):
    searcher = ready(MIXED)
    for seed in range(14):
        params = MIXED.sample(seed)
        score = None if seed in fails else -mixed(params)
        searcher.observe(params, score, step=1, ended=True)

    assert searcher.suggest(14, [MIXED.defaults]) is not None
    assert not searcher.take_warnings()
