"""The store: what is written comes back, and nothing is lost or shared that should not be."""

import math
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing

import pytest
from driving import PATIENCE

from nbtune.exceptions import StoreError, SweepError
from nbtune.store import MIGRATIONS, Batch, Lock, Store, TrialRow, default_path
from nbtune.store.schema import migrate
from nbtune.trial import Failure, Goal, Report, Status, Trial


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


GOAL = Goal(metric="accuracy", direction="maximize")


def create(store, name="digits", goals=(GOAL,)):
    return store.create(
        name,
        goals=goals,
        step_name="epoch",
        plan="Random + FIFO",
        source="lr = 1",
        seed=7,
        definition=b"definition",
    )


def write(store, row, batch):
    with closing(store.connect()) as connection:
        store.write(connection, row.id, batch)


def running(number=0, **changes):
    trial = Trial(number=number, params={}, status=Status.RUNNING, started=1.5, **changes)
    return TrialRow(trial=trial, params='{"lr": 0.1}', origin="suggested")


def test_a_sweep_comes_back_as_it_was_written(store):
    create(store)

    row = store.sweep("digits")

    assert (row.name, row.status, row.seed) == ("digits", "pending", 7)
    assert row.goals == (GOAL,)
    assert row.definition == b"definition"


def test_several_goals_come_back_in_their_order(store):  # FEATURES C7
    goals = (
        Goal(metric="accuracy", direction="maximize"),
        Goal(metric="latency", direction="minimize"),
    )

    assert create(store, goals=goals).goals == goals


def test_a_store_from_before_several_goals_is_brought_up_to_date(store):
    store.path.mkdir()
    with closing(sqlite3.connect(store.file)) as connection:
        connection.executescript(MIGRATIONS[0])
        connection.execute(
            "INSERT INTO sweeps (name, status, metric, direction, step_name, plan, source, seed, "
            "created, definition) VALUES ('old', 'completed', 'loss', 'minimize', 'epoch', '', '', "
            "1, 0.0, x'00')"
        )
        connection.execute(
            "INSERT INTO trials VALUES (1, 0, '{}', '', 'completed', '', 0, 1, 0, NULL)"
        )
        connection.execute("PRAGMA user_version=1")
        connection.commit()

    row = store.sweep("old")

    assert row.goals == (Goal(metric="loss", direction="minimize"),)
    assert len(store.trials(row)) == 1


def test_a_store_is_opened_while_another_process_is_making_it(store):
    store.path.mkdir()
    with closing(sqlite3.connect(store.file, isolation_level=None)) as other:
        migrate(other, store.path)
        other.execute("BEGIN IMMEDIATE")  # before it has switched to a write-ahead log
        with ThreadPoolExecutor(1) as executor:
            opened = executor.submit(lambda: store.connect().close())
            wait([opened], timeout=0.5)
            other.execute("COMMIT")

    assert opened.exception() is None


def test_a_store_that_another_process_made_meanwhile_is_nbtunes(store):
    store.path.mkdir()
    with (
        closing(sqlite3.connect(store.file, isolation_level=None)) as first,
        closing(sqlite3.connect(store.file, isolation_level=None)) as second,
    ):
        statements = []

        def overtake(statement):
            statements.append(statement)
            if len(statements) == 2:
                migrate(first, store.path)

        second.set_trace_callback(overtake)
        migrate(second, store.path)

    assert create(store).name == "digits"


def test_reports_come_back_in_order_with_nan_and_infinity(store):
    row = create(store)
    reports = [
        (0, Report(2, {"accuracy": math.nan, "loss": math.inf}, 11.0)),
        (0, Report(1, {"accuracy": 0.25}, 10.0)),
    ]
    write(store, row, Batch(trials=[running()], reports=reports, status="running"))

    [(trial, params, origin)] = store.trials(row)

    assert [report.step for report in trial.reports] == [1, 2]
    assert math.isnan(trial.reports[1].metrics["accuracy"])
    assert trial.reports[1].metrics["loss"] == math.inf
    assert (params, origin) == ({"lr": 0.1}, "suggested")


