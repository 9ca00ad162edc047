"""Sweeps started by ``%%tune`` and ``%tune`` in a real IPython, on real workers."""

import os
import sys

import pytest
from driving import PATIENCE

import nbtune
from magics import LINE, tune

# --- starting


# FEATURES D1
def test_cell_returns_at_once_with_its_name_bound_and_nothing_else(shell):
    before = set(shell.user_ns)

    result = shell.run_cell(tune(f"quick {LINE}"))

    assert result.success
    assert result.result is None
    assert set(shell.user_ns) - before == {"quick"}
    assert shell.user_ns["quick"].wait(PATIENCE)
    assert len(shell.user_ns["quick"].snapshot().trials) == 4


def test_wait_blocks_until_the_end(swept):
    assert swept.status == "completed"
    assert swept.snapshot().trials[0].params == {"x": 0.25, "depth": 2}


def test_cell_runs_on_worker_processes(shell):
    cell = "import os\nx: Real(0, 1) = 0.5\nreport(pid=os.getpid())"

    shell.run_cell(
        tune("away --maximize pid --trials 1 --searcher random --workers 1 --quiet --wait", cell)
    ).raise_error()

    assert shell.user_ns["away"].best_value != os.getpid()


def test_workers_may_be_a_dask_cluster(shell):  # FEATURES C2
    from distributed import LocalCluster

    line = "away --maximize score --trials 2 --searcher random --quiet --wait"
    options = {"threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, **options) as cluster:
        address = cluster.scheduler_address
        shell.run_cell(tune(f"{line} --workers {address}")).raise_error()
        shell.user_ns["cluster"] = cluster
        shell.run_cell(tune(f"{line} --replace --workers cluster")).raise_error()

    assert shell.user_ns["away"].status == "completed"


def test_options_reach_the_sweep(shell):
    shell.run_cell(
        tune(
            "quick --minimize score --trials {1 + 1} --time-limit 10m --seed 7 --step round --wait "
            "--quiet --searcher random --workers Inline() "
            "--scheduler Hyperband(max_t=9, grace_period=3)",
        )
    ).raise_error()

    snapshot = shell.user_ns["quick"].snapshot()
    assert (snapshot.goal.metric, snapshot.goal.direction) == ("score", "minimize")
    assert (snapshot.trial_limit, snapshot.time_limit) == (2, 600)
    assert snapshot.step_name == "round"
    assert snapshot.rungs[0] == 3


def test_several_metrics_make_several_objectives(shell):  # FEATURES C7
    line = "--maximize score,depth --minimize cost --trials 2 --searcher random --workers Inline()"
    cell = "x: Real(0, 1) = 0.5\nreport(score=x, depth=2, cost=x)"

    shell.run_cell(tune(f"traded {line} --wait --quiet", cell)).raise_error()

    traded = shell.user_ns["traded"]
    assert [(goal.metric, goal.direction) for goal in traded.goals] == [
        ("score", "maximize"),
        ("depth", "maximize"),
        ("cost", "minimize"),
    ]
    assert len(traded.best) == 2


def test_resume_towards_fewer_objectives_is_refused(shell, refusal):
    line = "--maximize score --minimize cost --trials 2 --searcher random --workers Inline()"
    cell = "x: Real(0, 1) = 0.5\nreport(score=x, cost=x)"
    shell.run_cell(tune(f"traded {line} --wait --quiet", cell)).raise_error()

    shown = refusal(tune("traded --maximize score --resume --trials 3 --quiet", cell))

    assert "was started with --maximize score --minimize cost: resume it so" in shown


def test_part_may_be_an_object_of_the_notebook(shell):
    from nbtune.searchers import Points

    shell.user_ns["mine"] = Points([{"x": 0.5, "depth": 1}])

    shell.run_cell(
        tune("quick --maximize score --searcher mine --workers Inline() --quiet --wait")
    ).raise_error()

    assert shell.user_ns["quick"].best_params == {"x": 0.5, "depth": 1}


def test_store_option_moves_the_store(shell, tmp_path):
    shell.run_cell(tune(f"quick {LINE} --wait --store elsewhere")).raise_error()

    assert (tmp_path / "elsewhere" / "quick").is_dir()
    assert not (tmp_path / ".nbtune").exists()


def test_function_is_tuned_under_its_own_name(shell):
    shell.run_cell("from nbtune import Real\ndef train(x: Real(0, 1) = 0.5): return {'score': x}")

    shell.run_cell(f"%tune train {LINE} --wait").raise_error()

    assert shell.user_ns["train_sweep"].status == "completed"
    assert callable(shell.user_ns["train"])


def test_name_option_names_the_sweep_of_a_function(shell):
    shell.run_cell("from nbtune import Real\ndef train(x: Real(0, 1) = 0.5): return {'score': x}")

    shell.run_cell(f"%tune train {LINE} --wait --name mine").raise_error()

    assert shell.user_ns["mine"].name == "mine"


def test_a_line_adds_to_what_a_function_declares_and_stands_in_its_place(shell):
    shell.run_cell(
        "from nbtune import Real\ndef train(x: Real(0, 1), depth=2, seed=0): return {'score': x}"
    )

    shell.run_cell(
        f"%tune train {LINE} --wait --param x=Real(5,6)=5.5 --param depth=Choice(2,4) "
        "--param seed=7"
    ).raise_error()

    space = shell.user_ns["train_sweep"].space
    assert space.defaults == {"x": 5.5, "depth": 2, "seed": 7}
    assert all(5 <= trial.params["x"] <= 6 for trial in shell.user_ns["train_sweep"].top())


# --- refusing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--maximize score", "no budget: the search would never end. Add --trials 60 or"),
        ("--maximize score --trials 2 --searcher bays", "Did you mean 'bayes'?"),
        ("--maximize score --trials 2 --scheduler hyberband", "Did you mean 'hyperband'?"),
        (
            "--maximize score --trials 2 --scheduler Hyperband(max=9)",
            "--scheduler: Hyperband(max=9) ",
        ),
        ("--maximize score --trials 2 --searcher points", "Make it yourself: --searcher Points("),
        ("--maximize score --trials 2 --searcher Hyperband()", "--searcher Hyperband"),
        ("--maximize score --trials 2 --workers two", "--workers: 'two' is not a whole number"),
        ("--maximize score --trials 2 --workers 0", "--workers: 0 is too small, the least is 1"),
        ("--maximize score --trials 2 --step 'a b'", "--step 'a b': give a name such as 'epoch'"),
    ],
)
def test_what_the_sweep_refuses_shows_one_line_in_the_words_of_the_options(
    shell, refusal, options, message
):
    assert message in refusal(tune(f"quick {options}"))
    assert "quick" not in shell.user_ns


