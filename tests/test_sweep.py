"""A sweep from end to end, mostly on `Inline` workers: quick, and the same contract."""

import asyncio
import math
import os
import threading
import time

import pytest
from driving import PATIENCE

import nbtune
from nbtune import Choice, Int, NbtuneError, Real, SpecError, Sweep, SweepError, TrialError, report
from nbtune.engine import SweepEnded, SweepStatus, TrialEnded, TrialStarted
from nbtune.schedulers import Hyperband
from nbtune.searchers import Grid, Points, Random
from nbtune.stopping import MetricThreshold
from nbtune.trial import Status
from nbtune.workers import Inline, Local, Simulated


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def parabola(x: Real(-1, 1) = 0.5, kind: Choice("a", "b") = "a"):
    report(step=1, loss=x * x + (kind == "b"))


def listed(n: Int(1, 10**6) = 2):
    report(step=1, loss=n)


def curve(x: Real(0.1, 1) = 0.5, epochs=9):
    for epoch in range(1, epochs + 1):
        report(epoch=epoch, accuracy=1 - x / epoch)


def failing(x: Real(0, 1)):
    raise ValueError(f"cannot do {int(x >= 0)}")


def sweep(objective=parabola, **options):
    defaults = {"minimize": "loss", "searcher": "random", "trials": 6, "workers": Inline(1)}
    if "maximize" in options:
        del defaults["minimize"]
    return Sweep(objective, **{**defaults, "seed": 1, **options})


def test_a_sweep_runs_its_trials_and_knows_the_best():  # FEATURES A3 A10
    done = sweep().run()

    assert done.status is SweepStatus.COMPLETED
    assert done.reason == "6 of 6 trials"
    losses = [trial.metrics["loss"] for trial in done.snapshot().trials]
    assert done.best_value == min(losses)
    assert done.best_params == done.trial(losses.index(min(losses))).params


def test_a_trial_shows_its_metrics_and_params():
    done = sweep(curve, maximize="accuracy", trials=1).run()

    assert repr(done.best) == ("<Trial 0: completed, 9 steps, accuracy 0.9444, params={'x': 0.5}>")


def test_a_trial_of_many_metrics_shows_the_first_few():
    def many(x: Real(0, 1) = 0.5):
        report(step=1, **{f"m{index}": index for index in range(9)})

    assert "m4 4, ..., params=" in repr(sweep(many, minimize="m0", trials=1).run().best)


def test_the_defaults_are_tried_first():
    assert sweep().run().trial(0).params == {"x": 0.5, "kind": "a"}


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("loss", [{"loss": 2.0}, {"loss": 1.0}]),
        ("{'loss': loss}", [{"loss": 2.0}, {"loss": 1.0}]),
        ("{'loss': loss, 'test': 3}", [{"loss": 2.0}, {"loss": 1.0}, {"test": 3.0}]),
        ("{'loss': 0.5}", [{"loss": 2.0}, {"loss": 1.0}, {"loss": 0.5}]),
    ],
)
def test_what_a_function_returns_adds_a_step_only_for_what_it_has_not_reported(returned, expected):
    def train(x: Real(0, 1) = 0.5):
        for step in (1, 2):
            loss = 2 / step
            report(step=step, loss=loss)
        return eval(returned)

    done = sweep(train, trials=1).run()

    assert [report.metrics for report in done.trial(0).reports] == expected


def test_nan_that_is_returned_after_it_was_reported_adds_no_step():
    def train(x: Real(0, 1) = 0.5):
        report(loss=math.nan)
        return math.nan

    assert sweep(train, trials=1).run().trial(0).steps == 1


asked = set()  # on which threads; a sweep copies its searcher


class Noted(Random):
    """Notes on which thread it is asked, and may raise."""

    def __init__(self, fails=False):
        self._fails = fails

    def suggest(self, number, pending):
        asked.add(threading.current_thread().name)
        if self._fails and number:
            raise LookupError(f"no idea for {number}")
        return super().suggest(number, pending)


