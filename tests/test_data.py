"""Data reaches the trials once, fresh for each, and outlives the process with its sweep."""

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch

import nbtune
from nbtune.exceptions import StoreError
from nbtune.objective import memory as memory_module
from nbtune.objective.memory import Memory, of_this_process
from nbtune.store import Store
from nbtune.workers import Local

ROWS = 400_000
PACK = 2_100_000  # numbers that have a file to themselves
MB = 10**6


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A store and a memory of the test's own."""
    root = Path(tempfile.mkdtemp(prefix="nbtune-test-", dir="/dev/shm"))
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(memory_module, "_ROOT", root)
    monkeypatch.setattr(memory_module, "_of_this_process", Memory(root))
    yield tmp_path
    of_this_process().close()
    shutil.rmtree(root)


def files(folder):
    return {} if folder is None else {p.name: p for p in folder.iterdir() if p.name != ".lock"}


def sweep(data, use=lambda data: float(data[0]), *, name="sweep", trials=2, **options):
    def train(x: nbtune.Real(0, 1)):
        return use(data)

    return nbtune.Sweep(
        train,
        maximize="y",
        searcher="random",
        trials=trials,
        workers=Local(1),
        name=name,
        **options,
    )


def values(sweep):
    return [trial.value("y") for trial in sweep.snapshot().trials]


def test_data_lies_once_in_memory_and_once_in_the_store():
    sweep(np.ones(ROWS)).run()

    in_memory, in_store = files(of_this_process().folder), files(Store().data)

    assert len(in_memory) == 1
    assert list(in_store) == list(in_memory)
    assert Store().payload("sweep").stat().st_size < 100_000


def change(data):
    if isinstance(data, pd.DataFrame):
        data.iloc[0, 0] += 1
        return float(data.iloc[0, 0])
    data[0] += 1
    return float(data[0])


CHANGEABLE = {
    "numpy": lambda: np.zeros(ROWS),
    "pandas": lambda: pd.DataFrame({"x": np.zeros(ROWS)}),
    "tensor": lambda: torch.zeros(ROWS),
}


@pytest.mark.parametrize("kind", CHANGEABLE)
def test_a_change_in_place_is_seen_by_its_trial_alone(kind):
    data = CHANGEABLE[kind]()

    run = sweep(data, change, trials=3).run()

    assert values(run) == [1, 1, 1]


READABLE = {
    "polars": (lambda: pl.DataFrame({"x": np.ones(ROWS)}), lambda data: float(data["x"].sum())),
    "arrow": (lambda: pa.table({"x": np.ones(ROWS)}), lambda data: float(np.sum(data["x"]))),
    "sparse": (lambda: scipy.sparse.eye_array(ROWS), lambda data: float(data.sum())),
}


@pytest.mark.parametrize("kind", READABLE)
def test_tables_reach_the_trials_through_memory(kind):
    make, use = READABLE[kind]

    run = sweep(make(), use).run()

    assert values(run) == [ROWS, ROWS]
    assert files(of_this_process().folder)


def test_an_edited_objective_over_the_same_data_writes_none_of_it():
    data = np.ones(ROWS)
    sweep(data, name="first").run()
    before = {p: p.stat().st_ino for p in files(of_this_process().folder).values()}
    before |= {p: p.stat().st_ino for p in files(Store().data).values()}

    sweep(data, lambda data: float(data.sum()), name="second").run()

    after = {p: p.stat().st_ino for p in files(of_this_process().folder).values()}
    after |= {p: p.stat().st_ino for p in files(Store().data).values()}
    assert after == before


def test_an_array_changed_between_two_runs_is_sent_anew():
    data = np.ones(ROWS)
    sweep(data, name="first").run()

    data[0] = 7
    second = sweep(data, name="second").run()

    assert values(second) == [7, 7]


def test_two_sweeps_at_once_share_the_data_and_the_first_to_end_leaves_it_to_the_other():
    data = np.ones(ROWS)
    gate = Path(tempfile.mkstemp()[1])

    def wait(data):
        import time

        while gate.exists():
            time.sleep(0.01)
        return float(data[0])

    of_this_process()._bound = 0
    slow = sweep(data, wait, name="slow").start()
    quick = sweep(data, name="quick").run()
    shared = files(of_this_process().folder)
    gate.unlink()
    slow.wait()

    assert len(shared) == 1
    assert values(slow) == values(quick) == [1, 1]
    assert files(of_this_process().folder) == {}


