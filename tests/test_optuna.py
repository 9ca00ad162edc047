"""Optuna's samplers as searchers, and its pruners as schedulers."""

import importlib.util
import logging
import pickle
import statistics
import subprocess
import sys

import optuna
import pytest
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FixedTrial, TrialState

from nbtune import Sweep, report
from nbtune.exceptions import SpaceError, SpecError
from nbtune.schedulers import OptunaPruner
from nbtune.searchers import OptunaSearcher, Points, Scalarised, searcher_for
from nbtune.searchers.optuna_space import OptunaSpace
from nbtune.space import Bool, Choice, Int, LogNormal, Normal, Range, Real, Space
from nbtune.trial import Goal, Status
from nbtune.workers import Inline, Simulated

SQUARE = Space({"x": Real(-1.0, 1.0), "y": Real(-1.0, 1.0)})
KINDS = Space(
    {
        "real": Real(-2.0, 3.0),
        "log": Real(1e-6, 1.0, log=True),
        "step": Real(0.1, 0.75, step=0.2),
        "log_step": Real(0.1, 10.0, log=True, step=0.3),
        "rounded": Real(1.0, 10.0, step=4.0, rounded=True),
        "log_rounded": Real(0.1, 10.0, log=True, step=0.3, rounded=True),
        "wide": Real(-1.7e308, 1.7e308),
        "int": Int(-3, 12, step=4),
        "log_int": Int(1, 1000, log=True),
        "log_int_step": Int(1, 1000, log=True, step=3),
        "huge": Int(-(2**64), 2**64),
        "bool": Bool(),
        "choice": Choice("a", 1, True, None, [1, 2], print),
        "normal": Normal(0.0, 1.0),
        "log_normal": LogNormal(0.0, 1.0),
        "listed": Range("1e-3_1e2:6.log"),
        "fixed": 7,
    }
)
BRANCHES = Space(
    {
        "model": Choice(
            Space({"kind": "svm", "C": Real(0.1, 100.0, log=True), "size": Int(1, 4)}),
            Space({"kind": "tree", "depth": Int(1, 9), "size": Real(0.0, 1.0)}),
            "none",
        ),
        "inner": Space({"scale": Bool()}),
    }
)
GOALS = (
    Goal(metric="accuracy", direction="maximize"),
    Goal(metric="latency", direction="minimize"),
)


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


class Spy(RandomSampler):
    """Keeps the study that it was asked about last; refuses nothing."""

    study = None

    def infer_relative_search_space(self, study, trial):
        Spy.study = study
        return {}


class OneOnly(RandomSampler):
    def infer_relative_search_space(self, study, trial):
        if len(study.directions) > 1:
            raise ValueError("only one objective")
        return {}


def ready(searcher, space=SQUARE, *, seed=0):
    searcher.setup(space, seed=seed)
    return searcher


def height(params):
    return -((params["x"] - 0.3) ** 2) - (params["y"] + 0.2) ** 2


def climb(searcher, count, *, first=0):
    """Run trials one after another on `height`; return their scores."""
    scores = []
    for number in range(first, first + count):
        params = searcher.suggest(number, [])
        scores.append(height(params))
        searcher.observe(params, scores[-1], step=1, ended=True)
    return scores


# --- the space


@pytest.mark.parametrize("space", [KINDS, BRANCHES], ids=["kinds", "branches"])
def test_params_come_back_from_optunas_values(space):
    translated = OptunaSpace(space)

    for seed in range(50):
        params = space.sample(seed)
        back = translated.suggest(FixedTrial(translated.encode(params)))
        near = {
            name: pytest.approx(value)
            for name, value in space.flatten(params).items()
            if isinstance(value, float)
        }
        assert space.flatten(back) == {**space.flatten(params), **near}