@pytest.mark.parametrize(
    ("objective", "thread"), [(parabola, "nbtune-noted"), (listed, "nbtune-thinker")]
)
def test_a_quick_searcher_is_asked_in_the_sweeps_own_thread(objective, thread, monkeypatch):
    asked.clear()
    suggest = Random.suggest

    def noting(searcher, number, pending):
        asked.add(threading.current_thread().name)
        return suggest(searcher, number, pending)

    monkeypatch.setattr(Random, "suggest", noting)

    sweep(objective, searcher=Random(), name="noted").run()

    assert asked == {thread}


def test_a_quick_searcher_of_somebody_elses_is_asked_in_a_thread_of_its_own():
    asked.clear()

    sweep(parabola, searcher=Noted(), name="noted").run()

    assert asked == {"nbtune-thinker"}


@pytest.mark.parametrize("objective", [parabola, listed])
def test_what_a_searcher_raises_ends_the_sweep(objective):
    with pytest.raises(SweepError, match="LookupError: no idea for 1"):
        sweep(objective, searcher=Noted(fails=True)).run()


def test_start_returns_before_the_sweep_ends():
    running = sweep(slow, trials=1000).start()

    assert running.status is SweepStatus.RUNNING
    running.stop()
    assert running.wait(PATIENCE)


def slow(x: Real(0, 1)):
    for step in range(1, 6):
        time.sleep(0.05)
        report(step, loss=x)


def test_wait_with_a_timeout_says_whether_it_ended():
    running = sweep(slow, trials=1000).start()

    before = running.wait(0.05)
    running.stop()

    assert not before
    assert running.wait(PATIENCE)


def test_a_sweep_can_be_awaited():
    async def go():
        return await sweep().start()

    assert asyncio.run(go()).status is SweepStatus.COMPLETED


def test_the_tables_have_the_columns_of_the_design():
    done = sweep().run()

    trials, reports = done.trials, done.reports

    assert trials.index.name == "number"
    assert list(trials.columns) == [
        "status", "reason", "params.x", "params.kind",
        "metrics.loss", "metrics.loss.min", "metrics.loss.max",
        "steps", "started", "seconds", "slot", "why",
    ]  # fmt: skip
    assert list(reports.columns) == ["trial", "step", "time", "loss"]


def test_the_tables_of_a_sweep_without_trials_are_empty_but_well_formed():
    fresh = sweep()

    assert fresh.status is SweepStatus.PENDING
    assert len(fresh.trials) == 0
    assert list(fresh.reports.columns) == ["trial", "step", "time"]


def test_min_and_max_cover_all_reports():  # FEATURES C5
    done = sweep(curve, maximize="accuracy", trials=1).run()

    row = done.trials.loc[0]

    assert row["metrics.accuracy.min"] == pytest.approx(0.5)
    assert row["metrics.accuracy.max"] == row["metrics.accuracy"] == pytest.approx(1 - 0.5 / 9)


def test_top_is_best_first_and_leaves_failures_out():
    def half(x: Int(0, 9)):
        if x % 2:
            raise ValueError("odd")
        return x

    done = sweep(half, searcher=Grid(), trials=None).run()

    assert [trial.params["x"] for trial in done.top(3)] == [0, 2, 4]


def test_nan_ranks_last():
    def sometimes(x: Int(0, 3)):
        return math.nan if x == 0 else x

    done = sweep(sometimes, searcher=Grid(), trials=None).run()

    assert [trial.params["x"] for trial in done.top(4)] == [1, 2, 3, 0]
    assert done.best_params == {"x": 1}


def test_a_returned_dict_is_the_last_report():
    done = sweep(lambda x: {"loss": x, "size": 3}, space={"x": Real(0, 1)}, trials=2).run()

    assert done.trial(0).metrics == {"loss": 0.5, "size": 3.0}


def test_a_finite_searcher_needs_no_budget():
    done = sweep(searcher=Points([{"x": 0.1}, {"x": 0.2}]), trials=None).run()

    assert [trial.params["x"] for trial in done.snapshot().trials] == [0.1, 0.2]
    assert done.reason == "every suggestion tried"


