"""A sweep that starts from what others found."""

import math
from dataclasses import replace

import pytest

import nbtune
from nbtune import Choice, Int, NbtuneWarning, Real, SpecError, Sweep, SweepError, report
from nbtune.catalog import delete
from nbtune.searchers import Bayes, Grid, Iterative, OptunaSearcher, Points, Random
from nbtune.searchers.sequences import point_of
from nbtune.workers import Inline, Simulated


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def valley(x: Real(-4, 4) = 3.0, y: Real(-4, 4) = 3.0):
    report(epoch=1, loss=(x - 1) ** 2 + (y + 2) ** 2, size=x + y)


def grown(x: Real(-6, 6) = 3.0, y: Real(-3, 3) = 2.0, kind: Choice("a", "b") = "a"):
    report(epoch=1, loss=(x - 1) ** 2 + (y + 2) ** 2 + (kind == "b"), size=x + y)


def shrunk(x: Real(-4, 4) = 3.0):
    return {"loss": (x - 1) ** 2}


def sweep(objective=valley, **options):
    defaults = {"minimize": "loss", "trials": 16, "workers": Inline(1), "seed": 0}
    return Sweep(objective, **{**defaults, **options})


@pytest.fixture
def old():
    return sweep(searcher="random", name="old").run()


def params_of(made):
    return [trial.params for trial in made.snapshot().trials]


def test_the_defaults_come_first_then_what_was_enqueued_then_what_old_results_say(old):
    new = sweep(warm_start=old, trials=4, seed=1)
    new.enqueue({"x": -3.0})

    new.run()

    default, enqueued, third, fourth = params_of(new)
    assert default == {"x": 3.0, "y": 3.0}
    assert enqueued == {"x": -3.0, "y": 3.0}
    # Old results suffice: no point is quasi-random, as the first ones are without.
    starts = [new.space.from_unit(point_of("roberts", i, 2, seed=1)) for i in range(4)]
    assert third not in starts
    assert fourth not in starts


def test_old_results_guide_the_first_suggestions(old):
    cold, warm = sweep(trials=4, seed=5).run(), sweep(trials=4, seed=5, warm_start="old").run()

    assert warm.best_value < cold.best_value
    assert warm.best_value < min(1.0, old.best_value)


def test_old_results_are_no_trials_of_the_new_sweep(old):
    new = sweep(warm_start=["old"], trials=2)

    new.run()

    assert len(new.trials) == 2
    assert new.reason == "2 of 2 trials"
    assert new.best.number in (0, 1)


def test_the_plan_says_how_many_results_are_told(old):
    assert "starts from 16 results of old" in sweep(warm_start=old).snapshot().plan
    assert "old" not in sweep(warm_start=old, searcher="random").snapshot().plan


def test_a_sweep_that_goes_on_needs_the_old_one_no_more(old, tmp_path):
    part = sweep(warm_start=old, trials=3, seed=2, workers=Simulated(1), name="part").run()
    moved = Sweep.from_state_dict(part.state_dict(), store=tmp_path / "there")
    cold = sweep(trials=3, seed=2, workers=Simulated(1), searcher=Points(params_of(part))).run()
    cold._definition = replace(cold._definition, searcher=Bayes())
    part.resume(trials=6).wait()

    delete("old")
    moved.resume(trials=6).wait()
    cold.resume(trials=6).wait()

    assert params_of(moved) == params_of(part)
    assert params_of(cold) != params_of(part)


def test_several_sweeps_are_told_oldest_result_first(old):
    more = sweep(searcher="random", name="more", seed=9).run()

    new = sweep(warm_start=[old, "more"], trials=3).run()

    assert "16 results of old · starts from 16 results of more" in new.snapshot().plan
    assert more.name == "more"


def test_a_space_that_changed_takes_what_it_can_hold(old):
    held = [p for p in params_of(old) if -3 <= p["y"] <= 3]
    assert 0 < len(held) < 16

    new = sweep(grown, warm_start=old, trials=3).run()

    assert f"starts from {len(held)} of 16 results of old" in new.snapshot().plan
    assert params_of(new)[0] == {"x": 3.0, "y": 2.0, "kind": "a"}


def test_a_dimension_that_is_gone_is_dropped(old):
    new = sweep(shrunk, warm_start=old, trials=2).run()

    assert "starts from 16 results of old" in new.snapshot().plan


def test_a_space_that_holds_no_result_is_warned_of(old):
    with pytest.warns(NbtuneWarning, match="'old': none of its 16 results can be told"):
        sweep(valley, space={"x": Real(5, 9)}, warm_start=old)


def test_a_sweep_without_results_is_warned_of():
    empty = sweep(name="empty")

    with pytest.warns(NbtuneWarning, match="'empty': it has no results"):
        sweep(warm_start=empty)


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        ({"minimize": "size"}, "has minimize='loss', this one has minimize='size'"),
        ({"maximize": "loss", "minimize": None}, "has minimize='loss', this one has maximize="),
        ({"minimize": ["loss", "size"]}, "this one has minimize='loss', minimize='size'"),
    ],
)
def test_another_metric_or_direction_is_refused(old, goal, message):
    with pytest.raises(SpecError, match=message) as error:
        sweep(warm_start=old, **goal)

    assert error.value.path == "warm_start"


