"""Trials that are paused and go on: in the engine, on every kind of worker, and over a restart."""

import re
import subprocess
import sys

import pytest
from driving import PATIENCE, wait_until

import nbtune
from nbtune import Real, Sweep, load_checkpoint, report, save_checkpoint
from nbtune.engine.history import replay
from nbtune.engine.ledger import Run
from nbtune.schedulers import Hyperband, SyncHyperband
from nbtune.searchers import Points
from nbtune.store import Store
from nbtune.trial import Status
from nbtune.workers import Inline, Local, Simulated


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def keeping(quality: Real(0, 1)):
    done, weight = load_checkpoint((0, 0.0))
    for epoch in range(done + 1, 10):
        weight += quality
        save_checkpoint((epoch, weight))
        report(epoch=epoch, accuracy=weight / epoch - 1 / epoch, began=done)


def starting_over(quality: Real(0, 1)):
    for epoch in range(1, 10):
        report(epoch=epoch, accuracy=quality - 1 / epoch, began=0)


def sweep(objective, **options):
    defaults = {
        "maximize": "accuracy",
        "searcher": "random",
        "scheduler": Hyperband(max_t=9, type="promotion"),
        "trials": 27,
        "workers": Inline(2),
        "seed": 1,
    }
    return Sweep(objective, **{**defaults, **options})


workers = pytest.mark.parametrize(
    "workers", [Inline(2), Local(2), Simulated(2)], ids=["inline", "local", "simulated"]
)


@workers
@pytest.mark.parametrize("objective", [keeping, starting_over])
def test_every_step_of_a_promoted_trial_is_there_once(objective, workers):  # FEATURES A5
    done = sweep(objective, workers=workers).run()

    steps = [[report.step for report in trial.reports] for trial in done.snapshot().trials]
    assert all(each == list(range(1, len(each) + 1)) for each in steps)
    assert {len(each) for each in steps} == {1, 3, 9}


@pytest.mark.parametrize("workers", [Inline(2), Local(2)], ids=["inline", "local"])
def test_a_promoted_trial_goes_on_from_its_checkpoint(workers):  # FEATURES A5
    # The best come first, and the first two to arrive are paused in any case.
    falling = Points([{"quality": 1 - number / 30} for number in range(27)])
    done = sweep(keeping, workers=workers, searcher=falling).run()

    began = {
        report.metrics["began"] for trial in done.snapshot().trials for report in trial.reports
    }
    assert began & {1.0, 3.0}


@workers
def test_a_trial_is_paused_or_complete_and_never_stopped(workers):
    done = sweep(keeping, workers=workers).run()

    counts = done.counts
    assert counts[Status.PAUSED] + counts[Status.COMPLETED] == 27
    assert counts[Status.COMPLETED] >= 1


@workers
def test_synchronous_hyperband_ends_when_its_brackets_are_done(workers):
    done = sweep(keeping, scheduler=SyncHyperband(max_t=9), workers=workers, trials=100).run()

    assert done.reason == "the schedule is complete"
    assert len(done.trials) == 17  # 9, 5 and 3 trials in its three brackets
    assert done.counts[Status.RUNNING] == 0


def test_after_a_restart_the_rungs_stand_as_they_stood_and_promotion_goes_on():
    first = sweep(keeping, name="two", trials=9).run()
    stood = first._engine._scheduler.rungs_table()

    again = nbtune.load("two").resume(trials=40)
    assert again.wait(PATIENCE)

    assert stood
    fresh = nbtune.load("two")
    assert {trial.steps for trial in fresh.snapshot().trials} == {1, 3, 9}
    rungs = {row.level: row.trials for row in again._engine._scheduler.rungs_table()}
    assert rungs[1] == 40
    assert rungs[3] == sum(trial.steps >= 3 for trial in fresh.snapshot().trials)


def test_a_replayed_history_brings_a_scheduler_to_where_it_stood():
    done = sweep(keeping, trials=27).run()
    runs = [Run.from_trial(trial, "suggested") for trial in done.snapshot().trials]
    scheduler = Hyperband(max_t=9, type="promotion")
    scheduler.setup(seed=1, step_name="epoch", max_t=None)

    replay(scheduler, runs, done.goal)

    assert scheduler.rungs_table() == done._engine._scheduler.rungs_table()


