"""What the engine has written down, also when the disk is full."""

import logging
import shutil

import pytest

from nbtune.engine.clerk import Clerk
from nbtune.engine.ledger import Run
from nbtune.engine.trials import TrialBook
from nbtune.engine.warning_log import WarningLog
from nbtune.exceptions import StoreError
from nbtune.space import Real, Space, Timeline
from nbtune.store import Store
from nbtune.trial import Goal, Report


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def row(store):
    return create(store, "digits")


def create(store, name):
    return store.create(
        name,
        goals=[Goal(metric="loss", direction="minimize")],
        step_name="epoch",
        plan="",
        source="",
        seed=0,
        definition=b"",
    )


@pytest.fixture
def clerk(store, row):
    timeline = Timeline(Space({"x": Real(0, 1)}))
    clerk = Clerk(store, row, timeline, store.folder("digits"), WarningLog("digits"), TrialBook())
    clerk.open()
    yield clerk
    clerk.close()


def flush(clerk):
    return clerk.flush(status="running", reason="", elapsed=1.0, failure=None)


def test_nothing_is_due_until_something_is_marked(clerk):
    assert clerk.due_in is None

    clerk.mark()

    assert 0 < clerk.due_in <= 0.05


def test_a_batch_is_on_disk_after_a_flush(clerk, store, row):
    run = Run(0, {"x": 0.5}, "default")
    clerk.mark(run)
    clerk.report(run, [Report(1, {"loss": 0.5}, 1.0)])

    assert flush(clerk)

    [(trial, params, origin)] = store.trials(row)
    assert (trial.metrics, params, origin) == ({"loss": 0.5}, {"x": 0.5}, "default")


def test_a_full_disk_loses_nothing_once_there_is_room_again(clerk, store, row, caplog):
    pages = clerk._connection.execute("PRAGMA page_count").fetchone()[0]
    clerk._connection.execute(f"PRAGMA max_page_count={pages}")
    run = Run(0, {"x": 0.5}, "default")
    reports = [Report(step, {"loss": 1 / step}, float(step)) for step in range(1, 5000)]
    clerk.mark(run)
    clerk.report(run, reports)

    with caplog.at_level(logging.CRITICAL, "nbtune"):
        assert not flush(clerk)
    assert "full" in clerk.trouble
    assert store.trials(row) == []

    clerk._connection.execute("PRAGMA max_page_count=100000")
    assert flush(clerk)
    assert clerk.trouble == ""
    assert store.trials(row)[0][0].count == len(reports)


def test_a_trial_that_restarts_starts_with_no_reports(clerk, store, row):
    run = Run(0, {"x": 0.5}, "default")
    clerk.mark(run)
    clerk.report(run, [Report(1, {"loss": 0.5}, 1.0)])
    flush(clerk)

    clerk.restart(Run(0, {"x": 0.5}, "default"))
    flush(clerk)

    assert store.trials(row)[0][0].count == 0


def test_trials_that_did_not_change_are_the_same_objects(clerk):
    first, second = Run(0, {"x": 0.1}, "default"), Run(1, {"x": 0.2}, "suggested")
    clerk.mark(first)
    clerk.mark(second)
    before = clerk.trials()

    clerk.mark(second)
    after = clerk.trials()

    assert after[0] is before[0]
    assert after[1] is not before[1]


def remove(store, *, whole):
    if whole:
        shutil.rmtree(store.path)
    else:
        store.file.unlink()


@pytest.mark.parametrize("whole", [False, True])
def test_a_store_that_is_removed_meanwhile_is_written_anew(tmp_path, caplog, whole):
    store = Store(tmp_path / "store")
    for name in ("earlier", "digits"):
        row = create(store, name)
    timeline = Timeline(Space({"x": Real(0, 1)}))
    clerk = Clerk(store, row, timeline, store.folder("digits"), WarningLog("digits"), TrialBook())
    clerk.open()
    first, second = Run(0, {"x": 0.5}, "default"), Run(1, {"x": 0.25}, "")
    clerk.mark(first)
    clerk.report(first, [Report(1, {"loss": 0.5}, 1.0)])
    flush(clerk)

    remove(store, whole=whole)
    clerk.mark(second)
    clerk.report(second, [Report(1, {"loss": 0.25}, 1.0)])
    written = flush(clerk)
    clerk.close()

    assert written
    assert "was removed or replaced while the sweep ran" in caplog.text
    assert store.names() == ["earlier", "digits"]
    assert [trial.metrics for trial, _, _ in store.trials(row)] == [{"loss": 0.5}, {"loss": 0.25}]
    assert [path.name for path in store.path.glob(".nbtune.sqlite*")] == []


def test_a_store_that_another_takes_the_place_of_ends_the_sweep(tmp_path, clerk, store):
    other = Store(tmp_path / "other")
    other.connect().close()

    other.file.rename(store.file)
    clerk.mark()

    with pytest.raises(StoreError, match="was replaced while sweep 'digits' ran"):
        flush(clerk)
