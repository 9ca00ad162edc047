"""A real sweep in which one trial goes wrong beside another, and a look at what is left."""

import gc
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from driving import PATIENCE, is_gone, wait_until

import nbtune
from nbtune.engine.events import TrialEnded
from nbtune.searchers import Points
from nbtune.trial import Trial
from nbtune.workers import Local

NEIGHBOUR, FAULT, NEXT = 0, 1, 2


@dataclass
class Scene:
    """How a sweep of three trials went: a neighbour, the fault beside it, the next in its slot."""

    sweep: nbtune.Sweep
    neighbour: Trial
    fault: Trial
    next: Trial


@pytest.fixture
def beside(tmp_path):
    """Run a fault on one of two slots while a neighbour runs on the other.

    The neighbour ends only after the trial that follows the fault on its slot, unless it is told
    not to wait. Asserts what holds for all faults: neighbour and next trial are right, and the next
    one had the fault's slot while the neighbour ran.
    """

    def run(fault, *, after=None, meanwhile=None, neighbour_waits=True, **options):
        go = tmp_path / "go"
        workers = Local(2, memory=options.pop("memory", None))
        sweep = nbtune.Sweep(
            three_roles(fault, after, go if neighbour_waits else None),
            maximize="value",
            searcher=Points([{"role": NEIGHBOUR}, {"role": FAULT}, {"role": NEXT}]),
            workers=workers,
            store=tmp_path / "store",
            callbacks=(releasing(go),),
            **options,
        ).start()
        try:
            if meanwhile is not None:
                meanwhile(sweep)
            assert sweep.wait(timeout=PATIENCE)
        finally:
            go.touch()
            if sweep.running_here:
                sweep.stop()
                sweep.wait(timeout=PATIENCE)
        scene = Scene(sweep, *sweep.snapshot().trials)
        assert (scene.neighbour.status, scene.neighbour.value("value")) == ("completed", 5.5)
        assert scene.next.status == "completed", scene.next
        assert scene.neighbour.ended > scene.next.ended or not neighbour_waits
        return scene

    return run


def three_roles(fault, after, go):
    def objective(role: nbtune.Int(0, 2)):
        if role == FAULT:
            return fault()
        if role == NEXT:
            seen = after() if after is not None else None
            return 7.5 if seen is None else seen
        while go is not None and not go.exists():
            time.sleep(0.01)
        return 5.5

    return objective


def releasing(go):
    """Return a callback that lets the neighbour end once the last trial has."""

    def release(event):
        if isinstance(event, TrialEnded) and event.trial.number == NEXT:
            go.touch()

    return release


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path, short_path, monkeypatch):
    """Assert that neither process, thread, semaphore, shared memory nor temporary file remains."""
    temporary = short_path / "temp"  # a socket finds room in it
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("NBTUNE_FAULT", str(tmp_path))  # marks all that a trial starts
    threads = set(threading.enumerate())
    shared = _shared_files()

    yield

    gc.collect()
    wait_until(lambda: not _marked(str(tmp_path)))
    wait_until(lambda: set(threading.enumerate()) <= threads)
    wait_until(lambda: _shared_files() <= shared)
    assert list(temporary.iterdir()) == []
    for file in tmp_path.glob("pid-*"):
        assert is_gone(int(file.name.removeprefix("pid-")))


def _marked(mark):
    """Return the processes, other than this, whose environment carries the test's mark."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get("NBTUNE_FAULT") == mark
            # Python's tracker of shared memory serves this process to its end.
            if marked and "resource_tracker" not in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return [each for each in found if each.pid != os.getpid() and not is_gone(each.pid)]


def _shared_files():
    """Return this process's files in shared memory."""
    return {path.name for path in Path("/dev/shm").iterdir() if f"-{os.getpid()}-" in path.name}
