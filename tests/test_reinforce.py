"""Reinforce: what it learns, and how it keeps its word as a searcher."""

import math
import pickle
import statistics
import subprocess
import sys

import numpy as np
import pytest

from nbtune import Sweep, report
from nbtune.exceptions import SpecError
from nbtune.searchers import Random, Reinforce
from nbtune.searchers.reinforce import ranks
from nbtune.space import Bool, Choice, Int, Real, Space
from nbtune.workers import Inline, Local

MIXED = Space(
    {
        "lr": Real(1e-5, 1.0, log=True),
        "depth": Int(1, 8),
        "kind": Choice("a", "b", "c"),
        "flag": Bool(),
    }
)
BRANCHES = Space(
    {
        "model": Choice(
            Space({"kind": "svm", "C": Real(0.1, 1e2, log=True), "gamma": Real(1e-6, 1, log=True)}),
            Space({"kind": "tree", "depth": Int(1, 9)}),
        ),
        "scale": Bool(),
    }
)
LISTED = Space({"n": Int(1, 12), "kind": Choice(*"abcdef"), "flag": Bool()})


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def ready(space, *, seed=0, searcher=None, **options):
    searcher = searcher or Reinforce(**options)
    searcher.setup(space, seed=seed)
    return searcher


def mixed(params):
    penalty = {"a": 0.3, "b": 0.0, "c": 0.6}[params["kind"]] + 0.2 * params["flag"]
    return -((math.log10(params["lr"]) + 3) ** 2) / 4 - 0.1 * (params["depth"] - 5) ** 2 - penalty


def branches(params):
    model = params["model"]
    if model["kind"] == "tree":
        return -1.0 + 0.05 * model["depth"]
    return -abs(math.log10(model["C"]) - 1) - 0.3 * abs(math.log10(model["gamma"]) + 3)


def listed(params):
    return -abs(params["n"] - 4) - 3 * "dcbafe".index(params["kind"]) + params["flag"]


def climb(searcher, score, count, *, first=0, change=lambda value, number: value):
    """Run trials one after another; return their scores before `change`."""
    scores = []
    for number in range(first, first + count):
        params = searcher.suggest(number, [])
        scores.append(score(params))
        searcher.observe(params, change(scores[-1], number), step=1, ended=True)
    return scores


@pytest.mark.parametrize(
    ("space", "score"), [(MIXED, mixed), (BRANCHES, branches)], ids=["mixed", "branches"]
)
def test_it_learns_where_scores_are_high(space, score):  # FEATURES A7
    ours = climb(ready(space, seed=1), score, 200)
    theirs = climb(ready(space, seed=1, searcher=Random()), score, 200)

    best_tenth = np.quantile(theirs, 0.9)
    assert statistics.median(ours[-40:]) > best_tenth


def test_plain_reinforce_learns_too():  # FEATURES A7
    scores = climb(ready(MIXED, elite=0, entropy=0.05, learning_rate=0.01), mixed, 300)

    assert statistics.median(scores[-50:]) > np.quantile(scores[:100], 0.75)


def test_only_the_order_of_scores_matters():
    plain, bent = ready(MIXED), ready(MIXED)

    ours = climb(plain, mixed, 30)
    same = climb(bent, mixed, 30, change=lambda value, _: 1e300 * math.exp(value))

    assert ours == same


def test_failed_trials_teach_it_to_keep_away():  # FEATURES A7
    def score(params):
        return None if params["kind"] == "a" else -math.inf if params["kind"] == "b" else 1.0

    searcher, kinds = ready(MIXED), []
    for number in range(120):
        params = searcher.suggest(number, [])
        kinds.append(params["kind"])
        searcher.observe(params, score(params), step=1, ended=True)

    assert kinds[-40:].count("c") > 35


