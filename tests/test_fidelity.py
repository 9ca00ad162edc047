"""The model of params and steps: scores on one scale, few rows, and what short runs are worth."""

import math

import numpy as np
import pytest

from nbtune import Sweep, report
from nbtune.schedulers import Hyperband
from nbtune.searchers import Bayes
from nbtune.searchers.bayes.courses import Row
from nbtune.searchers.bayes.fidelity import levelled, shortness, tabulated, thinned
from nbtune.space import Real, Space
from nbtune.workers import Simulated

PLANE = Space({"x": Real(0, 1), "y": Real(0, 1)})


def test_shortness_goes_by_the_logarithm_of_the_step():
    steps = np.array([1, 3, 9, 27, 81])

    assert shortness(steps, 27) == pytest.approx([1.0, 2 / 3, 1 / 3, 0.0, 0.0])
    assert shortness(np.array([1, 1]), 1) == pytest.approx([1.0, 1.0])


def test_scores_of_short_runs_are_moved_to_where_longer_ones_would_be():
    losses = np.array([5.0, 6.0, 7.0, 1.0, 2.0])
    steps, trials = np.array([1, 1, 1, 3, 3]), np.array([0, 1, 2, 0, 1])

    assert levelled(losses, steps, trials) == pytest.approx([1.0, 2.0, 3.0, 1.0, 2.0])


def test_they_are_moved_by_the_trials_that_went_on_not_by_those_that_were_stopped():
    good = np.random.default_rng(0).normal(0.0, 1.0, 40)
    went_on = good < -0.3
    losses = np.append(good + 3.0, good[went_on])
    steps = np.append(np.ones(40, int), np.full(went_on.sum(), 9))
    trials = np.append(np.arange(40), np.flatnonzero(went_on))

    assert levelled(losses, steps, trials)[:40] == pytest.approx(good)


def test_they_are_moved_from_step_to_step_up_to_the_largest():
    losses = np.array([9.0, 4.0, 4.5, 1.0])
    steps, trials = np.array([1, 3, 3, 9]), np.array([0, 0, 1, 1])

    assert levelled(losses, steps, trials) == pytest.approx([0.5, 0.5, 1.0, 1.0])


def test_a_step_that_no_trial_went_beyond_stays():
    losses = np.array([2.0, 3.0, 1.0])

    assert (levelled(losses, np.array([2, 2, 9]), np.array([0, 1, 2])) == losses).all()


def test_of_many_results_each_trials_last_are_kept_before_others():
    steps, trials = np.tile([1, 3, 9], 50), np.repeat(np.arange(50), 3)
    losses = np.random.default_rng(1).random(150)

    kept = thinned(losses, steps, trials, 60)

    assert len(kept) == 60
    assert (np.diff(kept) > 0).all()
    assert set(np.flatnonzero(steps == 9)) <= set(kept)
    assert set(steps[kept]) == {3, 9}
    assert set(trials[kept][steps[kept] == 3]) == set(range(40, 50))


def test_of_too_many_trials_the_best_and_the_newest_are_kept():
    losses = np.random.default_rng(2).random(300)

    kept = thinned(losses, np.ones(300, int), np.arange(300), 100)

    assert len(kept) == 100
    assert set(np.argsort(losses)[:50]) <= set(kept)
    assert set(range(280, 300)) <= set(kept)


def test_failures_count_as_the_worst_and_scores_are_those_of_longer_runs():
    rows = [Row("a", 1, 0.5), Row("a", 3, 0.8), Row("b", 1, 0.4), Row("c", 3, None)]
    places = {key: np.array([index / 3, 0.5]) for index, key in enumerate("abc")}

    table = tabulated(rows, places, 9, most=200)

    assert table.short == pytest.approx([1.0, 0.5, 1.0, 0.5])
    assert table.scores == pytest.approx([0.8, 0.8, 0.7, 0.7])
    assert table.losses[3] == table.losses.max()
    assert (table.places[:, 0] == [0.0, 0.0, 1 / 3, 2 / 3]).all()


def test_where_nobody_knows_how_long_a_run_may_be_the_longest_is_a_full_one():
    rows = [Row("a", 1, 0.5), Row("a", 9, 0.8)]

    assert tabulated(rows, {"a": np.zeros(2)}, None, most=9).short.tolist() == [1.0, 0.0]


