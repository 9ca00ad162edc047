"""Chain against walks computed by hand."""

import itertools
import math

import pytest

import nbtune
from nbtune.exceptions import SpaceError, SpecError
from nbtune.searchers import Bayes, Chain, searcher_for
from nbtune.space import Bool, Choice, Int, Range, Real, Space
from nbtune.trial import Goal
from nbtune.workers import Inline

SPACE = Space(
    {
        "lr": Choice(0.1, 0.2, 0.3).with_default(0.2),
        "fixed": 7,
        "depth": Range(1, 3),
        "alone": Choice("only"),
        "flag": Bool(),
    }
)


def ready(space=SPACE, **options):
    searcher = Chain(**options)
    searcher.setup(space, seed=0)
    return searcher


def walk(searcher, score):
    """Run one trial after another; return the searched values of each."""
    tried = []
    while (params := searcher.suggest(len(tried), [])) is not None:
        searcher.observe(params, score(params), step=1, ended=True)
        tried.append(params)
    return [tuple(v for k, v in params.items() if k not in ("fixed", "alone")) for params in tried]


# FEATURES I2
def test_each_param_is_walked_with_the_best_of_those_before_and_the_defaults_of_those_after():
    tried = walk(ready(), lambda p: p["lr"] + (p["depth"] == 1) + p["flag"])

    assert tried == [
        (0.1, 2, False),
        (0.2, 2, False),
        (0.3, 2, False),
        (0.3, 1, False),  # (0.3, 2, False) is known
        (0.3, 3, False),
        (0.3, 1, True),
    ]


# FEATURES I2
def test_without_use_best_the_others_are_at_their_defaults():
    tried = walk(ready(use_best=False), lambda p: p["lr"] + p["depth"])

    assert tried == [
        (0.1, 2, False),
        (0.2, 2, False),
        (0.3, 2, False),
        (0.2, 1, False),
        (0.2, 3, False),
        (0.2, 2, True),
    ]


# FEATURES I2
@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([1.0, 1.0, 1.0], 0.1),
        ([1.0, 2.0, 2.0], 0.2),
        ([3.0, 2.0, 1.0], 0.1),
        ([-math.inf, 1.0, -math.inf], 0.2),
        ([math.nan, 1.0, math.nan], 0.2),
        ([None, 1.0, None], 0.2),
        ([2.0, None, 2.5], 0.3),
    ],
)
def test_only_a_strictly_better_score_replaces_the_best(scores, best):
    space = Space({"lr": SPACE["lr"], "depth": SPACE["depth"]})
    found = dict(zip((0.1, 0.2, 0.3), scores, strict=True))
    searcher = ready(space)

    tried = walk(searcher, lambda p: found[p["lr"]])

    assert {lr for lr, _ in tried[3:]} == {best}


# FEATURES I2
@pytest.mark.parametrize("score", [None, -math.inf, math.nan])
def test_without_any_score_a_param_stays_at_its_default(score):
    tried = walk(ready(), lambda _: score)

    assert {lr for lr, *_ in tried[3:]} == {0.2}


# FEATURES I2
@pytest.mark.parametrize(
    ("direction", "best"), [({"minimize": "loss"}, 1), ({"maximize": "loss"}, 3)]
)
def test_better_follows_the_direction_of_the_sweep(direction, best, tmp_path):
    def train(a: Range(1, 3) = 2, b: Bool() = False):
        return {"loss": a}

    sweep = nbtune.Sweep(train, **direction, searcher="chain", workers=Inline(1), store=tmp_path)
    sweep.run()

    assert [(t.params["a"], t.params["b"]) for t in map(sweep.trial, range(4))] == [
        (1, False),
        (2, False),
        (3, False),
        (best, True),
    ]
    assert len(sweep.trials) == 4


# FEATURES I2
def test_a_sweep_on_several_slots_and_its_resumption_carry_the_same_best_on(tmp_path):
    def train(a: Range(1, 5) = 3, b: Range("0.0-1.0:5") = 0.5):
        return {"score": -abs(a - 4) - abs(b - 0.25)}

    sweep = nbtune.Sweep(
        train, maximize="score", trials=7, searcher="chain", workers=Inline(3), store=tmp_path
    )
    sweep.run()

    sweep.resume(trials=100).wait()

    tried = [(t.params["a"], t.params["b"]) for t in map(sweep.trial, range(len(sweep.trials)))]
    assert tried == [(a, 0.5) for a in range(1, 6)] + [(4, b) for b in (0.0, 0.25, 0.75, 1.0)]
    assert sweep.best_params == {"a": 4, "b": 0.25}


