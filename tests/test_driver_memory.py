"""What the driver keeps of trials that have ended."""

import gc

import pytest

from nbtune import Real, Sweep, report
from nbtune.engine.ledger import Run
from nbtune.workers import Simulated


def train(x: Real(0, 1)):
    for epoch in range(1, 4):
        report(epoch=epoch, loss=x / epoch)


@pytest.mark.parametrize("scheduler", ["fifo", "hyperband"])
def test_no_run_is_kept_of_a_trial_that_has_ended(tmp_path, scheduler):
    options = {"searcher": "random", "scheduler": scheduler, "workers": Simulated(2)}

    sweep = Sweep(train, minimize="loss", trials=200, store=tmp_path, **options).run()

    gc.collect()
    runs = [each for each in gc.get_objects() if type(each) is Run]
    assert len(sweep.snapshot().trials) == 200
    assert len(runs) < 20
