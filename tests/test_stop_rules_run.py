"""Rules that end a sweep, in real runs: in order, with the results kept and the reason said."""

import pytest
from driving import PATIENCE

import nbtune
from nbtune import Int, Real, SpecError, Sweep, report
from nbtune.engine import SweepStatus
from nbtune.searchers import Grid
from nbtune.stopping import FailureRate, MetricThreshold, Plateau
from nbtune.trial import Status
from nbtune.workers import Inline, Local, Simulated


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def ladder(x: Int(0, 30)):
    for epoch in range(1, 4):
        report(epoch=epoch, accuracy=x / 10 + epoch / 100)


def flat(x: Int(0, 30)):
    report(epoch=1, accuracy=0.5)


def odd_fails(x: Int(0, 30)):
    if x % 2:
        raise ValueError("odd")
    return x


def sweep(objective, rule, **options):
    defaults = {"maximize": "accuracy", "searcher": Grid(), "workers": Inline(1), "seed": 0}
    return Sweep(objective, stop_when=rule, **{**defaults, **options})


@pytest.mark.parametrize("workers", [Inline(1), Local(1), Simulated(1)])
def test_a_metric_that_is_reached_ends_the_sweep(workers):  # FEATURES P4
    done = sweep(ladder, MetricThreshold("accuracy", 0.52), workers=workers).run()

    assert done.status is SweepStatus.COMPLETED
    assert done.reason == "accuracy reached 0.52 in trial 5"
    assert done.counts[Status.RUNNING] == 0
    assert done.best_value >= 0.52


def test_a_plateau_ends_the_sweep():
    done = sweep(flat, Plateau(trials=4)).run()

    assert done.reason == "no better accuracy in 4 trials"
    assert len(done.trials) == 5


def test_a_plateau_in_time_ends_the_sweep_while_nothing_happens():
    def once(x: Int(0, 1)):
        report(epoch=1, accuracy=0.5)
        report(epoch=100, accuracy=0.4)

    done = sweep(
        once,
        Plateau(seconds=10),
        workers=Simulated(1, seconds=lambda params, step: 1.0 if step == 1 else 50.0),
    ).run()

    assert done.reason == "no better accuracy in 10 s"


def test_too_many_failures_end_the_sweep_and_the_rest_is_kept():  # FEATURES P4
    done = sweep(odd_fails, FailureRate(0.25), trials=20).run()

    assert done.reason == "5 of 20 trials failed"
    assert done.counts[Status.COMPLETED] == 5


def test_any_of_several_rules_ends_the_sweep():
    done = sweep(ladder, [Plateau(trials=50), MetricThreshold("accuracy", 0.3)]).run()

    assert done.reason == "accuracy reached 0.3 in trial 3"


def test_a_resumed_sweep_remembers_what_its_rules_were_told():
    sweep(flat, Plateau(trials=6), trials=4, name="flat", searcher="random").run()

    again = nbtune.load("flat").resume(trials=30)
    assert again.wait(PATIENCE)

    assert again.reason == "no better accuracy in 6 trials"
    assert len(again.trials) == 7


def test_what_is_no_rule_is_refused():
    with pytest.raises(SpecError, match=r"MetricThreshold\('accuracy', 0.98\)"):
        sweep(ladder, 0.9)


def test_a_metric_that_is_not_optimised_needs_a_direction():
    with pytest.raises(SpecError, match="direction='maximize'"):
        sweep(ladder, MetricThreshold("loss", 0.1))


def test_a_rule_does_not_replace_a_budget():
    with pytest.raises(SpecError, match="no budget"):
        Sweep(lambda x: x, {"x": Real(0, 1)}, maximize="a", stop_when=Plateau(trials=3))
