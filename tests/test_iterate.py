"""Trials that the body of a loop runs."""

import gc
import threading

import pytest

import nbtune
from nbtune import (
    Choice,
    Int,
    Real,
    ReportError,
    Sweep,
    SweepError,
    TrialError,
    current_trial,
    load_checkpoint,
    report,
    save_checkpoint,
)
from nbtune.engine import SweepStatus
from nbtune.schedulers import Hyperband
from nbtune.searchers import Grid
from nbtune.trial import Status
from nbtune.workers import Inline


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def parabola(x: Real(-1, 1) = 0.5):
    return x * x


def sweep(objective=parabola, space=None, **options):
    defaults = {"minimize": "loss", "trials": 6, "seed": 0, "name": "byhand"}
    return Sweep(objective, space, **{**defaults, **options})


def test_each_trial_is_run_by_the_loop():  # FEATURES I1
    made = sweep()

    for trial in made.iterate():
        trial.report(loss=parabola(**trial.params))

    assert made.status is SweepStatus.COMPLETED
    assert made.reason == "6 of 6 trials"
    assert [t.value("loss") for t in made.snapshot().trials] == [
        parabola(**t.params) for t in made.snapshot().trials
    ]
    assert nbtune.load("byhand").best_params == made.best_params


def test_it_suggests_what_workers_would_have_been_given():
    by_workers = sweep(lambda x: {"loss": x * x}, {"x": Real(-1, 1)}, workers=Inline(1), name="w")
    by_workers.run()
    by_loop = sweep(None, {"x": Real(-1, 1)})

    for trial in by_loop.iterate():
        trial.report(loss=trial.params["x"] ** 2)

    assert [t.params for t in by_loop.snapshot().trials] == [
        t.params for t in by_workers.snapshot().trials
    ]


def test_a_product_needs_no_objective():  # FEATURES I1
    made = sweep(
        None,
        {"fold": Choice(0, 1), "factor": Choice(0.5, 0.7), "lr": 1e-4},
        searcher=Grid(),
        trials=None,
    )

    seen = []
    for trial in made.iterate():
        seen.append(trial.params)
        trial.report(loss=trial.params["factor"])

    assert seen == [
        {"fold": fold, "factor": factor, "lr": 1e-4} for fold in (0, 1) for factor in (0.5, 0.7)
    ]


def test_nothing_begins_before_the_first_trial_is_asked_for():
    made = sweep()

    trials = made.iterate()

    assert made.status is SweepStatus.PENDING
    assert next(trials).number == 0
    trials.close()


def test_leaving_the_loop_ends_the_sweep_in_order():
    made = sweep()

    for trial in made.iterate():
        trial.report(loss=1.0)
        if trial.number == 2:
            break

    assert made.status is SweepStatus.STOPPED
    assert made.reason == "its loop was left"
    last = made.trial(2)
    assert (last.status, last.reason) == (Status.STOPPED, "its loop was left")


def test_it_goes_on_where_it_was_left():
    made = sweep()
    for trial in made.iterate():
        trial.report(loss=parabola(**trial.params))
        if trial.number == 2:
            break

    again = nbtune.load("byhand")
    numbers = []
    for trial in again.iterate():
        numbers.append(trial.number)
        trial.report(loss=parabola(**trial.params))

    assert numbers == [2, 3, 4, 5]  # the one at which the loop was left was not known to be done
    assert again.status is SweepStatus.COMPLETED


def test_an_error_in_the_loop_is_the_callers_and_stops_the_sweep():
    made = sweep()

    with pytest.raises(ZeroDivisionError):
        for _ in made.iterate():
            1 / 0  # noqa: B018
    gc.collect()  # the traceback held the loop

    assert made.status is SweepStatus.STOPPED


def test_a_scheduler_tells_the_loop_when_to_leave_a_trial():
    made = sweep(None, {"x": Real(0, 1)}, maximize="score", minimize=None, scheduler="hyperband")
    steps = {}

    for trial in made.iterate():
        for epoch in range(1, 10):
            steps[trial.number] = epoch
            if not trial.report(epoch=epoch, score=trial.params["x"] * epoch):
                break

    stopped = [t for t in made.snapshot().trials if t.status is Status.STOPPED]
    assert stopped
    assert all(steps[t.number] == t.steps < 9 for t in stopped)


