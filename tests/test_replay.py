"""A finished sweep run again on a virtual clock: what another scheduler would have done."""

import pytest

from nbtune import Real, Sweep, SweepError, report
from nbtune.replay import Curve, replay
from nbtune.schedulers import FIFO, Hyperband
from nbtune.trial import Goal, Status
from nbtune.workers import Simulated

UP = Goal(metric="accuracy", direction="maximize")


def curve(quality, length=9, seconds=2.0):
    steps = range(1, length + 1)
    return Curve(steps, [{"accuracy": quality - 1 / step} for step in steps], [seconds] * length)


def test_under_fifo_on_one_slot_everything_takes_as_long_as_it_took():
    again = replay([curve(1), curve(2)], goals=[UP], scheduler=FIFO(), slots=1)

    assert again.seconds == pytest.approx(36)
    assert again.steps == 18
    assert again.best == pytest.approx(2 - 1 / 9)


def test_twice_the_slots_take_half_the_time():
    curves = [curve(quality) for quality in range(8)]

    one, two = (replay(curves, goals=[UP], scheduler=FIFO(), slots=slots) for slots in (1, 2))

    assert two.seconds == pytest.approx(one.seconds / 2)


def test_hyperband_saves_the_rest_of_bad_curves_and_finds_the_best():
    curves = [curve(quality) for quality in (5, 4, 3, 2, 1, 6, 0)]

    again = replay(curves, goals=[UP], scheduler=Hyperband(), slots=1)

    statuses = [trial.status for trial in again.snapshot.trials]
    assert statuses == [Status.COMPLETED] + [Status.STOPPED] * 4 + [
        Status.COMPLETED,
        Status.STOPPED,
    ]
    assert again.steps == 9 + 4 + 9 + 1
    assert again.best == pytest.approx(6 - 1 / 9)


def test_nothing_to_replay_is_said():
    with pytest.raises(SweepError, match="nothing to replay"):
        replay([], goals=[UP], scheduler=FIFO(), slots=1)


def test_one_curve_is_enough():
    assert replay([curve(1)], goals=[UP], scheduler=FIFO(), slots=3).steps == 9


def train(x: Real(0, 1)):
    for epoch in range(1, 10):
        report(epoch=epoch, accuracy=1 - x / epoch)


def test_a_sweep_replays_itself(tmp_path):
    sweep = Sweep(
        train,
        maximize="accuracy",
        searcher="random",
        trials=20,
        workers=Simulated(4, seconds=3),
        name="whole",
        store=tmp_path,
        seed=0,
    ).run()

    same = sweep.replay(scheduler="fifo")
    quicker = sweep.replay(scheduler="hyperband")

    assert same.seconds == pytest.approx(sweep.snapshot().elapsed)
    assert same.best == sweep.best_value
    assert quicker.seconds < same.seconds / 2
    assert quicker.slots == 4
