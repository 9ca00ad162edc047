"""Range: which numbers it lists, its strings, and what it is as a domain."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nbtune
from nbtune.exceptions import SpaceError
from nbtune.searchers import Grid
from nbtune.space import Choice, Int, Range, Real, Space
from nbtune.workers import Inline


@st.composite
def ranges(draw):
    """Ranges of every kind: of ints and floats, up and down, by step, by count, on a log scale."""
    log, whole = draw(st.booleans()), draw(st.booleans())
    ends = st.integers(1 if log else -500, 500)
    start, stop = draw(ends), draw(ends)
    if not whole:
        start, stop = start / 8, stop / 10
    if log or draw(st.booleans()):
        return Range(start, stop, num=draw(st.integers(2, 30)), log=log)
    return Range(start, stop, draw(st.integers(1, 50)) / (1 if whole else 10))


# --- which numbers ---------------------------------------------------------------------------


# FEATURES I3
@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Range(3), [0, 1, 2, 3]),
        (Range(2, 5), [2, 3, 4, 5]),
        (Range(2, 10, 2), [2, 4, 6, 8, 10]),
        (Range(1, 10, 4), [1, 5, 9]),
        (Range(6, 0), [6, 5, 4, 3, 2, 1, 0]),
        (Range(6, 0, 4), [6, 2]),
        (Range(-2), [0, -1, -2]),
        (Range(5, 5), [5]),
        (Range(3, 10, num=4), [3, 5, 8, 10]),
        (Range(1, 100, num=3), [1, 51, 100]),  # 49.5 is rounded to the even 50
        (Range(100, 1, num=3), [100, 50, 1]),
        (Range(0, 10, 2, num=3), [0, 4, 10]),
        (Range(0, 2, num=0), [0, 1, 2]),
        (Range(0, 2, num=1), [0, 1, 2]),
        (Range(0, 2, num=9), [0, 1, 2]),
        (Range(1, 100, num=3, log=True), [1, 10, 100]),
        (Range(1, 10, num=6, log=True), [1, 2, 3, 4, 6, 10]),
        (Range(1, 3, num=5, log=True), [1, 2, 3]),
        (Range(np.int64(1), np.int64(3)), [1, 2, 3]),
        (Range(0, 10**30, num=3), [0, 5 * 10**29, 10**30]),
    ],
)
def test_ints_are_listed_up_or_down_with_stop_where_it_is_hit(domain, values):
    assert domain.grid() == values
    assert {type(value) for value in domain.grid()} == {int}


# FEATURES I3
@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Range(0.0, 1.0, num=5), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (Range(1.0, 0.0, num=3), [1.0, 0.5, 0.0]),
        (Range(0, 1, 0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (Range(0, 1, 0.3), [0.0, 1 / 3, 2 / 3, 1.0]),
        (Range(0.1, 0.4, 0.1), [0.1, 0.2, 0.3, 0.4]),
        (Range(0.5), [0.0, 0.5]),  # 1.5 values are rounded to the even 2
        (Range(1.5, 0), [1.5, 0.0]),  # 2.5 are too
        (Range(0.3, 0.9, num=1), [0.3]),
        (Range(0.3, 0.3), [0.3]),
        (Range(1e-3, 1e2, num=6, log=True), [1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0]),
        (Range(0.1, 1e-3, num=3, log=True), [0.1, 0.01, 0.001]),
        (Range(1e-7, 1e5, num=13, log=True), [float(f"1e{i}") for i in range(-7, 6)]),
    ],
)
def test_floats_are_evenly_spaced_decimals_with_both_ends(domain, values):
    assert domain.grid() == values
    assert {type(value) for value in domain.grid()} == {float}


# FEATURES I3
@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("3-7", Range(3, 7)),
        ("3-7-2", Range(3, 7, 2)),
        ("7-3", Range(7, 3)),
        ("3_7_2", Range(3, 7, 2)),
        ("-3_3", Range(-3, 3)),
        ("1-9:3", Range(1, 9, num=3)),
        ("0.0-1.0:5", Range(0.0, 1.0, num=5)),
        ("0-1-0.25", Range(0, 1, 0.25)),
        (".5-1.:2", Range(0.5, 1.0, num=2)),
        ("1e-3_1e2:6.log", Range(0.001, 100.0, num=6, log=True)),
        ("1-100:3.log", Range(1, 100, num=3, log=True)),
        (" 3-7 ", Range(3, 7)),
    ],
)
def test_a_string_says_what_numbers_say(text, same):
    assert Range(text) == same
    assert Range(text).grid() == same.grid()


@given(domain=ranges())
def test_the_repr_lists_the_same_numbers(domain):
    again = eval(repr(domain), {"Range": Range})

    assert (again, again.grid()) == (domain, domain.grid())


@given(domain=ranges())
def test_no_number_is_listed_twice_and_all_lie_between_the_ends(domain):
    values, ends = domain.grid(), sorted((domain.start, domain.stop))

    assert len(set(values)) == len(values) == len(domain)
    assert values == sorted(values, reverse=domain.start > domain.stop)
    assert ends[0] <= domain.low <= domain.high <= ends[1]


def test_ranges_of_ints_and_of_floats_differ():
    assert Range(0, 1) != Range(0.0, 1.0)


# --- wrong calls -----------------------------------------------------------------------------


# FEATURES I3
@pytest.mark.parametrize(
    "text",
    ["", "3-", "-3-7", "3-7-2-1", "1e-3-1e-2", "a-b", "3..7", "3 7", "3-7.logs", "3/7", "①-③"],
)
def test_a_string_of_another_form_is_refused_with_those_allowed(text):
    with pytest.raises(
        SpaceError, match=r"^Range: got .*, allowed are 'start-stop', .*Write _ for"
    ):
        Range(text)


# FEATURES I3
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Range("5"), r"got '5', one number. Write Range\(5\) or '0_5'"),
        (lambda: Range("3-7-2:4"), "got '3-7-2:4', a step and a count. Drop one"),
        (lambda: Range("3-7:x"), "got '3-7:x'.*where num is a whole number"),
        (lambda: Range("3-7:2.5"), "where num is a whole number"),
        (lambda: Range("3-7", 9), "got '3-7' and more. A string says it all"),
        (lambda: Range("3-7", log=True), "A string says it all"),
        (lambda: Range("1-100.log"), r"needs num >= 2, got num=0. Use Range\(1, 100, num=5, log=T"),
        (lambda: Range("1e999_3"), "start=inf, which is not finite"),
        (lambda: Range(0, 6, 0), "needs step > 0, got step=0"),
        (lambda: Range(6, 0, -1), "got step=-1. The direction follows from start and stop"),
        (lambda: Range(0.0, 1.0, -0.1), "needs step > 0, got step=-0.1"),
        (lambda: Range(1, 9, 2, num=3, log=True), "a log range has no step, got step=2"),
        (lambda: Range(0.1, 1.0, log=True), "needs num >= 2, got num=0"),
        (lambda: Range(0.0, 1.0, num=3, log=True), "both ends > 0, got start=0.0, stop=1.0"),
        (lambda: Range(1, -1, num=3, log=True), "both ends > 0, got start=1, stop=-1"),
        (lambda: Range(0.0, 1.0, 0.1, num=5), "got step=0.1, num=5, which say two things"),
        (lambda: Range(1, 9, num=-1), "num=-1, allowed is a whole number of at least 0"),
        (lambda: Range(1, 9, num=2.5), "num=2.5, which is not a whole number"),
        (lambda: Range(1, 9, log="yes"), "log='yes', allowed is True or False"),
        (lambda: Range(True, 9), "start=True, of type bool"),
        (lambda: Range(1, "9"), "stop='9', of type str"),
        (lambda: Range(None), "stop=None, of type NoneType"),
        (lambda: Range(0, 10**9), "1000000001 values, allowed are 100000. Use Int"),
        (lambda: Range(0, 1, num=10**6, log=False), "1000000 values, allowed are 100000. Use Int"),
        (lambda: Range(0, 1, 1e-9), "Use Real"),
    ],
)
def test_a_contradictory_range_is_refused_in_one_line(build, message):
    with pytest.raises(SpaceError, match=f"^Range: .*{message}") as caught:
        build()

    assert "\n" not in str(caught.value)


# --- as a domain -----------------------------------------------------------------------------


@given(domain=ranges(), data=st.data())
def test_every_value_comes_back_from_the_unit_interval_and_from_json(domain, data):
    value = data.draw(st.sampled_from(domain.grid()))

    assert domain.from_unit(domain.to_unit(value)) == value
    assert domain.from_json(json.loads(json.dumps(domain.to_json(value)))) == value


@given(domain=ranges(), one=st.floats(0, 1), other=st.floats(0, 1))
def test_the_map_from_the_unit_interval_never_falls(domain, one, other):
    low, high = sorted((one, other))

    assert domain.from_unit(low) <= domain.from_unit(high)


def test_values_on_a_log_scale_have_equal_shares_of_the_unit_interval():
    assert [Range("1e-3_1e0:4.log").to_unit(10.0**i) for i in range(-3, 1)] == [
        0.125,
        0.375,
        0.625,
        0.875,
    ]


def test_a_range_downwards_keeps_its_order_in_the_grid_alone():
    domain = Range(3, 0)

    assert [domain.at(index) for index in range(4)] == [3, 2, 1, 0]
    assert [domain.from_unit(u) for u in (0.0, 1.0)] == [0, 3]


@pytest.mark.parametrize(
    ("domain", "default"),
    [
        (Range(0, 6), 3),
        (Range(6, 0), 3),
        (Range("0.0-1.0:5"), 0.5),
        (Range("1e-3_1e3:7.log"), 1.0),
        (Range(7, 7), 7),
    ],
)
def test_a_default_that_is_not_written_is_the_middle_value(domain, default):
    assert domain.default == default


@pytest.mark.parametrize(
    ("domain", "value", "plain"),
    [
        (Range(0, 1, 0.1), 0.1 + 0.2, 0.3),
        (Range("0.0-1.0:2"), 1, 1.0),
        (Range("1e-10_1e10:5.log"), 10000000000.000002, 1e10),
        (Range(1, 9), 3.0, 3),
        (Range(1, 9), np.int64(3), 3),
    ],
)
def test_validation_returns_the_listed_value(domain, value, plain):
    assert repr(domain.validate(value)) == repr(plain)


@pytest.mark.parametrize(
    ("domain", "value", "message"),
    [
        (Range(1, 9, 2), 4, r"4, which is none of the 5 values of Range\(1, 9, 2\). The nearest"),
        (Range("1e-3_1e2:6.log"), 0.02, "The nearest is 0.01."),
        (Range(1, 9), 12, "The nearest is 9."),
        (Range(1, 9), 2.5, "2.5, which is not a whole number"),
        (Range(1, 9), True, "True, of type bool"),
        (Range(0.0, 1.0), "0.0", "of type str"),
    ],
)
def test_a_value_that_is_not_listed_is_refused_by_name(domain, value, message):
    with pytest.raises(SpaceError, match=f"^x: got .*{message}"):
        domain.validate(value, "x")


def test_a_range_pickles_with_its_values():
    domain = Range("1e-3_1e2:6.log").with_default(1e-2)

    again = pickle.loads(pickle.dumps(domain))

    assert (again, again.default, again.grid()) == (domain, 1e-2, domain.grid())


# FEATURES I3
def test_a_range_is_a_list_of_values_for_a_choice():
    assert Choice(*Range("0.0-1.0:3"), "auto").options == (0.0, 0.5, 1.0, "auto")


def test_a_range_as_an_option_is_refused_with_what_to_write():
    with pytest.raises(
        SpaceError, match=r"is a domain. List its values: Choice\(\*Range\(0, 3\)\)"
    ):
        Choice(Range(3))


def test_part_of_a_domain_may_be_a_range():
    space = Space({"n": Int(1, 9), "x": Real(0, 1), "r": Range(0, 10, 2)})

    narrowed = space.narrow({"n": Range(1, 9, 4), "x": Range(0.0, 1.0), "r": Range(2, 6, 4)})

    assert narrowed.size == 3 * 2 * 2
    with pytest.raises(SpaceError, match=r"r: got Range\(0, 3\), allowed is a part of Range\(0, 1"):
        space.narrow({"r": Range(3)})


# FEATURES I1
def test_grid_walks_ranges_in_their_order():
    searcher = Grid(repeat=2)
    searcher.setup(Space({"fold": Range(1, 0), "factor": Range("0.5-0.7-0.2"), "lr": 1e-4}), seed=0)

    tried: list[dict] = []
    while (params := searcher.suggest(len(tried), tried)) is not None:
        tried.append(params)

    once = [(1, 0.5, 1e-4), (1, 0.7, 1e-4), (0, 0.5, 1e-4), (0, 0.7, 1e-4)]
    assert [tuple(params.values()) for params in tried] == once + once


# FEATURES I3
def test_an_annotation_may_be_a_range():
    def train(lr: Range("1e-3_1e2:6.log") = 1e-2, n: "Range(3)" = 1):
        return lr * n

    sweep = nbtune.Sweep(train, maximize="result", searcher="grid", workers=Inline(1))

    assert sweep.space == Space(
        {"lr": Range("1e-3_1e2:6.log").with_default(1e-2), "n": Range(3).with_default(1)}
    )
