"""The end of a sweep that lets the trials which run come to theirs, and waiting for one paused."""

import asyncio
import threading
import time

import pytest

from nbtune import Real, SpecError, Sweep, load, report
from nbtune.engine import SweepStatus
from nbtune.stopping import MetricThreshold
from nbtune.trial import Status
from nbtune.widgets import content
from nbtune.workers import Inline, Simulated

PATIENCE = 60  # seconds, for what takes a moment


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


begun, gate = threading.Event(), threading.Event()


@pytest.fixture(autouse=True)
def _closed():
    begun.clear()
    gate.clear()
    yield
    gate.set()


def gated(x: Real(0, 1) = 0.5):
    report(epoch=1, loss=x)
    begun.set()
    gate.wait(PATIENCE)
    report(epoch=2, loss=x)
    report(epoch=3, loss=x)


def reaching(x: Real(0, 1) = 0.5):
    report(epoch=1, loss=1.0)
    begun.set()
    gate.wait(PATIENCE)
    for epoch in range(2, 100 * PATIENCE):
        report(epoch=epoch, loss=1.0 / epoch)
        time.sleep(0.01)


def curve(x: Real(0, 1) = 0.5):
    for epoch in range(1, 10):
        report(epoch=epoch, loss=x / epoch)


def sweep(objective=gated, **options):
    given = {"minimize": "loss", "searcher": "random", "trials": 100, "seed": 1, "name": "sweep"}
    return Sweep(objective, **{**given, "workers": Inline(1), **options})


def started(**options):
    running = sweep(**options).start()
    assert begun.wait(PATIENCE)
    return running


def until(condition):
    """Wait for something that comes about by itself."""
    moment, tries = threading.Event(), 0
    while not condition():
        tries += 1
        assert tries < 100 * PATIENCE
        moment.wait(0.01)


def test_a_drained_sweep_lets_the_running_trial_finish_and_starts_no_more():
    running = started()

    running.stop(drain=True)
    gate.set()

    assert running.wait(PATIENCE)
    assert (running.status, running.reason) == (SweepStatus.STOPPED, "stopped by you")
    trials = running.snapshot().trials
    assert [(trial.status, trial.steps) for trial in trials if trial.steps] == [
        (Status.COMPLETED, 3)
    ]


@pytest.mark.parametrize("drain", [True, False])
def test_that_a_sweep_was_drained_is_data(drain):
    running = started()

    running.stop(drain=drain)
    gate.set()

    assert running.wait(PATIENCE)
    assert running.snapshot().ended_by.drained is drain
    assert load(running.name).snapshot().ended_by.drained is drain


def test_a_stop_ends_a_sweep_that_drains():
    running = started()
    running.stop(drain=True)
    until(lambda: running.status is SweepStatus.STOPPING)

    running.stop()
    until(lambda: not running.snapshot().draining)
    gate.set()

    assert running.wait(PATIENCE)
    assert (running.trial(0).status, running.trial(0).reason) == (Status.STOPPED, "stopped by you")


def test_a_second_drain_changes_nothing():
    running = started()
    running.stop(drain=True)

    running.stop(drain=True)
    gate.set()

    assert running.wait(PATIENCE)
    assert running.trial(0).status is Status.COMPLETED


def test_a_drained_sweep_goes_on_when_it_is_resumed():
    running = started()
    running.stop(drain=True)
    gate.set()
    running.wait(PATIENCE)

    running.resume(trials=3)
    running.wait(PATIENCE)

    assert [trial.status for trial in running.snapshot().trials] == [Status.COMPLETED] * 3


def test_a_rule_ends_a_sweep_that_drains():
    running = started(objective=reaching, stop_when=MetricThreshold("loss", 0.5))
    running.stop(drain=True)
    gate.set()

    assert running.wait(PATIENCE)
    assert running.trial(0).status is Status.STOPPED


def test_the_dashboard_shows_what_a_draining_sweep_waits_for_and_lets_it_be_stopped():
    running = started()

    running.stop(drain=True)
    until(lambda: running.snapshot().draining)
    head = content.head(running.snapshot())

    assert (head["standing"], head["why"]) == ("stopping", "1 running trial to finish")
    assert head["actions"] == ["stop"]


@pytest.mark.parametrize(("limit", "seconds"), [("time_limit", 10), ("compute_time_limit", 20)])
@pytest.mark.parametrize(("at", "steps"), [("drain", [9, 9]), ("stop", [4, 4])])
def test_at_a_limit_of_time_running_trials_stop_or_finish(limit, seconds, at, steps):
    done = sweep(
        curve,
        workers=Simulated(2, seconds=3),
        trials=None,
        at_time_limit=at,
        **{limit: seconds},
    ).run()

    assert done.status is SweepStatus.COMPLETED
    assert done.reason.endswith(f"limit of {seconds} s reached")
    assert [trial.steps for trial in done.snapshot().trials if trial.steps > 1] == steps


def test_what_happens_at_a_limit_of_time_is_stored():
    sweep(curve, workers=Simulated(1, seconds=1), trials=1, at_time_limit="drain").run()

    again = sweep(curve, name="other", workers=Simulated(1, seconds=1), trials=1)
    loaded = Sweep.stored(again._store, again._store.sweep("sweep"))

    assert loaded._definition.budget.at_time_limit == "drain"


def test_any_other_end_at_a_limit_of_time_is_refused():
    with pytest.raises(SpecError, match=r"at_time_limit='finish': give 'stop'.*'drain'"):
        sweep(at_time_limit="finish")


def test_a_drain_that_is_no_flag_is_refused():
    running = started()

    with pytest.raises(SpecError, match=r"stop\(drain='yes'\): needs True or False"):
        running.stop(drain="yes")

    running.stop()
    gate.set()
    running.wait(PATIENCE)


def paused(**options):
    running = started(**options)
    running.pause()
    gate.set()
    until(lambda: running.status is SweepStatus.PAUSED and not running.running)
    return running


def test_waiting_for_a_paused_sweep_says_once_how_to_go_on(capsys):
    running = paused()

    ended = running.wait(1.0)

    shown = capsys.readouterr().out
    assert not ended
    assert shown.count("is paused") == 1
    assert "sweep.resume()" in shown
    running.stop()


def test_awaiting_a_paused_sweep_says_it_once(capsys):
    async def awaited():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running._wait_async(), 1.0)

    running = paused()

    asyncio.run(awaited())

    assert capsys.readouterr().out.count("is paused") == 1
    running.stop()


def test_a_wait_says_nothing_while_the_sweep_runs(capsys):
    running = started()

    running.wait(0.5)

    assert capsys.readouterr().out == ""
    running.stop()