def test_cell_without_a_domain_is_refused_in_one_line(refusal):
    assert "ObjectiveError" in refusal(tune(f"quick {LINE}", cell="report(score=1)"))


def test_contradictory_domain_is_refused_in_one_line(refusal):
    assert "SpaceError: line 2: x: needs low < high" in refusal(
        tune(f"quick {LINE}", cell="x: Real(1, 0) = 0.5\nreport(score=x)")
    )


def test_sweep_may_not_be_named_like_a_param(refusal):
    assert "'depth' is a hyperparameter here" in refusal(tune(f"depth {LINE}"))


def test_name_that_is_stored_says_how_to_go_on(refusal, swept):
    shown = refusal(tune(f"quick {LINE}"))

    assert "a sweep 'quick' exists already (completed). Add --resume to go on" in shown
    assert "--replace to start over" in shown


def test_syntax_error_shows_the_line_as_the_notebook_counts_it(shell, capsys):
    cell = "x: Real(0, 1) = 0.5\n\ny = = 1\nreport(score=x)"

    result = shell.run_cell(tune(f"quick {LINE}", cell), store_history=True)

    assert not result.success
    assert capsys.readouterr().out == (
        '  File "Cell In[1]", line 4\n    y = = 1\n        ^\nSyntaxError: invalid syntax\n'
    )


def test_lines_are_counted_from_the_first_of_the_notebooks_cell(shell, capsys):
    cell = "x: Real(0, 1) = 0.5\ny = = 1"

    shell.run_cell(f"\n\n{tune(f'quick {LINE}', cell)}", store_history=True)

    assert '  File "Cell In[1]", line 5' in capsys.readouterr().out


def test_traceback_of_a_trial_names_cell_and_line(shell, capsys):
    shell.run_cell("limit = 1", store_history=True)

    shell.run_cell(
        tune(f"quick {LINE} --wait", "x: Real(0, 1) = 0.5\n\nlimit / 0"), store_history=True
    )

    assert 'File "Cell In[2]", line 4' in capsys.readouterr().out


# --- going on


def test_replace_starts_over(shell, swept):
    shell.run_cell(tune(f"quick {LINE} --wait --replace")).raise_error()

    assert shell.user_ns["quick"] is not swept
    assert len(shell.user_ns["quick"].snapshot().trials) == 4


def test_resume_goes_on_with_the_stored_trials(shell, swept):
    before = swept.snapshot().trials
    shell.user_ns.pop("quick")

    shell.run_cell(tune("quick --maximize score --trials 6 --resume --wait --quiet")).raise_error()

    trials = shell.user_ns["quick"].snapshot().trials
    assert len(trials) == 6
    assert trials[:4] == before


