"""With the same seed every registered searcher makes the same sweep, whatever the clock says."""

import zlib

import pytest
from driving import PATIENCE

from contracts.test_searchers import LISTED, NAMES, build
from nbtune import Sweep, report
from nbtune.searchers import Bayes
from nbtune.workers import Simulated

TRIALS = 14
each = pytest.mark.parametrize("name", NAMES)
CUTS = [0, 1, 3, 9, 12]
"""Trials in the middle of which a sweep is stopped, to be resumed: one cut after another."""


class Cutter:
    """Stops the sweep that runs in the middle of some trials, counted as they are begun."""

    sweep: Sweep
    cuts: list[int]
    begun: int

    def reset(self, cuts=()):
        self.cuts, self.begun = list(cuts), 0

    def begin(self):
        self.begun += 1
        if self.cuts and self.begun > self.cuts[0]:
            self.cuts.pop(0)
            self.sweep.stop()


CUTTER = Cutter()


def train(**params):
    """Report three values, a function of the params; one in ten fails."""
    CUTTER.begin()
    value = zlib.crc32(repr(sorted(params.items())).encode()) / 2**32
    if value > 0.9:
        raise ArithmeticError("one of ten fails")
    for epoch in (1, 2, 3):
        report(epoch=epoch, score=value / epoch)


def pace(seed):
    """Return seconds a step that are a function of the params, another one for each seed."""

    def seconds(params, step):
        return 0.1 + zlib.crc32(f"{seed}{sorted(params.items())}".encode()) / 2**29

    return seconds


def searcher_of(name):
    return Bayes(4) if name == "bayes" else build(name, LISTED)


def run(name, store, *, slots, seconds=1.0, cuts=(), **arguments):
    """Return the sweep's trials as (params, status, values of the reports)."""
    CUTTER.reset(cuts)
    CUTTER.sweep = sweep = Sweep(
        train,
        LISTED,
        maximize="score",
        searcher=searcher_of(name),
        workers=Simulated(slots, seconds=seconds),
        trials=TRIALS,
        seed=5,
        store=store,
        **arguments,
    )
    sweep.enqueue({"n": 7, "kind": 1})
    sweep.start().wait(PATIENCE)
    while sweep.status == "stopped":
        sweep.resume().wait(PATIENCE)
    assert not CUTTER.cuts
    return [
        (trial.number, trial.params, trial.status, trial.curve("score")[1])
        for trial in sweep.snapshot().trials
    ]


@each
def test_one_slot_repeats_itself_after_any_stop(name, tmp_path):
    whole = run(name, tmp_path / "a", slots=1)

    again = run(name, tmp_path / "b", slots=1, cuts=CUTS)

    assert again == whole
    assert len(whole) > 5


@each
def test_several_slots_repeat_themselves_at_any_pace_and_after_any_stop(name, tmp_path):
    even = run(name, tmp_path / "a", slots=3, deterministic=True)

    uneven = run(name, tmp_path / "b", slots=3, seconds=pace(1), deterministic=True)
    cut = run(name, tmp_path / "c", slots=3, seconds=pace(2), cuts=CUTS, deterministic=True)

    assert uneven == even
    assert cut == even
