"""What a wrong ``%%tune`` or ``%tune`` line shows: always one line, with the nearest right word."""

import pytest

from magics import tune


def test_unknown_option_names_the_nearest_and_all_known(refusal):
    shown = refusal(tune("digits --maximize score --trails 5"))

    assert shown.startswith(
        "UsageError: --trails: unknown option. Did you mean '--trials'? Known: "
    )
    assert "--time-limit" in shown


def test_unknown_option_is_named_before_a_missing_name(refusal):
    assert "--maximise: unknown option. Did you mean '--maximize'?" in refusal(
        tune("--maximise score")
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--trials ten", "--trials: 'ten' is not a whole number; for a variable write {ten}"),
        ("--trials 2.5", "--trials: '2.5' is not a whole number"),
        ("--trials 0", "--trials: 0 is too small, the least is 1"),
        ("--trials -3", "--trials: -3 is too small, the least is 1"),
        ("--trials", "--trials: the value is missing, write --trials N"),
        ("--trials --wait", "--trials: the value is missing, write --trials N"),
        ("--wait=yes", "--wait takes no value"),
        ("--time-limit soon", "--time-limit: 'soon' is not a time; write seconds (90), or 90s"),
        ("--time-limit 1h30", "--time-limit: '1h30' is not a time"),
        ("--time-limit 0", "--time-limit: '0' is no time at all; write seconds (90), or 10m"),
        ("--trial-time-limit ''", "--trial-time-limit: '' is not a time"),
        ("--gpus -1", "--gpus: -1 is not a number from 0 up"),
        ("--gpus all", "--gpus: 'all' is not a number"),
        ("--cpus 0", "--cpus: 0 is too small"),
        ("--seed x", "--seed: 'x' is not a whole number"),
        ("--minimize loss,", "--minimize: 'loss,' lacks a name; write one, or several with commas"),
        ("--minimize loss,score --trials 3", "'score' is named twice"),
        ("--resume --replace", "--resume goes on, --replace starts over: keep one"),
        ("extra", "'extra' is one word too many"),
        ("--searcher 'Points([1)", "UsageError"),
        ("--scheduler Hyperband(max_t=27", "')' is missing: digits --maximize score"),
        ("--scheduler 'hyper", "a quote is not closed"),
        (
            "--trials {missing}",
            "{missing}: missing raised NameError: name 'missing' is not defined",
        ),
    ],
)
def test_wrong_value_shows_one_line(refusal, options, message):
    assert message in refusal(tune(f"digits --maximize score {options}"))


def test_missing_goal_is_named(refusal):
    assert "what is best? Add --maximize METRIC or --minimize METRIC" in refusal(
        tune("digits --trials 3")
    )


def test_missing_name_is_named(refusal):
    assert "the sweep's name is missing: %%tune NAME" in refusal(tune("--maximize score"))


@pytest.mark.parametrize("name", ["two-words", "3d", "class", "print"])
def test_name_that_python_does_not_have_free_is_refused(refusal, name):
    assert f"'{name}' cannot name a sweep" in refusal(tune(f"{name} --maximize score --trials 1"))


def test_name_of_a_variable_is_refused_and_the_variable_stays(shell, refusal):
    shell.user_ns["digits"] = [1, 2]

    shown = refusal(tune("digits --maximize score --trials 1"))

    assert "'digits' is a variable of this notebook (list)" in shown
    assert shell.user_ns["digits"] == [1, 2]


def test_unknown_command_names_the_nearest(refusal):
    shown = refusal("%tune stpo digits")

    assert "'stpo' is neither a command nor a function of this notebook." in shown
    assert "Did you mean 'stop'? Known: list, show, stop" in shown


def test_command_without_a_name_says_what_to_write(refusal):
    assert "which sweep? Write %tune stop NAME" in refusal("%tune stop")


def test_command_wins_over_a_function_of_its_name(refusal):
    assert "write f = list, then %tune f --name list_sweep" in refusal(
        "%tune list --maximize score"
    )


def test_function_that_is_no_function_is_refused(shell, refusal):
    shell.user_ns["rate"] = 0.5

    assert "rate is a float, not a function to tune" in refusal("%tune rate --maximize score")


@pytest.mark.parametrize("line", ["%tune --help", "%tune", "%tune list -h", tune("digits --help")])
def test_help_shows_examples_commands_and_options_and_runs_nothing(shell, capsys, line):
    result = shell.run_cell(line)

    shown = capsys.readouterr().out
    assert result.success
    assert "%%tune digits --maximize accuracy --trials 60 --scheduler hyperband" in shown
    assert "%tune pause   Start no more trials until it resumes." in shown
    assert "--trial-time-limit TIME" in shown
    assert "digits" not in shell.user_ns


@pytest.mark.parametrize("name", ["%tune", "%%tune"])
def test_question_mark_shows_the_help(shell, name):
    found = shell.object_inspect(name)

    assert (
        "tune a notebook cell, a function or a command line, beside the kernel"
        in found["docstring"]
    )
