"""What the store answers about a sweep is what its snapshot says."""

import math
import time
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
from driving import PATIENCE

import nbtune
from nbtune import Choice, Int, Real, Sweep, SweepError, report
from nbtune import stored as stored_module
from nbtune.engine import SweepStatus
from nbtune.store import Store
from nbtune.stored import SnapshotCache
from nbtune.workers import Inline


def train(x: Real(0, 1), kind: Choice("plain", "odd", "silent", "fails") = "plain"):
    if kind == "fails":
        raise ValueError("no")
    for epoch in range(1, 6):
        if kind == "odd":
            loss = [math.nan, x, math.inf, x / 2, math.nan][epoch - 1]
        else:
            loss = x + (epoch - 3) ** 2
        later = {"late": x * epoch} if epoch > 2 else {}
        if kind == "silent":
            report(epoch=epoch, other=x)
        else:
            report(epoch=epoch, loss=loss, speed=1 / (x + 0.1), **later)


def both(folder, **options):
    """Return a sweep that ran here, and the same one from its store."""
    goals = options.pop("goals", {"minimize": "loss"})
    given = {"searcher": "random", "trials": 40, "workers": Inline(1), "seed": 5, **options}
    sweep = Sweep(train, **given, **goals, name="digits", store=folder).run()
    return sweep, nbtune.load("digits", folder)


GOALS = [{"minimize": "loss"}, {"maximize": "loss"}, {"minimize": "loss", "maximize": "speed"}]


@pytest.mark.parametrize("goals", GOALS)
@pytest.mark.parametrize("by", ["last", "best"])
def test_best_and_top_are_those_of_the_sweep_that_ran(tmp_path, goals, by):
    here, stored = both(tmp_path, goals=goals, by=by)

    several = len(goals) > 1
    assert (stored.best if several else [stored.best]) == (here.best if several else [here.best])
    assert stored.best_value == here.best_value
    for options in ({"k": 7}, {"k": 100}, {"k": 100, "only_completed": True}):
        assert [t.number for t in stored.top(**options)] == [t.number for t in here.top(**options)]


def test_frames_are_those_of_the_sweep_that_ran(tmp_path):
    here, stored = both(tmp_path)

    pd.testing.assert_frame_equal(stored.trials, here.trials, check_like=True)
    pd.testing.assert_frame_equal(stored.reports, here.reports, check_like=True)


def test_counts_status_and_repr_are_those_of_the_sweep_that_ran(tmp_path):
    here, stored = both(tmp_path)

    assert (stored.status, stored.reason) == (here.status, here.reason)
    assert stored.counts == here.counts
    assert repr(stored) == repr(here)


def test_a_trial_is_that_of_the_sweep_that_ran(tmp_path):
    here, stored = both(tmp_path)

    for number in range(40):
        found = stored.trial(number)
        assert repr(found) == repr(here.trial(number))
        assert found.dir == here.trial(number).dir
        assert found.failure == here.trial(number).failure
    with pytest.raises(SweepError, match="has 40 trials, no trial 40"):
        stored.trial(40)


def test_a_sweep_without_results_has_no_best_in_the_store_either(tmp_path):
    def train(x: Int(1, 2)):
        raise ValueError("no")

    options = {"searcher": "random", "trials": 2, "workers": Inline(1)}
    sweep = Sweep(train, minimize="loss", **options, name="none", store=tmp_path).start()
    sweep._engine.done.wait(PATIENCE)
    stored = nbtune.load("none", tmp_path)

    assert stored.best is None
    assert stored.top() == []
    assert len(stored.reports) == 0
    assert list(stored.trials.status.unique()) == ["failed"]


def test_one_question_reads_one_trial(tmp_path, monkeypatch):
    _, stored = both(tmp_path)
    monkeypatch.setattr(type(stored), "_read", None)  # what reads all of it

    assert stored.trial(3).number == 3
    assert "of 40 trials" in repr(stored)
    assert len(stored.trials) == 40


def test_a_snapshot_of_an_ended_sweep_is_read_once_however_long_it_takes(tmp_path, monkeypatch):
    _, stored = both(tmp_path)
    monkeypatch.setattr(stored_module, "_CLOCK_TICK_NS", -1)
    monkeypatch.setattr(stored_module, "STALE_SECONDS", -1e9)  # as if long ago

    first = stored.snapshot()

    assert stored.snapshot() is first


def test_a_snapshot_is_read_again_after_a_write(tmp_path, monkeypatch):
    _, stored = both(tmp_path)
    monkeypatch.setattr(stored_module, "STALE_SECONDS", -1e9)
    first = stored.snapshot()

    nbtune.load("digits", tmp_path).resume(trials=42).wait()

    assert len(first.trials) == 40
    assert len(stored.snapshot().trials) == 42


def test_a_snapshot_that_took_long_to_read_is_kept_as_long(tmp_path, monkeypatch):
    _, stored = both(tmp_path)
    cache = SnapshotCache(Store(tmp_path))
    snapshot = replace(stored.snapshot(), status=SweepStatus.RUNNING)
    monkeypatch.setattr(stored_module, "STALE_SECONDS", 0.0)
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now, time_ns=time.time_ns)
    monkeypatch.setattr(stored_module, "time", clock)

    def slowly():
        clock.now += 2
        return replace(snapshot)

    first = cache.get(slowly)
    clock.now += 3.9

    assert cache.get(lambda: pytest.fail("it was read again")) is first
    clock.now += 0.2
    assert cache.get(slowly) is not first
