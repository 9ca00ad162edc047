"""The picture of a Pareto front: what it shows, in one panel and in several."""

import math

import numpy as np
import pytest
from pictured import made, snapshot

from nbtune.exceptions import SpecError
from nbtune.plots import Plots, overview, pareto
from nbtune.trial import Goal, Report, Status

ACCURACY = Goal(metric="accuracy", direction="maximize")
LATENCY = Goal(metric="latency", direction="minimize")
SIZE = Goal(metric="size", direction="minimize")
TWO, THREE = (ACCURACY, LATENCY), (ACCURACY, LATENCY, SIZE)


def trial(number, accuracy, latency, status=Status.COMPLETED, size=1.0):
    metrics = {"accuracy": accuracy, "latency": latency, "size": size}
    return made(number, [], status, reports_so_far=[Report(1, metrics, 1e9)], count=1)


def traded(goals=TWO):
    """Three on the front, one that runs behind it, one surpassed, one that failed, one NaN."""
    return snapshot(
        trial(0, 0.5, 1.0, size=2.0),
        trial(1, 0.9, 3.0, size=3.0),
        trial(2, 0.7, 2.0, size=2.5),
        trial(3, 0.6, 2.5, Status.RUNNING, size=2.6),
        trial(4, 0.5, 2.0, size=3.0),
        trial(5, 0.99, 0.1, Status.FAILED),
        trial(6, 0.99, math.nan),
        goals=goals,
    )


def by_name(figure):
    return {trace.name: trace for trace in figure.data}


def test_each_trial_is_a_point_of_its_kind():  # FEATURES C7
    shown = by_name(pareto.figure(traded()))

    assert list(shown["front"].customdata) == [0, 1, 2]
    assert list(shown["running"].customdata) == [3]
    assert list(shown["others"].customdata) == [4]
    assert (list(shown["front"].x), list(shown["front"].y)) == ([1.0, 3.0, 2.0], [0.5, 0.9, 0.7])


def test_the_front_is_a_line_of_steps_between_the_worse_ends_of_the_axes():
    figure = pareto.figure(traded())
    line = by_name(figure)["line"]
    far, low = figure.layout.xaxis.range[1], figure.layout.yaxis.range[0]

    assert line.line.shape == "hv"
    assert list(zip(line.x, line.y, strict=True)) == [
        (1.0, low),
        (1.0, 0.5),
        (2.0, 0.7),
        (3.0, 0.9),
        (far, 0.9),
    ]


@pytest.mark.parametrize(
    ("x", "y"), [("latency", "accuracy"), ("accuracy", "latency")], ids=["down", "up"]
)
def test_no_trial_lies_beyond_the_line(x, y):
    # On either axis and in either direction: the steps pass every point on its better side.
    of = pareto.panel(pareto.cloud(traded()), x, y)

    sign = {"accuracy": 1, "latency": -1}
    for across, up in zip(of.cloud.values[x], of.cloud.values[y], strict=True):
        reached = [py for px, py in of.line[1:-1] if sign[x] * px >= sign[x] * across]
        best = max((sign[y] * value for value in reached), default=-math.inf)
        assert sign[y] * up <= best


def test_the_axes_say_which_way_is_better():
    layout = pareto.figure(traded()).layout

    assert layout.xaxis.title.text == "latency · lower is better"
    assert layout.yaxis.title.text == "accuracy · higher is better"


def test_the_hopeless_lie_outside_and_the_front_never_does():
    trials = [trial(n, 0.5 + 0.01 * n, 1.0 + 0.1 * n) for n in range(20)]
    figure = pareto.figure(snapshot(*trials, trial(20, -90.0, 1.5), goals=TWO))

    low, high = figure.layout.yaxis.range
    assert low > -90 and low < 0.5 < 0.69 < high
    assert figure.layout.annotations[0].text.endswith("outside 1")


def test_losses_over_decades_have_a_log_axis_with_few_labels():
    trials = [trial(n, n, 10.0**n) for n in range(5)]
    axis = pareto.figure(snapshot(*trials, goals=TWO)).layout.xaxis

    assert axis.type == "log"
    assert list(axis.ticktext) == ["1", "10", "100", "1000", "10000"]


def test_three_objectives_have_a_panel_for_each_pair():
    figure = pareto.figure(traded(THREE))

    pairs = {(trace.xaxis, trace.yaxis) for trace in figure.data}
    titles = {
        name: figure.layout[name].title.text.split(" · ")[0]
        for name in ("xaxis", "xaxis2", "yaxis", "yaxis2")
    }
    assert pairs == {("x", "y"), ("x2", "y"), ("x", "y2")}
    assert titles == {
        "xaxis": "size",
        "xaxis2": "latency",
        "yaxis": "accuracy",
        "yaxis2": "latency",
    }


def test_of_three_objectives_two_may_be_picked_and_have_no_line():
    figure = pareto.figure(traded(THREE), x="size")

    shown = by_name(figure)
    assert figure.layout.xaxis.title.text.startswith("size")
    assert list(shown["front"].x) == [2.0, 3.0, 2.5]
    assert list(shown["line"].x) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x": "latencies"}, "x='latencies' is none of the objectives. Did you mean 'latency'"),
        ({"x": "latency", "y": "latency"}, "x and y are both 'latency'"),
    ],
)
def test_what_is_no_pair_of_objectives_is_refused(options, message):
    with pytest.raises(SpecError, match=message):
        pareto.figure(traded(THREE), **options)


def test_one_objective_has_no_front_to_show():
    with pytest.raises(SpecError, match=r"'digits' has one, 'accuracy': see curves\(\)"):
        Plots(lambda: snapshot(made(0, [0.5]))).pareto()


def test_before_any_value_the_figure_says_so():
    figure = pareto.figure(snapshot(goals=TWO))

    assert figure.layout.annotations[0].text == "No trial has a value of each yet"


def test_the_overview_has_the_front_beside_the_curves():
    figure = overview.figure(traded())

    front = [trace for trace in figure.data if "xaxis" in trace and trace.xaxis == "x2"]
    assert [trace.name for trace in front] == list(pareto.TRACES)
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]


def test_parallel_coordinates_have_an_axis_for_each_objective():  # FEATURES C7
    labels = [dim.label for dim in Plots(lambda: traded(THREE)).parallel().data[0].dimensions]

    assert labels[-3:] == ["accuracy", "latency", "size"]


def test_in_parallel_coordinates_the_whole_front_stands_out():
    colours = Plots(traded).parallel().data[0].line.color

    assert list(np.flatnonzero(np.asarray(colours) == 1.0)) == [0, 1, 2]
