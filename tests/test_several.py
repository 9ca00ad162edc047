"""Sweeps with several objectives, from end to end."""

import dataclasses
import math
import pickle
import time

import pytest
from driving import PATIENCE

import nbtune
from nbtune import Real, SpecError, Sweep, SweepError, report
from nbtune.engine import SweepEnded, SweepStatus
from nbtune.schedulers import Hyperband
from nbtune.searchers import Bayes, Points
from nbtune.stopping import Plateau
from nbtune.trial import Goal, Status
from nbtune.workers import Inline, Local

ACCURACY = Goal(metric="accuracy", direction="maximize")
LATENCY = Goal(metric="latency", direction="minimize")


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def schaffer(x: Real(-4, 4) = 0.5):
    """Schaffer's first problem; its front are the x in [0, 2]."""
    report(step=1, near_zero=x * x, near_two=(x - 2) ** 2)


def two(x: Real(0, 9) = 0, y: Real(0, 9) = 0):
    report(step=1, accuracy=x, latency=y)


def at(*points, **options):
    """A sweep whose trials have these accuracies and latencies."""
    searcher = Points([{"x": x, "y": y} for x, y in points])
    given = {"maximize": "accuracy", "minimize": "latency", "workers": Inline(1), "seed": 1}
    return Sweep(two, **{**given, "searcher": searcher, **options}).run()


def search(objective=schaffer, **options):
    given = {"minimize": ["near_zero", "near_two"], "trials": 14, "workers": Inline(1), "seed": 1}
    return Sweep(objective, **{**given, "searcher": Bayes(5), **options})


def numbers(trials):
    return [trial.number for trial in trials]


# --- the goals


def test_what_is_maximised_comes_first():
    sweep = search(two, minimize=["latency", "size"], maximize="accuracy")

    assert [goal.metric for goal in sweep.goals] == ["accuracy", "latency", "size"]
    assert sweep.goal == ACCURACY


@pytest.mark.parametrize("metrics", ["loss", ["loss"], ("loss",)])
def test_a_list_of_one_is_one_objective(metrics):
    def objective(x: Real(0, 1) = 0.5):
        report(step=1, loss=x)

    done = search(objective, minimize=metrics, trials=3).run()

    assert done.best_value == done.best.metrics["loss"]
    assert done.best_params == done.best.params


# --- results


def test_best_is_the_front_best_in_the_first_objective_first():  # FEATURES C7
    #          0       1       2       3       4
    done = at((1, 1), (5, 4), (4, 4), (5, 4), (7, 9))

    assert numbers(done.best) == [4, 1, 3, 0]
    assert done.best_params[1] == {"x": 5, "y": 4}
    assert done.best_value[0] == {"accuracy": 7, "latency": 9}


def test_top_goes_front_by_front_the_less_crowded_first():
    done = at((1, 1), (6, 6), (5, 5), (7, 9), (5, 6), (4, 6))

    assert numbers(done.top()) == [0, 3, 2, 1, 4, 5]
    assert numbers(done.top(2)) == [0, 3]


def test_a_nan_ranks_last_and_is_not_on_the_front():
    def objective(x: Real(0, 9) = 0, y: Real(0, 9) = 0):
        report(step=1, accuracy=x, latency=math.nan if y == 9 else y)

    searcher = Points([{"x": x, "y": y} for x, y in [(9, 9), (1, 2), (2, 1)]])
    done = search(objective, maximize="accuracy", minimize="latency", searcher=searcher).run()

    assert numbers(done.best) == [2]
    assert numbers(done.top()) == [2, 1, 0]


def test_hypervolume_is_measured_from_the_worst_seen_or_a_reference():
    done = at((1, 1), (5, 4), (4, 8))

    assert done.hypervolume() == (5 - 1) * (8 - 4)
    # From accuracy 0 and latency 10: 1 x 9 for trial 0, and 4 more x 6 for trial 1.
    assert done.hypervolume({"accuracy": 0, "latency": 10}) == 9 + 4 * 6


