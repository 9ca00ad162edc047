"""Reports in any number, by any name, from any thread: they reach their own trial or none."""

import contextlib
import math
import sqlite3
import threading
import time

import pytest

import nbtune
from nbtune import report
from nbtune.exceptions import ReportError

FLOOD = 1_000_000


def test_a_flood_of_reports_arrives_whole_and_disturbs_no_neighbour(beside):
    def fault():
        for step in range(1, FLOOD + 1):
            report(step, value=0.5)

    scene = beside(fault)

    assert scene.fault.status == "completed"
    assert scene.fault.count == FLOOD
    with contextlib.closing(sqlite3.connect(scene.sweep.path.parent / "nbtune.sqlite")) as store:
        assert store.execute("SELECT count(*) FROM reports").fetchone() == (FLOOD + 2,)


NAMES = ['"; DROP TABLE trials; --', "x'); DELETE FROM reports; --", "a\0b", "Zürich ☃", "%s {0}"]


def test_a_metric_may_have_any_name(beside):
    def fault():
        report(1, value=1.0, **dict.fromkeys(NAMES, 2.0))

    scene = beside(fault)

    assert [scene.fault.value(name) for name in NAMES] == [2.0] * len(NAMES)
    stored = nbtune.load(scene.sweep.name, scene.sweep.path.parent)
    assert stored.reports[NAMES].dropna().values.tolist() == [[2.0] * len(NAMES)]


@pytest.mark.parametrize(
    ("step", "metrics", "why"),
    [
        (1, {"\ud800": 1.0}, "half a character"),
        (1, {"x" * 501: 1.0}, "has 501 characters"),
        (2**63, {"value": 1.0}, "is too large"),
    ],
)
def test_what_a_store_cannot_hold_fails_the_trial_alone(beside, step, metrics, why):
    def fault():
        report(step, **metrics)

    scene = beside(fault)

    assert scene.fault.status == "failed"
    assert why in scene.fault.reason


def test_reports_from_several_threads_arrive_in_order(beside):
    def fault():
        def train():
            for _ in range(500):
                report(value=1.0)

        threads = [threading.Thread(target=train) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    scene = beside(fault)

    assert [each.step for each in scene.fault.reports] == list(range(1, 2001))


def test_metrics_without_a_value_are_kept(beside):
    def fault():
        report(1, value=math.nan)
        report(2, value=-math.inf)

    scene = beside(fault)

    first, second = (each.metrics["value"] for each in scene.fault.reports)
    assert math.isnan(first)
    assert second == -math.inf


def leave_a_thread(kind, told):
    """Return an objective that leaves a thread behind, which goes on reporting."""

    def leave():
        import contextvars

        def go_on():
            while True:
                time.sleep(0.01)
                try:
                    report(value=99.0)
                except ReportError as error:
                    told.write_text(str(error))

        target = go_on
        if kind == "with its context":
            target = contextvars.copy_context().run
        daemon = kind != "no daemon"
        arguments = (go_on,) if kind == "with its context" else ()
        threading.Thread(target=target, args=arguments, daemon=daemon).start()
        time.sleep(0.0 if kind == "silent at first" else 0.1)
        return 1.0

    return leave


@pytest.mark.parametrize("kind", ["daemon", "no daemon", "silent at first", "with its context"])
def test_a_thread_left_over_does_not_report_into_the_next_trial(beside, tmp_path, kind):
    def after():
        time.sleep(0.2)

    scene = beside(leave_a_thread(kind, tmp_path / "told"), after=after)

    assert [each.metrics for each in scene.next.reports] == [{"value": 7.5}]


def test_a_thread_left_over_that_reports_later_is_told_why_not(beside, tmp_path):
    told = tmp_path / "told"

    def after():
        while not told.exists() or not told.read_text():
            time.sleep(0.01)

    beside(leave_a_thread("silent at first", told), after=after)

    assert "is older than the trial that runs now" in told.read_text()


def test_a_thread_left_over_ends_with_its_trial_where_it_is_no_daemon(beside):
    import os

    def fault():
        threading.Thread(target=time.sleep, args=(1000,), name="mine").start()
        return float(os.getpid())

    def after():
        return float(os.getpid())

    scene = beside(fault, after=after)

    assert scene.fault.value("value") != scene.next.value("value")
    assert "its thread 'mine'" in scene.fault.log


def test_a_daemon_thread_that_never_reports_costs_no_new_process(beside):
    import os

    def fault():
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        return float(os.getpid())

    def after():
        return float(os.getpid())

    scene = beside(fault, after=after)

    assert scene.fault.value("value") == scene.next.value("value")
