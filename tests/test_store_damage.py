"""A store that somebody has changed or damaged: one error that names what cannot be read."""

import shutil
import sqlite3
from contextlib import closing

import pytest

import nbtune
from nbtune import Real, StoreError, Sweep
from nbtune.store import Store
from nbtune.store import store as store_module
from nbtune.workers import Inline


def train(x: Real(0, 1)):
    return x


@pytest.fixture
def sweep(tmp_path):
    options = {"searcher": "random", "trials": 3, "seed": 1, "workers": Inline(1)}
    return Sweep(train, **options, minimize="loss", name="digits", store=tmp_path).run()


def load(tmp_path):
    return nbtune.load("digits", tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE trials SET status = 'x'", "trial 0 of sweep 'digits'"),
        ("UPDATE trials SET params = '{' WHERE number = 2", "trial 2 of sweep 'digits'"),
        ("UPDATE trials SET params = '{}'", "trial 0 of sweep 'digits'"),
        ("UPDATE trials SET params = '[]'", "trial 0 of sweep 'digits'"),
        ("UPDATE trials SET params = '{\"x\": 7}'", "trial 0 of sweep 'digits'"),
        ("UPDATE trials SET failure = '3'", "trial 0 of sweep 'digits'"),
        ("UPDATE trials SET started = 'abc'", "trial 0 of sweep 'digits'"),
        ("DELETE FROM trials WHERE number = 1", "trial 1 of sweep 'digits'"),
        ("UPDATE sweeps SET goals = 'x'", "the row of sweep 'digits'"),
        ("UPDATE sweeps SET goals = '[]'", "the row of sweep 'digits'"),
        ("UPDATE sweeps SET elapsed = 'x'", "the row of sweep 'digits'"),
        ("UPDATE sweeps SET failure = 'x'", "the row of sweep 'digits'"),
        ("UPDATE sweeps SET status = 'x'", "the status of sweep 'digits'"),
        ("UPDATE sweeps SET definition = x'00'", "sweep 'digits' was stored with code"),
        ("INSERT INTO edits VALUES (1, 0, 0, 0, x'00')", "sweep 'digits' was stored with code"),
        ("UPDATE reports SET value = 'abc'", "the reports of sweep 'digits'"),
        ("UPDATE reports SET metric = 99", "the reports of sweep 'digits'"),
        ("DROP TABLE reports", "no such table: reports"),
    ],
)
def test_a_damaged_row_is_named(sweep, tmp_path, change, named):
    with closing(sqlite3.connect(tmp_path / "nbtune.sqlite")) as connection:
        connection.execute(change)
        connection.commit()

    with pytest.raises(StoreError, match=named):
        _ = load(tmp_path).trials, load(tmp_path).reports, load(tmp_path).status


@pytest.mark.parametrize("at", [0, 42, 60, 100])
def test_a_damaged_objective_is_named(sweep, tmp_path, at):
    payload = sweep.path / "objective.bin"
    content = bytearray(payload.read_bytes())
    content[at] ^= 0xFF
    payload.write_bytes(content)

    with pytest.raises(StoreError, match=r"objective\.bin cannot be (read|loaded)"):
        load(tmp_path).resume(trials=4)


@pytest.mark.parametrize(
    "act", [lambda s: s.resume(trials=5), lambda s: s.rerun(), lambda s: s.state_dict()]
)
def test_a_sweep_whose_folder_is_gone_says_so(sweep, tmp_path, act):
    shutil.rmtree(sweep.path)

    with pytest.raises(StoreError, match=r"objective\.bin cannot be read: .*No such file"):
        act(load(tmp_path))


def test_a_sweep_whose_folder_is_gone_goes_on_with_its_objective(sweep, tmp_path):
    shutil.rmtree(sweep.path)

    again = load(tmp_path).resume(objective=train, trials=5)
    again.wait()

    assert len(again.trials) == 5


def test_a_store_that_another_process_writes_for_long_is_said(tmp_path, monkeypatch):
    store = Store(tmp_path)
    monkeypatch.setattr(store_module, "BUSY_SECONDS", 0.01)
    with closing(store.connect()) as writer:
        writer.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreError, match=r"locked.*Another process has been writing it"):
            Sweep(train, minimize="loss", trials=1, workers=Inline(1), store=tmp_path).start()