def test_hyperband_stops_trials_at_rungs_and_says_so():  # FEATURES A4
    done = sweep(
        curve, maximize="accuracy", trials=12, scheduler=Hyperband(max_t=9), workers=Inline(1)
    ).run()

    counts = done.counts
    assert counts[Status.COMPLETED] + counts[Status.STOPPED] == 12
    assert counts[Status.STOPPED] > 0
    stopped = [trial for trial in done.snapshot().trials if trial.status is Status.STOPPED]
    assert all(trial.steps in (1, 3) and "rung" in trial.reason for trial in stopped)


def test_counts_print_as_plain_words():
    done = sweep(trials=2).run()

    assert repr(done.counts).startswith("{'pending': 0, 'running': 0, 'paused': 0, 'completed': 2")


def test_a_sweep_that_a_rule_completed_is_not_shown_as_unfinished():
    done = sweep(trials=9, stop_when=MetricThreshold("loss", 1)).run()

    assert repr(done).startswith(
        f"<Sweep 'parabola': completed ({done.reason}), 1 trial, best loss"
    )


def test_the_same_seed_gives_the_same_sweep():
    first, second = sweep(name="one").run(), sweep(name="two").run()

    params = [[trial.params for trial in s.snapshot().trials] for s in (first, second)]
    assert params[0] == params[1]


def test_enqueued_params_come_before_suggestions():
    waiting = sweep(trials=3)
    waiting.enqueue({"x": 0.125})

    params = [trial.params for trial in waiting.run().snapshot().trials]

    assert params[1] == {"x": 0.125, "kind": "a"}


def test_subscribers_hear_every_event():
    heard = []
    done = sweep(trials=2, callbacks=(heard.append,)).run()

    deadline = time.monotonic() + PATIENCE
    while not (heard and isinstance(heard[-1], SweepEnded)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [type(event) for event in heard].count(TrialStarted) == 2
    assert [type(event) for event in heard].count(TrialEnded) == 2
    assert heard[-1] == SweepEnded(SweepStatus.COMPLETED, done.reason)


# --- failures


def test_a_failed_trial_costs_itself_alone():
    def odd(x: Int(0, 5)):
        if x == 3:
            raise ValueError("three")
        return x

    done = sweep(odd, searcher=Grid(), trials=None).run()

    assert done.status is SweepStatus.COMPLETED
    assert done.trial(3).status is Status.FAILED
    assert done.trial(3).reason == "ValueError: three"
    assert "three" in done.trial(3).failure.traceback


def test_three_equal_failures_at_the_start_end_the_sweep_with_that_error():
    with pytest.raises(TrialError, match="first 3 trials all failed with ValueError: cannot do 1"):
        sweep(failing, trials=50).run()

    stopped = nbtune.load("failing")
    assert stopped.status is SweepStatus.FAILED
    assert len(stopped.trials) <= 4


def test_a_metric_that_is_never_reported_is_named_with_what_was():
    with pytest.raises(SweepError, match=r"'los' was never reported; trial 0 reported 'loss'.*Did"):
        sweep(minimize="los").run()


def test_a_report_with_text_fails_the_trial_and_names_the_line():  # FEATURES A2
    def wordy(x: Int(0, 1)):
        report(loss="small")

    with pytest.raises(TrialError, match="all 2 trials failed, the first with ReportError"):
        sweep(wordy, trials=3).run()

    failed = nbtune.load("wordy").trial(0)
    assert failed.failure.type == "ReportError"
    assert "loss='small' is a str, not a number" in failed.failure.message
    assert "test_sweep.py, line" in failed.failure.message


@pytest.mark.parametrize("step", [0, -1, 1.5, "one", True])
def test_a_step_that_is_no_positive_integer_fails_the_trial(step):
    def odd(x: Int(0, 1)):
        report(epoch=step, loss=1.0)

    with pytest.raises(TrialError):
        sweep(odd, trials=3).run()

    assert nbtune.load("odd").trial(0).failure.type == "ReportError"


def test_a_step_that_does_not_grow_fails_the_trial():  # FEATURES A2
    def again(x: Int(0, 1)):
        report(epoch=1, loss=1.0)
        report(epoch=1, loss=1.0)

    with pytest.raises(TrialError, match="does not grow"):
        sweep(again, trials=3).run()


# --- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": None}, "no budget"),
        ({"trials": 0}, "trials=0"),
        ({"trials": 2.5}, "trials=2.5"),
        ({"time_limit": -1}, "time_limit=-1"),
        ({"minimize": None}, "give maximize= or minimize=.*got neither"),
        ({"minimize": 3}, "minimize=3: give a metric's name"),
        ({"minimize": []}, r"minimize=\[\]: give"),
        ({"minimize": ["a", ""]}, "list of names"),
        ({"maximize": ["a", "b"], "minimize": "a"}, "'a' is named twice"),
        ({"searcher": "bays"}, "Did you mean 'bayes'"),
        ({"scheduler": "hyperbrand"}, "Did you mean 'hyperband'"),
        ({"workers": 0}, "workers=0"),
        ({"seed": -1}, "seed=-1"),
        ({"step": "two words"}, "step='two words'"),
        ({"name": "a/b"}, "letters, digits"),
    ],
)
def test_bad_input_gets_one_clear_error_before_anything_starts(options, message, store):
    with pytest.raises(SpecError, match=message):
        Sweep(parabola, **{"minimize": "loss", "trials": 2, **options})

    assert not store.exists()