SLOW = "import time\nx: Real(0, 1) = 0.5\nfor _ in range(1000):\n    time.sleep(0.02)\n"
SLOW += "    report(score=x)"


def test_replace_stops_a_running_sweep_and_starts_over(shell):
    shell.run_cell(tune(f"quick {LINE}", SLOW)).raise_error()
    first = shell.user_ns["quick"]

    shell.run_cell(tune(f"quick {LINE} --replace --wait")).raise_error()

    assert first.status == "stopped"
    assert shell.user_ns["quick"].status == "completed"


def test_name_of_a_running_sweep_says_only_what_works(shell, refusal):
    shell.run_cell(tune(f"quick {LINE}", SLOW)).raise_error()

    shown = refusal(tune(f"quick {LINE}", SLOW.replace("0.02", "0.01")))

    assert "a sweep 'quick' is not over: add --replace to stop it and start over" in shown
    assert "%tune stop quick and then add --resume" in shown


def test_name_of_a_sweep_of_another_space_does_not_recommend_to_resume(refusal, swept):
    shown = refusal(tune(f"quick {LINE}", "x: Real(0, 5) = 0.5\nreport(score=x)"))

    assert "Add --replace to start over" in shown
    assert "--resume" not in shown


def test_resume_straight_after_a_stop_goes_on(shell):
    shell.run_cell(tune(f"quick {LINE}", SLOW)).raise_error()

    shell.run_cell("%tune stop quick\n%tune resume quick").raise_error()

    assert shell.user_ns["quick"].status == "running"


def test_delete_straight_after_a_stop_deletes(shell):
    shell.run_cell(tune(f"quick {LINE}", SLOW)).raise_error()

    shell.run_cell("%tune stop quick\n%tune delete quick").raise_error()

    assert nbtune.sweeps().empty


def test_resume_takes_the_limits_of_the_line(shell, swept):
    line = "quick --maximize score --trials 60 --stop-when score>=0 --resume --wait --quiet"
    shell.run_cell(tune(f"{line} --retries 2 --workers 2")).raise_error()

    assert len(shell.user_ns["quick"].trials) < 9


@pytest.mark.parametrize("option", ["--scheduler hyperband", "--seed 99", "--step round"])
def test_resume_refuses_by_name_what_cannot_change(refusal, swept, option):
    shown = refusal(tune(f"quick --maximize score --trials 6 --resume {option}"))

    assert option.split()[0] in shown
    assert "it keeps the" in shown


def test_resume_of_nothing_starts(shell):
    shell.run_cell(tune(f"quick {LINE} --wait --resume")).raise_error()

    assert shell.user_ns["quick"].status == "completed"


def test_resume_towards_another_goal_is_refused(refusal, swept):
    shown = refusal(tune("quick --minimize score --resume --trials 8 --quiet"))

    assert "sweep 'quick' was started with --maximize score" in shown


def test_memory_reaches_the_workers(shell):
    shell.run_cell(
        tune("net --minimize score --trials 1 --workers 2 --memory 2GB --searcher random --quiet")
    ).raise_error()

    plan = shell.user_ns["net"].snapshot().plan
    assert plan == "Random + FIFO · 2 slots: 1 core, 2 GB each"


def test_a_memory_without_a_unit_is_refused(refusal):
    shown = refusal(tune("net --minimize score --trials 1 --memory 2"))

    assert "--memory '2': give a number of bytes, or text with a unit" in shown


def test_the_plan_names_what_a_slot_gets(shell, monkeypatch):  # FEATURES A11
    monkeypatch.setitem(sys.modules, "pynvml", None)  # whatever GPUs this machine has
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")

    shell.run_cell(
        tune("net --minimize score --trials 1 --workers 2 --gpus 0.5 --searcher random --quiet")
    ).raise_error()

    plan = shell.user_ns["net"].snapshot().plan
    assert plan == "Random + FIFO · 2 slots: 1 core, half a GPU each"


def test_a_line_starts_from_sweeps_of_the_store_or_the_notebook(shell, swept):
    line = "again --maximize score --trials 2 --workers Inline() --quiet --wait"

    shell.run_cell(tune(f"{line} --warm-start quick")).raise_error()
    swept.trial(0)
    shell.user_ns["bound"] = swept
    shell.run_cell(tune(f"{line} --replace --warm-start bound,quick")).raise_error()

    plan = shell.user_ns["again"].snapshot().plan
    assert plan.count("starts from 4 results of quick") == 2


def test_a_line_that_starts_from_another_metric_is_refused(refusal, swept):
    line = "again --minimize score --trials 2 --warm-start quick"

    assert refusal(tune(line)) == (
        "UsageError: --warm-start 'quick': that sweep has --maximize 'score', this one has "
        "--minimize 'score'. Start from a sweep of the same metric and direction, or without"
    )
