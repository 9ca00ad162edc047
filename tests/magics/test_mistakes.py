"""What people write who know other tools, and the answer that leads on."""

import pytest

from magics import LINE, tune


@pytest.mark.parametrize("above", ["# tuned below\n", "limit = 1\n"])
def test_a_line_below_others_is_told_where_it_stands(refusal, above):
    shown = refusal(above + tune(f"quick {LINE}"))

    assert "%%tune must be the first line of its cell" in shown


@pytest.mark.parametrize(
    ("written", "here"), [("Float", "Real(low, high"), ("Categorical", "Choice(*options")]
)
def test_a_domain_of_another_library_is_told_its_name_here(refusal, written, here):
    shown = refusal(tune(f"quick {LINE}", f"x: {written}(0, 1) = 0.5\nreport(score=x)"))

    assert f"{written!r} is not defined. Write {here}" in shown


def test_a_list_in_an_annotation_is_searched(shell):
    cell = "x: [0.25, 0.5] = 0.5\nreport(score=x)"

    shell.run_cell(tune(f"quick {LINE} --wait", cell)).raise_error()

    assert {trial.params["x"] for trial in shell.user_ns["quick"].top()} <= {0.25, 0.5}


def test_a_cell_that_only_defines_a_function_is_told_how_to_tune_it(refusal):
    cell = "def train(lr: Real(0, 1) = 0.5, width: Int(1, 3) = 2):\n    return {'score': lr}"

    shown = refusal(tune(f"quick {LINE}", cell))

    assert "line 2 declares lr, width for train()" in shown
    assert "%tune train --maximize METRIC" in shown


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--scheduler asha", "scheduler 'asha' is not known: here it is hyperband."),
        ("--searcher TPE", 'here it is OptunaSearcher("TPESampler").'),
        ("--searcher tp", "searcher 'tp' is not known. Known: "),
    ],
)
def test_a_part_of_another_library_is_told_its_name_here(refusal, option, message):
    assert message in refusal(tune(f"quick --maximize score --trials 2 --quiet {option}"))


def test_the_name_of_a_sweep_that_runs_leads_to_what_ends_it(shell, refusal):
    slow = "import time\nx: Real(0, 1) = 0.5\ntime.sleep(1)\nreport(score=x)"
    shell.run_cell(tune(f"quick {LINE}", slow)).raise_error()

    shown = refusal(tune(f"quick {LINE}", slow))

    assert "wait for it with %tune wait quick" in shown
    assert "add --replace to stop it and start over" in shown
    assert "%tune stop quick and then add --resume" in shown


def test_a_metric_without_a_name_is_told_how_to_write_it(shell):
    shell.run_cell(tune(f"quick {LINE}", "x: Real(0, 1) = 0.5\nreport(x)")).raise_error()
    sweep = shell.user_ns["quick"]

    with pytest.raises(Exception, match="quick"):
        sweep.wait()

    assert sweep.trial(0).failure.message.endswith(
        "report(0.5) gives the epoch and no metric. Name the metric: report(score=score)"
    )