def test_code_that_reports_by_itself_runs_as_it_is():
    def train(x):
        assert current_trial().params == {"x": x}
        for epoch in range(1, 10):
            report(epoch=epoch, score=x * epoch)
        return epoch

    made = sweep(
        None,
        {"x": Real(0, 1)},
        maximize="score",
        minimize=None,
        scheduler=Hyperband(max_t=9),
        trials=9,
    )
    ends = [train(**trial.params) for trial in made.iterate()]

    assert ends == [9] * 9  # nothing unwinds it; what a stopped trial reports counts no more
    assert {t.steps for t in made.snapshot().trials} == {1, 9}


def test_after_the_loop_reports_are_shown_again(capsys):
    for trial in sweep(trials=1).iterate():
        trial.report(loss=1.0)

    report(loss=0.5)

    assert capsys.readouterr().out == "loss 0.5\n"


def test_a_trial_may_fail():
    made = sweep()

    for trial in made.iterate():
        try:
            if trial.number == 1:
                raise ValueError("no luck")
            trial.report(loss=1.0)
        except ValueError as error:
            trial.fail(error)

    failed = made.trial(1)
    assert failed.status is Status.FAILED
    assert failed.reason == "ValueError: no luck"
    assert "no luck" in failed.failure.traceback
    assert made.status is SweepStatus.COMPLETED


def test_a_sweep_that_cannot_work_says_so_at_the_end_of_the_loop():
    with pytest.raises(SweepError, match="metric 'loss' was never reported"):
        for _ in sweep().iterate():
            pass
    with pytest.raises(TrialError, match="the first 3 trials all failed with Failed: no"):
        for trial in sweep(name="other").iterate():
            trial.fail("no")


def test_a_report_that_breaks_the_contract_is_refused_on_the_spot():
    for trial in sweep(trials=1).iterate():
        with pytest.raises(
            ReportError, match=r"trial.report in .*test_iterate.py, line \d+: loss="
        ):
            trial.report(loss="low")
        trial.report(epoch=2, loss=1.0)
        with pytest.raises(ReportError, match="does not grow"):
            trial.report(epoch=1, loss=1.0)


def test_a_checkpoint_is_found_when_a_trial_goes_on():
    made = sweep(
        None,
        {"x": Int(0, 8)},
        maximize="score",
        minimize=None,
        searcher=Grid(),
        scheduler=Hyperband(type="promotion", max_t=9),
        trials=9,
    )
    began = {}
    for trial in made.iterate():
        start = load_checkpoint(0)
        began.setdefault(trial.number, []).append(start)
        for epoch in range(start + 1, 10):
            save_checkpoint(epoch)
            if not trial.report(epoch=epoch, score=(9 - trial.params["x"]) * epoch):
                break

    assert began[0] == [0, 1, 3]  # paused twice, promoted when it was among the best of three
    assert made.trial(0).status is Status.COMPLETED


def test_stop_from_outside_is_told_at_the_next_report():
    made = sweep()
    told = []

    for trial in made.iterate():
        told.append(trial.report(loss=1.0))
        made.stop()
        deadline = threading.Event()
        while trial.report(loss=1.0) and not deadline.wait(0.01):
            pass

    assert told == [True]
    assert made.status is SweepStatus.STOPPED
    assert made.reason == "stopped by you"


def test_a_trial_that_is_killed_is_over_for_the_sweep():
    made = sweep()

    for trial in made.iterate():
        if trial.number == 0:
            trial.report(loss=1.0)
            continue
        made.kill(trial)
        while trial.report(loss=2.0):
            threading.Event().wait(0.01)
        break

    assert made.trial(1).reason == "killed by you"


def test_a_sweep_that_runs_cannot_be_iterated():
    made = sweep(workers=Inline(1), trials=None, time_limit=60, objective=parabola).start()

    with pytest.raises(SweepError, match="is running: stop it before iterating"):
        next(made.iterate())

    made.stop()
    made.wait()


def test_without_an_objective_workers_have_nothing_to_run():
    with pytest.raises(TrialError, match=r"no objective to run on x.*for trial in sweep.iterate"):
        sweep(None, {"x": Real(0, 1)}, workers=Inline(1)).run()
