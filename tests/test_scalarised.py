"""Searchers of one score, asked about several objectives."""

import math
import pickle

import numpy as np
import pytest

from nbtune.exceptions import SpaceError
from nbtune.searchers import Bayes, Grid, Points, Random, Searcher, searcher_for
from nbtune.searchers.scalarised import Scalarised, augmented_tchebycheff, draw_weights
from nbtune.space import Choice, Int, Real, Space
from nbtune.trial import Goal

GOALS = (
    Goal(metric="accuracy", direction="maximize"),
    Goal(metric="latency", direction="minimize"),
)
SPACE = Space({"x": Real(0.0, 1.0), "y": Real(0.0, 1.0)})


class Copycat(Searcher):
    """Suggests the best point it was told again, and shows what it was told."""

    told: list = []

    def setup(self, space, *, seed):
        super().setup(space, seed=seed)
        self.heard = []

    def observe(self, params, score, *, step, ended):
        self.heard.append((params, score, step, ended))

    def suggest(self, number, pending):
        Copycat.told = self.heard
        known = [(score, params["x"]) for params, score, _, _ in self.heard if score is not None]
        return {"x": max(known)[1], "y": 0.0} if known else space_sample(number)


def space_sample(number):
    return SPACE.sample(number)


def ready(searcher, *, seed=0, space=SPACE):
    joined = searcher_for(GOALS, searcher)
    joined.setup(space, seed=seed)
    return joined


def tell(searcher, *results):
    for x, scores in results:
        searcher.learn({"x": x, "y": 0.0}, scores, step=1, ended=True)


# --- which searchers


@pytest.mark.parametrize("searcher", [Random(), Grid(), Points([{}])])
def test_who_learns_nothing_from_scores_is_asked_directly(searcher):  # FEATURES C7
    assert searcher_for(GOALS, searcher) is searcher


def test_with_one_objective_every_searcher_is_asked_directly():
    searcher = Bayes()

    assert searcher_for(GOALS[:1], searcher) is searcher


def test_who_understands_several_objectives_is_asked_directly():
    class Native(Copycat):
        def learn(self, params, scores, *, step, ended): ...

    searcher = Native()

    assert searcher_for(GOALS, searcher) is searcher


def test_who_learns_from_one_score_is_given_joined_ones():
    assert isinstance(searcher_for(GOALS, Bayes()), Scalarised)


# --- the function


def test_the_augmented_tchebycheff_function_by_hand():
    # Losses 0 | 1, 0.5 | 0.5, 1 | 0; weighted 0 | 0.75, 0.125 | 0.375, 0.25 | 0.
    scores = [(4.0, 10.0), (3.0, 20.0), (2.0, 30.0)]

    joined = augmented_tchebycheff(scores, (0.25, 0.75))

    assert joined == pytest.approx([-(0.75 + 0.05 * 0.75), -(0.375 + 0.05 * 0.5), -(0.25 * 1.05)])


def test_an_objective_in_which_all_are_equal_says_nothing():
    assert augmented_tchebycheff([(1.0, 5.0), (2.0, 5.0)], (0.5, 0.5)) == pytest.approx([-0.525, 0])


def test_the_worst_of_all_stays_the_worst_and_sets_no_scale():
    joined = augmented_tchebycheff([(-math.inf, -math.inf), (1.0, 0.0), (0.0, 1.0)], (1.0, 0.0))

    assert joined == pytest.approx([-math.inf, 0.0, -1.05])


def test_scores_near_the_largest_float_are_joined():
    joined = augmented_tchebycheff([(1.5e308, 0.0), (-1.5e308, 1.0)], (1.0, 0.0))

    assert joined == pytest.approx([0.0, -1.05])