def test_a_taken_name_says_how_to_go_on():
    sweep(name="digits").run()

    with pytest.raises(SweepError, match=r"6 trials, completed.*resume\(\).*replace=True"):
        sweep(name="digits")


def test_replace_starts_afresh():
    sweep(name="digits").run()

    assert len(sweep(name="digits", trials=2, replace=True).run().trials) == 2


def test_what_cannot_be_sent_to_a_worker_is_named_and_leaves_no_trace():
    import threading

    gate = threading.Lock()

    def locked(x: Real(0, 1)):
        with gate:
            return x

    with pytest.raises(nbtune.ObjectiveError, match="gate"):
        sweep(locked).start()

    assert len(nbtune.sweeps()) == 0


# --- steering


def test_stop_ends_the_sweep_and_keeps_what_was_found():
    running = sweep(slow, trials=100).start()
    while running.counts[Status.COMPLETED] < 1:
        time.sleep(0.01)

    running.stop()

    assert running.wait(PATIENCE)
    assert (running.status, running.reason) == (SweepStatus.STOPPED, "stopped by you")
    assert running.best_value >= 0


def test_pause_starts_nothing_and_resume_goes_on():
    running = sweep(slow, trials=4).start()
    running.pause()
    deadline = time.monotonic() + PATIENCE
    while running.running and time.monotonic() < deadline:
        time.sleep(0.02)
    paused = len(running.trials)
    time.sleep(0.4)

    assert (running.status, len(running.running)) == (SweepStatus.PAUSED, 0)
    assert len(running.trials) == paused
    running.resume()
    assert running.wait(PATIENCE)
    assert len(running.trials) == 4


def test_a_sweep_that_has_not_started_cannot_be_stopped():
    with pytest.raises(SweepError, match="not running"):
        sweep().stop()


def test_selected_is_what_was_brushed_and_everything_without_a_brush():
    done = sweep().run()
    assert len(done.selected) == 6

    done.selected = [4, 2]

    assert list(done.selected.index) == [2, 4]


def test_apply_puts_the_best_params_into_a_namespace():
    namespace = {}

    params = sweep().run().apply(namespace)

    assert namespace == params


def test_rerun_runs_the_objective_here_on_the_best_params(capsys):  # FEATURES A10
    done = sweep().run()
    capsys.readouterr()

    done.rerun()

    assert capsys.readouterr().out.startswith("step 1  loss")


def fitted(lr: Real(0, 1) = 0.5, epochs=3, verbose=False):
    for epoch in range(1, epochs + 1):
        report(epoch=epoch, loss=lr / epoch)
    return lr, epochs, verbose


