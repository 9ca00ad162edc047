"""Iterative: rounds of params from the user's own function."""

import importlib.metadata
import math
import pickle

import cloudpickle
import numpy as np
import pytest

import nbtune
from nbtune import (
    Bool,
    Choice,
    Int,
    Range,
    Real,
    SpaceError,
    SpecError,
    Sweep,
    SweepError,
    report,
)
from nbtune.engine import SweepStatus
from nbtune.schedulers import Hyperband
from nbtune.searchers import Iterative, Points, build
from nbtune.space import Space
from nbtune.trial import Goal, Status
from nbtune.workers import Inline, Local, Simulated

SPACE = Space({"x": Real(0, 1), "kind": Choice("a", "b")})


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


class Written:
    """A tuner that answers from a script, one entry a round, and keeps what it was passed."""

    def __init__(self, *rounds):
        self.rounds = rounds
        self.calls = []

    def __deepcopy__(self, _):
        return self  # the sweep works on copies: tests look at the calls

    def __call__(self, params, configs, metrics, iteration, seed):
        self.calls.append(
            {
                "params": params,
                "configs": configs,
                "metrics": metrics,
                "iteration": iteration,
                "seed": seed,
            }
        )
        return self.rounds[iteration]


class Raises:
    """A tuner that raises in the first `times` calls."""

    def __init__(self, times):
        self.times = times
        self.seen = []

    def __deepcopy__(self, _):
        return self

    def __call__(self, configs, iteration):
        self.seen.append(iteration)
        if iteration == 1 and self.seen.count(1) <= self.times:
            configs.clear()
            raise ZeroDivisionError("no step left")
        return [{"x": len(configs) / 10}]


def linear(x: Real(0, 1) = 0.5, kind: Choice("a", "b") = "a"):
    if x == 0.25:
        raise ValueError("a quarter")
    report(step=1, loss=math.nan if x == 0.75 else x)


def sweep(tuner, iterations=2, *, objective=linear, **options):
    if "maximize" not in options:
        options.setdefault("minimize", "loss")
    options.setdefault("workers", Inline(1))
    return Sweep(objective, searcher=Iterative(tuner, iterations), seed=1, **options)


def ready(tuner, iterations=3, *, space=SPACE, seed=0, **own):
    searcher = Iterative(tuner, iterations, **own)
    searcher.setup(space, seed=seed)
    return searcher


def xs(*values):
    return [{"x": value} for value in values]


def tried(done):
    return [trial.params["x"] for trial in done.snapshot().trials]


def halves(params, configs, metrics, iteration, seed):
    """Return two points between the best so far and 0."""
    best = configs[0]["x"] if configs else 1.0
    return xs(best / 2, best / 4)


# --- rounds


def test_each_round_runs_what_the_tuner_suggests():  # FEATURES P3
    done = sweep(Written(xs(0.1, 0.2), xs(0.3)), 2).run()

    assert tried(done) == [0.1, 0.2, 0.3]


def test_there_are_exactly_as_many_rounds_as_asked_for():  # FEATURES P3
    tuner = Written(*[xs(0.1)] * 9)

    done = sweep(tuner, 5).run()

    assert [call["iteration"] for call in tuner.calls] == [0, 1, 2, 3, 4]
    assert done.reason == "5 of 5 rounds"


@pytest.mark.parametrize("workers", [Inline(1), Simulated(3)], ids=["inline", "simulated"])
def test_a_round_sees_every_trial_of_those_before(workers):  # FEATURES P3
    tuner = Written(xs(0.1, 0.2, 0.3), xs(0.4, 0.5), [])

    sweep(tuner, 3, workers=workers).run()

    assert [len(call["configs"]) for call in tuner.calls] == [0, 3, 5]


@pytest.mark.parametrize(
    ("direction", "order"), [("minimize", [0.1, 0.2, 0.9]), ("maximize", [0.9, 0.2, 0.1])]
)
def test_a_round_sees_the_metrics_own_values_best_first(direction, order):  # FEATURES P3
    tuner = Written(xs(0.2, 0.9, 0.1), [])

    sweep(tuner, **{direction: "loss"}).run()

    assert tuner.calls[1]["metrics"] == order
    assert tuner.calls[1]["configs"] == [{"x": x, "kind": "a"} for x in order]


def test_failed_trials_are_left_out():  # FEATURES P3
    tuner = Written(xs(0.2, 0.25, 0.1), [])

    sweep(tuner).run()

    assert tuner.calls[1]["metrics"] == [0.1, 0.2]