def test_a_report_without_metrics_keeps_its_step(store):
    row = create(store)
    write(store, row, Batch(trials=[running()], reports=[(0, Report(4, {}, 1.0))]))

    [(trial, _, _)] = store.trials(row)

    assert (trial.steps, trial.metrics) == (4, {})


def test_a_failure_comes_back_whole(store):
    row = create(store)
    failure = Failure(type="ValueError", message="no", traceback="Traceback ...")
    write(store, row, Batch(trials=[running(failure=failure)], failure=failure))

    [(trial, _, _)] = store.trials(row)

    assert trial.failure == failure
    assert store.sweep("digits").failure == failure


def test_a_metric_may_be_named_like_sql(store):
    row = create(store)
    name = "x'); DROP TABLE reports; --"
    write(store, row, Batch(trials=[running()], reports=[(0, Report(1, {name: 1.0}, 1.0))]))

    [(trial, _, _)] = store.trials(row)

    assert trial.metrics == {name: 1.0}


def test_a_restarted_trial_loses_its_old_reports(store):
    row = create(store)
    write(store, row, Batch(trials=[running()], reports=[(0, Report(1, {"a": 1.0}, 1.0))]))

    write(store, row, Batch(restarted=[0], trials=[running()]))

    assert store.trials(row)[0][0].count == 0


def test_a_name_is_unique(store):
    create(store)

    with pytest.raises(SweepError, match="'digits' exists already"):
        create(store)


def test_an_unknown_name_gets_the_nearest(store):
    create(store)

    with pytest.raises(SweepError, match="Did you mean 'digits'"):
        store.sweep("digit")


def test_delete_removes_rows_and_folder(store):
    row = create(store)
    write(store, row, Batch(trials=[running()], reports=[(0, Report(1, {"a": 1.0}, 1.0))]))

    store.delete("digits")

    with closing(sqlite3.connect(store.file)) as connection:
        rows = [
            connection.execute(f"SELECT count(*) FROM {t}").fetchone()
            for t in ("sweeps", "trials", "reports")
        ]
    assert rows == [(0,), (0,), (0,)]
    assert not store.folder("digits").exists()


def test_the_store_is_readable_by_its_user_alone(store):
    create(store)

    modes = [
        path.stat().st_mode & 0o077 for path in (store.path, store.file, store.folder("digits"))
    ]

    assert modes == [0, 0, 0]


def test_a_newer_schema_is_refused(store):
    create(store)
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")

    with pytest.raises(StoreError, match="Update nbtune"):
        store.connect()


def test_two_processes_that_make_the_store_at_once_both_succeed(tmp_path):
    code = "import sys; from nbtune.store import Store; Store(sys.argv[1]).connect().close()"
    path = str(tmp_path / "shared")

    starts = [subprocess.Popen([sys.executable, "-c", code, path]) for _ in range(4)]

    assert [process.wait(PATIENCE) for process in starts] == [0, 0, 0, 0]


def test_a_store_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(StoreError, match="NBTUNE_STORE"):
        Store(tmp_path / "file" / "store").connect()


def test_nbtune_store_moves_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "elsewhere"))

    assert default_path() == tmp_path / "elsewhere"


def test_reading_an_empty_place_makes_nothing(tmp_path):
    assert Store(tmp_path / "none").sweeps() == []
    assert not (tmp_path / "none").exists()


HOLD = """
import sys
from pathlib import Path
from nbtune.store import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_held_until_its_process_dies(store):
    create(store)
    path = store.folder("digits") / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        holder.stdout.readline()
        assert store.owned("digits")
        with pytest.raises(SweepError, match=f"process {holder.pid}"):
            Lock(path)
        holder.kill()

    Lock(path).close()
    assert not store.owned("digits")


def test_asking_who_owns_a_sweep_does_not_drop_ones_own_lock(store):
    create(store)
    lock = Lock(store.folder("digits") / "lock")

    store.owned("digits")

    try:
        probe = "import sys; from nbtune.store import is_locked; from pathlib import Path; "
        probe += "print(is_locked(Path(sys.argv[1])))"
        seen = subprocess.run(
            [sys.executable, "-c", probe, str(store.folder("digits") / "lock")],
            capture_output=True,
            text=True,
            check=True,
            env=dict(os.environ),
        )
        assert seen.stdout.strip() == "True"
    finally:
        lock.close()
