"""What ``--stop-when`` understands, and what a wrong rule shows."""

import pytest
from IPython.core.error import UsageError

from magics import LINE, tune
from nbtune.magics.rules import read_rule
from nbtune.stopping import Plateau

OWN = Plateau(trials=7)
NAMES = {"Plateau": Plateau, "own": OWN, "target": 0.9, "plateau_length": 5}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("accuracy>=0.98", "MetricThreshold('accuracy', 0.98, direction='maximize')"),
        ("loss<=1e-2", "MetricThreshold('loss', 0.01, direction='minimize')"),
        (" val loss <= -3 ", "MetricThreshold('val loss', -3.0, direction='minimize')"),
        ("val/acc>={target}", "MetricThreshold('val/acc', 0.9, direction='maximize')"),
        ("plateau:trials=20", "Plateau(trials=20)"),
        ("plateau:seconds=10m", "Plateau(seconds=600.0)"),
        ("plateau: trials=$plateau_length, min_delta=0.01", "Plateau(trials=5, min_delta=0.01)"),
        ("failure_rate:share=0.5", "FailureRate(0.5, min_trials=10)"),
        ("metric_threshold:metric=loss,value=1", "MetricThreshold('loss', 1.0)"),
        ("Plateau(trials=20)", "Plateau(trials=20)"),
        ("own", "Plateau(trials=7)"),
    ],
)
def test_rule_is_read(text, rule):
    assert repr(read_rule(text, NAMES)) == rule


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "platau:trials=3",
            r"rule 'platau' is not known. Did you mean 'plateau'\? Known: metric_threshold, "
            r"failure_rate, plateau. For a metric write platau>=VALUE or platau<=VALUE",
        ),
        ("accuracy", "rule 'accuracy' is not known. .* write accuracy>=VALUE"),
        ("plateau:trails=3", r"plateau: no argument 'trails'. Did you mean 'trials'\? Known: tri"),
        ("plateau:20", "plateau: '20' does not say what it is; write plateau:trials=20"),
        ("plateau:trials=many", r"Plateau\(trials='many'\): needs an integer of at least 1"),
        ("plateau:seconds=soon", "plateau: seconds: 'soon' is not a time; write seconds"),
        ("plateau", r"plateau: Plateau\(\): needs trials or seconds"),
        ("failure_rate", "missing a required argument: 'share'; write failure_rate:share=VALUE"),
        ("failure_rate:share=50", "needs a share above 0 and up to 1; 50 % is 0.5"),
        ("accuracy>0.9", r"reached at its value, from below .*; write accuracy>=0.9"),
        ("loss<0.1", "write loss<=0.1"),
        ("accuracy==1", "write accuracy>=1"),
        ("accuracy>=", "'' is not a number; write one, as in accuracy>=0.5"),
        ("accuracy>=high", "'high' is not a number"),
        ("accuracy>=nan", "'nan' is not a number"),
        ("Platau(trials=3)", "--stop-when: .* raised NameError"),
        ("target", "'target' is no rule; write one like accuracy>=0.98, loss<=0.01, plateau:tri"),
        ("", "'' is no rule"),
    ],
)
def test_wrong_rule_says_what_is_allowed(text, message):
    with pytest.raises(UsageError, match=message) as caught:
        read_rule(text, NAMES)

    assert "\n" not in str(caught.value)


# FEATURES P4
def test_rules_of_a_line_end_its_sweep(shell):
    line = f"quick {LINE} --stop-when failure_rate:share=0.9 --stop-when score>=-1e9 --wait --quiet"

    shell.run_cell(tune(line)).raise_error()

    assert shell.user_ns["quick"].reason.startswith("score reached -1e+09 in trial 0")


def test_wrong_rule_shows_one_line_and_starts_nothing(shell, refusal):
    assert "Did you mean 'plateau'?" in refusal(tune(f"quick {LINE} --stop-when plato:trials=3"))
    assert "quick" not in shell.user_ns
