"""Callbacks besides plain functions of a sweep's events."""

import time

import pytest

import nbtune
from nbtune import Every, Real, SpecError, Sweep, report
from nbtune.workers import Inline


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def train(x: Real(0, 1)):
    for epoch in range(1, 6):
        time.sleep(0.02)
        report(epoch=epoch, loss=x)


def run(*callbacks, **options):
    return Sweep(
        train, minimize="loss", searcher="random", trials=4, workers=Inline(1), callbacks=callbacks
    ).run()


def wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_every_sees_the_training_history_grow_and_all_of_it_at_the_end():  # FEATURES A9
    seen = []

    run(Every(0.1, lambda sweep: seen.append(len(sweep.reports))))

    wait_for(lambda: seen and seen[-1] == 20)
    assert 2 <= len(seen) <= 10
    assert seen == sorted(seen)


def test_every_calls_no_more_often_than_it_says():
    calls = []

    run(Every(3600, calls.append))

    wait_for(lambda: calls)
    assert len(calls) == 1  # the one at the end


def test_one_every_serves_several_sweeps():
    names = []
    every = Every(3600, lambda sweep: names.append(sweep.name))

    run(every)
    run(every)

    wait_for(lambda: len(names) == 2)
    assert names == ["train", "train-2"]


@pytest.mark.parametrize("seconds", [0, -1, True, "60", float("nan")])
def test_the_seconds_are_a_positive_number(seconds):
    with pytest.raises(SpecError, match="positive number of seconds"):
        Every(seconds, print)


def test_what_is_called_can_be_called():
    with pytest.raises(SpecError, match="a function that takes the sweep"):
        Every(1, nbtune)
