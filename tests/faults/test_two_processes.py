"""A sweep that another process runs is waited for, steered and seen as one that runs here."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import cloudpickle
import pytest
from driving import PATIENCE, wait_until

import nbtune
from nbtune import Real, SpaceError, Sweep, SweepError, TrialError, report
from nbtune.engine import SweepStatus
from nbtune.store import Store
from nbtune.trial import Status
from nbtune.workers import Inline

RUN = """
import time, nbtune
from nbtune import Real, report
from nbtune.workers import Inline, Local

def train(x: Real(0, 1)):
    for epoch in range(1, 100_000):
        report(epoch=epoch, loss=x)
        time.sleep(0.01)
        if GO.exists():
            break

sweep = nbtune.Sweep(
    train, minimize="loss", searcher="random", trials=TRIALS, workers=WORKERS, name="shared", seed=3
).start()
print("started", flush=True)
"""


class Owner:
    """A process that runs the sweep "shared", whose trials go on until `let_end`."""

    def __init__(self, folder, *, trials=2, workers="Inline(1)", then="sweep.wait()", run=RUN):
        self.go = folder / "go"
        given = {"GO": f"Path({str(self.go)!r})", "TRIALS": str(trials), "WORKERS": workers}
        for name, value in given.items():
            run = run.replace(name, value)
        script = folder / "owner.py"
        script.write_text("from pathlib import Path\n" + run + then)
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=-1, stdout=-1, stderr=-1, text=True, cwd=folder
        )
        self.pid = self.process.pid
        self.hear("started")

    def hear(self, word):
        """Wait until it prints `word`."""
        line = self.process.stdout.readline()
        assert line.strip() == word, line + self.process.communicate()[1]

    def let_end(self):
        self.go.touch()

    def join(self):
        assert self.process.wait(PATIENCE) == 0, self.process.communicate()[1]

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def owned(tmp_path, monkeypatch):
    """Start processes that run a sweep, in a store of the test's own."""
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    owners = []

    def start(**options):
        owners.append(Owner(tmp_path, **options))
        return owners[-1]

    yield start
    for owner in owners:
        owner.close()


def running_trial(sweep):
    """Wait until a trial runs; return its number."""
    wait_until(lambda: in_store(sweep, Status.RUNNING))
    return in_store(sweep, Status.RUNNING)[0]


def in_store(sweep, status):
    store = Store()
    rows = store.trials(store.sweep(sweep.name))
    return [trial.number for trial, *_ in rows if trial.status is status]


