"""Callbacks besides plain functions of a sweep's events."""

import threading

import pytest
from driving import PATIENCE, wait_until

import nbtune
from nbtune import Every, Real, SpecError, Sweep, report
from nbtune.workers import Inline


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


heard = threading.Event()


def train(x: Real(0, 1)):
    for epoch in range(1, 6):
        report(epoch=epoch, loss=x)


def train_once_heard(x: Real(0, 1)):
    report(epoch=1, loss=x)
    heard.wait(PATIENCE)
    for epoch in range(2, 6):
        report(epoch=epoch, loss=x)


def run(*callbacks, objective=train):
    return Sweep(
        objective,
        minimize="loss",
        searcher="random",
        trials=4,
        workers=Inline(1),
        callbacks=callbacks,
    ).run()


def test_every_sees_the_training_history_grow_and_all_of_it_at_the_end():  # FEATURES A9
    seen = []

    def look(sweep):
        seen.append(len(sweep.reports))
        heard.set()

    run(Every(1e-9, look), objective=train_once_heard)

    wait_until(lambda: seen and seen[-1] == 20)
    assert seen[0] < 20
    assert seen == sorted(seen)


def test_every_calls_no_more_often_than_it_says():
    calls = []

    run(Every(3600, calls.append))

    wait_until(lambda: calls)
    assert len(calls) == 1  # the one at the end


def test_one_every_serves_several_sweeps():
    names = []
    every = Every(3600, lambda sweep: names.append(sweep.name))

    run(every)
    run(every)

    wait_until(lambda: len(names) == 2)
    assert names == ["train", "train-2"]


@pytest.mark.parametrize("seconds", [0, -1, True, "60", float("nan")])
def test_the_seconds_are_a_positive_number(seconds):
    with pytest.raises(SpecError, match="positive number of seconds"):
        Every(seconds, print)


def test_what_is_called_can_be_called():
    with pytest.raises(SpecError, match="a function that takes the sweep"):
        Every(1, nbtune)
