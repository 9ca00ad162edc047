"""A sweep with several objectives on screen: panels, live figure, static twin."""

import json

import pytest
from pictured import Shown, ended, made, snapshot

from nbtune.plots import pareto
from nbtune.plots.lines import CurveBook
from nbtune.trial import Goal, Report, Status
from nbtune.widgets import Dashboard, Twin, content

GOALS = (
    Goal(metric="accuracy", direction="maximize"),
    Goal(metric="latency", direction="minimize"),
)


def trial(number, accuracy, latency, status=Status.COMPLETED):
    reports = [Report(1, {"accuracy": accuracy, "latency": latency, "loss": 0.5}, 1e9)]
    return made(number, [], status, reports_so_far=reports, count=1)


def traded(*more):
    trials = [trial(0, 0.5, 2.0), trial(1, 0.9, 3.0), trial(2, 0.7, 2.5), trial(3, 0.7, 2.8)]
    return snapshot(*trials, *more, goals=GOALS)


def table_of(of):
    book = CurveBook(of.goal.metric)
    book.read(of.trials)
    return content.table(of, content.ranked(of, book))


def front_of(dashboard):
    traces = [trace for trace in dashboard.figure.data if "xaxis" in trace and trace.xaxis == "x2"]
    return traces[pareto.TRACES.index("front")]


# --- panels


def test_the_best_panel_tells_the_front_and_the_best_in_each_objective():  # FEATURES C7
    best = content.best(traded())

    assert (best["title"], best["value"]) == ("PARETO FRONT SO FAR", "3")
    assert best["line"] == "trials unsurpassed in accuracy and latency"
    assert best["params"] == [
        ["highest accuracy", "0.9 · trial 1"],
        ["lowest latency", "2 · trial 0"],
    ]
    assert best["code"] == "digits.best"


def test_before_any_value_the_best_panel_says_what_will_stand_there():
    best = content.best(snapshot(goals=GOALS))

    assert best["value"] == ""
    assert best["line"] == "trials unsurpassed in accuracy and latency will stand here"


def test_the_table_has_a_column_for_each_objective_and_marks_the_front():
    table = table_of(traded())

    assert table["metrics"] == ["accuracy", "latency"]
    assert table["rows"][0][:2] == [1, ["0.9000", "3.000"]]
    assert table["best"] == [1, 2, 0]


def test_rows_come_front_by_front_and_those_without_a_value_last():
    table = table_of(traded(trial(4, 0.6, 2.9), made(5, [0.99]), trial(6, 0.4, 2.4)))

    assert [row[0] for row in table["rows"]] == [1, 2, 0, 3, 6, 4, 5]


def test_the_panel_of_a_trial_begins_with_its_objectives():
    of = traded()
    panel = content.panel(of, of.trials[1])

    assert panel["facts"][:2] == [["accuracy", "0.9"], ["latency", "3"]]
    assert panel["metrics"] == [["loss", "0.5"]]


# --- the live figure


def test_the_front_is_drawn_as_trials_come():
    sweep = Shown(snapshot(goals=GOALS))
    dashboard = Dashboard(sweep)
    dashboard.refresh()
    assert list(front_of(dashboard).x) == []

    sweep.now = ended(traded())
    dashboard.refresh()

    assert list(front_of(dashboard).x) == [2.0, 3.0, 2.5]
    low, high = dashboard.figure.layout.xaxis2.range
    assert low < 2.0 < 3.0 < high < 10
    assert "front 3" in dashboard.figure.layout.annotations[-1].text


def test_a_zoom_into_the_front_is_left_as_it_is():
    sweep = Shown(traded())
    dashboard = Dashboard(sweep)
    dashboard.refresh()
    dashboard.figure.layout.xaxis2.range = (2.0, 2.6)

    sweep.now = ended(traded(trial(4, 0.95, 9.0)))
    dashboard.refresh()

    assert tuple(dashboard.figure.layout.xaxis2.range) == (2.0, 2.6)
    assert list(front_of(dashboard).x) == [2.0, 3.0, 2.5, 9.0]


def test_a_click_on_the_front_opens_its_trial():
    dashboard = Dashboard(Shown(traded()))
    dashboard.refresh()
    trace = front_of(dashboard)

    class Points:
        point_inds = [1]

    trace._dispatch_on_click(Points, None)
    dashboard.refresh()

    assert dashboard.table.panel["number"] == 1


# --- the twin


@pytest.mark.parametrize("of", [traded(), snapshot(goals=GOALS), traded(made(4, [0.1]))])
def test_the_twin_is_json_and_text(of):
    twin = Twin(ended(of))

    json.dumps(twin.bundles(), allow_nan=False)
    assert "accuracy" in str(twin)
    assert "latency" in str(twin)


def test_the_twin_tells_the_front():
    text = str(Twin(ended(traded())))

    assert "pareto front 3 (trials unsurpassed in accuracy and latency)" in text
    assert "  lowest latency = 2 · trial 0" in text
