"""Curves come out of a table as they were put in; a table that is none says what is wrong."""

import math

import numpy as np
import pandas as pd
import pytest

from nbtune import SpecError
from nbtune.curves import Curve, curves_from

NAN = math.nan


def values(curve):
    return [report["loss"] for report in curve.metrics]


def frame(**columns):
    return pd.DataFrame({"trial": [0, 0, 1], "step": [1, 2, 1], **columns})


LOSS = [0.5, 0.25, 0.75]


def test_a_mapping_has_a_curve_a_trial_and_a_step_a_value():
    curves = curves_from({"a": [0.5, 0.25], "b": (0.75,)}, metric="loss")

    assert curves == [
        Curve(range(1, 3), [{"loss": 0.5}, {"loss": 0.25}], [1, 1]),
        Curve(range(1, 2), [{"loss": 0.75}], [1]),
    ]


def test_an_arrays_curve_ends_before_its_last_nans():
    curves = curves_from(np.array([[1.0, NAN, 3.0], [4.0, NAN, NAN]]), metric="loss")

    assert [len(curve.steps) for curve in curves] == [3, 1]
    assert values(curves[0])[0::2] == [1, 3]
    assert math.isnan(values(curves[0])[1])


def test_a_data_frames_trials_come_in_its_order_with_their_steps_ascending():
    table = pd.DataFrame({"trial": ["b", "a", "b"], "step": [9, 3, 3], "loss": [1.0, 2.0, 3.0]})

    curves = curves_from(table, metric="loss")

    assert [(list(curve.steps), values(curve)) for curve in curves] == [
        ([3, 9], [3, 1]),
        ([3], [2]),
    ]


def test_nan_beside_another_metric_is_a_report_without_it():
    table = frame(loss=[0.5, NAN, NAN], accuracy=[0.1, 0.2, NAN])

    first, second = curves_from(table, metric="loss")

    assert list(first.metrics) == [{"loss": 0.5}, {}]
    assert math.isnan(second.metrics[0]["loss"])


@pytest.mark.parametrize(
    ("columns", "seconds", "costs"),
    [
        ({}, None, [[1, 1], [1]]),
        ({}, 2.5, [[2.5, 2.5], [2.5]]),
        ({}, [3, 4, 5], [[3, 4], [5]]),
        ({"seconds": [3, 4, 5]}, None, [[3, 4], [5]]),
        ({"seconds": [3, 4, 5]}, 1, [[1, 1], [1]]),
        ({"time": [100.0, 104.0, 90.0]}, None, [[4, 4], [4]]),
        ({"time": [100.0, 104.0, 90.0], "seconds": [3, 4, 5]}, None, [[3, 4], [5]]),
    ],
    ids=["none", "number", "array", "column", "number first", "time", "seconds before time"],
)
def test_what_a_data_frames_steps_cost(columns, seconds, costs):
    curves = curves_from(frame(loss=LOSS, **columns), metric="loss", seconds=seconds)

    assert [list(curve.seconds) for curve in curves] == costs


@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s"])
def test_time_may_be_dates_of_any_unit(unit):
    dates = pd.Series(["2026-01-01T10:00:00", "2026-01-01T10:00:07", "2026-01-02"])
    dates = pd.to_datetime(dates, utc=True, format="ISO8601").dt.as_unit(unit)

    curves = curves_from(frame(loss=LOSS, time=dates), metric="loss")

    assert [list(curve.seconds) for curve in curves] == [[7, 7], [7]]


def test_the_first_step_costs_as_much_as_the_trials_mean_step():
    table = pd.DataFrame(
        {"trial": [7] * 3, "step": [1, 2, 3], "loss": LOSS, "time": [50.0, 51.0, 54.0]}
    )

    (curve,) = curves_from(table, metric="loss")

    assert list(curve.seconds) == [2, 1, 3]


def test_a_mappings_costs_are_a_mapping_too():
    curves = curves_from(
        {"a": [0.5, 0.25], "b": [0.75]}, metric="loss", seconds={"a": [3, 4], "b": 5}
    )

    assert [list(curve.seconds) for curve in curves] == [[3, 4], [5]]


def test_an_arrays_costs_are_an_array_whose_nans_lie_where_there_is_no_step():
    table = np.array([[1.0, 2.0], [3.0, NAN]])

    curves = curves_from(table, metric="loss", seconds=[[3, 4], [5, NAN]])

    assert [list(curve.seconds) for curve in curves] == [[3, 4], [5]]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1.0]], r"table is a list: give a DataFrame .*; a dict .*; or an array"),
        ({}, "table is empty"),
        (np.empty((0, 3)), "table is empty"),
        (pd.DataFrame({"trial": [], "step": [], "loss": []}), "table is empty"),
        ({"a": []}, r"table\['a'\]: give at least one value"),
        ({"a": 1.0}, r"table\['a'\]: give at least one value"),
        ({"a": ["low"]}, r"table\['a'\] holds something else than numbers: \['low'\]"),
        (np.array([1.0]), r"table has the shape \(1,\): give two dimensions"),
        (np.array([[1.0], [NAN]]), r"table\[1\] has no value"),
        (np.array([["low"]]), "table holds something else than numbers"),
        (frame(los=LOSS), r"no column 'loss'. Did you mean 'los'\? Known: trial, step, los"),
        (pd.DataFrame({"step": [1], "loss": [1]}), "no column 'trial'"),
        (frame(loss=["low"] * 3), r"table\['loss'\] holds something else"),
        (frame(loss=LOSS) * 0, r"table\['step'\] has 0: give whole numbers from 1"),
        (frame(loss=LOSS) / 2, r"table\['step'\] has 0.5"),
        (frame(loss=LOSS).assign(step=math.inf), r"table\['step'\] has inf"),
        (frame(loss=LOSS).assign(step=1), "table has step 1 of trial 0 twice"),
        (frame(loss=LOSS, time=[2, 1, 0]), "does not ascend with the steps of trial 0"),
    ],
)
def test_a_table_that_holds_no_curves_says_why(table, message):
    with pytest.raises(SpecError, match=message) as caught:
        curves_from(table, metric="loss")

    assert caught.value.path == "table"


@pytest.mark.parametrize(
    ("table", "seconds", "message"),
    [
        ({"a": [1.0]}, -1, "seconds=-1: give the cost of a step"),
        ({"a": [1.0]}, NAN, "seconds=nan: give the cost"),
        ({"a": [1.0]}, "long", "seconds='long': give the cost"),
        ({"a": [1.0]}, {"b": 1}, "seconds has nothing for trial 'a'"),
        ({"a": [1.0]}, [1, 2], r"seconds has the shape \(2,\).* in the shape \(1,\)"),
        (np.ones((2, 3)), np.ones((3, 2)), r"the shape \(3, 2\).* in the shape \(2, 3\)"),
        (frame(loss=LOSS, seconds=[1, -2, 3]), None, "give the cost of a step"),
    ],
)
def test_costs_that_are_none_say_why(table, seconds, message):
    with pytest.raises(SpecError, match=message) as caught:
        curves_from(table, metric="loss", seconds=seconds)

    assert caught.value.path == "seconds"
