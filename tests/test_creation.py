"""A sweep comes into being at once, or not at all, wherever its process is killed."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

import nbtune
from nbtune import Real, Sweep
from nbtune.exceptions import ObjectiveError, SweepError
from nbtune.store import Store, schema
from nbtune.workers import Inline

SCRIPT = """
import os, signal, sys
from nbtune import Real, Sweep
from nbtune.shipment import Shipment
from nbtune.store import store
from nbtune.workers import Inline

def train(x: Real(0, 1) = 0.5):
    return {"loss": x}

def killed_after(function):
    def wrapper(*arguments, **named):
        function(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
    return wrapper

if sys.argv[2] == "payload":
    Shipment.write = killed_after(Shipment.write)
else:
    store.claim_folder = killed_after(store.claim_folder)
Sweep(train, minimize="loss", trials=2, name="digits", store=sys.argv[1], workers=Inline()).run()
"""

OPTIONS = {"minimize": "loss", "trials": 2, "name": "digits"}


def train(x: Real(0, 1) = 0.5):
    return {"loss": x}


@pytest.fixture(params=["payload", "name"])
def killed(request, tmp_path):
    """Return a store in which a process was killed once a new sweep had that of its parts."""
    script = [sys.executable, "-c", SCRIPT, str(tmp_path), request.param]
    process = subprocess.run(script, check=False, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr
    return Store(tmp_path)


def test_a_sweep_whose_process_is_killed_while_it_is_made_is_not_there(killed):
    assert killed.names() == []
    with pytest.raises(SweepError, match="no sweep 'digits'"):
        nbtune.load("digits", store=killed.path)


def test_its_name_can_be_used_and_nothing_of_it_is_left(killed):
    sweep = Sweep(train, **OPTIONS, store=killed.path, workers=Inline()).run()

    assert len(sweep.trials) == 2
    folders = {path.name for path in killed.path.iterdir() if path.is_dir()}
    assert folders == {"digits", ".data"}


def test_what_only_looks_like_a_draft_stays(tmp_path):
    theirs = tmp_path / ".new-0123456789abcdef"
    theirs.mkdir()
    (theirs / "lock").touch()
    (theirs / "thesis.tex").write_text("...")

    Sweep(train, **OPTIONS, store=tmp_path, workers=Inline()).run()

    assert (theirs / "thesis.tex").read_text() == "..."


def test_a_draft_that_another_process_is_writing_stays(tmp_path):
    store = Store(tmp_path)
    with store.draft() as (folder, lock):
        Sweep(train, **OPTIONS, store=tmp_path, workers=Inline()).run()

        assert (folder / "lock").exists()
        lock.close()


def test_an_objective_that_cannot_be_pickled_does_not_cost_the_sweep_that_it_replaces(tmp_path):
    Sweep(train, **OPTIONS, store=tmp_path, workers=Inline()).run()
    connection = sqlite3.connect(":memory:")

    def other(x: Real(0, 1) = 0.5):
        return {"loss": connection.total_changes}

    with closing(connection), pytest.raises(ObjectiveError, match="connection"):
        Sweep(other, **OPTIONS, store=tmp_path, replace=True).start()

    assert len(nbtune.load("digits", store=tmp_path).trials) == 2


class Meanwhile:
    """A connection that lets another process migrate the file once its version has been read."""

    def __init__(self, file, folder):
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._file, self._folder, self._migrated = file, folder, False

    def execute(self, statement):
        rows = self._connection.execute(statement)
        if not self._migrated and "user_version" in statement:
            self._migrated = True
            rows = iter(rows.fetchall())
            with closing(sqlite3.connect(self._file, isolation_level=None)) as other:
                schema.migrate(other, self._folder)
            return Rows(rows)
        return rows

    def __getattr__(self, name):
        return getattr(self._connection, name)


class Rows:
    def __init__(self, rows):
        self._rows = rows

    def fetchone(self):
        return next(self._rows)


def test_a_store_that_another_process_makes_at_the_same_moment_is_nbtunes(tmp_path):
    with closing(Meanwhile(tmp_path / "nbtune.sqlite", tmp_path)) as connection:
        schema.migrate(connection, tmp_path)

        (version,) = connection.execute("PRAGMA user_version").fetchone()

    assert version == len(schema.MIGRATIONS)