def test_a_batch_is_learnt_when_it_is_whole():
    searcher, baselines = ready(MIXED, batch=4, baseline_decay=0.0), []
    for number in range(4):
        searcher.suggest(number, [])
        baselines.append(searcher.why.split()[-1])
        searcher.observe(MIXED.sample(number), float(number), step=1, ended=True)
    searcher.suggest(4, [])

    assert set(baselines) == {"0.50"}
    assert searcher.why.endswith("baseline 1.00")


def test_the_baseline_is_the_moving_average_of_the_ranks():  # FEATURES A7
    searcher = ready(MIXED, baseline_decay=0.5)
    for number, score in enumerate([5.0, 7.0, 6.0]):
        searcher.observe(MIXED.sample(number), score, step=1, ended=True)

    searcher.suggest(3, [])

    # The ranks, each among the scores until then, are 0.5, 1 and 0.5; from 0.5 on.
    assert searcher.why.endswith("baseline 0.62")


def test_the_reason_of_a_suggestion_is_its_probability_and_the_baseline():
    searcher = ready(Space({"x": Choice("a", "b", weights=[1, 9])}))

    found = {searcher.suggest(number, [])["x"]: searcher.why for number in range(40)}

    shares = {x: float(why.split(",")[1].split()[1]) for x, why in found.items()}
    assert shares["a"] + shares["b"] == pytest.approx(1.0, abs=0.02)
    assert found["b"].startswith("controller, probability 0.9")
    assert found["b"].endswith(", baseline 0.50")


def test_what_is_left_of_a_small_space_is_tried_as_the_controller_would():
    searcher = ready(LISTED, seed=2)
    first = climb(searcher, listed, LISTED.size)

    assert statistics.mean(first[:72]) > statistics.mean(first[72:]) + 2
    assert searcher.suggest(LISTED.size, []) is None


def test_where_all_it_draws_was_tried_a_large_space_is_drawn_from_at_random():
    heavy = Choice(*range(50), weights=[1e15, *([1] * 49)])
    searcher = ready(Space({"a": heavy, "b": heavy}))
    searcher.observe({"a": 0, "b": 0}, 1.0, step=1, ended=True)

    params = searcher.suggest(1, [])

    assert params != {"a": 0, "b": 0}
    assert searcher.why == "drawn at random: all that the controller drew was tried"


def test_options_of_weight_0_are_never_drawn():
    space = Space({"x": Choice("a", "b", "c", weights=[1, 0, 1]), "n": Int(1, 3)})
    searcher = ready(space)
    searcher.observe({"x": "b", "n": 1}, 9.0, step=1, ended=True)  # enqueued by hand

    tried = []
    while params := searcher.suggest(len(tried), []):
        tried.append(params["x"])
        searcher.observe(params, 0.5, step=1, ended=True)

    assert sorted(tried) == ["a", "a", "a", "c", "c", "c"]


def test_a_trial_that_went_on_counts_by_its_last_score():
    told_twice, told_once = ready(MIXED), ready(MIXED)
    points = [MIXED.sample(seed) for seed in range(12)]
    for number, params in enumerate(points):
        told_twice.observe(params, float(number), step=1, ended=True)
        told_once.observe(params, float(number) if number != 3 else 99.0, step=1, ended=True)
    told_twice.suggest(12, [])
    told_twice.observe(points[3], 99.0, step=9, ended=True)

    assert told_twice.suggest(12, []) == told_once.suggest(12, [])


def test_what_it_suggests_does_not_depend_on_when_it_was_asked():
    asked, silent = ready(BRANCHES, batch=3), ready(BRANCHES, batch=3)
    for number in range(20):
        params = BRANCHES.sample(number)
        for searcher in asked, silent:
            searcher.observe(params, branches(params), step=1, ended=True)
        asked.suggest(number, [params])

    assert asked.suggest(20, []) == silent.suggest(20, [])