def test_trials_without_the_metric_are_left_out():
    def reports_later(x: Real(0, 1) = 0.5):
        report(step=1, **({"loss": x} if x < 0.5 else {"other": x}))

    tuner = Written(xs(0.2, 0.6), [])

    sweep(tuner, objective=reports_later).run()

    assert tuner.calls[1]["metrics"] == [0.2]


def test_a_value_that_is_not_finite_comes_last_as_nan():
    tuner = Written(xs(0.75, 0.2), [])

    sweep(tuner).run()

    np.testing.assert_equal(tuner.calls[1]["metrics"], [0.2, math.nan])


def test_with_several_objectives_each_metric_is_a_tuple_best_in_the_first_first():
    def two(x: Real(0, 1) = 0.5):
        report(step=1, gain=x, cost=2 * x)

    tuner = Written(xs(0.25, 0.5), [])

    sweep(tuner, objective=two, maximize="gain", minimize="cost").run()

    assert tuner.calls[1]["metrics"] == [(0.5, 1.0), (0.25, 0.5)]


def test_the_next_round_waits_for_every_trial_of_this_one():  # FEATURES P3
    searcher = ready(Written(xs(0.1, 0.2), xs(0.3)))
    first, second = searcher.suggest(0, []), searcher.suggest(1, [{"x": 0.1, "kind": "a"}])
    searcher.observe(first, 0.5, step=1, ended=True)

    assert searcher.suggest(2, [second]) is None

    searcher.observe(second, 0.5, step=1, ended=True)
    assert searcher.suggest(2, [])["x"] == 0.3


def test_repeats_run_again():
    assert tried(sweep(Written(xs(0.1, 0.1), xs(0.1)), 2).run()) == [0.1, 0.1, 0.1]


def test_names_left_out_take_their_defaults():
    assert ready(Written([{}])).suggest(0, []) == {"x": 0.5, "kind": "a"}


def test_numpy_scalars_become_plain_values():
    space = Space({"x": Real(0, 1), "n": Int(1, 9), "flag": Bool(), "kind": Choice("a", "b")})
    answer = [
        {"x": np.float32(0.5), "n": np.int64(3), "flag": np.bool_(True), "kind": np.str_("b")}
    ]

    params = ready(Written(answer), space=space).suggest(0, [])

    assert {type(value) for value in params.values()} == {float, int, bool, str}


def test_enqueued_trials_are_seen_by_the_next_round():
    tuner = Written(xs(0.1), [])
    tuned = sweep(tuner)
    tuned.enqueue({"x": 0.05, "kind": "a"})

    tuned.run()

    assert tuner.calls[1]["metrics"] == [0.05, 0.1]


def test_a_trial_that_was_paused_and_promoted_is_seen_once_with_its_last_value():
    def grows(x: Real(0, 1) = 0.5):
        for epoch in range(1, 10):
            report(epoch=epoch, gain=x * epoch)

    tuner = Written(xs(0.25, 0.875, 0.125, 0.75), xs(0.5, 0.375), xs(0.625))
    options = {"scheduler": Hyperband(9, type="promotion"), "workers": Simulated(2)}

    done = sweep(tuner, 3, objective=grows, maximize="gain", **options).run()

    assert [len(call["configs"]) for call in tuner.calls] == [0, 4, 6]
    assert len(done.trials) == 7
    assert max(tuner.calls[2]["metrics"]) > 1  # of a trial that went on after its first rung


# --- the end


@pytest.mark.parametrize("nothing", [None, [], ()], ids=repr)
def test_nothing_suggested_ends_the_search_early(nothing):  # FEATURES P3
    done = sweep(Written(xs(0.1), nothing), 5).run()

    assert done.status is SweepStatus.COMPLETED
    assert done.reason == "the tuner ended the search in round 2 of 5 (iteration=1)"


def test_a_tuner_that_raises_once_is_asked_again_with_the_same_arguments():  # FEATURES P3
    tuner = Raises(1)

    done = sweep(tuner, 2).run()

    assert tuner.seen == [0, 1, 1]
    assert tried(done) == [0.0, 0.1]