@pytest.mark.parametrize(
    "reference",
    [{}, {"accuracy": 0}, {"accuracy": 0, "latency": math.nan}, {"accuracy": 0, "size": 1}],
)
def test_a_reference_without_a_value_of_each_objective_is_refused(reference):
    with pytest.raises(SpecError, match=r"'accuracy': \.\.\., 'latency': \.\.\."):
        at((1, 1)).hypervolume(reference)


def test_hypervolume_of_one_objective_is_the_way_from_the_reference_to_the_best():
    done = at((1, 1), (5, 4), minimize=None)

    assert done.hypervolume({"accuracy": 2}) == 3


def test_before_any_trial_the_front_is_empty():
    sweep = search()

    assert (sweep.best, sweep.best_params, sweep.best_value, sweep.top()) == ([], [], [], [])
    assert sweep.hypervolume() == 0


def test_repr_counts_the_front():
    assert "3 of 3 trials, 2 on the Pareto front>" in repr(at((1, 1), (5, 4), (4, 4), trials=3))


def test_what_needs_one_best_trial_says_so_and_takes_params():
    done = at((1, 1), (5, 4))
    namespace = {}

    with pytest.raises(SweepError, match=r"2 objectives.*front of 2: give params.*best\[0\]"):
        done.rerun()
    with pytest.raises(SweepError, match="give params"):
        done.apply(namespace)

    assert done.apply(namespace, params=done.best[0].params) == {"x": 5, "y": 4} == namespace
    done.rerun(done.best[0].params)


# --- running


@pytest.mark.parametrize("workers", [Inline(1), Local(2)], ids=["inline", "local"])
def test_a_search_finds_trials_all_along_the_front(workers):  # FEATURES C7
    done = search(workers=workers).run()

    assert done.status is SweepStatus.COMPLETED
    assert all(-0.3 <= trial.params["x"] <= 2.3 for trial in done.best)
    assert len(done.best) >= 4


def test_the_same_seed_suggests_the_same():
    one, two = search(name="one").run(), search(name="two").run()

    assert [t.params for t in one.snapshot().trials] == [t.params for t in two.snapshot().trials]


def test_a_resumed_sweep_goes_on_along_the_front_from_all_that_was_observed():
    search(trials=8).run()

    resumed = nbtune.load("schaffer").resume(trials=14)
    resumed.wait()

    trials = resumed.snapshot().trials
    assert [goal.metric for goal in resumed.goals] == ["near_zero", "near_two"]
    # A third of the space; draws at random would hit it twice in six.
    assert sum(-0.3 <= trial.params["x"] <= 2.3 for trial in trials[8:]) >= 4
    assert min(numbers(resumed.best)) < 8 <= max(numbers(resumed.best))


def test_what_learns_nothing_goes_on_over_a_resume_as_if_it_had_not_stopped():
    whole = search(name="whole", searcher="random").run()
    search(name="half", searcher="random", trials=8).run()

    half = nbtune.load("half").resume(trials=14)
    half.wait()

    assert half.best_params == whole.best_params


def test_a_loaded_sweep_has_the_same_front():
    done = at((1, 1), (5, 4), (4, 4), (5, 4), name="kept")

    loaded = nbtune.load("kept")

    assert numbers(loaded.best) == numbers(done.best) == [1, 3, 0]
    assert loaded.goals == (ACCURACY, LATENCY)
    frame = nbtune.sweeps()
    assert frame.loc["kept", "metric"] == "accuracy, latency"
    assert frame.loc["kept", "direction"] == "maximize, minimize"


def test_a_sweep_taken_elsewhere_has_the_same_goals_and_front(tmp_path):
    done = at((1, 1), (5, 4), name="here")

    moved = Sweep.from_state_dict(done.state_dict(), store=tmp_path / "elsewhere")

    assert moved.goals == done.goals
    assert moved.best_value == done.best_value


