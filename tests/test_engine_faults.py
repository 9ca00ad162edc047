"""What goes wrong around the engine costs what it must, and nothing hangs."""

import contextlib
import time

import pytest

from nbtune import Real, Sweep, current_trial, report
from nbtune.context import MOST_STEPS
from nbtune.decision import Complete, Continue, Pause, Reject, Stop
from nbtune.engine import ending
from nbtune.engine.guard import GuardedRule, GuardedScheduler
from nbtune.schedulers.base import Scheduler
from nbtune.schedulers.step_cap import StepCap
from nbtune.stopping import StopRule
from nbtune.store import Store
from nbtune.workers import Inline, Local

PATIENCE = 120  # seconds for what takes a few


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def ended(objective, **options):
    defaults = {"searcher": "random", "trials": 1, "workers": Inline(1), "name": "digits"}
    sweep = Sweep(objective, minimize="loss", **{**defaults, **options})
    sweep.start()
    assert sweep._engine.done.wait(PATIENCE)
    return sweep


class AtFirst(Scheduler):
    """Decides at the first report."""

    def __init__(self, decision):
        self.decision = decision

    def start(self, number):
        return Continue(1)

    def decide(self, number, step, score):
        return self.decision

    def end(self, number, step, score):
        pass


def swallows_all(x: Real(0, 1)):
    while True:
        with contextlib.suppress(BaseException):
            report(loss=x)
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("decision", "status", "reason"),
    [
        (Stop("too slow"), "stopped", "too slow"),
        (Complete("all spent"), "completed", "all spent"),
        (Pause("waits"), "paused", "waits; not promoted when the sweep ended"),
        (Reject("report it otherwise"), "failed", "ReportError at epoch 1: report it otherwise"),
    ],
)
def test_a_trial_that_swallows_its_schedulers_decision_gives_its_slot_back(
    decision, status, reason, monkeypatch
):
    monkeypatch.setattr(ending, "CLEAN_UP_SECONDS", 10.0**6)  # it is heard to go on
    sweep = ended(swallows_all, workers=Local(1), scheduler=AtFirst(decision))

    trial = sweep.trial(0)
    assert (trial.status, trial.reason) == (status, reason)
    assert sweep.status.ended


def saves_a_model(x: Real(0, 1)):
    try:
        report(loss=x)
    finally:
        time.sleep(1)
        (current_trial().dir / "model").write_text("saved")


@pytest.mark.parametrize("decision", [Stop("too slow"), Complete("all spent"), Pause("waits")])
def test_a_trial_that_its_scheduler_ended_may_save_its_model(decision, monkeypatch):
    monkeypatch.setattr(ending, "STOP_GRACE_SECONDS", 0.05)

    sweep = ended(saves_a_model, workers=Local(1), scheduler=AtFirst(decision))

    assert (sweep.trial(0).dir / "model").read_text() == "saved"
    assert sweep.warnings == []


def never_ends(x: Real(0, 1)):
    try:
        report(loss=x)
    finally:
        while True:
            time.sleep(0.01)


def test_one_that_does_not_end_and_says_nothing_is_killed_with_a_warning(monkeypatch):
    monkeypatch.setattr(ending, "CLEAN_UP_SECONDS", 1.0)

    sweep = ended(never_ends, workers=Local(1), scheduler=AtFirst(Complete("all spent")))

    assert (sweep.trial(0).status, sweep.trial(0).reason) == ("completed", "all spent")
    assert [warning.code for warning in sweep.warnings] == ["trial-killed"]


@pytest.mark.parametrize(
    ("around", "base"),
    [(GuardedScheduler, Scheduler), (StepCap, Scheduler), (GuardedRule, StopRule)],
)
def test_what_stands_around_a_part_passes_on_each_of_its_methods(around, base):
    methods = {name for name, it in vars(base).items() if callable(it) and name[0] != "_"}

    assert methods - {"setup"} <= vars(around).keys()


@pytest.mark.parametrize("step", [2**53 + 1, 2**63 - 1, 2**63, 10**400])
def test_a_step_beyond_what_is_counted_fails_the_trial_alone(step):
    def train(x: Real(0, 1)):
        report(epoch=1, loss=x)
        if x > 0.5:
            report(epoch=step, loss=x)

    sweep = ended(train, trials=8, seed=1)

    statuses = {trial.params["x"] > 0.5: trial.status for trial in sweep.snapshot().trials}
    assert statuses == {False: "completed", True: "failed"}
    assert sweep.status == "completed"
    failures = [trial.failure for trial in sweep.snapshot().trials if trial.failure]
    assert {failure.type for failure in failures} == {"ReportError"}


def test_a_value_that_follows_the_last_step_there_is_is_stored():
    def train(x: Real(0, 1)):
        report(epoch=MOST_STEPS, loss=x)
        return x + 1

    sweep = ended(train)

    stored = Sweep.stored(Store(), Store().sweep("digits"))
    assert [report.step for report in stored.trial(0).reports] == [MOST_STEPS, MOST_STEPS + 1]
    assert sweep.status == "completed"


def test_limits_do_not_follow_the_time_of_day(monkeypatch):
    told = iter(range(10**9))
    real = time.time
    jump = {"by": 0.0}
    monkeypatch.setattr(time, "time", lambda: real() + jump["by"])

    def train(x: Real(0, 1)):
        report(epoch=1, loss=x)
        jump["by"] += 7200 if next(told) % 2 else -3600

    sweep = ended(
        train, trials=6, time_limit=600, compute_time_limit=600, trial_time_limit=600, seed=1
    )

    assert sweep.reason == "6 of 6 trials"
    assert 0 <= sweep.snapshot().elapsed < 600