def fixed(**options):
    """Return a sweep in which ``epochs`` is fixed, over; its best trial is number 1."""
    points = Points([{"lr": 0.5, "epochs": 3}, {"lr": 0.25, "epochs": 3}])
    return sweep(fitted, space={"epochs": 3}, searcher=points, **options).run()


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [((), {"epochs": 5}), (({"epochs": 5},), {}), (({"lr": 0.25},), {"epochs": 5})],
)
def test_rerun_takes_other_values_of_what_was_fixed(arguments, changes, capsys):
    assert fixed().rerun(*arguments, **changes) == (0.25, 5, False)


def test_rerun_takes_params_of_the_function_that_the_space_lacks(capsys):
    assert fixed().rerun(verbose=True) == (0.25, 3, True)


def test_rerun_changes_the_params_that_it_is_given(capsys):
    done = fixed()

    assert done.rerun(done.trial(0).params, epochs=1) == (0.5, 1, False)


def test_rerun_of_no_params_at_all_takes_the_defaults(capsys):
    assert fixed().rerun({}) == (0.5, 3, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 2.0}, r"lr: got 2.0"),
        ({"epoch": 5}, r"'epoch' is not a parameter of fitted. Did you mean 'epochs'"),
        ({"epochs": "many"}, r"epochs: got 'many', allowed is a value like 3"),
    ],
)
def test_rerun_refuses_what_the_objective_cannot_take(changes, message):
    with pytest.raises(NbtuneError, match=message):
        fixed().rerun(**changes)


def test_rerun_leaves_the_sweep_as_it_is(capsys):
    done = fixed()

    done.rerun(epochs=5)

    assert done.best_params == {"lr": 0.25, "epochs": 3}
    assert len(done.trials) == 2


def test_apply_takes_other_values_of_what_was_fixed():
    assert fixed().apply({}, params={"epochs": 5}) == {"lr": 0.25, "epochs": 5}


# --- budgets, on virtual time


def test_the_time_limit_ends_the_sweep_in_order():  # FEATURES A3 C4
    done = sweep(
        curve, maximize="accuracy", trials=None, time_limit=100, workers=Simulated(2, seconds=3)
    ).run()

    assert done.status is SweepStatus.COMPLETED
    assert done.reason == "time limit of 100 s reached"
    assert done.snapshot().elapsed == pytest.approx(100, abs=5)
    assert done.counts[Status.RUNNING] == 0


def test_the_compute_time_limit_counts_every_slot():  # FEATURES C4
    done = sweep(
        curve,
        maximize="accuracy",
        trials=None,
        compute_time_limit=100,
        workers=Simulated(4, seconds=3),
    ).run()

    assert done.snapshot().elapsed == pytest.approx(25, abs=5)


def test_a_trial_over_its_time_limit_is_stopped():  # FEATURES C4
    done = sweep(
        curve, maximize="accuracy", trials=2, trial_time_limit=10, workers=Simulated(1, seconds=4)
    ).run()

    assert [trial.status for trial in done.snapshot().trials] == [Status.STOPPED] * 2
    assert done.trial(0).reason == "over its time limit of 10 s"
    assert done.trial(0).steps == 3


def test_no_trial_starts_once_the_steps_are_spent():  # FEATURES C3
    done = sweep(
        curve, maximize="accuracy", trials=None, max_total_steps=20, workers=Simulated(1)
    ).run()

    assert len(done.trials) == 3
    assert done.reason == "27 of 20 steps"


# --- resume


def test_an_ended_sweep_goes_on_with_a_larger_budget():
    sweep(name="digits", trials=3).run()

    more = nbtune.load("digits").resume(trials=5)

    assert more.wait(PATIENCE)
    assert len(more.trials) == 5
    assert more.reason == "5 of 5 trials"


def test_a_resumed_sweep_makes_the_same_suggestions_as_one_that_was_not():
    straight = sweep(name="straight", trials=8).run()
    sweep(name="broken", trials=4).run()
    resumed = nbtune.load("broken").resume(trials=8)
    resumed.wait(PATIENCE)

    params = [[trial.params for trial in s.snapshot().trials] for s in (straight, resumed)]
    assert params[0] == params[1]


