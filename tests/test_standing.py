"""Why a trial was stopped or is paused: in the metric's own unit, in the panel and in the twin."""

import math

import pytest
from pictured import Shown, ended, made, mixed, snapshot

from nbtune import Real, Sweep, report
from nbtune.ended_by import EndedBy, EndKind
from nbtune.engine import SweepStatus
from nbtune.schedulers import Explanation
from nbtune.trial import Goal, Status
from nbtune.widgets import Dashboard, Twin, content
from nbtune.workers import Simulated

RUNG = "rung 3: below the best third"


def told(score, cutoff, **fields):
    given = {"bracket": 0, "rung": 3, "rank": 7, "of": 9, "score": score, "cutoff": cutoff}
    return Explanation(**{**given, **fields})


def by(kind, **facts):
    return EndedBy(kind=kind, text=RUNG, **facts)


BY_SCHEDULER = by(EndKind.SCHEDULER)


def standing(explanation, how=Status.STOPPED, ended_by=BY_SCHEDULER, **fields):
    trial = made(0, [0.1, 0.2, 0.3], how, reason=RUNG, ended_by=ended_by)
    return content.standing(trial, explanation, snapshot(trial, **fields))


def test_a_stopped_trial_fell_short_of_the_cutoff():
    assert standing(told(0.8124, 0.845)) == (
        "at epoch 3: rank 7 of 9, 0.8124 where at least 0.8450 was needed"
    )


def test_a_metric_that_is_minimized_has_its_own_sign_and_side():
    down = Goal(metric="accuracy", direction="minimize")

    assert standing(told(-0.95, -0.845), goals=(down,)) == (
        "at epoch 3: rank 7 of 9, 0.9500 where at most 0.8450 was needed"
    )


def test_numbers_have_the_digits_that_tell_them_apart():
    assert "0.812001 where at least 0.812004" in standing(told(0.812001, 0.812004))


def test_a_value_that_was_no_number_is_called_so():
    assert "NaN where at least 0.845" in standing(told(-math.inf, 0.845))


def test_a_bracket_is_named_where_there_are_several():
    assert "rank 7 of 9 in bracket 1, " in standing(told(0.8, 0.9, bracket=1))


def test_of_a_paused_trial_it_is_what_is_needed_now():
    said = standing(told(0.8, 0.9), Status.PAUSED)

    assert said.endswith("at least 0.9000 is needed")


def test_once_the_sweep_is_over_it_is_what_was_needed_and_what_became_of_it():
    left = by(EndKind.SCHEDULER, left_paused=True)

    said = standing(told(0.8, 0.9), Status.PAUSED, left, status=SweepStatus.COMPLETED)

    assert said.endswith("at least 0.9000 was needed; not promoted when the sweep ended")


def test_a_rung_that_has_not_been_decided_needs_nothing_yet():
    said = standing(told(0.8, None, rank=1, of=2), Status.PAUSED)

    assert said == "at epoch 3: rank 1 of 2, undecided so far"


@pytest.mark.parametrize(
    ("explanation", "status", "ended_by"),
    [
        (None, Status.STOPPED, BY_SCHEDULER),
        (told(0.8, 0.9), Status.STOPPED, by(EndKind.USER)),
        (told(0.8, 0.9), Status.COMPLETED, by(EndKind.COMPLETED)),
        (told(0.95, 0.9, rung=1), Status.STOPPED, BY_SCHEDULER),
    ],
    ids=["never compared", "a person stopped it", "completed", "stopped later"],
)
def test_nothing_is_said_of_a_trial_that_the_scheduler_did_not_end(explanation, status, ended_by):
    assert standing(explanation, status, ended_by) == ""


# --- on screen


def opened(sweep, number):
    dashboard = Dashboard(sweep)
    dashboard.select(number)
    dashboard.refresh()
    return dashboard


def refresh(dashboard):
    dashboard._panel_at = 0.0
    dashboard.refresh()


def test_the_panel_of_a_stopped_trial_says_how_it_stood_and_asks_once():
    sweep = Shown(mixed())
    sweep.explanations[1] = told(0.8124, 0.845)

    dashboard = opened(sweep, 1)
    refresh(dashboard)

    assert dashboard.table.panel["why"].startswith("at epoch 3: rank 7 of 9, 0.8124 where")
    assert sweep.asked == [1]


def test_the_panel_of_a_paused_trial_asks_again_after_a_while():
    sweep = Shown(
        snapshot(made(0, [0.1, 0.2, 0.3], Status.PAUSED, reason=RUNG, ended_by=BY_SCHEDULER))
    )
    sweep.explanations[0] = told(0.8, 0.9)
    dashboard = opened(sweep, 0)

    sweep.explanations[0] = told(0.8, 0.9, rank=8, of=10)
    refresh(dashboard)
    soon = dashboard.table.panel["why"]
    dashboard._told_until = 0.0
    refresh(dashboard)

    assert "rank 7 of 9" in soon
    assert "rank 8 of 10" in dashboard.table.panel["why"]


def test_the_panel_of_a_running_trial_asks_nothing():
    sweep = Shown(mixed())

    dashboard = opened(sweep, 11)

    assert dashboard.table.panel["status"] == "running"
    assert sweep.asked == []


def test_the_twins_table_says_how_its_trials_stood():
    twin = Twin(ended(mixed()), explain=lambda trial: told(0.8, 0.9))

    assert "at epoch 3: rank 7 of 9, 0.8000 where at least 0.9000 was needed" in str(twin)
    assert RUNG not in str(twin)


def train(quality: Real(0, 1)):
    for epoch in range(1, 10):
        report(epoch=epoch, accuracy=quality - 1 / epoch)


@pytest.fixture
def sweep(tmp_path):
    return Sweep(
        train,
        maximize="accuracy",
        searcher="random",
        scheduler="hyperband",
        trials=100,
        workers=Simulated(4),
        name="many",
        store=tmp_path,
        seed=0,
    ).run()


def test_what_is_said_of_a_real_sweep_is_true(sweep):
    of = sweep.snapshot()
    stopped = [trial for trial in of.trials if trial.status is Status.STOPPED]

    said = [content.standing(trial, sweep.explain(trial), of) for trial in stopped]

    assert len(said) > 50
    for trial, text in zip(stopped, said, strict=True):
        explanation = sweep.explain(trial)
        assert text.startswith(f"at epoch {trial.steps}: rank {explanation.rank} of ")
        assert trial.value("accuracy") == explanation.score < explanation.cutoff


def test_a_sweep_in_which_nothing_happens_is_retold_once(sweep):
    sweep.explain(0)
    scheduler = sweep._told()

    sweep.explain(1)
    sweep.rungs()

    assert sweep._told() is scheduler