def test_rungs_and_explain_say_why_a_trial_was_stopped():
    done = sweep(starting_over, scheduler=Hyperband(max_t=9), workers=Inline(1)).run()

    rungs = done.rungs()
    stopped = next(trial for trial in done.snapshot().trials if trial.status is Status.STOPPED)
    told = done.explain(stopped)

    assert list(rungs.columns) == ["bracket", "level", "trials", "passed", "cutoff"]
    assert rungs.set_index("level").loc[1, "trials"] == 27
    assert told.rung == stopped.steps
    assert told.score < told.cutoff
    assert 1 < told.rank <= told.of


def test_a_stored_sweep_explains_itself_as_the_live_one_did():
    done = sweep(starting_over, name="told", scheduler=Hyperband(max_t=9)).run()

    assert nbtune.load("told").rungs().equals(done.rungs())


LEARN = """
import sys, time
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
import nbtune
from nbtune import Real, load_checkpoint, report, save_checkpoint

X, y = load_digits(return_X_y=True)

def train(alpha: Real(1e-5, 1e-1, log=True)):
    model, done = load_checkpoint((SGDClassifier(alpha=alpha, random_state=0), 0))
    began = done
    for epoch in range(done + 1, 13):
        model.partial_fit(X, y, classes=np.arange(10))
        save_checkpoint((model, epoch))
        time.sleep(0.1)
        report(epoch=epoch, accuracy=model.score(X, y), began=began)

sweep = nbtune.Sweep(
    train, maximize="accuracy", searcher="random", trials=3, workers=1, name="killed", seed=3
).start()
sweep.wait()
"""


def test_an_estimator_goes_on_from_its_checkpoint_after_a_kill(tmp_path):  # FEATURES A8
    script = tmp_path / "script.py"
    script.write_text(LEARN)
    with subprocess.Popen([sys.executable, str(script)]) as process:
        wait_until(lambda: "killed" in Store().names())
        wait_until(lambda: len(nbtune.load("killed").reports) > 5)
        process.kill()
    before = nbtune.load("killed").snapshot().trials

    again = nbtune.load("killed").resume()
    assert again.wait(PATIENCE)

    after = again.snapshot().trials
    assert [[report.step for report in trial.reports] for trial in after] == [[*range(1, 13)]] * 3
    cut = next(trial for trial in before if trial.status is Status.RUNNING)
    began = [report.metrics["began"] for report in after[cut.number].reports]
    assert began[0] == 0
    assert began[-1] >= cut.steps - 2


def test_what_is_enqueued_runs_beside_a_schedule_that_is_full():
    waiting = sweep(starting_over, scheduler=SyncHyperband(max_t=9), trials=100)
    for tenth in range(20):
        waiting.enqueue({"quality": tenth / 20})

    done = waiting.run()

    qualities = [trial.params["quality"] for trial in done.snapshot().trials]
    assert {tenth / 20 for tenth in range(20)} <= set(qualities)
    assert done.reason == "the schedule is complete"


def reasons(done, status):
    return {trial.reason for trial in done.snapshot().trials if trial.status is status}


@pytest.mark.parametrize("scheduler", [Hyperband(max_t=9, type="promotion"), SyncHyperband(9)])
def test_a_trial_left_paused_says_how_it_stood_and_that_it_is_not_promoted(scheduler):
    done = sweep(keeping, name="left", scheduler=scheduler).run()

    said = reasons(done, Status.PAUSED)
    assert all(
        re.fullmatch(r"rung [13]: \d+ of \d+; not promoted when the sweep ended", reason)
        for reason in said
    )
    assert said == reasons(nbtune.load("left"), Status.PAUSED)


def test_a_sweep_that_is_resumed_has_not_given_up_its_paused_trials():
    sweep(keeping, name="left", trials=9).run()
    again = nbtune.load("left").resume(trials=40)
    first = reasons(again, Status.PAUSED)
    again.wait(PATIENCE)

    assert not any("not promoted" in reason for reason in first)
    assert all(reason.count("not promoted") == 1 for reason in reasons(again, Status.PAUSED))


def falling_behind(quality: Real(0, 1), loss_at_last: Real(0, 1)):
    for epoch in range(1, 10):
        report(epoch=epoch, accuracy=quality - 1 / epoch - loss_at_last * (epoch == 9))


def test_a_trial_stopped_where_others_ended_by_themselves_says_so():
    points = [{"quality": 0.5, "loss_at_last": 0.0}, {"quality": 0.6, "loss_at_last": 0.5}]
    options = {"scheduler": Hyperband(), "searcher": Points(points), "trials": None}

    done = sweep(falling_behind, workers=Inline(1), **options).run()

    first, second = done.snapshot().trials
    assert (first.status, first.reason) == (Status.COMPLETED, "")
    assert second.reason == "rung 9: below the best third; others ended at 9 as well"
