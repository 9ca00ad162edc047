"""How long one trial may be at most, and at least before any rule stops it."""

import pytest

from nbtune import Real, SpecError, Sweep, report
from nbtune.decision import Complete, Continue, Stop
from nbtune.exceptions import NbtuneWarning
from nbtune.schedulers import (
    FIFO,
    AverageRule,
    DiffRule,
    Hyperband,
    MedianRule,
    OptunaPruner,
    Patience,
    StepCap,
    SyncHyperband,
    TruncationRule,
)
from nbtune.schedulers.rungs import BracketPlan, bracket_plans
from nbtune.searchers import Points
from nbtune.trial import Status
from nbtune.workers import Inline

# Each rule with a grace period of 4, the first step at which it may stop a trial.
PATIENT = [
    MedianRule(grace_period=4, min_samples=1),
    AverageRule(grace_period=4, min_samples=1),
    DiffRule(grace_period=4, min_samples=1),
    Patience(steps=1, grace_period=4),
    OptunaPruner("MedianPruner", n_startup_trials=1, n_warmup_steps=0, grace_period=4),
    Hyperband(max_t=9, grace_period=4, reduction_factor=2),
    SyncHyperband(max_t=9, grace_period=4, reduction_factor=2),
]
SCHEDULERS = [
    FIFO(),
    Hyperband(),
    Hyperband(type="promotion"),
    SyncHyperband(),
    MedianRule(),
    OptunaPruner(),
    Patience(steps=50),
]


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def falling(x: Real(0, 1) = 0.5):
    for epoch in range(1, 41):
        report(epoch=epoch, loss=x / epoch)


def sweep(objective=falling, **options):
    given = {"minimize": "loss", "searcher": "random", "trials": 8, "seed": 1}
    return Sweep(objective, **{**given, "workers": Inline(1), **options})


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=repr)
def test_no_trial_reports_more_steps_than_the_cap(scheduler):
    done = sweep(scheduler=scheduler, trial_max_steps=5).run()

    assert max(trial.steps for trial in done.snapshot().trials) <= 5


def test_a_trial_at_the_cap_is_complete():
    done = sweep(trials=1, trial_max_steps=5).run()

    trial = done.trial(0)
    assert (trial.status, trial.reason) == (Status.COMPLETED, "trial_max_steps=5 reached")


def test_the_cap_is_hyperbands_max_t_where_it_has_none():
    done = sweep(scheduler="hyperband", trial_max_steps=9)

    assert done.snapshot().rungs == (1, 3, 9)


def test_a_trial_that_never_reports_the_metric_ends_at_the_cap():
    def mute(x: Real(0, 1) = 0.5):
        for epoch in range(1, 41):
            report(epoch=epoch, other=x)
        report(epoch=41, loss=x)

    done = sweep(mute, trials=1, trial_max_steps=5).start()
    done._engine.done.wait()

    assert done.trial(0).steps == 5
    assert "metric 'loss' was never reported" in done.reason


def test_a_capped_sweep_that_is_resumed_keeps_its_cap():
    done = sweep(scheduler="hyperband", trial_max_steps=5, trials=3).run()

    done.resume(trials=6)
    done.wait()

    assert len(done.snapshot().trials) == 6
    assert max(trial.steps for trial in done.snapshot().trials) <= 5


def test_the_scheduler_takes_a_trial_at_the_cap_as_one_that_ended_there():
    told = []

    class Noting(FIFO):
        def end(self, number, step, score):
            told.append((number, step, score))

    capped = StepCap(Noting(), 3)
    capped.setup(seed=0)

    assert capped.start(0) == Continue(3)
    assert capped.decide(0, 3, -0.5) == Complete("trial_max_steps=3 reached")
    assert told == [(0, 3, -0.5)]


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "many"])
def test_a_cap_that_is_no_whole_number_from_1_is_refused(value):
    with pytest.raises(SpecError, match=r"trial_max_steps=.*give a whole number from 1"):
        sweep(trial_max_steps=value)


@pytest.mark.parametrize("scheduler", PATIENT, ids=lambda scheduler: type(scheduler).__name__)
def test_no_rule_stops_a_trial_before_its_grace_period(scheduler):
    better = [{"x": 0.1 * (1 + number)} for number in range(6)]  # each is worse than those before

    def worse(x: Real(0, 1) = 0.5):
        for epoch in range(1, 10):
            report(epoch=epoch, loss=x + 0.01 * epoch)

    done = sweep(worse, scheduler=scheduler, searcher=Points(better)).run()

    stopped = [t.steps for t in done.snapshot().trials if t.status is Status.STOPPED]
    assert min(stopped) == 4


def test_the_worst_running_trials_are_not_stopped_before_their_grace_period():
    rule = TruncationRule(share=0.9, grace_period=4, min_samples=1)
    rule.setup(seed=0)
    rule.start(0)
    rule.start(1)

    decisions = [[rule.decide(number, step, -number) for number in (0, 1)] for step in range(1, 5)]

    assert [type(worse) for _, worse in decisions] == [Continue, Continue, Continue, Stop]


def test_a_max_t_above_the_cap_is_warned_of():
    capped = StepCap(Hyperband(max_t=27), 5)

    with pytest.warns(NbtuneWarning, match=r"or trial_max_steps, is 5; .* complete at epoch 5"):
        capped.setup(seed=0)


def test_brackets_begin_at_the_grace_period():
    assert bracket_plans(9, 3, 3) == [
        BracketPlan(sizes=(3, 1), levels=(3, 9)),
        BracketPlan(sizes=(2,), levels=(9,)),
    ]


def test_a_grace_period_longer_than_a_trial_is_refused():
    with pytest.raises(SpecError, match=r"grace_period=10\): longer than max_t=9"):
        sweep(scheduler=SyncHyperband(max_t=9, grace_period=10))


def test_a_pruner_is_asked_from_its_grace_period_on():
    pruner = OptunaPruner("ThresholdPruner", lower=0.0, grace_period=3)
    pruner.setup(seed=0)
    pruner.start(0)

    assert [type(pruner.decide(0, step, -1.0)) for step in (1, 2, 3)] == [Continue, Continue, Stop]


def test_a_pruner_refuses_a_grace_period_that_is_no_number():
    with pytest.raises(SpecError, match=r"grace_period=0\): needs an integer of at least 1"):
        OptunaPruner(grace_period=0)
