"""Trials on a virtual clock."""

import threading

import pytest
from driving import Driver

from nbtune import report
from nbtune.decision import Continue, Stop
from nbtune.exceptions import SpecError, WorkerError
from nbtune.workers import Simulated
from nbtune.workers.base import Assignment, Ended, Inbox, Job, Reported, SlotReady


def steps(params):
    for step in range(1, params.get("steps", 3) + 1):
        report(step, loss=1 / step)
    return params.get("result")


def test_reports_are_the_given_seconds_apart(tmp_path):
    driver = Driver(Simulated(1, seconds=60), steps, tmp_path)

    ended = driver.run()

    assert [report.time for report in driver.reports(0)] == [60.0, 120.0, 180.0]
    assert ended.time == driver.inbox.now() == 180.0


def test_seconds_may_depend_on_params_and_step(tmp_path):
    workers = Simulated(1, seconds=lambda params, step: params["cost"] * step)
    driver = Driver(workers, steps, tmp_path)

    driver.run({"cost": 2.0})

    assert [report.time for report in driver.reports(0)] == [2.0, 6.0, 12.0]


def test_a_trial_without_reports_takes_one_step(tmp_path):
    driver = Driver(Simulated(1, seconds=5), lambda params: 1, tmp_path)

    assert driver.run().time == 5.0


def test_trials_on_several_slots_interleave_in_time(tmp_path):
    workers = Simulated(2, seconds=lambda params, step: params["cost"])
    driver = Driver(workers, steps, tmp_path)
    slow, fast = driver.start({"cost": 3.0}), driver.start({"cost": 2.0})

    driver.ended(slow)
    driver.ended(fast)

    times = [(e.number, e.reports[0].time) for e in driver.events if isinstance(e, Reported)]
    assert times == [(fast, 2), (slow, 3), (fast, 4), (slow, 6), (fast, 6), (slow, 9)]


def test_time_stands_still_for_a_trial_that_waits(tmp_path):
    driver = Driver(Simulated(1), steps, tmp_path)
    number = driver.start(milestone=2)
    driver.reported(number, waiting=True)

    assert driver.inbox.get(100.0) is None
    driver.workers.answer(number, Continue())

    assert driver.ended(number).time == pytest.approx(103.0)


def test_a_kill_ends_a_trial_at_once(tmp_path):
    driver = Driver(Simulated(1), steps, tmp_path)
    number = driver.start()
    driver.reported(number)

    driver.workers.kill(number)

    assert driver.ended(number).time == 1.0


def test_a_timeout_passes_in_virtual_time(tmp_path):
    inbox = Simulated().inbox()

    assert inbox.get(1e9) is None  # thirty years

    assert inbox.now() == 1e9


def test_an_event_from_outside_comes_first(tmp_path):
    driver = Driver(Simulated(1), steps, tmp_path)
    driver.start()

    driver.inbox.put("a command")

    assert driver.inbox.get(None) == "a command"
    assert driver.inbox.now() == 0.0


def test_with_nothing_to_come_it_waits_for_another_thread():
    inbox = Simulated().inbox()
    threading.Timer(0.05, inbox.put, ["a command"]).start()

    while (event := inbox.get(None)) is None:
        pass

    assert event == "a command"


def test_the_same_run_twice_gives_the_same_events(tmp_path):
    def play():
        driver = Driver(Simulated(3), steps, tmp_path)
        for number in range(12):
            driver.start({"steps": 1 + number % 4})
        driver.ended(11)
        return driver.events

    assert play() == play()


def test_ten_thousand_slots_are_as_good_as_one(tmp_path):
    driver = Driver(Simulated(10_000), steps, tmp_path)
    threads = threading.active_count()
    for _ in range(10_000):
        driver.start({"steps": 2}, milestone=1)
    over = 0
    while over < 10_000:
        event = driver.pump()
        if isinstance(event, Reported) and event.waiting:
            odd = event.number % 2
            driver.workers.answer(event.number, Continue() if odd else Stop("even"))
        over += isinstance(event, Ended)

    ends = [event.how for event in driver.events if isinstance(event, Ended)]
    assert (ends.count("returned"), ends.count("stopped")) == (5_000, 5_000)
    assert threading.active_count() <= threads  # those of an earlier test may end meanwhile


def test_it_needs_its_own_inbox(tmp_path):
    job = Job(
        call=steps, payload=None, step_name="epoch", result_metric="v", folder=tmp_path, seed=1
    )

    with pytest.raises(WorkerError, match=r"its own inbox\(\)"):
        Simulated().open(job, Inbox())


def test_a_negative_time_is_refused():
    with pytest.raises(SpecError, match="seconds=-1"):
        Simulated(seconds=-1)


def test_no_folder_is_made(tmp_path):
    Driver(Simulated(1), steps, tmp_path).run()

    assert list(tmp_path.iterdir()) == []


def test_closed_workers_start_nothing(tmp_path):
    driver = Driver(Simulated(1), steps, tmp_path)
    assert isinstance(driver.pump(), SlotReady)
    driver.workers.close()

    driver.workers.start(0, Assignment(number=0, params={}))

    assert driver.inbox.get(10.0) is None
