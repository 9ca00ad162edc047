"""Options of the line that arrive in the sweep as its arguments."""

import pytest

from magics import LINE, tune
from magics.test_completion import words

STEPS = """\
x: Real(0, 1) = 0.25
for epoch, score in enumerate([x, 3 * x, 2 * x, x], start=1):
    report(epoch=epoch, score=score)"""


def test_by_best_ranks_trials_by_the_best_of_their_steps(shell):
    shell.run_cell(tune(f"sweep {LINE} --by best --wait", STEPS)).raise_error()

    sweep = shell.user_ns["sweep"]
    assert sweep.best_value == 3 * sweep.best_params["x"]


@pytest.mark.parametrize("by", ["", "--by best"])
def test_a_sweep_that_is_resumed_ranks_as_before(shell, by):
    shell.run_cell(tune(f"sweep {LINE} --by best --wait", STEPS)).raise_error()

    line = f"sweep --maximize score --trials 6 --resume --wait --quiet {by}"
    shell.run_cell(tune(line, STEPS)).raise_error()

    assert shell.user_ns["sweep"].goal.by == "best"


def test_resume_towards_another_reading_is_refused(shell, refusal):
    shell.run_cell(tune(f"sweep {LINE} --by best --wait", STEPS)).raise_error()

    shown = refusal(tune("sweep --maximize score --by last --trials 6 --resume --quiet", STEPS))

    assert "was started with --maximize score --by best: resume it so" in shown


def test_trial_max_steps_caps_the_trials(shell):
    shell.run_cell(tune(f"sweep {LINE} --trial-max-steps 2 --wait", STEPS)).raise_error()

    assert {trial.steps for trial in shell.user_ns["sweep"].snapshot().trials} == {2}


def test_at_time_limit_says_what_becomes_of_running_trials(shell):
    line = f"sweep {LINE} --time-limit 1h --at-time-limit drain --wait"
    shell.run_cell(tune(line, STEPS)).raise_error()

    assert shell.user_ns["sweep"]._definition.budget.at_time_limit == "drain"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--by mean", "--by: invalid choice: 'mean' (choose from 'last', 'best')"),
        ("--at-time-limit wait", "--at-time-limit: invalid choice: 'wait'"),
        ("--trial-max-steps 0", "--trial-max-steps: 0 is too small, the least is 1"),
    ],
)
def test_a_wrong_value_is_refused_with_the_right_ones(refusal, options, message):
    assert message in refusal(tune(f"sweep {LINE} {options}", STEPS))


def test_the_values_of_an_option_that_has_a_few_are_completed():
    assert words("%%tune digits --by ") == ["last", "best"]
    assert words("%%tune digits --at-time-limit d") == ["drain"]