@pytest.fixture(autouse=True)
def _sent_whole():
    """Let another process load the objectives of this module, which it cannot import."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def quick(x: Real(0, 1)):
    report(epoch=1, loss=x)


def wider(x: Real(0, 2)):
    report(epoch=1, loss=x)


def finished(trials=2, **options):
    return Sweep(
        quick, minimize="loss", searcher="random", trials=trials, workers=Inline(1), **options
    ).run()


def elsewhere(code):
    """Run code in another process; return what it prints."""
    done = subprocess.run(  # noqa: PLW1510 - what it says on an error is shown
        [sys.executable, "-c", "import nbtune\n" + textwrap.dedent(code)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- waiting


def test_wait_returns_when_the_other_process_has_ended_the_sweep(owned):
    owner = owned()
    sweep = nbtune.load("shared")
    running_trial(sweep)
    threading.Timer(0.5, owner.let_end).start()

    assert sweep.wait(PATIENCE)
    assert (sweep.status, len(sweep.trials)) == (SweepStatus.COMPLETED, 2)


def test_wait_gives_up_after_its_timeout(owned):
    owned()

    assert not nbtune.load("shared").wait(0.2)


def test_waiting_reads_no_trial_while_the_other_process_runs(owned, monkeypatch):
    owned()
    sweep = nbtune.load("shared")
    read = []
    monkeypatch.setattr(Store, "trials", lambda *_: read.append(1))

    sweep.wait(1)

    assert not read


def test_await_returns_when_the_other_process_has_ended_the_sweep(owned):
    owner = owned()

    async def awaited():
        sweep = nbtune.load("shared")
        asyncio.get_running_loop().call_later(0.5, owner.let_end)
        return (await sweep).status

    assert asyncio.run(awaited()) is SweepStatus.COMPLETED


def test_wait_raises_when_the_other_process_is_killed(owned):
    owner = owned()
    sweep = nbtune.load("shared")
    running_trial(sweep)
    threading.Timer(0.3, lambda: os.kill(owner.pid, signal.SIGKILL)).start()

    with pytest.raises(SweepError, match=r"was interrupted.*\.resume\(\) goes on"):
        sweep.wait(PATIENCE)


def test_a_stored_failed_sweep_raises_as_a_live_one(tmp_path):
    def broken(x: Real(0, 1)):
        raise ValueError("no such file")

    sweep = Sweep(broken, minimize="loss", trials=3, workers=Inline(1), name="bad", store=tmp_path)
    with pytest.raises(TrialError, match="no such file"):
        sweep.run()

    with pytest.raises(TrialError, match="no such file"):
        nbtune.load("bad", tmp_path).wait()


# --- steering


def test_stop_ends_a_sweep_of_another_process(owned):
    owner = owned()
    sweep = nbtune.load("shared")
    running_trial(sweep)

    sweep.stop()

    assert sweep.wait(PATIENCE)
    assert (sweep.status, sweep.reason) == (SweepStatus.STOPPED, "stopped by you")
    owner.join()


def test_draining_a_sweep_of_another_process_lets_its_trial_finish(owned):
    owner = owned()
    sweep = nbtune.load("shared")
    running_trial(sweep)

    sweep.stop(drain=True)
    owner.let_end()

    assert sweep.wait(PATIENCE)
    assert [trial.status for trial in sweep.snapshot().trials] == [Status.COMPLETED]


def test_pause_and_resume_reach_the_other_process(owned):
    owner = owned()
    sweep = nbtune.load("shared")
    running_trial(sweep)

    sweep.pause()
    seen = [sweep.status]
    sweep.resume()
    seen.append(sweep.status)

    assert seen == [SweepStatus.PAUSED, SweepStatus.RUNNING]
    owner.let_end()
    assert sweep.wait(PATIENCE)


SIMULATED = """
import nbtune
from nbtune import Real
from nbtune.workers import Simulated

def train(x: Real(0, 1)):
    return {"loss": x}

