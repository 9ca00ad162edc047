import dataclasses
import json
import math
import re

import nbformat
import pytest
from IPython.utils.capture import capture_output
from pictured import FAILURE, SPACE, Shown, curve, ended, made, mixed, snapshot
from shells import ipython

from nbtune.sweep_warning import SweepWarning
from nbtune.trial import Status
from nbtune.widgets import Twin, show
from nbtune.widgets.screen import Screen

PLOTLY = "application/vnd.plotly.v1+json"


def finish(sweep):
    """The sweep ends while someone waits for it."""
    sweep.now = ended(sweep.now)
    sweep.waiting[0]()


@pytest.fixture
def twin():
    return Twin(ended(mixed()))


@pytest.fixture
def shell():
    with ipython() as shell:
        yield shell


def test_summary_figure_and_table_are_outputs_of_their_own(twin):
    kinds = [set(bundle) for bundle in twin.bundles()]

    html = {"text/html", "text/plain"}
    assert kinds == [html, html | {PLOTLY}, html]


def test_no_bundle_holds_a_widget(twin):
    assert not any("widget" in mime for bundle in twin.bundles() for mime in bundle)


def test_the_bundles_are_json_without_nan():
    of = ended(snapshot(made(0, [math.nan, 0.5]), made(1, [math.inf])))

    json.dumps(Twin(of).bundles(), allow_nan=False)


def test_the_summary_says_what_came_out(twin):
    text = twin.summary()["text/plain"]

    assert "digits: completed" in text
    assert "best 0." in text
    assert "1 failed" in text


def test_the_summary_tells_every_param_of_the_best(twin):
    html = twin.summary()["text/html"]

    assert all(f">{name}<" in html for name in SPACE)


def test_the_figure_has_both_views_as_svg_for_pages_without_plotly(twin):
    html = twin.figure()["text/html"]

    assert "<svg" in html
    assert ">accuracy<" in html
    assert ">activation<" in html


def test_the_svg_needs_no_id_so_that_two_can_share_a_page(twin):
    assert not re.search(r'\bid="|url\(#', twin.figure()["text/html"])


def test_the_table_shows_the_best_twenty_and_how_many_more():
    of = ended(snapshot(*(made(n, [n / 50]) for n in range(50))))

    table = Twin(of).table()

    assert table["text/html"].count("<tr") == 21
    assert "30 more trials in digits.trials" in table["text/html"]


def test_a_failure_is_shown_once_with_the_trials_it_struck():
    trials = [made(n, [], Status.FAILED, failure=FAILURE) for n in range(5)]

    html = Twin(ended(snapshot(*trials, made(5, [0.5])))).table()["text/html"]

    assert html.count("<details") == 1
    assert "5 trials failed" in html
    assert "(0, 1, 2, 3, 4)" in html


def test_warnings_are_shown_the_latest_first_the_others_when_it_is_opened():
    warnings = (SweepWarning(1e9, "a", "the <first>"), SweepWarning(2e9, "b", "the second"))

    shown = Twin(dataclasses.replace(mixed(), warnings=warnings)).summary()

    assert "<summary>the second (and 1 more warning)</summary>" in shown["text/html"]
    assert "the &lt;first&gt;" in shown["text/html"]
    assert "warning: the <first>\nwarning: the second" in shown["text/plain"]


def test_several_warnings_are_set_apart_and_long_words_break():
    url = "https://" + "x" * 400
    warnings = tuple(SweepWarning(t, "a", f"{url} {t}") for t in (1.0, 2.0, 3.0))

    html = Twin(dataclasses.replace(mixed(), warnings=warnings)).summary()["text/html"]

    box = re.search(r"<details (style=[^>]*)>.*?</details>", html)
    assert "overflow-wrap:anywhere" in box[1]
    assert re.findall(r'<div style="margin-top:\dpx[^>]*>\S+ (\S+)</div>', box[0]) == ["2.0", "1.0"]


def test_what_users_wrote_is_escaped():
    of = ended(snapshot(made(0, [], Status.FAILED, failure=FAILURE, reason="<b>no</b>")))

    html = "".join(bundle["text/html"] for bundle in Twin(of).bundles())

    assert "<300>" not in html
    assert "<b>no</b>" not in html


def test_tables_are_plain_so_that_they_survive_without_styles(twin):
    html = twin.table()["text/html"]

    assert html.count("<table") == 1
    assert "class=" not in html