def told_short_runs(searcher: Bayes, *, informative: bool) -> Bayes:
    """Tell 25 trials that all stopped at step 1 of 9, and 3 full ones far from the best."""
    searcher.setup(PLANE, seed=0)
    searcher.longest = 9
    rng = np.random.default_rng(5)

    def height(params):
        return -((params["x"] - 0.8) ** 2) - (params["y"] - 0.3) ** 2

    for number in range(28):
        params = PLANE.sample(number)
        if number >= 25:
            params = {"x": 0.1 * (number - 24), "y": 0.9}
        score = height(params) if informative else rng.normal()
        searcher.follow(params, None, step=0, until=1)
        if number < 25:
            searcher.observe(params, score - 2.0, step=1, ended=True)
            continue
        searcher.observe(params, score - 2.0, step=1, ended=False)
        searcher.follow(params, None, step=1, until=9)
        searcher.observe(params, height(params), step=9, ended=True)
    return searcher


def test_clearly_informative_short_runs_lead_to_where_they_are_best():
    params = told_short_runs(Bayes(), informative=True).suggest(28, [])

    assert math.hypot(params["x"] - 0.8, params["y"] - 0.3) < 0.1


def test_noise_in_short_runs_is_survived():
    searcher = told_short_runs(Bayes(), informative=False)
    params = searcher.suggest(28, [])

    assert PLANE.validate(params) == params
    assert not searcher.take_warnings()


@pytest.mark.parametrize("estimator", ["GP", "ET"])
@pytest.mark.parametrize("data", ["rungs", "all", "rungs_and_last"])
def test_every_model_takes_every_feed(estimator, data):
    searcher = Bayes(base_estimator=estimator, searcher_data=data, maxt_pending=True)
    running = {"x": 0.2, "y": 0.2}
    told_short_runs(searcher, informative=True)
    searcher.follow(running, None, step=0, until=1)
    searcher.follow(running, (0.3,), step=1, until=3)

    assert searcher.suggest(29, [running]) is not None
    assert not searcher.take_warnings()


def test_a_running_trial_keeps_the_next_one_away_from_where_it_is():
    searcher = told_short_runs(Bayes(acquisition="LCB", kappa=20.0), informative=True)
    first = searcher.suggest(28, [])
    searcher.follow(first, None, step=0, until=9)

    second = searcher.suggest(28, [first])

    assert math.hypot(first["x"] - second["x"], first["y"] - second["y"]) > 0.2


def test_the_scheduler_says_how_long_a_trial_may_be():
    given, from_objective = Hyperband(max_t=27), Hyperband()
    given.setup(seed=0)
    from_objective.setup(seed=0, max_t=9)

    assert (given.longest, from_objective.longest) == (27, 9)


def bowl(x: Real(0, 1), y: Real(0, 1)):
    for epoch in range(1, 10):
        report(epoch=epoch, loss=(x - 0.7) ** 2 + (y - 0.2) ** 2 + 1.0 / epoch)


# FEATURES A6
@pytest.mark.parametrize("data", ["rungs", "all"])
def test_a_sweep_under_hyperband_is_led_to_the_best(data, tmp_path):
    sweep = Sweep(
        bowl,
        minimize="loss",
        searcher=Bayes(6, searcher_data=data),
        scheduler=Hyperband(max_t=9),
        trials=18,
        workers=Simulated(2),
        store=tmp_path,
        seed=1,
    )
    sweep.run()

    assert sweep.best_value < 1 / 9 + 0.01


class Counting(Bayes):
    """Notes how many results each suggestion knew."""

    apart = False

    def suggest(self, number, pending):
        known.append(len(self._courses.last))
        return super().suggest(number, pending)


known: list[int] = []


@pytest.mark.parametrize(("prefetch", "first"), [(0, [0, 1, 2, 3]), (1, [0, 0, 1, 2])])
def test_a_suggestion_waits_for_a_free_slot_without_prefetch(
    prefetch, first, tmp_path
):  # FEATURES A6
    known.clear()
    pace = iter([1.0, 1.5] * 10)
    Sweep(
        lambda x, y: {"loss": x + y},
        {"x": Real(0, 1), "y": Real(0, 1)},
        minimize="loss",
        searcher=Counting(n_initial=3, prefetch=prefetch),
        workers=Simulated(2, seconds=lambda params, step: next(pace)),
        trials=8,
        seed=1,
        store=tmp_path,
    ).run()

    assert known[: len(first)] == first
