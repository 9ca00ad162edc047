"""Trials on threads of this process."""

import threading
import time

from driving import PATIENCE, Driver

from nbtune import current_trial, report
from nbtune.workers import Inline


def test_the_objective_is_called_as_it_is(tmp_path):
    seen = []

    with Driver(Inline(), seen.append, tmp_path) as driver:
        driver.run({"x": 1})

    assert seen == [{"x": 1}]


def test_each_thread_reports_to_its_own_trial(tmp_path):
    barrier = threading.Barrier(2)

    def train(params):
        barrier.wait(PATIENCE)
        report(1, own=params["x"])

    with Driver(Inline(2), train, tmp_path) as driver:
        first, second = driver.start({"x": 1}), driver.start({"x": 2})
        driver.ended(first)
        driver.ended(second)

        assert driver.reports(first)[0].metrics == {"own": 1.0}
        assert driver.reports(second)[0].metrics == {"own": 2.0}


def test_a_trial_has_a_folder(tmp_path):
    with Driver(Inline(), lambda params: current_trial().dir.is_dir(), tmp_path) as driver:
        assert driver.run().result == {"value": 1.0}


def test_a_folder_that_cannot_be_made_fails_the_trial(tmp_path):
    (tmp_path / "0").touch()

    with Driver(Inline(), lambda params: 1, tmp_path) as driver:
        assert driver.run().failure.type == "FileExistsError"
        assert driver.run().how == "returned"


def test_a_trial_without_reports_ends_by_itself_although_killed(tmp_path):
    with Driver(Inline(), lambda params: time.sleep(0.05), tmp_path) as driver:
        number = driver.start()
        driver.workers.kill(number)

        assert driver.ended(number).how == "returned"


def test_closing_does_not_wait_for_the_end_of_a_trial_that_never_reports(tmp_path):
    release, over = threading.Event(), threading.Event()

    def silent(params):
        release.wait(PATIENCE)
        over.set()

    driver = Driver(Inline(), silent, tmp_path)
    driver.start()

    driver.workers.close()
    still_runs = not over.is_set()
    release.set()

    assert still_runs


def test_closing_ends_the_threads(tmp_path):
    threads = set(threading.enumerate())
    driver = Driver(Inline(3), lambda params: 1, tmp_path)
    driver.run()

    driver.workers.close()

    assert set(threading.enumerate()) <= threads  # those of an earlier test may still be ending