sweep = nbtune.Sweep(
    train, minimize="loss", searcher="random", trials=TRIALS, workers=WORKERS, name="shared", seed=3
).start()
sweep.pause()
print("started", flush=True)
"""


def test_a_paused_sweep_on_virtual_time_hears_another_process(owned):
    owned(run=SIMULATED, workers="Simulated(1)", trials=10**6)
    sweep = nbtune.load("shared")
    wait_until(lambda: sweep.status is SweepStatus.PAUSED)

    sweep.stop()

    assert sweep.wait(PATIENCE)
    assert sweep.status is SweepStatus.STOPPED


def test_kill_ends_a_trial_of_another_process_and_the_sweep_goes_on(owned):
    owned(workers="Local(1)")
    sweep = nbtune.load("shared")
    first = running_trial(sweep)

    sweep.kill(first)

    wait_until(lambda: in_store(sweep, Status.RUNNING) == [first + 1])
    assert sweep.trial(first).reason.startswith("killed by you")
    sweep.stop()
    assert sweep.wait(PATIENCE)


def test_enqueued_params_reach_the_other_process(owned):
    owner = owned()
    sweep = nbtune.load("shared")
    running_trial(sweep)

    sweep.enqueue({"x": 0.125})
    owner.let_end()

    assert sweep.wait(PATIENCE)
    assert sweep.trial(1).params == {"x": 0.125}


def test_an_edit_reaches_the_other_process(owned):
    owner = owned()
    sweep = nbtune.load("shared")
    running_trial(sweep)

    sweep.edit(x=Real(5, 6))
    owner.let_end()

    assert sweep.wait(PATIENCE)
    assert 5 <= sweep.trial(1).params["x"] <= 6
    assert list(sweep.edits["param"]) == ["x"]


def test_the_process_that_runs_it_sees_the_edit(owned):
    owner = owned(then="input()\nprint(sweep.space, len(sweep.edits), flush=True)\nsweep.stop()")
    sweep = nbtune.load("shared")
    running_trial(sweep)

    sweep.edit(x=Real(5, 6))
    owner.process.stdin.write("\n")
    owner.process.stdin.flush()

    assert "Real(5.0, 6.0)" in owner.process.stdout.readline()


def test_what_the_owner_refuses_raises_here(owned):
    owned(run=RUN.replace('searcher="random"', "searcher=nbtune.searchers.Random()"))
    sweep = nbtune.load("shared")
    running_trial(sweep)
    sweep.edit(x=Real(0.5, 1))

    with pytest.raises(SpaceError, match="x"):
        sweep.enqueue({"x": 0.25})


def test_an_owner_that_does_not_answer_is_one_clear_error(owned, monkeypatch):
    owner = owned()
    sweep = nbtune.load("shared")
    running_trial(sweep)
    monkeypatch.setattr("nbtune.elsewhere.ANSWER_SECONDS", 0.5)
    os.kill(owner.pid, signal.SIGSTOP)

    with pytest.raises(SweepError, match=f"process {owner.pid} .*has not answered.*nothing was"):
        sweep.stop()

    os.kill(owner.pid, signal.SIGCONT)
    owner.let_end()
    assert sweep.wait(PATIENCE)
    assert sweep.status is SweepStatus.COMPLETED  # the stop was withdrawn


def test_a_command_to_an_owner_that_is_killed_meanwhile_is_one_clear_error(owned):
    owner = owned()
    sweep = nbtune.load("shared")
    running_trial(sweep)
    os.kill(owner.pid, signal.SIGSTOP)
    threading.Timer(0.3, lambda: os.kill(owner.pid, signal.SIGKILL)).start()

    with pytest.raises(SweepError, match="cannot pause sweep 'shared': it is interrupted"):
        sweep.pause()


def test_params_enqueued_to_an_owner_that_is_killed_meanwhile_wait_for_the_next(owned):
    owner = owned(trials=3)
    sweep = nbtune.load("shared")
    running_trial(sweep)
    os.kill(owner.pid, signal.SIGSTOP)
    threading.Timer(0.3, lambda: os.kill(owner.pid, signal.SIGKILL)).start()

    sweep.enqueue({"x": 0.125})
    owner.let_end()

    assert sweep.resume().wait(PATIENCE)
    assert 0.125 in list(sweep.trials["params.x"])


def test_params_enqueued_on_a_stopped_sweep_are_tried_by_whichever_process_goes_on(tmp_path):
    finished(name="ended", store=tmp_path)
    nbtune.load("ended", tmp_path).enqueue({"x": 0.125})

    elsewhere(f"nbtune.load('ended', {str(tmp_path)!r}).resume(trials=3).wait()")

    assert nbtune.load("ended", tmp_path).trial(2).params == {"x": 0.125}


def test_params_enqueued_on_a_sweep_that_ended_here_are_tried_when_it_goes_on(tmp_path):
    sweep = finished(name="ended", store=tmp_path)

    sweep.enqueue({"x": 0.125})

    assert sweep.resume(trials=3).wait(PATIENCE)
    assert sweep.trial(2).params == {"x": 0.125}


# --- one owner at a time


def test_a_change_by_resume_is_refused_while_another_process_runs_it(owned):
    owner = owned()
    sweep = nbtune.load("shared")
    before = Store().sweep("shared")

    with pytest.raises(SweepError, match=f"is running in process {owner.pid}"):
        sweep.resume(trials=9)
    assert Store().sweep("shared").definition == before.definition


RACE = """
import sys, time
from nbtune.workers import Inline
sweep = nbtune.load("ended", {store!r})
print("ready", flush=True)
sys.stdin.readline()
try:
    sweep.resume(trials={trials}).wait()
except nbtune.SweepError as error:
    assert "is running in" in str(error), error
    print("refused", flush=True)
else:
    print("resumed", flush=True)