def test_running_trials_count_with_their_last_values():
    def slowly(x: Real(0, 1) = 0.5):
        for step in range(1, 10_000):
            report(step, accuracy=step, latency=1)
            time.sleep(0.02)

    sweep = search(slowly, maximize="accuracy", minimize="latency", trials=1).start()
    deadline = time.monotonic() + PATIENCE
    while not sweep.best and time.monotonic() < deadline:
        time.sleep(0.02)
    front = sweep.best
    sweep.stop()
    sweep.wait()

    assert [trial.status for trial in front] == [Status.RUNNING]


def test_an_objective_that_is_never_reported_ends_the_sweep_in_one_clear_error():
    def partly(x: Real(0, 1) = 0.5):
        report(step=1, accuracy=x, latencies=x)

    sweep = search(partly, maximize="accuracy", minimize="latency")

    with pytest.raises(SweepError, match=r"metric 'latency' was never reported.*'latencies'"):
        sweep.run()


def test_a_trial_that_lacks_an_objective_fails_alone():
    def sometimes(x: Real(0, 1) = 0.5):
        report(step=1, accuracy=x, **({} if x == 1 else {"latency": x}))

    searcher = Points([{"x": 0.0}, {"x": 1.0}, {"x": 0.5}])
    options = {"maximize": "accuracy", "minimize": "latency", "searcher": searcher}
    done = search(sometimes, **options).run()

    assert done.status is SweepStatus.COMPLETED
    assert done.trial(1).status is Status.FAILED
    assert done.trial(1).reason == "latency was never reported"
    assert numbers(done.best) == [2, 0]


def test_objectives_may_be_reported_one_at_a_time_and_returned():
    def parts(x: Real(0, 9) = 0, y: Real(0, 9) = 0):
        report(step=1, accuracy=x)
        return {"latency": y}

    searcher = Points([{"x": 1, "y": 1}, {"x": 5, "y": 4}])
    options = {"maximize": "accuracy", "minimize": "latency", "searcher": searcher}

    assert search(parts, **options).run().best_value == [
        {"accuracy": 5, "latency": 4},
        {"accuracy": 1, "latency": 1},
    ]


def curves(x: Real(0, 1) = 0.5):
    for epoch in range(1, 10):
        report(epoch=epoch, accuracy=x * epoch, latency=x + epoch)


def test_schedulers_decide_by_the_first_objective():
    options = {"maximize": "accuracy", "minimize": "latency", "scheduler": Hyperband(max_t=9)}
    searcher = Points([{"x": 0.9}, {"x": 0.8}, {"x": 0.1}])
    done = search(curves, **options, searcher=searcher).run()

    # By latency the last one is the best at every rung.
    assert [t.steps for t in done.snapshot().trials][2] < 9


def test_a_replay_knows_the_front():
    searcher = Points([{"x": 0.9}, {"x": 0.1}])
    done = search(curves, maximize="accuracy", minimize="latency", searcher=searcher).run()

    again = done.replay(scheduler="fifo")

    assert again.best == done.best_value


def test_a_plateau_counts_trials_that_do_not_enter_the_front():
    points = [(1, 1), (5, 4), (4, 4), (5, 5), (9, 9)]

    done = at(*points, stop_when=Plateau(trials=2))

    assert done.reason == "no better accuracy or latency in 2 trials"
    assert len(done.snapshot().trials) == 4


def test_callbacks_hear_the_end():
    heard = []
    at((1, 1), callbacks=(heard.append,))

    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not heard[-1:]:
        time.sleep(0.01)
    while time.monotonic() < deadline and not isinstance(heard[-1], SweepEnded):
        time.sleep(0.01)

    assert isinstance(heard[-1], SweepEnded)


def test_a_definition_stored_with_one_goal_is_understood():
    definition = at((1, 1))._definition
    # As it was pickled while there was one goal, in the place where the goals are now.
    before = pickle.dumps(dataclasses.replace(definition, goals=ACCURACY))

    assert pickle.loads(before).goals == (ACCURACY,)