def test_domains_become_the_distributions_that_optuna_has_for_them():
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    trial = study.ask()

    OptunaSpace(KINDS).suggest(trial)

    unit = optuna.distributions.FloatDistribution(0.0, 1.0)
    assert trial.distributions == {
        "real": optuna.distributions.FloatDistribution(-2.0, 3.0),
        "log": optuna.distributions.FloatDistribution(1e-6, 1.0, log=True),
        "step": optuna.distributions.FloatDistribution(0.1, 0.7, step=0.2),
        "int": optuna.distributions.IntDistribution(-3, 9, step=4),
        "log_int": optuna.distributions.IntDistribution(1, 1000, log=True),
        "bool": optuna.distributions.CategoricalDistribution(range(2)),
        "choice": optuna.distributions.CategoricalDistribution(range(6)),
        **dict.fromkeys(
            [
                "log_step",
                "rounded",
                "log_rounded",
                "wide",
                "log_int_step",
                "huge",
                "normal",
                "log_normal",
                "listed",
            ],
            unit,
        ),
    }


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (
            {"kind": "svm", "C": 1.0, "size": 2},
            {"model", "inner.scale", "model.C", "model.size[0]"},
        ),
        (
            {"kind": "tree", "depth": 2, "size": 0.5},
            {"model", "inner.scale", "model.depth", "model.size[1]"},
        ),
        ("none", {"model", "inner.scale"}),
    ],
)
def test_only_active_params_are_suggested_and_shared_names_kept_apart(model, names):
    flat = OptunaSpace(BRANCHES).encode({"model": model, "inner": {"scale": True}})

    assert flat.keys() == names


# --- samplers


@pytest.mark.parametrize(
    ("sampler", "count"),
    [
        (TPESampler(), 40),  # FEATURES P2
        (optuna.samplers.GPSampler(n_startup_trials=5), 15),
    ],
    ids=["tpe", "gp"],
)
def test_a_sampler_learns_where_scores_are_high(sampler, count):  # FEATURES C1
    scores = climb(ready(OptunaSearcher(sampler), seed=1), count)

    third = count // 3
    assert statistics.median(scores[-third:]) > statistics.median(scores[:third]) / 2


def test_tpe_is_the_default():  # FEATURES P2
    named = ready(OptunaSearcher("TPESampler", n_startup_trials=10), seed=3)

    assert climb(ready(OptunaSearcher(), seed=3), 15) == climb(named, 15)


@pytest.mark.parametrize(
    "make",
    [
        lambda: OptunaSearcher("TPESampler", multivariate=True, n_startup_trials=4),
        lambda: OptunaSearcher(NSGAIISampler(population_size=4)),
        lambda: OptunaSearcher("QMCSampler"),
        lambda: OptunaSearcher(
            "PartialFixedSampler", fixed_params={"x": 0.5}, base_sampler=TPESampler()
        ),
    ],
    ids=["tpe", "nsga2", "qmc", "partial"],
)
def test_a_history_told_again_gives_the_same_suggestion(make):
    old, new = ready(make(), seed=1), ready(make(), seed=1)
    pending = [{"x": 0.25, "y": 0.5}]
    for number in range(12):
        params = old.suggest(number, pending)
        old.observe(params, height(params), step=1, ended=True)
        new.observe(params, height(params), step=1, ended=True)

    assert new.suggest(12, pending) == old.suggest(12, pending)
    assert pickle.loads(pickle.dumps(new)).suggest(13, pending) == old.suggest(13, pending)


def test_a_sampler_without_a_seed_has_the_sweeps():
    one, same, other = (ready(OptunaSearcher(TPESampler()), seed=seed) for seed in (1, 1, 2))

    assert climb(one, 3) == climb(same, 3) != climb(other, 3)


def test_a_samplers_own_seed_wins():
    one, same, other = (
        ready(OptunaSearcher(TPESampler(seed=own)), seed=seed)
        for own, seed in [(5, 1), (5, 2), (6, 1)]
    )

    assert climb(one, 3) == climb(same, 3) != climb(other, 3)


def test_the_sampler_given_is_never_changed():
    sampler = TPESampler(seed=1)
    before = pickle.dumps(sampler)
    climb(ready(OptunaSearcher(sampler)), 12)

    assert pickle.dumps(sampler) == before


# --- what the sampler sees


def test_trials_are_complete_failed_or_running_in_the_study():
    searcher = ready(OptunaSearcher(Spy()))
    done, failed, nan, running = (SQUARE.sample(seed) for seed in range(4))
    searcher.observe(done, 0.25, step=1, ended=False)
    searcher.observe(running, 0.125, step=3, ended=False)
    searcher.observe(done, 0.5, step=2, ended=True)
    searcher.observe(failed, None, step=0, ended=True)
    searcher.observe(nan, -float("inf"), step=1, ended=True)

    searcher.suggest(4, [running])

    seen = Spy.study.trials
    states = [TrialState.COMPLETE, TrialState.FAIL, TrialState.FAIL]
    assert [trial.state for trial in seen] == [*states, TrialState.RUNNING, TrialState.RUNNING]
    assert (seen[0].value, seen[0].intermediate_values) == (0.5, {1: 0.25, 2: 0.5})
    assert (seen[3].params, seen[3].intermediate_values) == (running, {3: 0.125})
    assert Spy.study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_several_objectives_are_several_in_the_study():
    searcher = ready(searcher_for(GOALS, OptunaSearcher(Spy())))
    searcher.learn({"x": 0.1, "y": 0.2}, None, step=0, ended=True)
    searcher.suggest(1, [])
    searcher.learn({"x": 0.5, "y": 0.2}, (1.0, -2.0), step=1, ended=True)

    searcher.suggest(2, [])

    assert len(Spy.study.directions) == 2
    assert [trial.values for trial in Spy.study.trials[:2]] == [None, [1.0, -2.0]]


