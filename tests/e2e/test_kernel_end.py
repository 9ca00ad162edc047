"""What becomes of a sweep, and of its processes, when its kernel is interrupted or ends."""

import json
import time

import pytest
from jupyterlab_page import eventually
from kernel_driver import Kernel

LOAD = "%load_ext nbtune\nfrom nbtune import Real, report"

# Each trial has a child that would outlive the test.
TUNE = """%%tune demo --maximize accuracy --trials {trials} --searcher random --workers 2 --quiet
import subprocess, time
lr: Real(0.0, 1.0) = 0.5
child = subprocess.Popen(["sleep", "600"])
for epoch in range(1, 6):
    time.sleep({pause})
    report(epoch=epoch, accuracy=lr * epoch)
child.kill()
child.wait()
"""

ENDED = """import json, time
ended = [t for t in demo.snapshot().trials if t.status.ended and t.ended < time.time() - 1]
json.dumps({t.number: [t.params, t.value("accuracy")] for t in ended})"""


@pytest.fixture
def kernel(tmp_path):
    with Kernel(tmp_path) as kernel:
        assert kernel.run(LOAD) == ""
        yield kernel


def ended_trials(kernel):
    return json.loads(kernel.run(ENDED).strip("'"))


def start(kernel, *, trials=1000, pause=0.1):
    """Start a sweep and wait until both slots run a trial."""
    assert kernel.run(TUNE.format(trials=trials, pause=pause)) == ""
    running = "sum(t.status == 'running' for t in demo.snapshot().trials)"
    eventually(lambda: kernel.run(running) == "2")


def assert_nothing_is_left(kernel):
    """Nothing is left soon, and nothing comes back."""
    eventually(lambda: not kernel.workers())
    time.sleep(3)
    assert kernel.workers() == []


def test_a_killed_kernel_leaves_no_process_and_loses_no_finished_trial(kernel, tmp_path):
    start(kernel, trials=24)
    eventually(lambda: len(ended_trials(kernel)) >= 4)
    before = ended_trials(kernel)

    kernel.manager.signal_kernel(9)

    assert_nothing_is_left(kernel)
    with Kernel(tmp_path) as second:
        second.run("import nbtune\ndemo = nbtune.load('demo').resume()\ndemo.wait()")
        statuses = second.run("{t.status.value for t in demo.snapshot().trials}")
        time.sleep(1)
        after = ended_trials(second)
    assert statuses == "{'completed'}"
    assert len(after) == 24
    assert {number: after[number] for number in before} == before


@pytest.mark.parametrize("end", ["restart", "shutdown", "terminate"])
def test_no_process_is_left_after(kernel, end):
    start(kernel)
    assert len(kernel.workers()) >= 4

    match end:
        case "restart":
            kernel.restart()
        case "shutdown":
            kernel.manager.shutdown_kernel()
        case "terminate":
            kernel.manager.signal_kernel(15)

    assert_nothing_is_left(kernel)


def test_an_interrupt_ends_the_wait_but_not_the_sweep(kernel):
    start(kernel)
    ended = len(ended_trials(kernel))
    kernel.begin("demo.wait()")
    time.sleep(1)

    kernel.manager.interrupt_kernel()
    said = kernel.finish()

    assert len(said.splitlines()) == 1
    assert "demo.stop()" in said
    assert kernel.run("demo.status.value") == "'running'"
    eventually(lambda: len(ended_trials(kernel)) >= ended + 4)
    assert kernel.run("any(t.failure for t in demo.snapshot().trials)") == "False"