def test_what_is_no_sweep_is_refused():
    with pytest.raises(SpecError, match=r"warm_start=7: give a sweep, the name of one"):
        sweep(warm_start=7)
    with pytest.raises(SweepError, match="no sweep 'odl'"):
        sweep(warm_start="odl")


def test_one_of_several_objectives_may_be_gone_on_with():
    both = sweep(name="both", minimize=["loss", "size"], searcher="random").run()

    new = sweep(warm_start=both, trials=2).run()

    assert "16 results of both" in new.snapshot().plan


# FEATURES C7
def test_several_objectives_are_told_by_their_names_in_any_order():
    both = sweep(name="both", minimize=["loss", "size"], searcher="random").run()

    new = sweep(name="new", minimize=["size", "loss"], warm_start=both, trials=3)
    (earlier,) = new._definition.earlier
    new.run()

    assert [hint.scores for hint in earlier.results] == [
        (-trial.value("size"), -trial.value("loss")) for trial in both.snapshot().trials
    ]
    assert "starts from 16 results of both" in new.snapshot().plan
    starts = [new.space.from_unit(point_of("roberts", i, 2, seed=0)) for i in range(3)]
    assert not [params for params in params_of(new) if params in starts]


def test_trials_that_failed_say_nothing():
    def odd(x: Int(0, 9)):
        if x % 2:
            raise ValueError("odd")
        return {"loss": x}

    made = sweep(odd, searcher=Grid(), name="odd").run()

    new = sweep(shrunk, warm_start=made, trials=1)

    assert len(new._definition.earlier[0].results) == 5


def test_a_grid_runs_all_its_points_again():
    def two(k: Choice("a", "b"), n: Choice(1, 2)):
        return {"loss": n}

    first = sweep(two, searcher=Grid(), name="first").run()

    again = sweep(two, searcher=Grid(), warm_start=first).run()

    assert params_of(again) == params_of(first)


def ready(searcher, hints):
    space = nbtune.Space({"n": Int(1, 3)})
    searcher.setup(space, seed=0)
    for n, score in hints:
        searcher.hint({"n": n}, (score,), step=1)
    return searcher


@pytest.mark.parametrize("make", [Bayes, Random, Grid, OptunaSearcher])
def test_what_an_old_sweep_tried_may_be_tried_again(make):
    searcher = ready(make(), [(1, 0.1), (2, 0.2), (3, 0.3)])
    tried = []
    while (params := searcher.suggest(len(tried), [])) is not None:
        tried.append(params["n"])
        searcher.observe(params, 0.5, step=1, ended=True)

    assert sorted(tried) == [1, 2, 3]


def test_a_hint_beside_a_trial_of_the_same_point_is_no_second_trial():
    searcher = ready(Bayes(n_initial=2), [(1, 0.1), (3, 0.9)])
    for n in (1, 2):
        searcher.observe({"n": n}, 0.5, step=1, ended=True)
    searcher.hint({"n": 2}, (0.7,), step=1)  # it was tried here: that says more

    assert searcher.suggest(2, []) == {"n": 3}


def test_a_sampler_of_optuna_has_them_in_its_study():
    searcher = ready(OptunaSearcher("TPESampler"), [(1, 0.1), (2, 0.2)])
    searcher.suggest(0, [])

    study = searcher._history._storage.get_all_trials(0)

    assert [(trial.params, trial.value) for trial in study] == [({"n": 1}, 0.1), ({"n": 2}, 0.2)]


def test_a_tuner_sees_them_among_the_others():
    seen = []

    def tuner(configs, metrics, iteration):
        seen.append((configs, metrics))
        return [{"n": 2}]

    searcher = ready(Iterative(tuner, 2), [(1, 0.1), (3, 0.9)])
    searcher.observe(searcher.suggest(0, []), 0.5, step=1, ended=True)
    searcher.suggest(1, [])

    assert seen == [
        ([{"n": 3}, {"n": 1}], [0.9, 0.1]),
        ([{"n": 3}, {"n": 2}, {"n": 1}], [0.9, 0.5, 0.1]),
    ]


def test_a_sweep_may_start_from_the_one_that_it_replaces(old):
    new = sweep(name="old", replace=True, warm_start="old", trials=2).run()

    assert "16 results of old" in new.snapshot().plan
    assert len(nbtune.load("old").trials) == 2


def test_a_value_that_is_no_number_counts_as_worst():
    def patchy(x: Real(0, 1)):
        return {"loss": math.nan if x > 0.5 else x}

    made = sweep(patchy, name="patchy", searcher=Points([{"x": 0.2}, {"x": 0.9}])).run()

    results = sweep(shrunk, warm_start=made, trials=1)._definition.earlier[0].results

    assert [hint.scores for hint in results] == [(-0.2,), (-math.inf,)]