def test_nsga2_walks_along_the_front():
    searcher = ready(searcher_for(GOALS, OptunaSearcher("NSGAIISampler", population_size=10)))
    heights = []
    for number in range(100):
        params = searcher.suggest(number, [])
        heights.append(abs(params["y"]))
        cost = params["y"] ** 2
        searcher.learn(params, (params["x"] - cost, -params["x"] - cost), step=1, ended=True)

    assert statistics.median(heights[-30:]) < statistics.median(heights[:10]) / 2


def test_a_sampler_of_one_objective_is_asked_about_joined_scores():
    assert isinstance(searcher_for(GOALS, OptunaSearcher(OneOnly())), Scalarised)


def test_a_space_that_the_sampler_cannot_walk_is_refused():
    with pytest.raises(SpaceError, match=r"BruteForceSampler cannot walk.*step"):
        ready(OptunaSearcher("BruteForceSampler"))


def test_a_sampler_that_cannot_be_told_a_history_is_refused():
    with pytest.raises(SpecError, match="Use searcher='grid'"):
        ready(OptunaSearcher(optuna.samplers.GridSampler({"x": [0.0]})))


def test_brute_force_walks_a_finite_space_to_its_end():
    space = Space({"n": Int(1, 3), "kind": Choice("a", Space({"deep": Bool()}))})
    searcher, tried = ready(OptunaSearcher("BruteForceSampler"), space), []
    while (params := searcher.suggest(len(tried), [])) is not None:
        tried.append(params)
        searcher.observe(params, 0.0, step=1, ended=True)

    assert {space.key(params) for params in tried} == {space.key(p) for p in space.grid()}


# --- arguments, noise, and Optuna missing


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OptunaSearcher("TPESampled"), "Did you mean 'TPESampler'"),
        (lambda: OptunaSearcher(3), r"OptunaSearcher\(3\): allowed are an Optuna sampler"),
        (lambda: OptunaSearcher("TPESampler", seeds=1), "unexpected keyword argument 'seeds'"),
        (lambda: OptunaSearcher(TPESampler(), seed=1), "Give them to TPESampler itself"),
        (lambda: OptunaPruner("MedianPruned"), "Did you mean 'MedianPruner'"),
        (lambda: OptunaPruner(TPESampler()), "allowed are an Optuna pruner"),
        (lambda: OptunaPruner("MedianPruner", n_startup_trials=-1), "n_startup_trials"),
    ],
)
def test_a_wrong_part_is_one_clear_error(make, message):
    with pytest.raises(SpecError, match=message):
        make()


def test_a_sampler_whose_package_is_missing_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(SpecError, match="GPSampler needs torch, which is not installed"):
        OptunaSearcher("GPSampler")


@pytest.mark.parametrize("option", ["searcher", "scheduler"])
def test_without_optuna_the_error_names_the_extra(option, monkeypatch):
    part = {"searcher": OptunaSearcher, "scheduler": OptunaPruner}[option]()
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(SpecError, match=r"pip install 'nbtune\[optuna\]'"):
        Sweep(flat, maximize="accuracy", trials=1, workers=Inline(1), **{option: part}).run()


def test_who_does_not_ask_for_optuna_does_not_load_it():
    code = "import sys, nbtune.searchers, nbtune.schedulers; assert 'optuna' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def logged():
    """The records that Optuna logs."""
    records, handler = [], logging.Handler()
    handler.emit = records.append
    logging.getLogger("optuna").addHandler(handler)
    yield records
    logging.getLogger("optuna").removeHandler(handler)


