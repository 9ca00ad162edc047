"""What happens when worker processes do not come up."""

import queue

import pytest
from driving import PATIENCE, worker_processes

from nbtune.exceptions import ObjectiveError, WorkerError
from nbtune.workers import Local
from nbtune.workers.base import Assignment, Ended, Job
from nbtune.workers.pool import Pool
from nbtune.workers.spawner import Place


@pytest.fixture
def job(tmp_path):
    return Job(
        call=lambda params: 1,
        payload=None,
        step_name="epoch",
        result_metric="value",
        folder=tmp_path,
        seed=1,
    )


@pytest.fixture
def broken(job):
    """A pool whose one process cannot start, and its events."""
    events = queue.SimpleQueue()
    pool = Pool(job, events.put, [Place(environment={"PYTHONHOME": "/nowhere"})])
    yield pool, events
    pool.close()


def test_a_slot_that_cannot_come_up_says_so(broken, capfd):
    _, events = broken

    error = events.get(timeout=PATIENCE)

    assert isinstance(error, WorkerError)
    assert "slot 0: no worker process could be started" in str(error)
    assert worker_processes() == []


def test_a_trial_that_waits_for_a_slot_that_cannot_come_up_ends(broken, capfd):
    pool, events = broken
    pool.slots[0].start(Assignment(number=0, params={}))

    ended = events.get(timeout=PATIENCE)

    assert isinstance(ended, Ended)
    assert (ended.number, ended.how) == (0, "died")


def test_an_objective_that_cannot_be_pickled_is_told_before_any_process_starts(job, tmp_path):
    import dataclasses
    import threading

    lock = threading.Lock()
    workers = Local(1)
    unpicklable = dataclasses.replace(job, call=lambda params: lock)

    with pytest.raises(ObjectiveError):
        workers.open(unpicklable, workers.inbox())

    assert worker_processes() == []