"""


def test_of_processes_that_resume_at_once_each_is_refused_or_keeps_what_it_changed(tmp_path):
    finished(name="ended", store=tmp_path)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", "import nbtune\n" + RACE.format(store=str(tmp_path), trials=n)],
            stdin=-1,
            stdout=-1,
            text=True,
        )
        for n in (5, 6, 7)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"

    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    answers = [racer.communicate()[0].strip() for racer in racers]

    assert "resumed" in answers
    assert set(answers) <= {"resumed", "refused"}
    wanted = {n for n, answer in zip((5, 6, 7), answers, strict=True) if answer == "resumed"}
    ended = nbtune.load("ended", tmp_path)
    assert len(ended.trials) == max(wanted)
    assert list(ended.trials.index) == list(range(max(wanted)))


def test_the_lock_is_held_while_resume_changes_the_sweep(tmp_path, monkeypatch):
    sweep = finished(name="ended", store=tmp_path)
    owned = []
    redefine = Store.redefine

    def watched(store, *args, **options):
        owned.append(store.owned("ended"))
        return redefine(store, *args, **options)

    monkeypatch.setattr(Store, "redefine", watched)

    sweep.resume(trials=3).wait()

    assert owned == [True]


def test_a_resume_that_is_refused_gives_the_lock_back(tmp_path):
    sweep = finished(name="ended", store=tmp_path)

    with pytest.raises(SpaceError):
        sweep.resume(objective=wider)

    assert not Store(tmp_path).owned("ended")


# --- what is seen


def test_a_continuation_by_another_process_is_seen_here(tmp_path):
    sweep = finished(name="ended", store=tmp_path)

    elsewhere(f"nbtune.load('ended', {str(tmp_path)!r}).resume(trials=4).wait()")

    assert (len(sweep.trials), sweep.status) == (4, SweepStatus.COMPLETED)
    assert sweep.resume(trials=5).wait(PATIENCE)
    assert list(sweep.trials.index) == list(range(5))


def test_a_sweep_that_ended_here_and_runs_elsewhere_is_steered_there(owned, tmp_path):
    owner = owned(then="sweep.stop(); sweep.wait(); print('over', flush=True); input()")
    owner.hear("over")
    here = nbtune.load("shared").resume()
    here.stop()
    here.wait()
    again = "sweep = nbtune.load('shared').resume()\nprint('started', flush=True)\nsweep.wait()"
    owned(run="import nbtune\n", then=again)

    here.stop()

    assert here.wait(PATIENCE)
    assert here.reason == "stopped by you"


def test_a_sweep_that_ended_here_keeps_its_results_where_another_took_its_name(tmp_path):
    sweep = finished(name="ended", store=tmp_path)
    finished(trials=3, name="ended", store=tmp_path, replace=True)

    assert len(sweep.trials) == 2


def test_a_sweep_that_runs_is_found_through_a_link_to_its_store(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "store")
    go = tmp_path / "go"

    def waits(x: Real(0, 1)):
        while not go.exists():
            time.sleep(0.01)
        report(epoch=1, loss=x)

    sweep = Sweep(
        waits, minimize="loss", trials=1, workers=Inline(1), name="live", store=tmp_path / "store"
    ).start()
    try:
        found = nbtune.load("live", tmp_path / "link")
        detour = nbtune.load("live", tmp_path / "store" / ".." / "store")
        listed = nbtune.sweeps(tmp_path / "link").loc["live", "status"]
    finally:
        go.touch()
        sweep.wait(PATIENCE)

    assert (found, detour) == (sweep, sweep)
    assert listed != "interrupted"


# --- one name


def test_replace_stops_a_sweep_of_another_process_and_starts_over(owned):
    owner = owned()
    running_trial(nbtune.load("shared"))

    with pytest.raises(SweepError, match=r"is running.*replace=True"):
        finished(name="shared")
    sweep = finished(trials=1, name="shared", replace=True)

    owner.join()
    assert (len(sweep.trials), sweep.status) == (1, SweepStatus.COMPLETED)
    assert nbtune.load("shared").trials.equals(sweep.trials)


def test_a_default_name_that_was_taken_meanwhile_gets_the_next_number(tmp_path):
    first, second = (
        Sweep(quick, minimize="loss", trials=1, workers=Inline(1), store=tmp_path) for _ in "ab"
    )

    first.run()
    second.run()

    assert [first.name, second.name] == ["quick", "quick-2"]
    assert list(nbtune.sweeps(tmp_path).index) == ["quick", "quick-2"]


NAMELESS = """
import sys, nbtune
from nbtune import Real, report
from nbtune.workers import Inline

def train(x: Real(0, 1)):
    report(epoch=1, loss=x)

sweep = nbtune.Sweep(train, minimize="loss", searcher="random", trials=2, workers=Inline(1))
print("ready", flush=True)
sys.stdin.readline()
sweep.run()
print(sweep.name, len(sweep.trials), flush=True)
"""


def test_three_notebooks_that_start_at_once_each_get_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    script = tmp_path / "nameless.py"
    script.write_text(NAMELESS)
    processes = [
        subprocess.Popen([sys.executable, str(script)], stdin=-1, stdout=-1, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"

    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = sorted(process.communicate()[0].strip() for process in processes)

    assert said == ["train 2", "train-2 2", "train-3 2"]
