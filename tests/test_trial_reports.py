"""The reports of trials that have ended, kept in little memory."""

import math
import pickle
import sys

import pytest

from nbtune import Real, Sweep, report
from nbtune.trial import CompactReports, Goal, Report, Status, Trial
from nbtune.workers import Inline


def made(values, **more):
    return [
        Report(step, {"loss": value, **more}, 100.0 + step) for step, value in enumerate(values, 1)
    ]


VALUES = [0.5, math.inf, -math.inf, 0.25, 1e-300]


def test_they_are_what_they_were():
    reports = made(VALUES, speed=2.0)

    compact = CompactReports.of(reports, {})

    assert isinstance(compact, CompactReports)
    assert compact == reports
    assert reports == compact
    assert (len(compact), compact[-1], compact[1:3]) == (5, reports[-1], reports[1:3])
    assert [type(each.step) for each in compact] == [int] * 5
    with pytest.raises(IndexError):
        compact[5]


def test_nan_stays_nan():
    [only] = CompactReports.of(made([math.nan]), {})

    assert math.isnan(only.metrics["loss"])


def test_a_trial_answers_from_them_as_from_a_list():
    reports = made([3.0, 1.0, 2.0], speed=4.0)
    trials = [
        Trial(number=0, params={}, status=Status.COMPLETED, reports_so_far=kept, count=2)
        for kept in (reports, CompactReports.of(reports, {}))
    ]

    plain, compact = (
        [
            trial.value("loss"),
            trial.value("none"),
            trial.metrics,
            trial.steps,
            trial.curve("loss"),
            trial.value_for(Goal(metric="loss", direction="maximize", by="best")),
        ]
        for trial in trials
    )
    assert plain == compact
    assert trials[0] == trials[1]


@pytest.mark.parametrize(
    "reports",
    [
        [],
        [Report(1, {"loss": 1.0}, 1.0), Report(2, {"other": 1.0}, 2.0)],
        [Report(2**60, {"loss": 1.0}, 1.0)],
    ],
)
def test_what_a_table_cannot_hold_stays_a_list(reports):
    assert CompactReports.of(reports, {}) is reports


def test_they_can_be_pickled():
    compact = CompactReports.of(made(VALUES), {})

    assert pickle.loads(pickle.dumps(compact)) == compact


def test_they_take_little_memory():
    compact = CompactReports.of(made([0.5] * 30), {})

    assert sys.getsizeof(compact.table) < 30 * 30


def test_a_sweep_keeps_those_of_ended_trials_compactly(tmp_path):
    def train(x: Real(0, 1)):
        for epoch in range(1, 6):
            report(epoch=epoch, loss=x / epoch)

    sweep = Sweep(
        train, minimize="loss", searcher="random", trials=5, workers=Inline(1), store=tmp_path
    ).run()

    kept = [trial.reports_so_far for trial in sweep.snapshot().trials]
    assert all(isinstance(each, CompactReports) for each in kept)
    assert len(sweep.reports) == 25
    sweep.resume(trials=7).wait()
    assert len(sweep.reports) == 35