def test_the_next_param_waits_until_all_of_the_present_one_have_ended():
    searcher = ready()
    running = [searcher.suggest(0, [])]
    running.append(searcher.suggest(1, running))
    running.append(searcher.suggest(2, running))

    assert searcher.suggest(3, running) is None
    searcher.observe(running[0], 5.0, step=1, ended=True)
    searcher.observe(running[1], 1.0, step=1, ended=True)
    searcher.observe(running[2], 9.0, step=1, ended=False)
    assert searcher.suggest(3, running[2:]) is None
    searcher.observe(running[2], 2.0, step=2, ended=True)
    assert searcher.suggest(3, [])["lr"] == 0.1


def test_without_use_best_all_may_run_at_once():
    searcher = ready(use_best=False)
    running: list[dict] = []
    while (params := searcher.suggest(len(running), running)) is not None:
        running.append(params)

    assert len(running) == searcher.size() == 6
    assert searcher.prefetch > 1
    assert not searcher.learns


def test_a_vast_list_starts_at_once():
    searcher = ready(Space({"n": Int(1, 10**12), "flag": Bool()}))
    searcher.observe({"n": 1, "flag": False}, 0.5, step=1, ended=True)

    assert searcher.suggest(1, []) == {"n": 2, "flag": False}


def test_the_order_in_which_trials_end_changes_nothing():
    first = [{**SPACE.defaults, "lr": lr} for lr in (0.1, 0.2, 0.3)]
    following = []
    for order in itertools.permutations(first):
        searcher = ready()
        for params in order:
            searcher.observe(params, 1.0 if params["lr"] < 0.3 else 0.5, step=1, ended=True)
        following.append(searcher.suggest(3, []))

    assert following == [{**SPACE.defaults, "lr": 0.1, "depth": 1}] * 6


def test_of_a_point_that_was_run_twice_the_better_score_counts():
    searcher = ready(Space({"a": Range(1, 2), "b": Bool()}))
    for a, score in [(1, 3.0), (1, 1.0), (1, None), (2, 2.0)]:
        searcher.observe({"a": a, "b": False}, score, step=1, ended=True)

    assert searcher.suggest(4, []) == {"a": 1, "b": True}


def test_params_of_a_nested_space_are_walked_one_by_one():
    space = Space({"model": Space({"a": Range(1, 2), "b": Range(1, 2)}), "c": Bool()})

    tried = walk(ready(space), lambda p: p["model"]["a"] - p["model"]["b"])

    assert [(m["a"], m["b"], c) for m, c in tried] == [
        (1, 2, False),
        (2, 2, False),
        (2, 1, False),
        (2, 1, True),
    ]


def test_a_choice_of_branches_is_one_param():
    branches = Choice(Space({"kind": "svm", "C": Range(1, 2)}), "none")
    space = Space({"model": branches, "scale": Bool()})

    tried = walk(ready(space), lambda p: p["model"] == "none")

    assert [(model, scale) for model, scale in tried] == [
        ({"kind": "svm", "C": 1}, False),
        ({"kind": "svm", "C": 2}, False),
        ("none", False),
        ("none", True),
    ]


def test_with_several_objectives_better_is_to_dominate():
    searcher = ready(Space({"a": Range(1, 3), "b": Bool()}))
    for a, scores in [(1, (1.0, 1.0)), (2, (9.0, 0.0)), (3, (1.0, 2.0))]:
        searcher.learn({"a": a, "b": False}, scores, step=1, ended=True)

    assert searcher.suggest(3, []) == {"a": 3, "b": True}


def test_several_objectives_reach_it_as_they_are():
    goals = (
        Goal(metric="accuracy", direction="maximize"),
        Goal(metric="latency", direction="minimize"),
    )
    chain, bayes = Chain(), Bayes()

    assert searcher_for(goals, chain) is chain
    assert searcher_for(goals, bayes) is not bayes


def test_a_continuous_domain_is_refused_by_name_with_what_to_write():
    space = Space({"n": Int(1, 2), "lr": Real(0, 1)})

    with pytest.raises(
        SpaceError, match=r"lr: Real\(0\.0, 1\.0\) has inf.*step=.*or Range\(\.\.\.\)"
    ):
        Chain().setup(space, seed=0)


@pytest.mark.parametrize("use_best", [1, None, "yes"])
def test_use_best_is_true_or_false(use_best):
    with pytest.raises(SpecError, match=r"Chain\(use_best=.*\): needs True or False"):
        Chain(use_best=use_best)