def test_load_gives_the_results_without_running_anything():
    done = sweep(name="digits").run()

    loaded = nbtune.load("digits")

    assert loaded.status is SweepStatus.COMPLETED
    assert loaded.best_params == done.best_params
    assert loaded.trials.equals(done.trials)


def test_load_of_a_running_sweep_is_that_sweep():
    running = sweep(slow, name="digits").start()

    assert nbtune.load("digits") is running
    running.stop()
    running.wait(PATIENCE)


def test_sweeps_lists_what_is_stored():  # FEATURES I5
    sweep(name="one").run()
    sweep(name="two", trials=2).run()

    table = nbtune.sweeps()

    assert list(table.index) == ["one", "two"]
    assert list(table["trials"]) == [6, 2]
    assert list(table["status"]) == ["completed", "completed"]


def test_new_code_with_another_space_is_refused():
    sweep(name="digits", trials=2).run()

    def other(y: Real(0, 1)):
        return y

    with pytest.raises(nbtune.SpaceError, match="Keep the space"):
        nbtune.load("digits").resume(objective=other, trials=4)


# --- on real processes


def test_local_workers_run_trials_in_other_processes(tmp_path):
    def whoami(x: Real(0, 1)):
        (tmp_path / f"pid-{os.getpid()}").touch()
        while len(list(tmp_path.glob("pid-*"))) < 2:  # until the second process is up
            time.sleep(0.01)
        return os.getpid()

    done = sweep(whoami, trials=4, workers=Local(2)).run()

    pids = {trial.metrics["loss"] for trial in done.snapshot().trials}
    assert os.getpid() not in pids
    assert len(pids) == 2


def test_hyperband_on_local_workers_stops_at_milestones():
    done = sweep(
        curve, maximize="accuracy", trials=12, scheduler=Hyperband(max_t=9), workers=Local(2)
    ).run()

    stopped = [trial for trial in done.snapshot().trials if trial.status is Status.STOPPED]
    assert stopped
    assert {trial.steps for trial in stopped} <= {1, 3}


def test_a_report_of_too_many_metrics_fails_the_trial_alone(tmp_path):  # it locked the store
    def train(x: Real(0, 1)):
        report(**{f"m{i}": 1.0 for i in range(1_000_000 if x == 0.5 else 1)}, loss=x)

    sweep = Sweep(train, minimize="loss", trials=2, searcher="random", workers=Inline(1)).run()

    assert sweep.trial(0).failure.type == "ReportError"
    assert (
        "1,000,001 different metrics; a trial has 1,000 at most" in sweep.trial(0).failure.message
    )
    assert sweep.trial(1).status == "completed"


def test_a_trial_may_not_report_ever_new_metrics():
    def train(x: Real(0, 1)):
        for epoch in range(1, 2000):
            report(epoch=epoch, loss=x, **{f"at {epoch}": 1.0})

    sweep = Sweep(train, minimize="loss", trials=1, searcher="random", workers=Inline(1))
    with pytest.raises(TrialError, match="1,001 different metrics"):
        sweep.run()

    assert sweep.trial(0).steps == 999


@pytest.mark.parametrize("option", ["searcher", "space: a"])
def test_an_option_that_cannot_be_stored_is_named(option):
    class Odd(Random):
        def __init__(self):
            super().__init__()
            self.rest = (i for i in range(3))

    given = {"searcher": Odd()} if option == "searcher" else {"searcher": "random"}
    values = Choice((i for i in range(3)), 1) if option != "searcher" else Choice(1, 2)

    with pytest.raises(SpecError, match=f"{option}=.*cannot be stored.*generator"):
        Sweep(lambda a: a, {"a": values}, minimize="loss", trials=1, **given)


def test_a_seed_that_the_store_cannot_hold_is_refused():
    with pytest.raises(SpecError, match=r"seed=9223372036854775808: .*below 2\*\*63"):
        Sweep(lambda x: x, {"x": Real(0, 1)}, minimize="loss", trials=1, seed=2**63)