def test_a_tuner_that_raises_twice_fails_the_sweep_which_keeps_its_trials():  # FEATURES P3
    failed = sweep(Raises(2), 3, name="broken")

    with pytest.raises(SweepError, match="ZeroDivisionError: no step left"):
        failed.run()

    stored = nbtune.load("broken").snapshot()
    assert [trial.status for trial in stored.trials] == [Status.COMPLETED]
    assert "no step left" in stored.failure.traceback
    assert "in __call__" in stored.failure.traceback
    assert "twice, in round 2 of 3 (iteration=1)" in stored.failure.traceback


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (xs(0.1, 7), r"round 1 of 3 \(iteration=0\): suggestion 1: x: got 7"),
        ([{"kind": "c"}], "suggestion 0: kind: got 'c'"),
        ([{"y": 1}], "suggestion 0: y: unknown name"),
    ],
)
def test_a_suggestion_outside_the_space_is_named_before_any_of_its_round_starts(answer, message):
    with pytest.raises(SpaceError, match=message):
        ready(Written(answer)).suggest(0, [])


def test_no_trial_starts_in_a_round_with_a_wrong_suggestion():
    failed = sweep(Written(xs(0.1), xs(0.2, 7)))

    with pytest.raises(SweepError, match="round 2 of 2"):
        failed.run()

    assert tried(failed) == [0.1]


LISTED = Space(
    {
        "width": Choice(16, 32, 64),
        "depth": Range(1, 9, 4),
        "rate": Real(0, 1, step=0.25),
        "units": Int(0, 100, step=50),
        "model": Choice(Space({"kind": "a", "c": Choice(1, 2)}), Space({"kind": "b"})),
    }
)
BETWEEN = {
    "width": 24,
    "depth": 12,
    "rate": 0.3,
    "units": 7,
    "model": {"kind": "a", "c": 5},
}


def of_width(width, rate, **others):
    report(epoch=1, accuracy=width * rate)


def between(name="between", **options):
    given = {"searcher": Iterative(Written([BETWEEN], [LISTED.defaults]), 2), **options}
    workers = given.pop("workers", Inline(1))
    return Sweep(of_width, LISTED, maximize="accuracy", name=name, workers=workers, **given)


# FEATURES P3
def test_a_tuner_may_suggest_numbers_that_are_not_listed():
    done = between().run()

    assert [trial.params for trial in done.snapshot().trials] == [BETWEEN, LISTED.defaults]
    assert done.trials["params.model.c"].tolist()[0] == 5


def test_what_is_not_listed_is_read_from_the_store_again():
    between().run()

    stored = nbtune.load("between")

    assert stored.trial(0).params == BETWEEN
    assert stored.rerun(stored.trial(0).params) is None


def test_a_sweep_of_what_is_not_listed_goes_on_and_asks_its_tuner_the_same():
    tuner = Written([BETWEEN], [BETWEEN], [LISTED.defaults])
    first = between(searcher=Iterative(tuner, 3), trials=1).run()
    assert len(first.snapshot().trials) == 1

    again = nbtune.load("between").resume(trials=3)
    assert again.wait(60)

    tried = [trial.params for trial in again.snapshot().trials]
    assert tried == [BETWEEN, BETWEEN, LISTED.defaults]


@pytest.mark.parametrize("searcher", ["random", "bayes", "grid"])
def test_other_searchers_start_from_a_tuners_sweep(searcher):
    done = between().run()
    space = Space({name: LISTED[name] for name in ("width", "rate")})

    later = Sweep(
        of_width,
        space,
        maximize="accuracy",
        searcher=searcher,
        trials=3,
        name="later",
        workers=Inline(1),
        **({"warm_start": done} if searcher == "bayes" else {}),
    ).run()

    assert all(space.validate(trial.params) for trial in later.snapshot().trials)


@pytest.mark.parametrize("searcher", ["random", "bayes"])
def test_another_searcher_takes_a_tuners_sweep_over(searcher):
    between(trials=2).run()

    again = nbtune.load("between").resume(searcher=searcher, trials=5)
    assert again.wait(60)

    trials = again.snapshot().trials
    assert len(trials) == 5
    assert all(LISTED.validate(trial.params) for trial in trials[1:])


def test_a_searcher_that_is_no_tuner_keeps_to_what_is_listed():
    with pytest.raises(SpaceError, match="got 24, which is no option"):
        Points([BETWEEN]).setup(LISTED, seed=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 24.5}, "width: got 24.5, which is no option"),
        ({"width": "24"}, "width: got '24', which is no option"),
        ({"depth": 2.5}, "depth: got 2.5, which is not a whole number"),
        ({"rate": 1.5}, "rate: got 1.5, allowed is 0"),
        ({"units": True}, "units: got True"),
        ({"model": {"kind": "a", "c": "x"}}, "model.c: got 'x'"),
    ],
)
def test_a_suggestion_of_another_type_is_refused(wrong, message):
    searcher = Iterative(Written([{**BETWEEN, **wrong}]), 1)
    searcher.setup(LISTED, seed=0)

    with pytest.raises(SpaceError, match=message):
        searcher.suggest(0, [])


