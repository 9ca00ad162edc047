"""The DataFrames of a sweep: values as they were given, times that a spreadsheet takes."""

import math

import pytest
from pandas.io.formats.excel import ExcelFormatter

import nbtune
from nbtune import Choice, Int, Real, Space, Sweep, report
from nbtune.searchers import Points
from nbtune.workers import Inline


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def swept(space, points):
    def train(**params):
        report(epoch=1, loss=1.0)

    given = {"minimize": "loss", "searcher": Points(points), "workers": Inline(1), "name": "sweep"}
    return Sweep(train, space, **given).run()


def test_listed_values_of_several_types_stand_as_they_were_given():
    points = [{"depth": depth} for depth in (None, 3, 5)]

    column = swept({"depth": Choice(None, 3, 5)}, points).trials["params.depth"]

    assert column.dtype == object
    assert [(type(value), value) for value in column] == [(type(None), None), (int, 3), (int, 5)]


def test_listed_values_stay_so_where_a_branch_is_not_taken():
    model = Choice(Space({"kind": "a", "k": Choice(3, 5)}), Space({"kind": "b"}))
    points = [{"model": {"kind": "a", "k": 3}}, {"model": {"kind": "b"}}]

    first, second = swept({"model": model}, points).trials["params.model.k"]

    assert (type(first), first) == (int, 3)
    assert math.isnan(second)


def test_whole_numbers_stay_so_where_a_branch_is_not_taken():
    model = Choice(Space({"kind": "a", "k": Int(1, 9)}), Space({"kind": "b"}))
    points = [{"model": {"kind": "a", "k": 3}}, {"model": {"kind": "b"}}]

    column = swept({"model": model}, points).trials["params.model.k"]

    assert str(column.dtype) == "Int64"
    assert (column[0], column.isna().tolist()) == (3, [False, True])


def test_a_choice_among_branches_has_a_column_that_names_the_branch():
    grown = Space({"depth": Int(1, 9), "split": Choice(Space({"least": Int(1, 5)}), "none")})
    model = Choice(Space({"C": Real(0.1, 10)}), grown, None)
    points = [
        {"model": {"C": 1.0}},
        {"model": {"depth": 3, "split": {"least": 2}}},
        {"model": {"depth": 4, "split": "none"}},
        {"model": None},
    ]

    table = swept({"model": model}, points).trials

    assert [name for name in table if name.startswith("params.")] == [
        "params.model", "params.model.C",
        "params.model.depth", "params.model.split", "params.model.split.least",
    ]  # fmt: skip
    assert list(table["params.model"]) == ["C", "depth, split", "depth, split", None]
    assert list(table["params.model.split"])[1:3] == ["least", "none"]


def test_listed_numbers_are_a_column_of_numbers():
    column = swept({"width": Choice(32, 64)}, [{"width": 32}, {"width": 64}]).trials

    assert column["params.width"].dtype == "int64"


def cells(frame):
    """Return the cells that pandas would write into a spreadsheet; it refuses time zones."""
    return list(ExcelFormatter(frame).get_formatted_cells())


@pytest.mark.parametrize(
    "frame",
    [
        lambda sweep: sweep.trials,
        lambda sweep: sweep.reports,
        lambda sweep: sweep.edits,
        lambda sweep: nbtune.sweeps(),
    ],
    ids=["trials", "reports", "edits", "sweeps"],
)
def test_a_spreadsheet_takes_every_table(frame):
    sweep = swept({"x": Real(0, 1), "n": Int(1, 9)}, [{"x": 0.5, "n": 3}])
    sweep.edit(n=Int(1, 20))

    assert len(cells(frame(sweep))) > 1


def test_times_are_those_of_utc():
    sweep = swept({"x": Real(0, 1)}, [{"x": 0.5}])

    started = sweep.trials["started"][0]

    assert started.tz is None
    assert started.timestamp() == pytest.approx(sweep.trial(0).started, abs=1e-3)