def test_it_goes_on_the_same_after_a_pickle_in_another_process():
    searcher = ready(MIXED)
    climb(searcher, mixed, 15)
    code = (
        "import pickle, sys; searcher = pickle.load(sys.stdin.buffer); "
        "sys.stdout.buffer.write(pickle.dumps(searcher.suggest(15, [])))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(searcher),
        stdout=subprocess.PIPE,
        check=True,
    )

    assert pickle.loads(done.stdout) == searcher.suggest(15, [])


def train(lr: Real(1e-5, 1.0, log=True) = 1e-3, kind: Choice("a", "b") = "a"):
    report(epoch=1, accuracy=-abs(math.log10(lr) + 2) - (kind == "a"))


def test_a_sweep_takes_it_by_name_and_a_resumed_one_goes_on_as_it_would_have():  # FEATURES A7
    options = {"maximize": "accuracy", "searcher": "reinforce", "seed": 4}
    whole = Sweep(train, trials=8, workers=Local(1), name="whole", **options).run()
    halved = Sweep(train, trials=5, workers=Local(1), name="halved", **options).run()

    halved.resume(trials=8).wait()

    assert [t.params for t in halved.top(8)] == [t.params for t in whole.top(8)]


def test_several_objectives_are_joined_for_it():
    def traded(x: Real(0.0, 1.0) = 0.5):
        report(epoch=1, a=x, b=1 - x)

    sweep = Sweep(
        traded, maximize=["a", "b"], searcher="reinforce", trials=4, seed=0, workers=Inline(1)
    ).run()

    assert len(sweep.best) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0}, r"learning_rate=0\): needs a number above 0 and below 1$"),
        ({"learning_rate": "fast"}, "learning_rate='fast'"),
        ({"learning_rate": math.inf}, "learning_rate=inf"),
        ({"baseline_decay": 1.0}, "baseline_decay=1.0.*of at least 0 and below 1"),
        ({"entropy": -0.1}, "entropy=-0.1.*of at least 0"),
        ({"entropy": math.nan}, "entropy=nan"),
        ({"entropy": 1e9}, "entropy=1000000000.0.*below 1000"),
        ({"batch": 0}, "batch=0.*an integer of at least 1"),
        ({"batch": True}, "batch=True"),
        ({"elite": -1}, "elite=-1.*an integer of at least 0"),
        ({"quantiles": 1}, "quantiles=1.*an integer of at least 2"),
        ({"width": 2.5}, "width=2.5.*an integer of at least 1"),
    ],
)
def test_an_argument_that_is_none_is_refused_by_name(options, message):
    with pytest.raises(SpecError, match=rf"Reinforce\({message}") as caught:
        Reinforce(**options)

    assert caught.value.path == f"searcher.{next(iter(options))}"


def test_without_pytorch_the_error_names_the_extra(monkeypatch):
    made = Reinforce()
    monkeypatch.setitem(sys.modules, "torch", None)

    for option in "reinforce", Reinforce, made:
        with pytest.raises(SpecError, match=r"pip install 'nbtune\[rl\]'"):
            Sweep(train, maximize="accuracy", trials=1, workers=Inline(1), searcher=option).run()


def test_who_makes_one_does_not_load_pytorch_yet():
    code = (
        "import sys; from nbtune import Space; from nbtune.searchers import build\n"
        "build('reinforce').setup(Space({}), seed=0); assert 'torch' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([3.0], [0.5]),
        ([-math.inf], [0.0]),
        ([1.0, 3.0, 2.0], [0.0, 1.0, 0.5]),
        ([2.0, 2.0, 5.0], [0.25, 0.25, 1.0]),
        ([-math.inf, 0.0, -math.inf, 1.0, 1.0], [0.0, 0.5, 0.0, 0.875, 0.875]),
        ([-1.7e308, 1.7e308], [0.0, 1.0]),
    ],
)
def test_ranks_go_from_0_for_the_worst_to_1_for_the_best(scores, expected):
    assert ranks(scores).tolist() == expected