@pytest.mark.parametrize("answer", [5, {"x": 1}, "x"], ids=repr)
def test_an_answer_that_is_no_list_is_refused(answer):
    with pytest.raises(SpecError, match=r"returned .*; return a list of dicts"):
        ready(Written(answer)).suggest(0, [])


def test_a_suggestion_that_is_no_dict_is_refused():
    with pytest.raises(SpecError, match=r"suggestion 1 is 0\.5, not a dict"):
        ready(Written([{}, 0.5])).suggest(0, [])


# --- what the tuner is passed


def test_only_what_the_tuner_names_is_passed():  # FEATURES P3
    seen = []

    def tuner(iteration, *, seed):
        seen.append((iteration, type(seed)))

    ready(tuner).suggest(0, [])

    assert seen == [(0, int)]


def test_a_tuner_that_takes_keywords_is_passed_all():
    seen = {}

    def tuner(**arguments):
        seen.update(arguments)

    ready(tuner).suggest(0, [])

    assert sorted(seen) == ["configs", "iteration", "metrics", "params", "seed"]


def test_arguments_of_its_own_reach_the_tuner():  # FEATURES P3
    def tuner(iteration, width, kind="a"):
        return [{"x": width, "kind": kind}]

    assert ready(tuner, width=0.3, kind="b").suggest(0, []) == {"x": 0.3, "kind": "b"}


def test_the_space_is_passed_as_it_is():
    tuner = Written(xs(0.1))

    ready(tuner).suggest(0, [])

    assert tuner.calls[0]["params"] is SPACE


def test_each_round_has_a_seed_of_its_own_that_the_sweeps_seed_repeats():  # FEATURES P3
    def seeds(seed):
        tuner = Written(xs(0.1), xs(0.2), [])
        searcher = ready(tuner, seed=seed)
        for number in range(2):
            searcher.observe(searcher.suggest(number, []), 0.5, step=1, ended=True)
        searcher.suggest(2, [])
        return [call["seed"] for call in tuner.calls]

    assert seeds(1) == seeds(1)
    assert len({*seeds(1), *seeds(2)}) == 6


def test_what_the_tuner_alters_is_its_own():
    def tuner(configs, iteration):
        for config in configs:
            config.clear()
        return xs(0.1)

    done = sweep(tuner, 3).run()

    assert tried(done) == [0.1, 0.1, 0.1]


def test_options_that_are_objects_are_passed_as_themselves():
    option = object()
    space = Space({"what": Choice(object(), option)})

    def tuner(configs):
        return configs or [{"what": option}]

    searcher = ready(tuner, space=space)
    searcher.observe(searcher.suggest(0, []), 0.5, step=1, ended=True)

    assert searcher.suggest(1, [])["what"] is option


# --- finding and checking the tuner


def needs_more(configs, alpha, /, beta, *, gamma, delta=1):
    return None


def takes_width(iteration, width=1):
    return None


def test_arguments_that_nobody_passes_are_named_at_once():  # FEATURES P3
    with pytest.raises(SpecError, match="needs_more requires configs, alpha, beta, gamma, which"):
        Iterative(needs_more, 3)


def test_an_argument_that_the_tuner_does_not_take_is_refused_with_the_nearest():
    with pytest.raises(SpecError, match=r"widht=2: .* does not take it\. Did you mean 'width'"):
        Iterative(takes_width, 3, widht=2)


def test_an_argument_that_each_round_passes_cannot_be_fixed():
    with pytest.raises(SpecError, match="seed=3: each round passes its own"):
        Iterative(takes_width, 3, seed=3)


@pytest.mark.parametrize("iterations", [0, -1, 2.0, True, "3"], ids=repr)
def test_rounds_are_a_whole_number_from_1(iterations):
    with pytest.raises(SpecError, match="give a whole number of rounds from 1"):
        Iterative(halves, iterations)


def test_a_tuner_is_found_by_module_and_name():  # FEATURES P3
    assert ready(f"{__name__}:halves").suggest(0, [])["x"] == 0.5


def test_a_registered_tuner_is_found_by_name(monkeypatch):  # FEATURES P3
    register(monkeypatch, "halving", f"{__name__}:halves")

    assert ready("halving").suggest(0, [])["x"] == 0.5