def test_weights_are_of_the_seed_and_the_trial_and_uniform_on_the_simplex():
    drawn = np.array([draw_weights(2, seed=3, number=number) for number in range(2000)])

    assert (drawn[7] == draw_weights(2, seed=3, number=7)).all()
    assert drawn.sum(axis=1) == pytest.approx(1.0)
    assert np.quantile(drawn[:, 0], [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.05)


# --- the searcher


def test_different_trials_look_at_different_parts_of_the_front():
    searcher = ready(Copycat())
    tell(searcher, (0.1, (1.0, 0.0)), (0.5, (0.7, 0.7)), (0.9, (0.0, 1.0)))

    assert {searcher.suggest(number, ())["x"] for number in range(30)} == {0.1, 0.5, 0.9}


def test_who_is_dominated_is_never_the_best():
    searcher = ready(Copycat())
    tell(searcher, (0.1, (1.0, 0.0)), (0.2, (0.9, 0.0)), (0.9, (0.0, 1.0)), (0.8, (0.0, 0.9)))

    assert {searcher.suggest(number, ())["x"] for number in range(30)} == {0.1, 0.9}


def test_a_suggestion_depends_on_seed_number_and_history_alone():
    one, two = ready(Bayes(3), seed=5), ready(Bayes(3), seed=5)
    results = [(x / 10, (x / 10, -((x / 10) ** 2))) for x in range(6)]
    tell(one, *results)
    tell(two, *results)
    one.suggest(6, ())

    assert one.suggest(7, ()) == two.suggest(7, ())
    assert pickle.loads(pickle.dumps(one)).suggest(8, ()) == two.suggest(8, ())


def test_failures_and_results_on_the_way_are_passed_on():
    searcher = ready(Copycat())
    searcher.learn({"x": 0.1, "y": 0.0}, (1.0, 1.0), step=1, ended=False)
    searcher.learn({"x": 0.1, "y": 0.0}, None, step=2, ended=False)  # not all values yet
    searcher.learn({"x": 0.2, "y": 0.0}, None, step=3, ended=True)
    searcher.learn({"x": 0.3, "y": 0.0}, (-math.inf, -math.inf), step=4, ended=True)

    searcher.suggest(0, ())

    assert [(score, step, ended) for _, score, step, ended in Copycat.told] == [
        (0.0, 1, False),
        (None, 3, True),
        (-math.inf, 4, True),
    ]


def test_the_searcher_given_is_never_changed():
    searcher = Bayes(2)
    joined = ready(searcher)
    tell(joined, (0.1, (1.0, 0.0)), (0.5, (0.7, 0.7)))
    joined.suggest(2, ())

    assert not hasattr(searcher, "space")


def test_a_finite_space_ends_as_without_several_objectives():
    space = Space({"n": Int(1, 2), "kind": Choice("a", "b")})
    searcher = ready(Bayes(2), space=space)
    tried = []
    while (params := searcher.suggest(len(tried), ())) is not None:
        tried.append(params)
        searcher.learn(params, (float(params["n"]), -float(params["n"])), step=1, ended=True)

    assert (searcher.finite, searcher.size()) == (True, 4)
    assert len({space.key(params) for params in tried}) == 4


def test_what_the_searcher_refuses_is_refused():
    class Picky(Copycat):
        def setup(self, space, *, seed):
            raise SpaceError("x: not for me")

    with pytest.raises(SpaceError, match="not for me"):
        ready(Picky())


def test_how_far_trials_are_is_passed_on_with_joined_scores():
    class Following(Copycat):
        follows = "reports"
        ahead: list = []

        def follow(self, params, scores, *, step, until):
            Following.ahead.append((params["x"], scores, step, until, self.longest))

    searcher = ready(Following())
    searcher.longest = 9
    searcher.follow({"x": 0.1, "y": 0.0}, None, step=0, until=3)
    searcher.follow({"x": 0.1, "y": 0.0}, (1.0, 1.0), step=1, until=3)
    tell(searcher, (0.2, (0.0, 0.0)))

    searcher.suggest(0, ())

    assert searcher.follows == "reports"
    assert Following.ahead == [(0.1, None, 0, 3, 9), (0.1, (0.0,), 1, 3, 9)]
