"""A notebook that has run hundreds of trials is as it was before."""

import gc
import os
import threading

import psutil

import nbtune
from nbtune import report
from nbtune.workers import Local

TRIALS = 500


def sweep_of(trials, tmp_path):
    def train(x: nbtune.Real(0, 1)):
        from nbtune import current_trial

        print("a line")
        report(1, value=x)
        if current_trial().number % 50 == 49:
            os._exit(3)
        return x

    return nbtune.Sweep(
        train,
        maximize="value",
        searcher="random",
        trials=trials,
        workers=Local(2),
        store=tmp_path / f"store-{trials}",
    ).run()


def test_five_hundred_trials_leave_the_driver_level(tmp_path):
    driver = psutil.Process()
    sweep_of(100, tmp_path)  # the imports, and the pools that the allocator keeps
    gc.collect()
    before = driver.num_fds(), threading.active_count(), driver.memory_info().rss

    sweep = sweep_of(TRIALS, tmp_path)

    gc.collect()
    after = driver.num_fds(), threading.active_count(), driver.memory_info().rss
    statuses = [trial.status for trial in sweep.snapshot().trials]
    assert (statuses.count("completed"), statuses.count("failed")) == (490, 10)
    assert after[:2] == before[:2]
    assert after[2] - before[2] < 10_000_000  # the trials themselves, and what they reported