def test_memory_that_is_too_small_leaves_the_data_on_disk_and_says_so():
    of_this_process()._room = lambda _root: 4 * MB

    run = sweep(np.ones(ROWS)).run()

    assert values(run) == [1, 1]
    assert run.snapshot().plan.endswith("3 MB of data on disk (/dev/shm can take 2 MB)")
    assert len(files(Store().data)) == 1
    assert files(of_this_process().folder) == {}


def test_a_store_without_room_is_an_error_before_any_worker_starts(monkeypatch):
    usage = shutil.disk_usage("/")
    nearly_full = type(usage)(usage.total, usage.used, MB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: nearly_full)
    of_this_process()._room = lambda _root: 100 * MB

    with pytest.raises(StoreError, match=r"takes 3\.2 MB, and 1\.0 MB are free"):
        sweep(np.ones(ROWS)).start()

    assert Store().names() == []


def test_delete_removes_what_no_other_sweep_uses():
    data, other = np.ones(PACK), np.zeros(PACK)
    sweep([data, other], lambda data: 1.0, name="both").run()
    sweep(data, name="one").run()

    Store().delete("both")
    left = len(files(Store().data))
    Store().delete("one")

    assert left == 1
    assert files(Store().data) == {}


def test_replacing_a_sweep_keeps_the_data_that_it_still_uses_and_drops_the_rest():
    data, other = np.ones(PACK), np.zeros(PACK)
    sweep([data, other], lambda data: 1.0).run()
    before = {p.stat().st_ino for p in files(Store().data).values()}

    sweep(data, replace=True).run()

    after = {p.stat().st_ino for p in files(Store().data).values()}
    assert len(after) == 1
    assert after < before


def test_an_ended_sweep_goes_on_from_the_store_alone():
    sweep(np.ones(ROWS)).run()
    of_this_process().close()

    run = nbtune.load("sweep").resume(trials=4)
    run.wait()

    assert values(run) == [1, 1, 1, 1]


def test_rerun_of_a_stored_sweep_finds_its_data():
    sweep(np.full(ROWS, 3.0)).run()
    of_this_process().close()

    assert nbtune.load("sweep").rerun({"x": 0.5}) == 3


SCRIPT = """
import sys, threading, time
from pathlib import Path
import numpy as np
import nbtune
from nbtune.objective import memory
from nbtune.objective.depot import Depot

memory._ROOT = Path(sys.argv[1])
memory._of_this_process = memory.Memory(memory._ROOT)
Depot.copy = lambda *_: time.sleep(600)  # a disk that never gets done
data = np.ones(400_000)

go = Path(sys.argv[2])

def train(x: nbtune.Real(0, 1)):
    while not go.exists():
        time.sleep(0.01)
    return float(data[0])

nbtune.Sweep(
    train, maximize="y", searcher="random", trials=8, workers=1, name="killed",
    callbacks=[lambda event: print("event", flush=True)],
).start()
time.sleep(600)
"""


@pytest.fixture
def killed(home):
    """A sweep whose process was killed before its data was in the store."""
    script = home / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(memory_module._ROOT), str(home / "go")],
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (home / "go").touch()


def test_a_process_killed_before_the_copy_was_done_leaves_the_data_to_the_next(killed):
    before = files(Store().data)

    run = nbtune.load("killed").resume()
    run.wait()

    assert before == {}
    assert values(run) == [1] * 8
    assert len(files(Store().data)) == 1


def test_data_that_is_lost_altogether_is_told_with_the_way_on(killed):
    for left in memory_module._ROOT.iterdir():  # as by a reboot
        shutil.rmtree(left)
    lost = nbtune.load("killed")
    data = np.full(ROWS, 2.0)

    def train(x: nbtune.Real(0, 1)):
        return float(data[0])

    with pytest.raises(StoreError, match=r"3\.2 MB of the sweep's data .* \.resume\(objective="):
        lost.resume()
    lost.resume(objective=train)
    lost.wait()

    assert set(values(lost)) <= {1, 2}
    assert values(lost)[-1] == 2
