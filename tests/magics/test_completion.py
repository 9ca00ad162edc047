"""What Tab offers on a ``%%tune`` or ``%tune`` line."""

import pytest
from IPython.core.completer import provisionalcompleter

from nbtune.magics.completion import complete, metrics_in
from nbtune.store import Store
from nbtune.trial import Goal

CELL = """\
lr: Real(1e-4, 1e-1, log=True) = 1e-3
for epoch in range(1, 28):
    report(epoch=epoch, accuracy=model.score(X, y, sample_weight=w), loss=0.5)
"""


def store_sweep(folder, name):
    Store(folder).create(
        name,
        goals=[Goal(metric="score", direction="maximize")],
        step_name="epoch",
        plan="",
        source="",
        seed=0,
        definition=b"",
    )


def words(text, cell=CELL, namespace=None):
    return complete(text, cell, namespace or {})[1]


def test_option_is_completed_from_its_start():
    assert words("%%tune digits --sea") == ["--searcher"]
    assert words("%%tune digits --t") == [
        "--trials",
        "--time-limit",
        "--trial-time-limit",
        "--trial-max-steps",
    ]


def test_options_are_offered_where_nothing_else_can_stand():
    assert {"--maximize", "--trials", "--resume"} <= set(words("%%tune digits "))


def test_options_already_given_are_not_offered_again():
    offered = words("%%tune digits --maximize accuracy --trials 3 --")

    assert not {"--maximize", "--trials"} & set(offered)
    assert {"--minimize", "--time-limit"} <= set(offered)


@pytest.mark.parametrize("text", ["%%tune digits --maximize ", "%%tune digits --minimize="])
def test_metrics_come_from_the_reports_of_the_cell(text):
    assert words(text) == ["accuracy", "loss"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("%%tune digits --maximize accuracy,", ("", ["loss"])),
        ("%%tune digits --maximize=accuracy,l", ("l", ["loss"])),
        ("%%tune digits --maximize accuracy --minimize ", ("", ["loss"])),
        ("%%tune digits --maximize=accuracy --minimize=", ("", ["loss"])),
    ],
)
def test_of_several_metrics_the_next_is_completed(text, found):  # FEATURES C7
    assert complete(text, CELL, {}) == found


def test_metrics_of_a_cell_that_is_no_python_yet_are_none():
    assert metrics_in("report(loss=") == []


def test_metrics_of_a_function_come_from_its_source():
    def train(lr):
        report(rmse=lr)  # noqa: F821

    assert words("%tune train --minimize ", "", {"train": train}) == ["rmse"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "%%tune digits --searcher ",
            ["random", "grid", "chain", "points", "bayes", "iterative", "reinforce", "optuna"],
        ),
        ("%%tune digits --searcher=b", ["bayes"]),
        ("%%tune digits --scheduler h", ["hyperband"]),
        ("%tune sto", ["stop"]),
        ("    %tune appl", ["apply"]),
        ("%tune apply digits --r", ["--run"]),
        ("%%tune digits --trials ", []),
        ("%%timeit digits --sea", []),
        ("tune digits --sea", []),
    ],
)
def test_word_is_completed_by_its_place(text, found):
    assert words(text) == found


@pytest.mark.parametrize(
    ("goal", "first"),
    [
        ("--maximize accuracy", ["accuracy>=", "loss>=", "accuracy<=", "loss<="]),
        ("--minimize=loss", ["accuracy<=", "loss<=", "accuracy>=", "loss>="]),
    ],
)
def test_rules_are_thresholds_of_the_cells_metrics_and_those_of_nbtune(goal, first):
    offered = words(f"%%tune digits {goal} --stop-when ")

    assert offered[:4] == first
    assert offered[4:6] == ["failure_rate:share=", "failure_rate:min_trials="]
    assert "plateau:trials=" in offered


def test_arguments_of_a_rule_are_completed():
    assert words("%%tune digits --stop-when plateau:s") == ["plateau:seconds="]


def test_rules_are_offered_again_after_one():
    assert "--stop-when" in words("%%tune digits --stop-when plateau:trials=3 --")


def test_names_come_from_the_store_of_the_line(tmp_path):
    store_sweep(tmp_path, "digits")
    store_sweep(tmp_path, "wine")

    assert words(f"%%tune --store {tmp_path} ") == ["digits", "wine"]


def test_sweeps_to_start_from_are_completed_the_next_after_a_comma(tmp_path):
    store_sweep(tmp_path, "digits")
    store_sweep(tmp_path, "wine")
    line = f"%%tune new --store {tmp_path} --warm-start"

    assert words(f"{line} ") == ["digits", "wine"]
    assert words(f"{line}=w") == ["wine"]
    assert words(f"{line} digits,") == ["wine"]


def test_names_of_sweeps_follow_commands_and_cells(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path))
    store_sweep(tmp_path, "digits")
    store_sweep(tmp_path, "wine")

    assert words("%tune show ") == ["digits", "wine"]
    assert words("%%tune w") == ["wine"]


def test_store_that_cannot_be_read_offers_no_names(tmp_path, monkeypatch):
    (tmp_path / "nbtune.sqlite").write_text("not a database, but long enough to look like a file")
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path))

    assert words("%tune show ") == []


def test_functions_of_the_notebook_stand_beside_the_commands():
    def train():
        pass

    assert words("%tune ", "", {"train": train, "_hidden": train, "rate": 3})[-1] == "train"


def typed_completions(shell, text):
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(text, len(text))]


def test_ipython_completes_options_alone(shell):
    assert typed_completions(shell, "%%tune digits --sch") == ["--scheduler"]


def test_ipython_completes_the_value_after_an_equals_sign(shell):
    assert typed_completions(shell, "%%tune digits --searcher=ran") == ["random"]


def test_unloaded_extension_completes_nothing(shell):
    shell.run_line_magic("unload_ext", "nbtune")

    assert typed_completions(shell, "%%tune digits --sch") == []
