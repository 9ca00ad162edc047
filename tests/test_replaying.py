"""Curves run again on a virtual clock: what another scheduler would have done."""

import numpy as np
import pytest

import nbtune
from nbtune import Real, SpecError, Sweep, SweepError, report
from nbtune.curves import Curve
from nbtune.replaying import replay_curves
from nbtune.schedulers import FIFO, Hyperband
from nbtune.trial import Goal, Status
from nbtune.workers import Simulated

UP = Goal(metric="accuracy", direction="maximize")


def curve(quality, length=9, seconds=2.0):
    steps = range(1, length + 1)
    return Curve(steps, [{"accuracy": quality - 1 / step} for step in steps], [seconds] * length)


def test_under_fifo_on_one_slot_everything_takes_as_long_as_it_took():
    again = replay_curves([curve(1), curve(2)], goals=[UP], scheduler=FIFO(), slots=1)

    assert again.seconds == pytest.approx(36)
    assert again.steps == 18
    assert again.best == pytest.approx(2 - 1 / 9)


def test_twice_the_slots_take_half_the_time():
    curves = [curve(quality) for quality in range(8)]

    one, two = (
        replay_curves(curves, goals=[UP], scheduler=FIFO(), slots=slots) for slots in (1, 2)
    )

    assert two.seconds == pytest.approx(one.seconds / 2)


def test_hyperband_saves_the_rest_of_bad_curves_and_finds_the_best():
    curves = [curve(quality) for quality in (5, 4, 3, 2, 1, 6, 0)]

    again = replay_curves(curves, goals=[UP], scheduler=Hyperband(), slots=1)

    statuses = [trial.status for trial in again.snapshot.trials]
    assert statuses == [Status.COMPLETED] + [Status.STOPPED] * 4 + [
        Status.COMPLETED,
        Status.STOPPED,
    ]
    assert again.steps == 9 + 4 + 9 + 1
    assert again.best == pytest.approx(6 - 1 / 9)


def test_nothing_to_replay_is_said():
    with pytest.raises(SweepError, match="nothing to replay"):
        replay_curves([], goals=[UP], scheduler=FIFO(), slots=1)


def test_one_curve_is_enough():
    assert replay_curves([curve(1)], goals=[UP], scheduler=FIFO(), slots=3).steps == 9


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
    assert same.saved == 0
    assert quicker.seconds < same.seconds / 2
    assert quicker.saved == 1 - quicker.seconds / same.seconds
    assert quicker.slots == 4


# --- a table. Rungs at 1, 2 and 4. B falls short of 3, the only score at rung 1; C reaches 2.5, the
# median of 3 and 2 there, and 3 at rung 2.
TABLE = {"A": [3, 3, 3, 3], "B": [2, 9, 9, 9], "C": [4, 4, 4, 5]}
HALVING = Hyperband(reduction_factor=2)


def statuses(again):
    return [trial.status.value for trial in again.snapshot.trials]


def test_a_table_on_one_slot():
    again = nbtune.replay(TABLE, maximize="score", scheduler=HALVING)

    assert statuses(again) == ["completed", "stopped", "completed"]
    assert again.steps == again.seconds == 4 + 1 + 4
    assert again.saved == pytest.approx(1 - 9 / 12)
    assert again.best == 5


def test_a_table_on_two_slots_of_which_one_is_slow():
    # B stops at 10, as A is done; C begins then: 10 + 4. To their ends: A 0-4, C 4-8, B 0-40.
    again = nbtune.replay(
        TABLE, maximize="score", scheduler=HALVING, workers=2, seconds={"A": 1, "B": 10, "C": 1}
    )

    assert statuses(again) == ["completed", "stopped", "completed"]
    assert again.seconds == 10
    assert again.saved == pytest.approx(1 - 10 / 40)


def test_the_direction_of_a_table():
    # B passes rung 1 and has a 9 at rung 2, where 3 is needed; C has 4 at rung 1, 2.5 is needed.
    again = nbtune.replay(TABLE, minimize="loss", scheduler=HALVING)

    assert statuses(again) == ["completed", "stopped", "stopped"]
    assert [trial.steps for trial in again.snapshot.trials] == [4, 2, 1]
    assert again.best == 3


def test_a_table_under_promotion():
    # A pauses at rung 1, where it is alone, and B below it; A, the best of two, is promoted to rung
    # 2 and pauses there. C is the best of three at rung 1, the best of two at 2, and runs on to 4.
    again = nbtune.replay(
        TABLE, maximize="score", scheduler=Hyperband(reduction_factor=2, type="promotion")
    )

    assert statuses(again) == ["paused", "paused", "completed"]
    assert [trial.steps for trial in again.snapshot.trials] == [2, 1, 4]
    assert again.seconds == 2 + 1 + 4


def test_the_three_forms_of_a_table_come_to_the_same():
    import pandas as pd

    rows = [(name, 1 + i, v) for name, some in TABLE.items() for i, v in enumerate(some)]
    forms = [TABLE, np.array([*TABLE.values()]), pd.DataFrame(rows, columns=["trial", "step", "y"])]

    results = [nbtune.replay(form, maximize="y", scheduler=HALVING) for form in forms]

    assert len({(r.seconds, r.saved, r.steps, r.best) for r in results}) == 1
    assert len({tuple(statuses(result)) for result in results}) == 1


def test_what_sweep_reports_returns_is_a_table(tmp_path):
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

    table = nbtune.replay(sweep.reports, maximize="accuracy", workers=4)
    same = sweep.replay()

    assert (table.seconds, table.steps, table.best) == (same.seconds, same.steps, same.best)
    assert statuses(table) == statuses(same)


def test_curves_that_skip_the_rungs_say_what_to_change():
    import pandas as pd

    table = pd.DataFrame({"trial": [0, 0, 1, 1], "step": [10, 20] * 2, "loss": 1.0})

    with pytest.raises(SweepError, match=r"cannot be replayed: .*Hyperband\(grace_period=10\)"):
        nbtune.replay(table, minimize="loss")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"workers": 0}, "workers=0: a whole number of at least 1"),
        ({"minimize": "loss"}, "a table is replayed for one metric"),
        ({"scheduler": "hyperbrand"}, "Did you mean 'hyperband'"),
        ({"step": "an epoch"}, "step='an epoch': give a name"),
        ({"seed": -1}, "seed=-1: give a whole number from 0"),
    ],
)
def test_a_wrong_argument_is_named(keywords, message):
    with pytest.raises(SpecError, match=message):
        nbtune.replay(TABLE, maximize="score", **keywords)


def test_a_scheduler_given_is_not_used_up():
    first, second = (nbtune.replay(TABLE, maximize="y", scheduler=HALVING) for _ in range(2))

    assert statuses(first) == statuses(second)