def test_optuna_stays_silent_and_is_not_silenced_for_others(logged):
    searcher = ready(OptunaSearcher("QMCSampler"), BRANCHES)
    for number in range(8):  # draws params of branches at random, and would say so each time
        params = searcher.suggest(number, [])
        searcher.observe(params, float(number), step=1, ended=True)
    assert logged == []

    optuna.create_study()

    assert len(logged) == 1


def test_a_sampler_made_by_name_does_not_warn_that_it_is_experimental():
    assert "PartialFixedSampler" in repr(
        OptunaSearcher("PartialFixedSampler", fixed_params={}, base_sampler=TPESampler())
    )


# --- in a sweep


def flat(quality: Real(0.0, 9.0)):
    for epoch in range(1, 5):
        report(epoch=epoch, accuracy=quality, loss=-quality)


def swinging(quality: Real(0.0, 9.0)):
    for epoch in range(1, 5):
        report(epoch=epoch, accuracy=quality if epoch == 1 else 0.0)


def run(objective, qualities, pruner, **options):
    """Run trials of these qualities one after another; return the sweep's trials."""
    defaults = (
        {"maximize": "accuracy", "workers": Simulated(1)}
        if "minimize" not in options
        else {"workers": Simulated(1)}
    )
    points = Points([{"quality": quality} for quality in qualities])
    sweep = Sweep(
        objective, searcher=points, scheduler=OptunaPruner(pruner), **{**defaults, **options}
    )
    return sweep.run().snapshot().trials


def test_a_sweep_by_name_finds_the_best():  # FEATURES P2
    def square(x: Real(-1.0, 1.0)):
        return -((x - 0.3) ** 2)

    done = Sweep(square, maximize="value", searcher="optuna", trials=30, workers=Inline(2)).run()

    assert done.best_value > -0.01


def test_a_gaussian_process_leaves_the_kernel_free(caplog):
    caplog.set_level(logging.INFO, "nbtune")  # says when it has to think in the kernel
    sampler = optuna.samplers.GPSampler(n_startup_trials=2)

    done = Sweep(
        flat, maximize="accuracy", searcher=OptunaSearcher(sampler), trials=5, workers=Inline(1)
    ).run()

    assert OptunaSearcher("GPSampler").apart
    assert len({trial.params["quality"] for trial in done.snapshot().trials}) == 5
    assert "thinks in the kernel" not in caplog.text


def test_successive_halving_prunes_as_computed_by_hand():  # FEATURES C1
    halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)

    # Rungs at 1, 2 and 4; of n at a rung, the best n // 2 pass, and at least one.
    trials = run(flat, [1, 3, 2, 4, 2.5, 3.5, 3.2], halving)

    assert [len(trial.reports) for trial in trials] == [4, 4, 1, 4, 1, 4, 2]
    assert trials[6].status is Status.STOPPED
    assert trials[6].reason == "epoch 2: pruned by SuccessiveHalvingPruner"


def test_the_median_pruner_prunes_as_computed_by_hand():  # FEATURES C1
    median = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=2)

    # The median of the complete ones is 2 from the third trial on.
    trials = run(flat, [1, 3, 1.9, 2.0, 1.99], median)

    assert [len(trial.reports) for trial in trials] == [4, 4, 2, 4, 2]


def test_the_median_pruner_compares_the_best_so_far():
    median = optuna.pruners.MedianPruner(n_startup_trials=1)

    assert [len(trial.reports) for trial in run(swinging, [5, 6, 4], median)] == [4, 4, 1]


def test_what_is_minimised_is_turned_for_the_pruner():
    median = optuna.pruners.MedianPruner(n_startup_trials=2)

    trials = run(flat, [1, 3, 1.9, 2.1], median, minimize="loss")

    assert [len(trial.reports) for trial in trials] == [4, 4, 1, 4]


def test_a_score_that_is_no_number_counts_as_the_lowest():
    scheduler = OptunaPruner("MedianPruner", n_startup_trials=1)
    scheduler.setup(seed=0)
    for number, score in enumerate([0.5, -float("inf")]):
        scheduler.start(number)
        answer = scheduler.decide(number, 1, score)
        if number == 0:
            scheduler.end(number, 1, score)

    assert answer.reason == "epoch 1: pruned by MedianPruner"


def test_the_pruner_given_is_never_changed():
    pruner = optuna.pruners.SuccessiveHalvingPruner()  # learns its first rung from the longest
    before = pickle.dumps(pruner)

    run(flat, [1, 2, 3], pruner)

    assert pickle.dumps(pruner) == before
