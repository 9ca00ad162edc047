"""``%tune list | show | stop | pause | resume | wait | apply | delete`` on real sweeps."""

import shutil
import time

import pytest
from driving import PATIENCE

from magics import CELL, LINE, tune
from nbtune.store import Store

SLOW = """\
import time
x: Real(0, 1) = 0.25
for epoch in range(1, 1000):
    time.sleep(0.01)
    report(epoch=epoch, score=x)"""


@pytest.fixture
def say(shell, capsys):
    """Run a line that must succeed; return what it prints."""

    def run(line):
        capsys.readouterr()
        shell.run_cell(line).raise_error()
        return capsys.readouterr().out

    return run


@pytest.fixture
def slow(shell):
    """A sweep named "slow" that runs until it is stopped."""
    shell.run_cell(tune(f"slow {LINE}", SLOW)).raise_error()
    return shell.user_ns["slow"]


def test_list_is_the_table_of_the_store(shell, swept):
    table = shell.run_cell("%tune list").result

    assert list(table.index) == ["quick"]
    assert table.loc["quick", "status"] == "completed"


def test_list_of_an_empty_store_is_empty(shell):
    assert len(shell.run_cell("%tune list").result) == 0


def test_unknown_sweep_names_the_nearest(refusal, swept):
    assert "no sweep 'quikc'" in (shown := refusal("%tune stop quikc"))
    assert "Did you mean 'quick'?" in shown


def test_stop_ends_a_sweep_and_says_how_to_go_on(say, slow):
    shown = say("%tune stop slow")

    assert shown == "slow is stopping; its results stay. %tune resume slow goes on with it.\n"
    assert slow.wait(PATIENCE)
    assert slow.status == "stopped"


def test_stop_of_what_has_ended_says_so(say, swept):
    assert say("%tune stop quick").startswith("quick has ended already: ")


def test_pause_and_resume_by_name(say, slow):
    assert say("%tune pause slow").startswith("slow starts no more trials.")
    paused = _soon(slow, "paused")
    assert say("%tune resume slow") == "slow goes on.\n"
    resumed = _soon(slow, "running")

    assert paused
    assert resumed


def _soon(sweep, status):
    deadline = time.monotonic() + PATIENCE
    while sweep.status != status and time.monotonic() < deadline:
        time.sleep(0.05)
    return sweep.status == status


def test_resume_brings_a_stored_sweep_back_under_its_name(shell, say, swept):
    del shell.user_ns["quick"]

    say("%tune resume quick")

    assert shell.user_ns["quick"].name == "quick"
    assert shell.user_ns["quick"].wait(PATIENCE)


def test_resume_does_not_take_the_place_of_a_variable(shell, refusal, swept):
    shell.user_ns["quick"] = 5

    assert "'quick' is a variable of this notebook (int)" in refusal("%tune resume quick")
    assert shell.user_ns["quick"] == 5


def test_wait_blocks_until_the_end(shell, say):
    shell.run_cell(tune(f"quick {LINE}")).raise_error()

    say("%tune wait quick")

    assert shell.user_ns["quick"].status == "completed"


def test_apply_binds_the_best_params_and_shows_them(shell, say, swept):
    best = swept.best_params

    shown = say("%tune apply quick")

    assert shown.startswith(f"x = {best['x']!r}, depth = {best['depth']}  (score ")
    assert (shell.user_ns["x"], shell.user_ns["depth"]) == (best["x"], best["depth"])


@pytest.fixture
def traded(shell):
    """A sweep with two objectives."""
    cell = f"{CELL}\nmodel = [x, depth]\nreport(step=9, score=x, cost=x)"
    line = LINE.replace("--maximize score", "--maximize score --minimize cost")
    shell.run_cell(tune(f"traded {line} --wait", cell)).raise_error()
    return shell.user_ns["traded"]


def test_apply_of_several_objectives_asks_for_a_trial(shell, refusal, traded):  # FEATURES C7
    shown = refusal("%tune apply traded")

    numbers = ", ".join(str(trial.number) for trial in traded.best)
    assert (
        f"has 2 objectives, so there is no one best trial: add --trial N. On its front: {numbers}"
        in shown
    )


def test_apply_puts_the_params_of_the_trial_named(shell, say, traded):
    params = traded.trial(1).params

    shown = say("%tune apply traded --trial 1 --run")

    assert f"(score {params['x']:.4g}, cost {params['x']:.4g})" in shown
    assert shell.user_ns["model"] == [params["x"], params["depth"]]


def test_apply_run_leaves_what_the_cell_makes_on_the_best_params(shell, say):
    shell.run_cell(tune(f"quick {LINE} --wait", f"{CELL}\nmodel = [x, depth]")).raise_error()
    best = shell.user_ns["quick"].best_params

    say("%tune apply quick --run")

    assert shell.user_ns["model"] == [best["x"], best["depth"]]
    assert "report" not in shell.user_ns


def test_apply_run_has_a_trial_with_the_best_params(shell, say):
    cell = f"{CELL}\nfound = current_trial()\n(found.dir / 'model').write_text('1')"
    shell.run_cell(tune(f"quick {LINE} --wait", cell)).raise_error()

    say("%tune apply quick --run")

    found = shell.user_ns["found"]
    assert (found.number, found.params) == (None, shell.user_ns["quick"].best_params)
    assert (found.dir / "model").read_text() == "1"
    shutil.rmtree(found.dir)


def test_apply_run_of_a_function_returns_its_result(shell):
    shell.run_cell("from nbtune import Real\ndef train(x: Real(0, 1) = 0.5): return {'score': x}")
    shell.run_cell(f"%tune train {LINE} --wait").raise_error()

    result = shell.run_cell("%tune apply train_sweep --run").result

    assert result == {"score": shell.user_ns["train_sweep"].best_value}


def test_apply_run_of_a_cell_that_fails_fails_too(shell, capsys):
    shell.user_ns["offset"] = 1
    shell.run_cell(tune(f"quick {LINE} --wait", f"{CELL}\noffset + 1")).raise_error()
    shell.user_ns["offset"] = "text"

    result = shell.run_cell("%tune apply quick --run")

    shown = capsys.readouterr()
    assert not result.success
    assert "offset + 1" in shown.out
    assert "the cell raised TypeError on the best params, see above" in shown.err


def test_delete_removes_the_sweep_and_its_name(shell, say, swept, tmp_path):
    assert say("%tune delete quick") == "quick is deleted.\n"

    assert Store().names() == []
    assert not (tmp_path / ".nbtune" / "quick").exists()
    assert "quick" not in shell.user_ns


def test_delete_refuses_while_it_runs(refusal, slow):
    assert "sweep 'slow' is running: %tune stop slow first." in refusal("%tune delete slow")


def test_stop_with_drain_lets_running_trials_finish(say, shell):
    shell.run_cell(tune(f"draining {LINE}", SLOW.replace("1000", "30"))).raise_error()
    sweep = shell.user_ns["draining"]
    while not sweep.running:
        time.sleep(0.01)

    shown = say("%tune stop draining --drain")
    sweep.wait()

    assert shown.startswith("draining starts no more trials and ends with those that run;")
    assert sweep.counts["stopped"] == 0
