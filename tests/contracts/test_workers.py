"""What every kind of worker does alike."""

import math
import time
from collections import Counter

import pytest
from dask_cluster import RealCluster
from driving import Driver

from nbtune import report
from nbtune.decision import Complete, Continue, Reject, Stop
from nbtune.exceptions import SpecError, WorkerError
from nbtune.workers import Dask, Inline, Local, Simulated, Workers
from nbtune.workers.base import Ended, Inbox, Job, Reported, SlotReady


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster with a worker of two threads, and one of one thread under a nanny."""
    with RealCluster(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.add_worker(threads=2)
        cluster.add_worker(nanny=True)
        cluster.wait_for_workers(2)
        yield cluster


@pytest.fixture(params=[Local, Inline, Simulated, Dask])
def kind(request):
    if request.param is not Dask:
        return request.param
    # FEATURES A12
    address = request.getfixturevalue("cluster").address
    return lambda slots: Dask(address, slots)


@pytest.fixture
def drive(kind, tmp_path):
    drivers = []

    def start(call, slots=1, **options):
        drivers.append(Driver(kind(slots), call, tmp_path, **options))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.workers.close()


def reports_of(steps, pause=0.0):
    def train(params):
        for step in range(1, params.get("steps", steps) + 1):
            report(step, loss=1 / step)
            time.sleep(pause)

    return train


def test_a_returned_number_is_the_result_metric(drive):
    driver = drive(lambda params: params["x"] * 2, result_metric="accuracy")

    ended = driver.run({"x": 21})

    assert (ended.how, ended.result, ended.failure) == ("returned", {"accuracy": 42.0}, None)


def test_a_returned_dict_holds_the_metrics(drive):
    driver = drive(lambda params: {"loss": 0.5, "epoch": 3})

    assert driver.run().result == {"loss": 0.5}


def test_returning_nothing_gives_no_metrics(drive):
    assert drive(lambda params: None).run().result == {}


def test_a_value_that_is_no_number_counts_as_nothing(drive):
    assert drive(lambda params: "done").run().result == {}


def test_a_returned_metric_that_is_no_number_fails_the_trial(drive):
    ended = drive(lambda params: {"accuracy": "high"}).run()

    assert ended.how == "raised"
    assert ended.failure.type == "ReportError"
    assert "accuracy='high' is a str" in ended.failure.message


def test_an_exception_is_told_as_plain_text(drive):
    def broken(params):
        return 1 / params["x"]

    ended = drive(broken).run({"x": 0})

    assert ended.how == "raised"
    assert ended.failure.type == "ZeroDivisionError"
    assert ended.failure.message == "division by zero"


def test_a_traceback_begins_in_the_users_code(drive):
    def broken(params):
        raise LookupError("no such layer")

    traceback = drive(broken).run().failure.traceback

    first = next(line for line in traceback.splitlines() if line.startswith("  File"))
    assert ", in broken" in first


def test_system_exit_fails_only_the_trial(drive):
    def leave(params):
        if params["x"]:
            raise SystemExit(3)
        return 1

    driver = drive(leave)

    assert driver.run({"x": 1}).failure.type == "SystemExit"
    assert driver.run({"x": 0}).how == "returned"


def test_many_reports_arrive_complete_and_in_order(drive):
    driver = drive(reports_of(3_000))

    ended = driver.run()

    assert ended.how == "returned"
    assert [r.step for r in driver.reports(0)] == list(range(1, 3_001))
    assert driver.reports(0)[9].metrics == {"loss": 0.1}
    times = [r.time for r in driver.reports(0)]
    assert times == sorted(times)


def test_nan_and_infinity_arrive(drive):
    def diverge(params):
        report(1, loss=math.nan, top=math.inf, bottom=-math.inf)

    driver = drive(diverge)
    driver.run()

    metrics = driver.reports(0)[0].metrics
    assert math.isnan(metrics["loss"])
    assert (metrics["top"], metrics["bottom"]) == (math.inf, -math.inf)


def test_without_a_milestone_nothing_waits(drive):
    driver = drive(reports_of(5))

    driver.run()

    assert not any(event.waiting for event in driver.events if isinstance(event, Reported))


def test_a_trial_waits_at_its_milestone_with_all_reports_delivered(drive):
    driver = drive(reports_of(10))
    number = driver.start(milestone=3)

    driver.reported(number, waiting=True)

    assert [r.step for r in driver.reports(number)] == [1, 2, 3]


def test_a_milestone_between_steps_is_asked_for_at_the_next_report(drive):
    def sparse(params):
        for step in (2, 4, 8):
            report(step, loss=0.0)

    driver = drive(sparse)
    number = driver.start(milestone=3)

    assert driver.reported(number, waiting=True).reports[-1].step == 4


def test_a_trial_continues_past_its_milestone(drive):
    driver = drive(reports_of(10))
    number = driver.start(milestone=3)
    driver.reported(number, waiting=True)

    driver.workers.answer(number, Continue(until=6))
    driver.reported(number, waiting=True)
    driver.workers.answer(number, Continue())

    assert driver.ended(number).how == "returned"
    assert len(driver.reports(number)) == 10


@pytest.mark.parametrize(
    ("decision", "how"), [(Stop("rung 3"), "stopped"), (Complete("max_t"), "completed")]
)
def test_a_decision_ends_a_trial_at_its_milestone(drive, decision, how):
    driver = drive(reports_of(10))
    number = driver.start(milestone=3)
    driver.reported(number, waiting=True)

    driver.workers.answer(number, decision)

    assert driver.ended(number).how == how
    assert len(driver.reports(number)) == 3


def test_a_rejected_report_fails_the_trial(drive):
    driver = drive(reports_of(10))
    number = driver.start(milestone=1)
    driver.reported(number, waiting=True)

    driver.workers.answer(number, Reject("there is no metric 'accuracy'"))

    ended = driver.ended(number)
    assert ended.how == "raised"
    assert (ended.failure.type, ended.failure.message) == (
        "ReportError",
        "there is no metric 'accuracy'",
    )


def test_a_trial_stopped_from_outside_ends_at_its_next_report(drive):
    driver = drive(reports_of(2000, pause=0.005))
    number = driver.start()
    driver.reported(number)

    driver.workers.stop(number, "by you")

    assert driver.ended(number).how == "stopped"
    assert len(driver.reports(number)) < 2000


def test_a_trial_that_waits_for_a_decision_can_be_stopped(drive):
    driver = drive(reports_of(10))
    number = driver.start(milestone=2)
    driver.reported(number, waiting=True)

    driver.workers.stop(number, "by you")

    assert driver.ended(number).how == "stopped"
    assert len(driver.reports(number)) == 2


def test_a_late_answer_does_not_reach_the_next_trial(drive):
    driver = drive(reports_of(4))
    first = driver.start(milestone=2)
    driver.reported(first, waiting=True)
    driver.workers.stop(first, "by you")
    driver.workers.answer(first, Continue(until=3))
    driver.ended(first)

    second = driver.start(milestone=2)
    driver.reported(second, waiting=True)
    driver.workers.answer(first, Stop("not yours"))
    driver.workers.answer(second, Continue())

    assert driver.ended(second).how == "returned"


def test_a_killed_trial_ends_as_killed_and_its_slot_comes_back(drive):
    driver = drive(reports_of(2000, pause=0.005))
    number = driver.start()
    driver.reported(number)

    driver.workers.kill(number)

    assert driver.ended(number).how == "killed"
    assert driver.run({"steps": 1}).how == "returned"


def test_orders_for_a_trial_that_is_over_do_nothing(drive):
    driver = drive(lambda params: 1)
    number = driver.start()
    driver.ended(number)

    driver.workers.answer(number, Stop("late"))
    driver.workers.stop(number, "late")
    driver.workers.kill(number)

    assert driver.run().how == "returned"


def test_every_trial_posts_one_end_and_then_its_slot(drive):
    driver = drive(lambda params: 1 / params["x"], slots=2)

    for x in (1, 0, 1, 0, 1, 0):
        driver.run({"x": x})
    while len(driver.ready) < 2:
        driver.pump()

    ends = [event for event in driver.events if isinstance(event, Ended)]
    assert sorted(event.number for event in ends) == list(range(6))
    ready = Counter(event.slot for event in driver.events if isinstance(event, SlotReady))
    assert ready == {slot: 1 + sum(e.slot == slot for e in ends) for slot in (0, 1)}


def test_slots_run_trials_at_the_same_time(drive):
    driver = drive(reports_of(3), slots=2)

    first, second = driver.start(milestone=1), driver.start(milestone=1)
    driver.reported(first, waiting=True)
    driver.reported(second, waiting=True)

    assert {event.slot for event in driver.events if isinstance(event, SlotReady)} == {0, 1}


def test_a_trial_knows_its_number_params_and_seed(drive):
    def look(params):
        from nbtune import current_trial

        trial = current_trial()
        assert trial.params == {"x": 5}
        return {"number": trial.number, "seed": trial.seed}

    driver = drive(look)
    driver.run({"x": 5})
    ended = driver.run({"x": 5})

    assert ended.result == {"number": 1.0, "seed": 2074974806.0}


def test_params_changed_by_a_trial_stay_its_own(drive):
    def change(params):
        params["model"]["lr"] = 0.0

    params = {"model": {"lr": 0.1}}
    drive(change).run(params)

    assert params == {"model": {"lr": 0.1}}


def test_a_swallowed_stop_comes_again_and_counts(drive):
    def stubborn(params):
        for step in range(1, 1000):
            try:
                report(step, loss=0.0)
            except BaseException:  # noqa: BLE001 - that is the point
                continue

    driver = drive(stubborn)
    number = driver.start(milestone=2)
    driver.reported(number, waiting=True)

    driver.workers.answer(number, Stop("rung 2"))

    assert driver.ended(number).how == "stopped"
    assert len(driver.reports(number)) == 2


def test_closing_twice_is_harmless_and_nothing_is_posted_afterwards(drive):
    driver = drive(reports_of(2000, pause=0.005))
    number = driver.start()
    driver.reported(number)

    driver.workers.close()
    driver.workers.close()
    while driver.inbox.get(0) is not None:
        pass

    assert driver.inbox.get(0.1) is None


def test_closed_workers_take_no_orders(drive):
    driver = drive(lambda params: 1)
    driver.workers.close()

    driver.workers.stop(0, "late")
    driver.workers.kill(0)
    driver.workers.answer(0, Continue())


def test_closed_workers_can_be_opened_again(kind, tmp_path):
    workers = kind(1)
    with Driver(workers, lambda params: 1, tmp_path) as driver:
        driver.run()

    with Driver(workers, lambda params: 2, tmp_path) as driver:
        assert driver.run().result == {"value": 2.0}


def test_one_opening_at_a_time(drive):
    driver = drive(lambda params: 1)
    job = Job(
        call=len, payload=None, step_name="epoch", result_metric="v", folder=driver.events, seed=1
    )

    with pytest.raises(WorkerError, match="run another sweep"):
        driver.workers.open(job, Inbox())


def test_workers_say_how_many_slots_they_have(kind):
    workers = kind(3)

    assert isinstance(workers, Workers)
    assert workers.slots == 3
    assert workers.describe().startswith("3 slots")


@pytest.mark.parametrize("slots", [0, -1, 1.5, True, "2"])
def test_slots_must_be_a_positive_whole_number(kind, slots):
    with pytest.raises(SpecError, match="slots="):
        kind(slots)
