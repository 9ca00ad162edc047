"""A store that can be looked at but not written."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from nbtune import Real, Sweep
from nbtune.store import MIGRATIONS, Store
from nbtune.workers import Inline

LOOK = """
import ctypes, os, sys
if os.geteuid() == 0 and "again" not in sys.argv:  # root passes over modes, unless it gives that up
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], "again"])
store = sys.argv[1]
try:
    open(os.path.join(store, "probe"), "w")
except OSError:
    pass
else:
    raise SystemExit("the store can be written")
import nbtune
assert list(nbtune.sweeps(store).index) == ["digits"]
"""

SEEN = """
sweep = nbtune.load("digits", store)
print(sweep.status, len(sweep.trials), len(sweep.reports), sweep.best is not None)
"""
LISTED = "print(nbtune.sweeps(store).metric['digits'])"


def train(x: Real(0, 1)):
    return x


@pytest.fixture
def store(tmp_path):
    options = {"searcher": "random", "trials": 3, "seed": 1, "workers": Inline(1)}
    Sweep(train, **options, minimize="loss", name="digits", store=tmp_path / "store").run()
    yield Store(tmp_path / "store")
    set_modes(tmp_path / "store", folders=0o700, files=0o600)


def set_modes(folder, *, folders, files):
    for path in [folder, *folder.rglob("*")]:
        if path.exists():
            path.chmod(folders if path.is_dir() else files)


def look(store, code=SEEN):
    """Return what a process that may only read it sees of the sweep."""
    set_modes(store.path, folders=0o500, files=0o400)
    shown = subprocess.run(
        [sys.executable, "-c", LOOK + code, str(store.path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.split()


def test_a_store_that_cannot_be_written_can_be_looked_at(store):
    assert look(store) == ["completed", "3", "3", "True"]


def test_so_can_one_that_is_being_written(store):
    with closing(store.connect()) as writer:
        writer.execute("UPDATE sweeps SET reason = 'in the log'")

        assert look(store) == ["completed", "3", "3", "True"]


def test_so_can_a_copy_made_while_it_was_being_written(store, tmp_path):
    with closing(store.connect()) as writer:
        writer.execute("UPDATE sweeps SET status = 'stopped'")
        shutil.copytree(store.path, tmp_path / "copy", ignore=shutil.ignore_patterns("*-shm"))
    copy = Store(tmp_path / "copy")
    try:
        assert look(copy) == ["stopped", "3", "3", "True"]
    finally:
        set_modes(copy.path, folders=0o700, files=0o600)


def test_so_can_one_of_an_older_nbtune(tmp_path):
    store = Store(tmp_path / "old")
    store.path.mkdir()
    with closing(sqlite3.connect(store.file)) as connection:
        connection.executescript(MIGRATIONS[0])
        connection.execute(
            "INSERT INTO sweeps (name, status, metric, direction, step_name, plan, source, seed, "
            "created, definition) VALUES ('digits', 'completed', 'loss', 'minimize', 'epoch', '', "
            "'', 1, 0.0, x'00')"
        )
        connection.execute("PRAGMA user_version=1")
        connection.commit()
    try:
        assert look(store, LISTED) == ["loss"]
    finally:
        set_modes(store.path, folders=0o700, files=0o600)
