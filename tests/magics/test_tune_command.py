"""``%tune NAME --command ...`` in a real IPython, on real processes."""

import sys
from pathlib import Path

import pytest

from magics.test_completion import words as completed
from nbtune import Choice, Int, Real, Space, SpaceError
from nbtune.exceptions import ObjectiveError
from nbtune.magics.line import expand
from nbtune.objective import declared

SCRIPT = """\
import sys
import nbtune

lr, act = float(sys.argv[1].removeprefix("--lr=")), sys.argv[2]
for epoch in range(1, 4):
    nbtune.report(epoch=epoch, loss=lr / epoch)
print("trained with", act)
"""
PARAMS = "--param \"lr=Real(1e-4, 1e-1, log=True)=1e-3\" --param act=Choice('relu','tanh')"
HOW = "--minimize loss --trials 3 --searcher random --seed 1 --workers 1 --quiet --wait"


@pytest.fixture
def command(shell, monkeypatch):
    """A line's ``--command``, its script in the working folder, `lr` a variable of the notebook."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    Path("train.py").write_text(SCRIPT)
    shell.user_ns["lr"] = "the notebook's own"
    return f'--command "{sys.executable} train.py --lr={{{{ lr }}}} {{{{ act }}}}"'


# FEATURES P6
def test_a_command_becomes_a_sweep(shell, command):
    shell.run_cell(f"%tune mlp {command} {PARAMS} {HOW}").raise_error()

    sweep = shell.user_ns["mlp"]
    assert sweep.status == "completed"
    assert list(sweep.trials.steps) == [3, 3, 3]
    assert sweep.trial(0).params == {"lr": 1e-3, "act": "relu"}
    assert "trained with relu" in sweep.trial(0).log


def test_a_line_may_go_on_after_a_backslash(shell, command):
    shell.run_cell(f"%tune mlp {command} \\\n  {PARAMS} \\\n  {HOW}").raise_error()

    assert len(shell.user_ns["mlp"].trials) == 3


def test_a_param_may_use_the_notebooks_variables(shell, command):
    shell.user_ns["low"] = 0.05
    params = "--param lr=Real(low, 0.1) --param act=low"

    shell.run_cell(f"%tune mlp {command} {params} {HOW}").raise_error()

    assert (shell.user_ns["mlp"].trials["params.lr"] >= 0.05).all()
    assert shell.user_ns["mlp"].trial(0).params["act"] == 0.05


def test_apply_with_run_runs_the_command_on_the_best_params(shell, command, capfd):
    shell.run_cell(f"%tune mlp {command} {PARAMS} {HOW}").raise_error()
    capfd.readouterr()

    shell.run_cell("%tune apply mlp --run").raise_error()

    best = shell.user_ns["mlp"].best_params
    assert shell.user_ns["lr"] == best["lr"]
    assert f"trained with {best['act']}" in capfd.readouterr().out


def test_resume_goes_on_with_a_command(shell, command):
    shell.run_cell(f"%tune mlp {command} {PARAMS} {HOW}").raise_error()

    more = f"%tune mlp {command} {PARAMS} --trials 4 --resume --quiet --wait"
    shell.run_cell(more).raise_error()

    assert len(shell.user_ns["mlp"].trials) == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--command 'true {{ lr }}' --minimize loss", "the sweep's name is missing"),
        ("mlp --command 'true {{ lr }}' --minimize loss", "what is searched? Add --param"),
        (f"mlp --command 'true {{{{ rate }}}}' {HOW} --param lr=Real(0,1)", "unknown name"),
        (f"mlp --command 'true {{{{ lr }}}}' {HOW} --param lr=Reall(0,1)", "Did you mean 'Real'?"),
        (f"mlp --command 'true {{{{ lr }}}}' {HOW} --param lr", "'lr' declares nothing"),
        (f"mlp --command 'nowhere {{{{ lr }}}}' {HOW} --param lr=Real(0,1)", "no such program"),
        (f"print --command 'true {{{{ lr }}}}' {HOW} --param lr=Real(0,1)", "cannot name a sweep"),
        (f"train --param rate=Real(0,1) {HOW}", "'rate' is not a parameter of train"),
    ],
)
def test_a_mistake_is_one_line(shell, refusal, line, message):
    shell.run_cell("def train(lr): return lr")

    assert message in refusal(f"%tune {line}")


def test_templates_are_no_expressions_of_the_notebook():
    words = ["{{ lr }}", "--command={{ run }} --lr={{ lr }}", "python {{ lr }}"]

    assert expand(words, {"lr": 1, "run": 2}) == words


def test_metrics_are_completed_from_the_script_of_the_command(command):
    assert completed(f"%tune mlp {command} --minimize ", "") == ["loss"]


def test_another_param_is_offered_after_one(command):
    assert "--param" in completed(f"%tune mlp {command} --param lr=Real(0,1) --", "")


# --- the grammar of --param


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("x=Real(0.0, 1.0)", Real(0.0, 1.0)),
        ("x = Real(1e-4, 1e-1, log=True) = 1e-3", Real(1e-4, 1e-1, log=True).with_default(1e-3)),
        ("x: Real(0.0, 1.0) = 0.5", Real(0.0, 1.0).with_default(0.5)),
        ("x=Int(1, 9)=3", Int(1, 9).with_default(3)),
        ("x=Choice('a=b', 'c')='c'", Choice("a=b", "c").with_default("c")),
        ("x=Int(1, size)", Int(1, 5)),
    ],
)
def test_a_param_is_written_as_in_a_cell(text, domain):
    assert declared([text], {"size": 5}) == {"x": domain}


@pytest.mark.parametrize(
    ("text", "default"),
    [("x=Real(0, 1)=0.25", 0.25), ("x: Real(0, 1) = 0.25", 0.25), ("x=Choice('a','b')='b'", "b")],
)
def test_the_default_stands_after_the_domain(text, default):
    assert declared([text], {}).defaults == {"x": default}


@pytest.mark.parametrize(
    ("text", "value"),
    [("x=10", 10), ("x='relu'", "relu"), ("x=[[1, 2]]", [1, 2]), ("x=size * 2", 10)],
)
def test_any_other_value_is_fixed(text, value):
    space = declared([text, "y=Int(1, 2)"], {"size": 5})

    assert space.n_dims == 1
    assert space.defaults["x"] == value


@pytest.mark.parametrize(("text", "default"), [("x=[1, 2]", 1), ("x=[1, 2]=2", 2)])
def test_a_list_of_values_is_searched(text, default):
    domain = declared([text], {})["x"]

    assert (domain.options, domain.default) == ((1, 2), default)


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (["x=Real(0, 1)=5"], SpaceError, "x: the default is 5"),
        (["x=Real(0, 1)=nope"], ObjectiveError, "the default nope raised NameError"),
        (["x=Real(0, 1)", "x=3"], ObjectiveError, "x: declared twice"),
        (["x=1=2"], ObjectiveError, "x: 1 is no domain"),
        (["x=Real(0, 1"], ObjectiveError, "declares nothing"),
        (["a.b=Real(0, 1)"], ObjectiveError, "declares nothing"),
        (["x=y"], ObjectiveError, "NameError"),
    ],
)
def test_a_text_that_declares_nothing_is_refused(texts, error, message):
    with pytest.raises(error, match=message):
        declared(texts, {})


def test_a_space_may_be_a_branch():
    text = "model=Choice(Space({'depth': Int(1, 9)}), Space({'penalty': Real(0, 1)}))"

    assert isinstance(declared([text], {})["model"].options[0], Space)
