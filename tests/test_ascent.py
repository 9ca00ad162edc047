"""The search for the most promising place of a space."""

import numpy as np
import pytest

from nbtune.searchers.bayes.ascent import climb
from nbtune.searchers.bayes.columns import Columns
from nbtune.space import Bool, Choice, Int, Real, Space

SPACE = Space(
    {
        "lr": Real(1e-5, 1.0, log=True),
        "width": Int(8, 1024, log=True),
        "kind": Choice("a", "b", "c", "d"),
        "flag": Bool(),
    }
)
TOP = {"lr": 3.3e-3, "width": 417, "kind": "c", "flag": True}


def hill(space, top):
    """Return the promise of places and its slope: highest at `top`."""
    columns = Columns(space)
    peak = columns.of(space.to_unit(top)[None])

    def promise(places):
        return -((columns.of(places) - peak) ** 2).sum(axis=1)

    def slope(place):
        off = columns.of(place[None])[0] - peak[0]
        by_dim = np.array([-2 * off[group[0]] for group in columns.groups])
        return float(promise(place[None])[0]), np.where(columns.options, 0.0, by_dim)

    return columns, promise, slope


def found(space, top, *, tried=(), slope=True, start=None):
    columns, promise, gradient = hill(space, top)
    best = np.full((1, space.n_dims), 0.5) if start is None else start
    return climb(
        space,
        columns,
        promise,
        gradient if slope else None,
        best,
        {space.key(params) for params in tried},
        np.random.default_rng(0),
    )


def test_it_finds_the_top_in_every_kind_of_dimension():
    params = found(SPACE, TOP)

    assert params["lr"] == pytest.approx(TOP["lr"], rel=1e-4)
    assert {**params, "lr": 0} == {**TOP, "lr": 0}


def test_without_gradients_it_comes_near():
    params = found(SPACE, TOP, slope=False)

    assert params["lr"] == pytest.approx(TOP["lr"], rel=0.5)
    assert params["kind"] == TOP["kind"]


def test_what_is_tried_is_passed_over():
    space = Space({"n": Int(1, 50), "kind": Choice("a", "b")})
    top = {"n": 20, "kind": "b"}

    params = found(space, top, tried=[top])

    assert params != top
    assert params["kind"] == "b"
    assert abs(params["n"] - 20) == 1


def test_nothing_is_found_where_all_is_tried():
    space = Space({"flag": Bool(), "kind": Choice("a", "b")})

    assert found(space, {"flag": True, "kind": "b"}, tried=space.grid()) is None


def test_an_option_of_weight_zero_is_never_chosen():
    space = Space({"x": Real(0, 1), "kind": Choice("a", "b", weights=(1, 0))})

    assert found(space, {"x": 0.3, "kind": "b"})["kind"] == "a"


def test_a_step_along_a_logarithmic_scale_is_one_value():
    space = Space({"n": Int(1, 1000, log=True)})
    columns = Columns(space)

    [places] = columns.positions

    assert len(places) == 1000
    assert [space.from_unit(places[i : i + 1])["n"] for i in (0, 1, 499, 999)] == [1, 2, 500, 1000]


def test_a_scale_of_very_many_values_counts_as_continuous():
    columns = Columns(Space({"n": Int(1, 10**6), "m": Int(1, 5), "x": Real(0, 1)}))

    assert [len(each) for each in columns.positions] == [0, 5, 0]
    assert columns.graded.tolist() == [0, 2]


def test_two_options_are_at_distance_one():
    columns = Columns(Space({"kind": Choice("a", "b", "c"), "x": Real(0, 1)}))

    first, second = columns.of(np.array([[1 / 6, 0.5], [5 / 6, 0.5]]))

    assert np.linalg.norm(first - second) == pytest.approx(1.0)
