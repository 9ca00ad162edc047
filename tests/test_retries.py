"""Trials that crash and start again."""

import os
import signal
import time

import pytest

import nbtune
from nbtune import Real, SpecError, Sweep, load_checkpoint, report, save_checkpoint
from nbtune.context import current_trial
from nbtune.schedulers import FIFO, Hyperband
from nbtune.trial import Status
from nbtune.workers import Inline, Local


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def runs_so_far():
    """Count this run of the trial, and return how many there were before it."""
    marks = current_trial().dir / "runs"
    before = marks.read_text() if marks.exists() else ""
    marks.write_text(before + "x")
    return len(before)


def crashing_once(x: Real(0, 1)):
    again = runs_so_far()
    for epoch in range(1, 7):
        if epoch == 4 and not again:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.03)  # what is not in quick succession is sent before `report` returns
        report(epoch=epoch, loss=x + epoch, run=again)


def crashing_always(x: Real(0, 1)):
    runs_so_far()
    report(epoch=1, loss=x)
    os._exit(3)


def keeping(x: Real(0, 1)):
    again = runs_so_far()
    began = load_checkpoint(0) + 1
    for epoch in range(began, 7):
        if epoch == 4 and not again:
            os._exit(1)
        save_checkpoint(epoch)
        time.sleep(0.03)
        report(epoch=epoch, loss=x + epoch, run=again, began=began)


def raising_once(x: Real(0, 1)):
    if not runs_so_far():
        raise OSError("the disk was busy")
    return {"loss": x}


def run(objective, **options):
    defaults = {
        "minimize": "loss",
        "searcher": "random",
        "trials": 2,
        "workers": Local(2),
        "seed": 1,
    }
    return Sweep(objective, **{**defaults, **options}).run()


@pytest.mark.parametrize("scheduler", [FIFO(), Hyperband(max_t=6, grace_period=2)], ids=str)
def test_a_trial_that_crashed_starts_again_and_no_step_is_told_twice(scheduler):
    sweep = run(crashing_once, retries=1, trials=1, scheduler=scheduler)

    [trial] = sweep.snapshot().trials
    assert trial.status is Status.COMPLETED
    assert [(r.step, r.metrics["run"]) for r in trial.reports] == [
        *((step, 0) for step in (1, 2, 3)),
        *((step, 1) for step in (4, 5, 6)),
    ]


def test_a_trial_that_crashed_goes_on_from_its_checkpoint():
    sweep = run(keeping, retries=1, trials=1)

    [trial] = sweep.snapshot().trials
    assert [(r.step, r.metrics["run"], r.metrics["began"]) for r in trial.reports] == [
        *((step, 0, 1) for step in (1, 2, 3)),
        *((step, 1, 4) for step in (4, 5, 6)),
    ]


def test_a_trial_that_always_crashes_fails_after_its_retries():
    sweep = nbtune.load(_failed(crashing_always, retries=2))

    trial = sweep.trial(0)
    assert trial.status is Status.FAILED
    assert "exited with code 3" in trial.reason
    assert trial.reason.endswith("(started 3 times)")
    assert (trial.dir / "runs").read_text() == "xxx"
    assert trial.steps == 1


def _failed(objective, **options):
    with pytest.raises(nbtune.NbtuneError, match="failed"):
        run(objective, name="failing", **options)
    return "failing"


def test_without_retries_a_crash_fails_the_trial():
    sweep = nbtune.load(_failed(crashing_always))

    assert {(t.dir / "runs").read_text() for t in sweep.snapshot().trials} == {"x"}


@pytest.mark.parametrize("workers", [Inline(1), Local(2)], ids=["inline", "local"])
def test_an_exception_is_retried_only_when_asked_for(workers):
    sweep = run(raising_once, retries=1, retry_exceptions=True, workers=workers)

    assert sweep.counts[Status.COMPLETED] == 2


def test_an_exception_is_a_mistake_and_not_retried_by_itself():
    sweep = nbtune.load(_failed(raising_once, retries=3))

    assert sweep.counts[Status.FAILED] == 2


def test_a_killed_trial_is_not_retried():
    def hanging(x: Real(0, 1)):
        runs_so_far()
        report(epoch=1, loss=x)
        while True:
            pass

    def kill(event):
        if isinstance(event, nbtune.engine.TrialReported):
            sweep.kill(event.number)

    sweep = Sweep(
        hanging, minimize="loss", trials=1, retries=3, workers=Local(1), callbacks=(kill,)
    )
    sweep.run()

    [trial] = sweep.snapshot().trials
    assert (trial.status, trial.reason) == (Status.STOPPED, "killed by you")
    assert (trial.dir / "runs").read_text() == "x"


@pytest.mark.parametrize("retries", [-1, 1.5, True, "2"])
def test_retries_are_a_whole_number(retries):
    with pytest.raises(SpecError, match="whole number from 0"):
        Sweep(raising_once, minimize="loss", trials=1, retries=retries)
