"""Sweeps that run in one process at once share its cores."""

import pickle
import time

import pytest

from nbtune import Real, Sweep, report
from nbtune.workers import Local
from nbtune.workers.core_shares import CoreShares, process_cores


def shares(cores, *joining):
    """Return one share for each pair of cores a trial and whether its slots were given."""
    home = CoreShares(lambda: cores)
    return [home.join(cpus, fixed=fixed) for cpus, fixed in joining]


def filled(share, running=0):
    """Start trials until there is no room; return how many run then."""
    while share.has_room(running):
        share.started()
        running += 1
        assert running < 100
    return running


def test_a_sweep_alone_has_all_cores():
    [alone] = shares(4, (1, False))

    assert filled(alone) == 4
    assert alone.remark == ""


def test_a_later_sweep_starts_at_once_up_to_its_fair_share():
    first, second = shares(4, (1, False), (1, False))
    filled(first)

    assert filled(second) == 2


def test_the_earlier_one_comes_down_to_its_share_as_its_trials_end():
    first, second = shares(4, (1, False), (1, False))
    filled(first)
    filled(second)

    assert [first.has_room(running) for running in (3, 2, 1)] == [False, False, True]


def test_what_another_does_not_use_is_free():
    first, second = shares(4, (1, False), (1, False))
    filled(first)
    filled(second)

    second.has_room(0)  # it is paused, its trials have ended

    assert first.has_room(3)


def test_a_core_that_does_not_divide_goes_to_who_is_first():
    first, second = shares(3, (1, False), (1, False))

    assert (filled(first, 1), filled(second)) == (3, 1)


def test_every_sweep_has_one_trial():
    crowd = shares(2, *[(1, False)] * 5)

    assert [filled(share) for share in crowd[1:]] == [2, 1, 1, 1]


def test_a_share_counts_in_cores():
    first, second = shares(8, (2, False), (4, False))
    filled(first)

    assert filled(second) == 1
    assert not first.has_room(2)
    assert first.has_room(1)


def test_a_number_of_slots_that_was_given_is_kept_to_and_counts():
    given, default = shares(4, (1, True), (1, False))
    for running in range(3):
        given.has_room(running)
        given.started()

    assert filled(default) == 1
    assert given.has_room(3)


def test_a_sweep_that_has_ended_leaves_its_share():
    first, second = shares(4, (1, False), (1, False))
    filled(first)

    first.leave()
    first.leave()

    assert filled(second) == 4
    assert second.remark == ""


def test_the_plan_says_with_whom_cores_are_shared():
    first, *_ = shares(4, (1, False), (1, False), (1, True))

    assert first.remark == "4 cores shared with 2 other sweeps"


def test_a_sweep_with_slots_of_its_own_shares_nothing():
    given, _ = shares(4, (1, True), (1, False))

    assert given.remark == ""


def test_workers_that_were_stored_before_cores_were_shared_keep_their_slots():
    old = pickle.loads(pickle.dumps(Local(2)))
    del old.__dict__["_shares_cores"], old.__dict__["_share"]

    assert old.has_room(2)
    assert not old._shares_cores


def busy(x: Real(0, 1) = 0.5):
    time.sleep(0.05)
    report(step=1, loss=x)


@pytest.fixture
def two_sweeps(tmp_path, monkeypatch):
    """Two sweeps at once, each with as many slots as there are cores, which are said to be 2."""
    monkeypatch.setattr(process_cores, "_count", lambda: 2)
    monkeypatch.setattr("nbtune.workers.local.available_cores", lambda: 2)
    sweeps = [
        Sweep(
            busy,
            minimize="loss",
            searcher="random",
            trials=100_000,
            name=name,
            seed=1,
            store=tmp_path,
        )
        for name in ("one", "two")
    ]
    yield sweeps
    for sweep in sweeps:
        if sweep.running_here:
            sweep.stop()
            sweep.wait()


def at_once(trials):
    """Return how many of these trials ran at the same time at most."""
    moments = [(t.started, 1) for t in trials] + [(t.ended, -1) for t in trials]
    running, most = 0, 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_sweeps_at_once_divide_the_cores_of_their_process(two_sweeps):
    one, two = two_sweeps
    one.start()
    until(lambda: len(one.running) == 2)
    two.start()
    until(lambda: two.counts["completed"] >= 1)
    before = len(one.snapshot().trials)
    until(lambda: min(s.counts["completed"] for s in two_sweeps) >= before + 20)
    plans = [sweep.snapshot().plan for sweep in two_sweeps]

    assert all("2 cores shared with 1 other sweep" in plan for plan in plans)
    shared = [t for t in one.snapshot().trials[before + 2 :] if t.status.ended]
    assert sum(at_once(shared[i : i + 2]) for i in range(0, 10, 2)) <= 7  # mostly one by one


def test_a_sweep_has_all_cores_again_once_the_other_has_ended(two_sweeps):
    one, two = two_sweeps
    one.start()
    two.start()
    until(lambda: two.counts["completed"] >= 1)

    two.stop()
    two.wait()

    until(lambda: len(one.running) == 2)
    until(lambda: "shared" not in one.snapshot().plan)
