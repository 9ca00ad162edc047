"""What does not work as meant is said once, kept with the sweep, and shown wherever it is read."""

import logging
import threading
import time

import pytest
from driving import PATIENCE

import nbtune
from nbtune import Real, Sweep, report
from nbtune.engine import SweepEnded
from nbtune.engine.announcer import Announcer
from nbtune.engine.warning_log import MOST_WARNINGS, WarningLog
from nbtune.store import Store
from nbtune.workers import Inline


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


def train(x: Real(0, 1)):
    report(epoch=1, loss=x)


def run(*callbacks, **options):
    return Sweep(
        train,
        minimize="loss",
        searcher="random",
        trials=3,
        workers=Inline(1),
        name="digits",
        callbacks=callbacks,
        **options,
    ).run()


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def elsewhere():
    """Return the sweep as another process would read it."""
    store = Store()
    return Sweep.stored(store, store.sweep("digits"))


def codes(sweep):
    return [warning.code for warning in sweep.warnings]


def test_a_sweep_that_runs_as_meant_has_no_warnings():
    assert run().warnings == []


def test_a_warning_is_kept_with_the_sweep_and_logged(caplog):
    done = run()

    done._engine.warn("told-late", "something was lost")

    assert [(w.code, w.text) for w in done.warnings] == [("told-late", "something was lost")]
    assert done.warnings[0].time == pytest.approx(time.time(), abs=600)
    assert ("nbtune", logging.WARNING, "digits: something was lost") in caplog.record_tuples


def test_a_warning_from_another_thread_while_it_runs_is_stored():
    holder = []
    sweep = Sweep(
        train,
        minimize="loss",
        searcher="random",
        trials=3,
        workers=Inline(1),
        name="digits",
        callbacks=[lambda event: holder[0]._engine.warn("from-callback", "lost")],
    )
    holder.append(sweep)

    sweep.run()
    wait_for(lambda: codes(elsewhere()) == ["from-callback"])

    assert codes(sweep) == ["from-callback"]


def test_a_warning_is_said_once(caplog):
    done = run()

    for _ in range(5):
        done._engine.warn("code", "the same")

    assert len(done.warnings) == 1
    assert caplog.text.count("the same") == 1


def test_a_warning_that_comes_after_the_end_is_stored():
    done = run()

    done._engine.warn("late", "after the end")

    assert codes(elsewhere()) == ["late"]


def test_a_sweep_that_goes_on_keeps_its_warnings_and_does_not_say_them_again(caplog):
    run()._engine.warn("early", "the first time")
    caplog.clear()

    again = elsewhere().resume(trials=5)
    again.wait()
    again._engine.warn("early", "the first time")

    assert codes(again) == ["early"]
    assert "the first time" not in caplog.text


def test_warnings_go_where_a_sweep_is_taken(tmp_path):
    done = run()
    done._engine.warn("code", "goes along")

    taken = Sweep.from_state_dict(done.state_dict(), store=tmp_path / "other")

    assert taken.warnings == done.warnings


def test_the_number_of_warnings_is_bounded():
    log = WarningLog("digits")

    for number in range(10 * MOST_WARNINGS):
        log.add("code", f"number {number}", 0.0)

    assert len(log.kept) == MOST_WARNINGS + 1
    assert log.kept[-1].code == "more-warnings"


def test_a_long_text_is_cut():
    log = WarningLog("digits")

    log.add("code", "x" * 10**6, 0.0)

    assert len(log.kept[0].text) == 1000


def test_a_callback_that_raises_is_a_warning_and_the_others_are_called():
    ended = []

    def broken(event):
        raise ValueError("no such file")

    done = run(broken, ended.append)
    wait_for(lambda: ended and isinstance(ended[-1], SweepEnded))

    assert codes(done) == ["callback-failed"]  # once, whatever the events
    assert "broken raised ValueError: no such file" in done.warnings[0].text
    assert done.status == "completed"


def test_a_callback_that_raises_at_the_very_end_is_a_warning_in_the_store():
    def broken(event):
        if isinstance(event, SweepEnded):
            raise SystemExit("enough")

    run(broken)
    wait_for(lambda: codes(elsewhere()) == ["callback-failed"])

    assert "raised SystemExit: enough" in elsewhere().warnings[0].text


def test_callbacks_that_are_subscribed_at_once_share_one_thread_that_runs():
    for _ in range(50):
        announcer, heard = Announcer(lambda code, text: True), []
        together = threading.Barrier(2)

        def subscribe(announcer=announcer, heard=heard, together=together):
            together.wait()
            announcer.subscribe(heard.append)

        threads = [threading.Thread(target=subscribe) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        announcer.announce("event")
        wait_for(lambda heard=heard: heard == ["event", "event"])
        announcer.close()


def test_a_stored_sweep_loaded_by_name_shows_its_warnings():
    run()._engine.warn("code", "seen elsewhere")

    assert codes(nbtune.load("digits")) == ["code"]


def test_what_was_enqueued_and_does_not_fit_an_edited_space_is_said():
    done = run()
    done.enqueue({"x": 0.9})
    done.edit(x=Real(0, 0.5))

    again = nbtune.load("digits").resume(trials=5)
    assert again.wait(60)

    [warning] = again.warnings
    assert warning.code == "enqueued-not-tried"
    assert "(x=0.9) were not tried" in warning.text
    assert len(again.snapshot().trials) == 5