@pytest.mark.parametrize(
    "of",
    [
        snapshot(),
        snapshot(made(0, [])),
        snapshot(made(0, [0.5])),
        snapshot(*(made(n, [], Status.FAILED, failure=FAILURE) for n in range(3))),
        snapshot(*(made(n, [n / 9]) for n in range(9))),
        snapshot(made(0, [math.nan])),
    ],
    ids=["empty", "no metric", "one", "all failed", "results only", "nan"],
)
def test_every_state_has_a_twin(of):
    twin = Twin(ended(of))

    assert len(twin.bundles()) == 3
    assert str(twin)


@pytest.mark.parametrize(
    ("trials", "sentence"),
    [
        ([made(n, [], Status.FAILED, failure=FAILURE) for n in range(3)], "reported accuracy"),
        ([made(0, [0.5], metric="acc")], "reported accuracy yet; reported so far: acc"),
    ],
    ids=["all failed", "another metric"],
)
def test_where_there_is_nothing_to_draw_a_sentence_stands_in_place_of_empty_axes(trials, sentence):
    figure = Twin(ended(snapshot(*trials))).figure()

    assert figure.keys() == {"text/html", "text/plain"}
    assert sentence in figure["text/html"]
    assert "<svg" not in figure["text/html"]
    assert figure["text/plain"].startswith("No trial ")


def test_a_thousand_trials_make_a_small_output():
    of = ended(snapshot(*(made(n, curve(n, 27)) for n in range(1000))))

    size = len(json.dumps(Twin(of).bundles()))

    assert size < 1_000_000


def test_outside_a_kernel_the_sweep_is_shown_as_text():
    shown = show(Shown(ended(mixed())))

    assert "digits: completed" in repr(shown)


def test_while_the_sweep_runs_the_widget_has_an_output_of_its_own(shell):
    sweep = Shown(mixed())

    with capture_output() as captured:
        Screen(sweep).show()
    with capture_output():
        finish(sweep)

    assert [set(out.data) for out in captured.outputs] == [
        {"text/plain", "application/vnd.jupyter.widget-view+json"}, set(), set()
    ]  # fmt: skip


def test_when_the_wait_ends_the_twin_replaces_the_live_outputs(shell):
    sweep = Shown(mixed())
    screen = Screen(sweep)
    with capture_output():
        screen.show()

    with capture_output() as captured:
        finish(sweep)

    assert [PLOTLY in out.data for out in captured.outputs] == [False, True, False]
    assert all(out.update for out in captured.outputs)


def test_the_twin_is_put_in_place_once(shell):
    sweep = Shown(mixed())
    screen = Screen(sweep)
    with capture_output():
        screen.show()
    with capture_output():
        finish(sweep)

    with capture_output() as captured:
        sweep.waiting[0]()

    assert captured.outputs == []


def test_a_sweep_that_had_ended_is_shown_as_its_twin_at_once(shell):
    with capture_output() as captured:
        Screen(Shown(ended(mixed()))).show()

    assert [PLOTLY in out.data for out in captured.outputs] == [False, True, False]


def test_as_the_last_line_of_the_cell_that_showed_it_nothing_is_shown_twice(shell):
    screen = Screen(Shown(ended(mixed())))
    with capture_output() as captured:
        screen.show()
        screen._ipython_display_()

    assert len(captured.outputs) == 3


def test_while_the_sweep_runs_a_viewer_without_widgets_has_its_text(shell):
    sweep = Shown(mixed())

    with capture_output() as captured:
        Screen(sweep).show()
    with capture_output():
        finish(sweep)

    assert "digits: running" in captured.outputs[0].data["text/plain"]


def test_where_outputs_are_not_replaced_the_widget_itself_shows_the_end(shell):
    sweep = Shown(mixed())
    screen = Screen(sweep)
    with capture_output():
        screen.show()

    with capture_output():
        finish(sweep)

    summary, figure, table = (html.value for html in screen.dashboard.box.children)
    assert "12 of 12 trials" in summary
    assert "<svg" in figure
    assert "<table" in table


def test_an_executed_notebook_keeps_no_copy_of_plotly(tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    cells = (
        "%load_ext nbtune",
        "%%tune demo --maximize score --trials 3 --searcher random --workers 1\n"
        "x: Real(0, 1) = 0.5\nreport(score=x)",
        "demo.wait()",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])

    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()

    assert "demo.wait" in nbformat.writes(notebook)
    assert len(nbformat.writes(notebook)) < 500_000
