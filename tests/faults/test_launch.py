"""What a worker's launch leaves open, and what becomes of it when the driver is in a bad way."""

import contextlib
import os
import pickle
import stat
import time
from pathlib import Path

import nbtune
from nbtune.searchers import Points
from nbtune.workers import Local


def test_nothing_that_a_trial_writes_to_its_descriptors_runs_in_the_driver(tmp_path):
    witness = tmp_path / "witness"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (witness,)

    attack = pickle.dumps(Bomb())

    def train(x: nbtune.Int(0, 1)):
        if x == 0:
            for descriptor in range(3, 100):
                with contextlib.suppress(OSError):
                    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                        os.set_blocking(descriptor, False)
                        os.write(descriptor, len(attack).to_bytes(4, "big") + attack + b"\n")
            time.sleep(0.5)
        return float(x)

    nbtune.Sweep(
        train,
        maximize="value",
        searcher=Points([{"x": 0}, {"x": 1}]),
        workers=Local(1),
        store=tmp_path / "store",
    ).run()

    assert not witness.exists()
