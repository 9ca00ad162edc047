"""Whatever ends the process, nothing finished is lost and nothing is left running."""

import signal
import subprocess
import sys
import time

import psutil
import pytest
from driving import PATIENCE, wait_until

import nbtune
from nbtune.engine import SweepStatus
from nbtune.store import Store
from nbtune.trial import Status

SCRIPT = """
import os, subprocess, sys, time
import nbtune
from nbtune.store import Store
from nbtune import Real, report

def train(x: Real(0, 1)):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    for epoch in range(1, 6):
        time.sleep(0.1)
        report(epoch=epoch, loss=x / epoch)
    child.kill()
    child.wait()

sweep = nbtune.Sweep(
    train, minimize="loss", searcher="random", trials=12, workers=2, name="killed", seed=3
).start()
print("started", flush=True)
sweep.wait()
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    return tmp_path


@pytest.fixture
def killed(home):
    """A sweep whose process was killed when some trials were done and some ran."""
    script = home / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(script)], cwd=home)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        counts = Store().counts().get("killed", {})
        if counts.get("completed", 0) >= 3 and counts.get("running"):
            break
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return family


def test_a_killed_process_leaves_no_worker_and_no_child_of_one(killed):
    _, alive = psutil.wait_procs(killed, timeout=PATIENCE)

    assert killed
    assert alive == []


def test_a_killed_sweep_is_interrupted_with_its_finished_trials(killed):
    sweep = nbtune.load("killed")

    assert sweep.status is SweepStatus.INTERRUPTED
    assert sweep.counts[Status.COMPLETED] >= 3
    assert sweep.best is not None


def test_resume_completes_a_killed_sweep(killed):  # FEATURES A8
    before = nbtune.load("killed").snapshot().trials

    sweep = nbtune.load("killed").resume()
    assert sweep.wait(PATIENCE)

    after = sweep.snapshot().trials
    assert len(after) == 12
    assert sweep.counts[Status.COMPLETED] == 12
    for trial in before:
        assert after[trial.number].params == trial.params
        if trial.status is Status.COMPLETED:
            assert after[trial.number].reports == trial.reports
    assert all(trial.steps == 5 for trial in after)


WATCH = """
import sys, time, nbtune
sweep = nbtune.load("killed")
print(sweep.status, flush=True)
try:
    sweep.resume(trials=20)
except nbtune.SweepError as error:
    print(error, flush=True)
"""


def test_a_second_process_sees_the_sweep_run_and_cannot_take_it_over(home):
    script = home / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=home, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        seen = subprocess.run(
            [sys.executable, "-c", WATCH], capture_output=True, text=True, check=True, cwd=home
        ).stdout.splitlines()
        process.kill()

    assert seen[0] == "running"
    assert f"is running in process {process.pid}" in seen[1]


def sleeping(process):
    """Return what the trials of a script have started."""
    family = psutil.Process(process.pid).children(recursive=True)
    return [each for each in family if each.name() == "sleep"]


def test_a_script_that_ends_while_its_sweep_runs_leaves_nothing(home):
    script = home / "script.py"
    script.write_text(
        SCRIPT.replace("sweep.wait()", "input()").replace("time.sleep(0.1)", "time.sleep(1000)")
    )
    with subprocess.Popen([sys.executable, str(script)], cwd=home, stdin=-1, text=True) as process:
        wait_until(lambda: len(sleeping(process)) == 2)
        family = psutil.Process(process.pid).children(recursive=True)
        process.communicate("\n", timeout=PATIENCE)
        assert process.returncode == 0

    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert alive == []
