"""What the driver keeps of trials that have ended."""

import gc
import tracemalloc

import pytest

from nbtune import Real, Sweep, current_trial, report
from nbtune.engine.ledger import Run
from nbtune.workers import Simulated

traced: dict[int, int] = {}
"""Bytes that Python holds, by the number of the trial that looked."""


def train(x: Real(0, 1)):
    for epoch in range(1, 4):
        report(epoch=epoch, loss=x / epoch)


def looks(x: Real(0, 1), y: Real(0, 1)):
    number = current_trial().number
    if number % 100 == 0:
        gc.collect()
        traced[number] = tracemalloc.get_traced_memory()[0]
    for epoch in range(1, 4):
        report(epoch=epoch, loss=x / epoch, other=y)


@pytest.mark.parametrize("scheduler", ["fifo", "hyperband"])
def test_no_run_is_kept_of_a_trial_that_has_ended(tmp_path, scheduler):
    options = {"searcher": "random", "scheduler": scheduler, "workers": Simulated(2)}

    sweep = Sweep(train, minimize="loss", trials=200, store=tmp_path, **options).run()

    gc.collect()
    runs = [each for each in gc.get_objects() if type(each) is Run]
    assert len(sweep.snapshot().trials) == 200
    assert len(runs) < 20


def test_some_numbers_alone_are_kept_of_a_trial_that_ended_long_ago(tmp_path):
    options = {"searcher": "random", "workers": Simulated(4)}
    sweep = Sweep(looks, minimize="loss", trials=6_100, store=tmp_path, **options)
    traced.clear()
    tracemalloc.start(1)
    try:
        sweep.run()
    finally:
        tracemalloc.stop()

    # The least of each range: ended trials leave memory some hundreds at a time. Of a trial some 30
    # bytes stay; what comes and goes makes up the rest of the bound, which is that of 4,000 trials.
    early = min(traced[number] for number in range(1_100, 2_101, 100))
    late = min(traced[number] for number in range(5_000, 6_001, 100))
    assert late - early < 4_000 * 120
