"""How a line is cut into words and read, and how best values are written into a cell."""

import pytest
from IPython.core.error import UsageError

from nbtune.magics.cells import with_values
from nbtune.magics.line import duration, expand, split


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  digits   --wait ", ["digits", "--wait"]),
        ('--metric "val loss" \'a b\' ""', ["--metric", "val loss", "a b", ""]),
        ('--x="a b"', ["--x=a b"]),
        ("Hyperband(max_t=27, type='stopping')", ["Hyperband(max_t=27, type='stopping')"]),
        ('"Hyperband(max_t=27)"', ["Hyperband(max_t=27)"]),
        (
            "Points([{'lr': 0.1}, {'s': '])'}]) --wait",
            ["Points([{'lr': 0.1}, {'s': '])'}])", "--wait"],
        ),
        ("{2 * n} $n", ["{2 * n}", "$n"]),
        (r"f('it\'s') x", [r"f('it\'s')", "x"]),
    ],
)
def test_quotes_and_brackets_keep_a_word_together(line, words):
    assert split(line) == words


def test_expressions_in_braces_take_their_value_from_the_notebook():
    assert expand(["{2 * n}", "$n", "--trials={n}", "a{n}"], {"n": 3}) == [
        "6",
        "3",
        "--trials=3",
        "a{n}",
    ]


def test_expression_that_fails_shows_what_it_raised():
    with pytest.raises(UsageError, match=r"\{1 / 0\}: 1 / 0 raised ZeroDivisionError"):
        expand(["{1 / 0}"], {})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("1.5", 1.5),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172800),
        ("0.5H", 1800),
    ],
)
def test_durations_are_seconds(text, seconds):
    assert duration(text) == seconds


CELL = """\
# größe
lr: Real(1e-4, 1e-1, log=True) = 1e-3; width: Int(
    16, 256,
) = 64; "ä"; act: Choice(relu, tanh)
total: int = 3
print(lr, width, act)"""


def test_best_values_take_the_place_of_the_declarations():
    text = with_values(CELL, {"lr": 0.02, "width": 100, "act": "tanh"})

    namespace = {"print": lambda *values: namespace.update(seen=values)}
    exec(text, namespace)
    assert namespace["seen"] == (0.02, 100, "tanh")


def test_best_values_leave_lines_where_they_are():
    text = with_values(CELL, {"lr": 0.02, "width": 100, "act": "tanh"})

    assert text.splitlines()[4:] == CELL.splitlines()[4:]


def test_value_that_no_literal_says_is_left_to_the_namespace():
    assert with_values("act: Choice(abs, max) = abs\nact(1)", {"act": abs}) == "pass\nact(1)"


def test_source_without_declarations_is_no_cell():
    assert with_values("def train(x: Real(0, 1) = 0.5):\n    return x", {"x": 0.1}) is None