def test_an_unknown_name_is_refused_with_the_nearest(monkeypatch):  # FEATURES P3
    register(monkeypatch, "halving", f"{__name__}:halves")

    with pytest.raises(SpecError, match=r"tuner 'halvin' is not known\. Did you mean 'halving'"):
        Iterative("halvin", 3)


@pytest.mark.parametrize(
    ("tuner", "message"),
    [
        ("halves", "'halves' is not known. No package registers any"),
        (f"{__name__}:halvse", "has no 'halvse'. Did you mean 'halves'"),
        ("no_such_module:tuner", "'no_such_module' cannot be imported: No module named"),
        (f"{__name__}:SPACE", r"is Space\(.*, which cannot be called"),
        (":halves", "module '' cannot be imported"),
        (7, "tuner=7 is a int; give a function"),
    ],
)
def test_what_is_no_tuner_is_one_clear_error(tuner, message):
    with pytest.raises(SpecError, match=message) as caught:
        Iterative(tuner, 3)

    assert caught.value.path == "searcher.tuner"


def test_by_name_alone_it_says_how_to_make_it():
    with pytest.raises(SpecError, match=r"searcher=Iterative\(tuner, iterations\)"):
        build("iterative")


def register(monkeypatch, name, target):
    point = importlib.metadata.EntryPoint(name, target, "nbtune.tuners")
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: [point] if group == point.group else []
    )


# --- again


def test_the_same_sweep_gives_the_same_trials():
    assert tried(sweep(halves, 4).run()) == tried(sweep(halves, 4).run())


def test_a_resumed_sweep_runs_only_what_is_left():  # FEATURES P3
    whole = tried(sweep(halves, 4).run())

    cut = sweep(halves, 4, trials=5, name="cut").run()
    assert cut.reason == "5 of 5 trials"
    resumed = nbtune.load("cut").resume(trials=20)
    resumed.wait()

    assert tried(resumed) == whole
    assert resumed.reason == "4 of 4 rounds"


@pytest.mark.parametrize("at", range(7))
def test_told_its_history_it_goes_on_wherever_it_was(at):
    def walk(searcher, count):
        points = []
        while len(points) < count and (params := searcher.suggest(len(points), [])) is not None:
            points.append(params)
            searcher.observe(params, params["x"], step=1, ended=True)
        return points

    points = walk(ready(halves), 99)
    resumed = ready(halves)
    for params in points[:at]:
        resumed.observe(params, params["x"], step=1, ended=True)

    assert points[:at] + walk(resumed, 99) == points


def test_a_round_sees_the_same_enqueued_trials_after_a_restart():
    def told(searcher, ask):
        first = {"x": 0.1, "kind": "a"}
        ask(searcher, [])
        searcher.observe(first, 0.1, step=1, ended=True)
        ask(searcher, [{"x": 0.2, "kind": "a"}])
        searcher.observe({"x": 0.9, "kind": "a"}, 0.9, step=1, ended=True)  # enqueued
        searcher.suggest(2, [])

    live, again = Written(xs(0.1), xs(0.2)), Written(xs(0.1), xs(0.2))
    told(ready(live), lambda searcher, pending: searcher.suggest(0, pending))
    told(ready(again), lambda *_: None)

    assert again.calls == live.calls


def test_a_notebooks_function_travels_with_the_stored_sweep():
    def local(configs):
        return xs(len(configs) / 10)

    searcher = ready(local)
    searcher.observe(searcher.suggest(0, []), 0.5, step=1, ended=True)

    copy = pickle.loads(cloudpickle.dumps(searcher))

    assert copy.suggest(1, []) == searcher.suggest(1, []) == {"x": 0.1, "kind": "a"}


def test_goals_turn_scores_back_into_values():
    tuner = Written(xs(0.1), [])
    searcher = Iterative(tuner, 2)
    searcher.set_goals([Goal(metric="loss", direction="minimize")])
    searcher.setup(SPACE, seed=0)

    searcher.observe(searcher.suggest(0, []), -3.0, step=1, ended=True)
    searcher.suggest(1, [])

    assert tuner.calls[1]["metrics"] == [3.0]


def test_rounds_run_on_worker_processes():
    tuner = Written(xs(0.2, 0.1), xs(0.3))

    sweep(tuner, 2, workers=Local(2)).run()

    assert [call["metrics"] for call in tuner.calls] == [[], [0.1, 0.2]]
