"""Polyaxon's param kinds: what each becomes, in which forms it is read, and what is refused."""
# ruff: noqa: DTZ001 - datetimes without a time zone are what YAML has

import json
import math
import pickle
import warnings
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbtune.exceptions import NbtuneWarning, SpaceError, SpecError
from nbtune.objective import Command
from nbtune.searchers import Bayes, Grid, Random
from nbtune.space import Choice, Constant, LogNormal, Normal, Range, Real, Space, hull
from nbtune.space.kinds import KINDS
from nbtune.sweep import Sweep
from nbtune.workers import Inline

DAY = date(2026, 1, 1)
NOON = datetime(2026, 1, 1, 12)


def domain(kind, value):
    return Space.from_matrix({"x": {"kind": kind, "value": value}})["x"]


def draws(space, count=4000):
    rng = np.random.default_rng(3)
    return [space.sample(rng) for _ in range(count)]


def refused(kind, value):
    with pytest.raises(SpecError) as caught:
        domain(kind, value)
    return caught.value


# --- what each kind becomes


# FEATURES P1
@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("choice", [1, "b"], Choice(1, "b")),
        ("choice", [[1, 2], {"a": 1}, None, True], Choice([1, 2], {"a": 1}, None, True)),
        ("choice", ("a",), Choice("a")),
        ("pchoice", [["a", 0.25], ["b", 0.75]], Choice("a", "b", weights=[0.25, 0.75])),
        ("range", [1, 10, 2], Range(1, 9, 2)),
        ("linspace", [0, 1, 5], Range(0.0, 1.0, num=5)),
        ("logspace", [-3, 0, 4], Range(1e-3, 1.0, num=4, log=True)),
        ("logspace", [1, 3, 3, 2], Range(2.0, 8.0, num=3, log=True)),
        ("geomspace", [1, 1000, 4], Range(1.0, 1000.0, num=4, log=True)),
        ("daterange", [DAY, date(2026, 1, 3), 1], Choice(DAY, date(2026, 1, 2))),
        (
            "datetimerange",
            [DAY, NOON, 21600],
            Choice(datetime(2026, 1, 1), datetime(2026, 1, 1, 6)),
        ),
        ("uniform", [0, 1], Real(0, 1)),
        ("quniform", [0, 10, 2.5], Real(0, 10, step=2.5, rounded=True)),
        ("loguniform", [-2, 3], Real(math.exp(-2), math.exp(3), log=True)),
        ("qloguniform", [0, 3, 2], Real(1, math.exp(3), log=True, step=2, rounded=True)),
        ("normal", [-1, 2], Normal(-1, 2)),
        ("qnormal", [-1, 2, 0.5], Normal(-1, 2, step=0.5)),
        ("lognormal", [-1, 2], LogNormal(-1, 2)),
        ("qlognormal", [-1, 2, 0.5], LogNormal(-1, 2, step=0.5)),
    ],
)
def test_each_kind_becomes_a_domain(kind, value, expected):
    assert domain(kind, value) == expected


# FEATURES P1
@pytest.mark.parametrize(
    ("kind", "value", "values"),
    [
        ("range", [1, 10, 2], [1, 3, 5, 7, 9]),
        ("range", [1, 9, 2], [1, 3, 5, 7]),  # stop is left out where it is hit
        ("range", [0, 1, 5], [0]),
        ("range", [-4, 0, 3], [-4, -1]),
        ("range", [0.1, 0.5, 0.1], [0.1, 0.2, 0.3, 0.4]),
        ("range", [1, 1.3, 0.1], [1.0, 1.1, 1.2]),  # NumPy's arange would list 1.3
        ("range", [0, 1, 0.4], [0.0, 0.4, 0.8]),
        ("range", [1.0, 4, 1], [1.0, 2.0, 3.0]),
        ("linspace", [1, 2, 3], [1.0, 1.5, 2.0]),
        ("linspace", [1, 2, 1], [1.0]),
        ("linspace", [0, 10, 4], [0.0, 10 / 3, 20 / 3, 10.0]),
        ("logspace", [-3, 0, 4], [0.001, 0.01, 0.1, 1.0]),
        ("logspace", [0, 4, 3, 2], [1.0, 4.0, 16.0]),
        ("logspace", [2, 5, 1], [100.0]),
        ("logspace", [1, 2, 3, 1], [1.0]),
        ("geomspace", [0.001, 1, 4], [0.001, 0.01, 0.1, 1.0]),
        ("geomspace", [2, 32, 5], [2.0, 4.0, 8.0, 16.0, 32.0]),
        ("geomspace", [2, 32, 1], [2.0]),
        ("daterange", ["2026-02-27", "2026-03-03", 2], [date(2026, 2, 27), date(2026, 3, 1)]),
        ("daterange", [datetime(2026, 1, 1), np.datetime64("2026-01-02"), "1"], [DAY]),
        ("datetimerange", ["2026-01-01", NOON, timedelta(hours=7)], [
            datetime(2026, 1, 1), datetime(2026, 1, 1, 7),
        ]),
        ("datetimerange", ["2026-01-01T11:00:00+00:00", NOON.replace(tzinfo=UTC), 1800], [
            datetime(2026, 1, 1, 11, tzinfo=UTC), datetime(2026, 1, 1, 11, 30, tzinfo=UTC),
        ]),
        ("choice", [3, "a", None, 3.0, True], [3, "a", None, 3.0, True]),
        ("choice", [np.int64(3), np.float64(0.5)], [3, 0.5]),
    ],
)  # fmt: skip
def test_lists_have_these_values_of_these_types(kind, value, values):
    listed = domain(kind, value).grid()

    assert listed == values
    assert [*map(type, listed)] == [*map(type, values)]


@given(start=st.integers(-50, 50), count=st.integers(1, 40), step=st.sampled_from([1, 3, 0.1, 2.5]))
def test_a_range_is_that_of_numpy_where_numpy_is_exact(start, count, step):  # FEATURES P1
    stop = start + (count - 0.5) * step

    listed = domain("range", [start, stop, step]).grid()

    assert listed == pytest.approx(np.arange(start, stop, step).tolist(), rel=1e-12, abs=1e-12)


@given(
    start=st.floats(-8, 7),
    width=st.floats(1, 5),
    num=st.integers(2, 30),
    base=st.sampled_from([2, 10]),
)
def test_a_logspace_is_that_of_numpy(start, width, num, base):  # FEATURES P1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbtuneWarning)
        listed = domain("logspace", [start, start + width, num, base]).grid()

    assert listed == pytest.approx(np.logspace(start, start + width, num, base=base).tolist())


@given(start=st.floats(1e-6, 10), factor=st.floats(1.5, 1e6), num=st.integers(2, 30))
def test_a_geomspace_is_that_of_numpy(start, factor, num):  # FEATURES P1
    listed = domain("geomspace", [start, start * factor, num]).grid()

    assert listed == pytest.approx(np.geomspace(start, start * factor, num).tolist())


# --- the forms of a value


FORMS = [
    ("range", {"start": 1, "stop": 10, "step": 2}),
    ("linspace", {"start": 0, "stop": 1, "num": 5}),
    ("logspace", {"start": -3, "stop": 0, "num": 4}),
    ("logspace", {"start": 1, "stop": 3, "num": 3, "base": 2}),
    ("geomspace", {"start": 1, "stop": 1000, "num": 4}),
    ("uniform", {"low": 0, "high": 1}),
    ("quniform", {"low": 0, "high": 10, "q": 2.5}),
    ("loguniform", {"low": -2, "high": 3}),
    ("qloguniform", {"low": 0, "high": 3, "q": 2}),
    ("normal", {"loc": -1, "scale": 2}),
    ("qnormal", {"loc": -1, "scale": 2, "q": 0.5}),
    ("lognormal", {"loc": -1, "scale": 2}),
    ("qlognormal", {"loc": -1, "scale": 2, "q": 0.5}),
]
DATES = [
    ("daterange", {"start": "2026-01-01", "stop": "2026-02-01", "step": 7}),
    ("datetimerange", {"start": "2026-01-01T06:00", "stop": "2026-01-02", "step": 3600}),
]


# FEATURES P1
@pytest.mark.parametrize(("kind", "fields"), FORMS + DATES)
def test_a_list_says_the_same_as_a_dict(kind, fields):
    assert domain(kind, list(fields.values())) == domain(kind, fields)
    assert domain(kind, dict(reversed(fields.items()))) == domain(kind, fields)


# FEATURES P1
@pytest.mark.parametrize(("kind", "fields"), FORMS)
def test_text_says_the_same_as_a_dict(kind, fields):
    assert domain(kind, ":".join(map(str, fields.values()))) == domain(kind, fields)
    assert domain(kind, " : ".join(map(str, fields.values()))) == domain(kind, fields)


# FEATURES P1
@pytest.mark.parametrize(("kind", "fields"), FORMS + DATES)
def test_fields_may_be_text(kind, fields):
    assert domain(kind, {name: str(item) for name, item in fields.items()}) == domain(kind, fields)


# FEATURES P1
@pytest.mark.parametrize(("kind", "fields"), FORMS + DATES)
def test_what_comes_after_the_last_field_is_ignored(kind, fields):
    room = {"logspace": 4, "uniform": 3, "quniform": 4}.get(kind, len(fields))
    padded = [*fields.values(), *[None] * (room - len(fields))]

    assert domain(kind, [*padded, "x", 99]) == domain(kind, fields)


# FEATURES P1
@pytest.mark.parametrize("spelt", ["quniform", "qUniform", "q_uniform", "QUniform"])
def test_a_kind_may_be_in_camel_or_snake_case(spelt):
    assert domain(spelt, [0, 1, 0.5]) == Real(0, 1, step=0.5, rounded=True)


def test_coercions_of_counts_and_optional_fields():  # FEATURES P1
    assert domain("linspace", [0, 1, 5.0]) == domain("linspace", [0, 1, "5"])
    assert domain("logspace", {"start": 0, "stop": 1, "num": 3, "base": None}).high == 10.0
    assert domain("uniform", {"low": 0, "high": 1, "size": None}) == Real(0, 1)
    assert domain("uniform", ["1e-3", 1]) == Real(0.001, 1)  # as YAML reads it


def test_bounds_of_a_distribution_have_no_order():  # FEATURES P1
    assert domain("uniform", [1, 0]) == Real(0, 1)
    assert domain("quniform", [4, 0, 2]) == Real(0, 4, step=2, rounded=True)
    assert domain("loguniform", [1, 0]) == Real(1, math.e, log=True)


# FEATURES P1
@pytest.mark.parametrize(
    ("kind", "value", "fixed"),
    [
        ("uniform", [1, 1], 1.0),
        ("quniform", [2.4, 2.4, 1], 2.0),
        ("quniform", [2.5, 2.5, 1], 2.0),  # half to even
        ("loguniform", [0, 0], 1.0),
        ("normal", [3, 0], 3.0),
        ("qnormal", [3.2, 0, 0.5], 3.0),
        ("lognormal", [0, 0], 1.0),
    ],
)
def test_a_distribution_without_width_is_a_constant(kind, value, fixed):
    assert domain(kind, value) == Constant(fixed)


def test_constants_domains_and_order_of_a_matrix_are_kept():  # FEATURES P1
    space = Space.from_matrix(
        {
            "lr": {"kind": "uniform", "value": [0, 1]},
            "epochs": 10,
            "name": "adam",
            "layers": [1, 2],
            "width": Choice(16, 32),
            "model": Space({"C": Real(0, 1)}),
        }
    )

    assert [*space] == ["lr", "epochs", "name", "layers", "width", "model"]
    assert space.defaults == {
        "lr": 0.5, "epochs": 10, "name": "adam", "layers": [1, 2], "width": 16,
        "model": {"C": 0.5},
    }  # fmt: skip


def test_an_empty_matrix_is_an_empty_space():  # FEATURES P1
    assert Space.from_matrix({}) == {}


# --- what is drawn


def test_a_choice_gives_back_the_object_itself():  # FEATURES P1
    options = [1, "b", True, [1], {"a": 2}, None, 0.5]
    space = Space.from_matrix({"x": {"kind": "choice", "value": options}})

    drawn = [point["x"] for point in draws(space, 200)]

    assert {id(value) for value in drawn} == {id(option) for option in options}


def test_what_a_choice_lists_twice_is_twice_as_likely():  # FEATURES P1
    assert domain("choice", ["a", "b", "a"]) == Choice("a", "b", weights=[2, 1])
    assert domain("choice", ["a", "b", "b", "a"]) == Choice("a", "b")
    assert domain("choice", [1, 1.0, True]) == Choice(1, 1.0, True)  # three values


# FEATURES P1
@pytest.mark.parametrize(
    ("pairs", "weights"),
    [
        ([["a", 0.5], ["b", 0.2], ["c", 0.1]], [0.5, 0.2, 0.3]),  # 0.2 are missing
        ([["a", 0.3], ["b", 0.3], ["c", 0.4]], [0.3, 0.3, 0.4]),
        ([["a", 0.1], ["b", 0.2], ["c", 0.7]], [0.1, 0.2, 0.7]),
        ([["a", 0.0], ["b", 0.0]], [0.0, 1.0]),
        ([["a", 0.5], ["b", 0.25], ["a", 0.125]], [0.75, 0.25]),
        ([("a", np.float64(0.5)), ("b", 0.5)], [0.5, 0.5]),
    ],
)
def test_mass_that_is_missing_is_the_last_items(pairs, weights):
    made = domain("pchoice", pairs)

    assert made.weights == tuple(weights)
    assert sum(made.weights) == pytest.approx(1)


def test_probabilities_are_added_up_as_they_are_written():  # FEATURES P1
    shares = [0.1, 0.1, 0.1, 0.2, 0.2, 0.3]
    assert sum(shares[::-1]) != 1  # of floats

    assert domain("pchoice", [[i, share] for i, share in enumerate(shares)]).size == 6


@given(
    low=st.integers(-40, 40).map(lambda n: n / 4),
    width=st.integers(1, 80).map(lambda n: n / 4),
    q=st.sampled_from([0.25, 0.3, 1, 2, 7]),
    u=st.floats(0, 1),
)
def test_quantised_draws_round_half_to_even(low, width, q, u):  # FEATURES P1
    made = domain("quniform", [low, low + width, q])
    if isinstance(made, Constant):
        return
    plain = Real(low, low + width).from_unit(u)

    drawn = made.from_unit(u)

    assert abs(drawn - plain) <= q / 2 + 1e-9
    assert drawn in made.grid()
    if 0.01 < u < 0.99:  # a number to which only the very end is rounded is never drawn
        assert drawn == pytest.approx(round(plain / q) * q) or (plain / q) % 1 == pytest.approx(0.5)


def test_half_a_step_goes_to_the_even_multiple():  # FEATURES P1
    made = domain("quniform", [1, 9, 1])  # 1.5, 2.5, 3.5, 4.5

    assert [made.from_unit(u) for u in (1 / 16, 3 / 16, 5 / 16, 7 / 16)] == [2.0, 2.0, 4.0, 4.0]


def test_outer_values_of_a_quantised_kind_are_half_as_likely():  # FEATURES P1
    space = Space.from_matrix({"x": {"kind": "quniform", "value": [0, 10, 2]}})
    drawn = [point["x"] for point in draws(space, 10_000)]

    shares = {value: drawn.count(value) / 10_000 for value in sorted({*drawn})}

    assert [*shares] == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert [*shares.values()] == pytest.approx([0.1, 0.2, 0.2, 0.2, 0.2, 0.1], abs=0.015)


def test_a_quantised_log_kind_rounds_what_the_log_kind_draws():  # FEATURES P1
    fine = domain("loguniform", [0, 3])
    coarse = domain("qloguniform", [0, 3, 4])

    places = [i / 97 for i in range(98)]

    assert coarse.grid() == [0.0, 4.0, 8.0, 12.0, 16.0, 20.0]
    assert [coarse.from_unit(u) for u in places] == [
        round(fine.from_unit(u) / 4) * 4 for u in places
    ]


# FEATURES P1
@pytest.mark.parametrize(("kind", "fields"), [form for form in FORMS if "high" in form[1]])
def test_draws_follow_the_cumulative_distribution(kind, fields):
    low, high = fields["low"], fields["high"]
    made = domain(kind, {**fields, **({"q": 1e-3} if "q" in fields else {})})
    rng = np.random.default_rng(0)
    drawn = sorted(made.sample(rng) for _ in range(2000))

    heights = np.log(np.maximum(drawn, 1e-3)) if "log" in kind else np.array(drawn)
    expected = low + (high - low) * (np.arange(2000) + 0.5) / 2000

    assert np.abs(heights - expected).max() < 0.05 * (high - low)


ALL = {
    "choice": {"kind": "choice", "value": [1, "b", None, [1]]},
    "pchoice": {"kind": "pchoice", "value": [["a", 0.5], [2, 0.5]]},
    **{f"{kind}{i}": {"kind": kind, "value": f} for i, (kind, f) in enumerate(FORMS + DATES)},
}


def test_every_kind_is_in_this_file():
    assert {entry["kind"] for entry in ALL.values()} == {*KINDS}


@given(seed=st.integers(0, 10**6))
def test_points_survive_the_stores_json(seed):  # FEATURES P1
    space = Space.from_matrix(ALL)
    point = space.sample(seed)

    text = json.dumps(space.to_json(point))

    assert pickle.loads(pickle.dumps(space)).from_json(json.loads(text)) == point
    assert not any(isinstance(value, np.generic) for value in point.values())
    for name, value in space.from_unit(space.to_unit(point)).items():
        is_float = isinstance(value, float)
        assert value == (pytest.approx(point[name]) if is_float else point[name])


def test_dates_are_stored_as_people_write_them():  # FEATURES P1
    space = Space.from_matrix(
        {
            "day": {"kind": "daterange", "value": [DAY, date(2026, 1, 9), 1]},
            "at": {"kind": "datetimerange", "value": [DAY, NOON, 3600]},
        }
    )

    assert space.to_json(space.defaults) == {"day": "2026-01-01", "at": "2026-01-01T00:00:00"}
    assert space["day"].labels[1] == "2026-01-02"


def test_dates_reach_a_function_and_come_back_from_the_store(tmp_path):  # FEATURES P1
    def train(day: date):
        assert type(day) is date
        return float(day.day)

    space = Space.from_matrix({"day": {"kind": "daterange", "value": [DAY, date(2026, 1, 4), 1]}})

    made = Sweep(
        train, space, maximize="value", searcher=Grid(), workers=Inline(1), store=tmp_path, name="d"
    ).run()

    assert made.best_params == {"day": date(2026, 1, 3)}
    assert made.top(3)[2].params == {"day": DAY}


def test_a_date_reaches_a_command_as_text():  # FEATURES P1
    space = Space.from_matrix({"day": {"kind": "daterange", "value": [DAY, date(2026, 1, 4), 1]}})

    assert Command("true --day={{ day }}").objective(space).space == space


# --- what searchers make of them


LISTED = ["choice", "range", "linspace", "logspace", "geomspace", "daterange", "datetimerange"]


def alone(kind):
    """Return a space of one param of this kind."""
    entry = next(entry for entry in ALL.values() if entry["kind"] == kind)
    return Space.from_matrix({"x": entry})


# FEATURES P1
@pytest.mark.parametrize("kind", LISTED)
def test_a_grid_lists_what_is_listed(kind):
    searcher = Grid()

    searcher.setup(alone(kind), seed=0)

    assert searcher.size() == len(alone(kind)["x"].grid())


# FEATURES P1
@pytest.mark.parametrize("kind", sorted({*KINDS} - {*LISTED}))
def test_a_grid_refuses_distributions(kind):
    with pytest.raises(SpaceError, match=r"x: .*(infinitely many|how likely)"):
        Grid().setup(alone(kind), seed=0)


# FEATURES P1
@pytest.mark.parametrize("kind", [*LISTED, "pchoice", "quniform", "qloguniform"])
def test_random_ends_when_all_of_a_finite_space_is_tried(kind):
    space, searcher = alone(kind), Random()
    searcher.setup(space, seed=0)
    keys = set()
    while (point := searcher.suggest(len(keys), [])) is not None:
        searcher.observe(point, 0.0, step=1, ended=True)
        keys.add(space.key(point))

    assert searcher.finite
    assert len(keys) == space.size


# FEATURES P1
@pytest.mark.parametrize("kind", ["uniform", "loguniform", "normal", "lognormal", "qnormal"])
def test_random_has_no_end_where_values_have_none(kind):
    searcher = Random()

    searcher.setup(alone(kind), seed=0)

    assert not searcher.finite


def test_random_gives_up_where_an_item_is_never_drawn():  # FEATURES P1
    searcher = Random()
    searcher.setup(
        Space.from_matrix({"x": {"kind": "pchoice", "value": [["a", 0.0], ["b", 0.5]]}}), seed=0
    )

    first = searcher.suggest(0, [])
    searcher.observe(first, 0.0, step=1, ended=True)

    assert (first, searcher.suggest(1, [])) == ({"x": "b"}, None)


def test_bayes_models_every_kind():  # FEATURES P1
    space, searcher = Space.from_matrix(ALL), Bayes(3)
    searcher.setup(space, seed=0)

    for number in range(6):
        point = searcher.suggest(number, [])
        assert space.validate(point) == point
        searcher.observe(point, float(number), step=1, ended=True)


# --- rounded draws as a domain of their own


def test_rounded_is_written_as_it_is_read():
    made = Real(1, 10, log=True, step=4, rounded=True)

    assert repr(made) == "Real(1.0, 10.0, log=True, step=4.0, rounded=True)"
    assert eval(repr(made)) == made


def test_a_rounded_value_is_inside_when_it_can_be_drawn():
    made = Real(1, 10, step=4, rounded=True)

    assert made.validate(0) == 0.0
    for outside, message in {1: "step=4", 12: "allowed is 0.0 to 8.0"}.items():
        with pytest.raises(SpaceError, match=message):
            made.validate(outside)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounded": True}, "rounded=True needs a step"),
        ({"rounded": 1, "step": 2}, "rounded=1, allowed is True or False"),
        ({"rounded": True, "step": 0}, "needs step > 0"),
        ({"rounded": True, "step": 1e-300}, "finer than floats"),
    ],
)
def test_rounded_needs_a_step(options, message):
    with pytest.raises(SpaceError, match=message):
        Real(0, 1, **options)


@given(low=st.floats(0.01, 50), width=st.floats(0.1, 50), q=st.floats(0.05, 60), log=st.booleans())
def test_rounded_values_have_places_of_their_own(low, width, q, log):
    made = Real(low, low + width, log=log, step=q, rounded=True)
    places = [made.to_unit(value) for value in made.grid()]

    assert places == sorted({*places})
    assert [made.from_unit(place) for place in places] == made.grid()
    assert made.validate(made.default) == made.default


def test_a_hull_has_room_for_rounded_values():
    rounded = Space({"x": Real(1, 10, step=4, rounded=True)})
    whole = hull([rounded, Space({"x": Real(5, 7)})])

    assert all(whole.validate({"x": value}) for value in (0.0, 7.0))


# --- what is refused, and where


# FEATURES P1
@pytest.mark.parametrize(
    ("kind", "value", "path", "message"),
    [
        ("choice", [], "", "got an empty list, allowed is a list of values"),
        ("choice", "1:2", "", "got '1:2', allowed is a list of values"),
        ("choice", {"a": 1}, "", "got {'a': 1}, allowed is a list"),
        ("choice", "{{ widths }}", "", "fills in a template"),
        ("pchoice", [], "", "got an empty list"),
        ("pchoice", "a:b", "", "allowed is a list of .value, probability. pairs"),
        ("pchoice", ["a", "b"], "[0]", "got 'a', allowed is a pair"),
        ("pchoice", [["a", 0.5], ["b", 0.2, 3]], "[1]", "allowed is a pair"),
        ("pchoice", [["a", 1.0]], "[0]", "got the probability 1.0, allowed is a float from 0.0"),
        ("pchoice", [["a", 0]], "[0]", "got the probability 0, allowed is a float"),
        ("pchoice", [["a", 0.5], ["b", "0.5"]], "[1]", "got the probability '0.5'"),
        ("pchoice", [["a", -0.1]], "[0]", "got the probability -0.1"),
        ("pchoice", [["a", math.nan]], "[0]", "got the probability nan"),
        ("pchoice", [["a", 0.6], ["b", 0.5]], "", "add up to 1.1, allowed is at most 1"),
        ("range", [1, 2], "", r"step missing. Allowed is a list \[start, stop, step\], a dict"),
        ("range", "1:2", "", "step missing"),
        ("range", "12", "", "got '12', allowed is a list"),
        ("range", 12, "", "got 12, allowed is a list .*'start:stop:step'"),
        ("range", None, "", "got None, allowed"),
        ("range", "{{ x }}:{{ y }}:1", "", "nothing fills in a template here"),
        ("range", [2, 1, 1], "", "needs start < stop, got start=2, stop=1"),
        ("range", [1, 1, 1], "", "needs start < stop"),
        ("range", [1, 2, 0], ".step", "got 0, allowed is a number above 0"),
        ("range", [1, 2, -1], ".step", "got -1, allowed"),  # an empty list
        ("range", [1, 2, True], ".step", "of type bool"),
        ("range", [1, "x", 1], ".stop", "got 'x', allowed is a number"),
        ("range", [math.nan, 1, 1], ".start", "not finite"),
        ("range", ["-inf", 1, 1], ".start", "not finite"),
        ("range", [0, 1e9, 1], "", "1000000000 values, allowed are 100000"),
        ("linspace", [0, 1, 2.5], ".num", "got 2.5, which is not a whole number"),
        ("linspace", [0, 1, 0], ".num", "got 0, allowed is a whole number of at least 1"),
        ("linspace", [0, 1, -2], ".num", "got -2"),
        ("linspace", [1, 0, 5], "", "needs start < stop"),
        ("linspace", {"start": 0, "stop": 1, "step": 5}, ".step", "unknown key. .*Known: start"),
        ("logspace", [0, 400, 3], "", "got the exponent 400.0 of 10, which no float can hold"),
        ("logspace", [-400, 0, 3], "", "exponent -400.0"),
        ("logspace", [0, 1, 3, 0], ".base", "got 0, allowed is a whole number"),
        ("logspace", [0, 1, 3, 2.5], ".base", "got 2.5"),
        ("geomspace", [0, 1, 3], "", "start=0.0, allowed is a number above 0"),
        ("geomspace", [-8, -1, 3], "", "start=-8.0, allowed"),
        ("geomspace", [1, 8, 0], ".num", "got 0"),
        ("daterange", "2026-01-01:2026-02-01:1", "", r"allowed is a list \[start, stop, step\]"),
        ("daterange", ["soon", DAY, 1], ".start", "got 'soon', allowed is a date"),
        ("daterange", [DAY, NOON, 1], ".stop", "allowed is a date without a time"),
        ("daterange", [DAY, 20270101, 1], ".stop", "allowed is a date"),
        ("daterange", [DAY, date(2027, 1, 1), 1.5], ".step", "got 1.5, which is not a whole"),
        ("daterange", [DAY, date(2027, 1, 1), 0], ".step", "got 0, allowed is a step above 0"),
        ("daterange", [DAY, date(2027, 1, 1), -1], ".step", "got -1, allowed"),
        ("daterange", [date(2027, 1, 1), DAY, 1], "", "needs start < stop, got start=2027-01-01"),
        ("daterange", [date(1, 1, 1), date(999, 1, 1), 1], "", "364512 values, allowed are 100000"),
        ("datetimerange", [DAY, NOON, "an hour"], ".step", "got 'an hour'"),
        ("datetimerange", [DAY, NOON, 1e30], ".step", "too long"),
        ("datetimerange", [DAY, NOON.replace(tzinfo=UTC), 60], "", "only one has a time zone"),
        ("uniform", [1], "", "got .1., high missing"),
        ("uniform", "0", "", "got '0', allowed is .* text 'low:high'"),
        ("uniform", {"low": 0, "hi": 1}, ".hi", "unknown key. Did you mean 'high'"),
        ("uniform", {"low": 0, "high": None}, "", "high missing"),
        ("uniform", [0, True], ".high", "of type bool"),
        ("uniform", [0, [1]], ".high", "of type list"),
        ("uniform", [0, 1, 0], ".size", "got 0, allowed"),
        ("quniform", [0, 1, 0], ".q", "got 0, allowed is a number above 0"),
        ("quniform", [0, 1], "", "q missing"),
        ("qloguniform", [0, 1, -1], ".q", "got -1"),
        ("loguniform", [0, 1000], "", "exponent 1000.0 of 2.718, which no float can hold"),
        ("normal", [0, -1], ".scale", "got -1, allowed is a number of at least 0"),
        ("normal", [0, 1e301], "", "overflows"),
        ("qnormal", [0, 1, 0], ".q", "got 0"),
        ("lognormal", [800, 1], "", "overflows"),
    ],
)  # fmt: skip
def test_what_could_not_be_sampled_is_refused_at_once(kind, value, path, message):
    error = refused(kind, value)

    assert error.path == f"params.x.value{path}"
    assert str(error).startswith(f"{error.path}: ")
    assert pytest.raises(SpecError, match=message).matches(error)


# FEATURES P1
@pytest.mark.parametrize(
    ("entry", "path", "message"),
    [
        ({"kind": "choise", "value": [1]}, ".kind", "unknown kind 'choise'. Did you mean 'choice'"),
        ({"kind": None, "value": [1]}, ".kind", "unknown kind None. Known: choice"),
        ({"kind": "choice"}, "", "got {'kind': 'choice'}, the value is missing"),
        ({"value": [1, 2]}, "", "the kind is missing. Write {kind: uniform"),
        ({}, "", "the kind is missing"),
        ({"kind": "choice", "values": [1]}, ".values", "unknown key. Did you mean 'value'"),
        ({"kind": "choice", "value": [1], "type": "int"}, ".type", "unknown key"),
    ],
)
def test_an_entry_of_another_form_is_refused(entry, path, message):
    with pytest.raises(SpecError, match=message) as caught:
        Space.from_matrix({"x": entry})

    assert caught.value.path == f"params.x{path}"


# FEATURES P1
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("{{ matrix }}", "params: got '{{ matrix }}', allowed is a dict"),
        ([1], "params: got .1., allowed is a dict"),
        ({1: 2}, "params: got the name 1, allowed are non-empty strings"),
    ],
)
def test_a_matrix_is_a_dict_of_names(params, message):
    with pytest.raises(SpecError, match=message):
        Space.from_matrix(params)


def test_errors_carry_the_path_of_the_spec():  # FEATURES P1
    with pytest.raises(SpecError) as caught:
        Space.from_matrix({"lr": {"kind": "uniform", "value": ["a", 1]}}, path="matrix.params")

    assert caught.value.path == "matrix.params.lr.value.low"
    assert str(caught.value) == "matrix.params.lr.value.low: got 'a', allowed is a number."


# FEATURES P1
@pytest.mark.parametrize("value", ["0.01:0.1:5", [0.001, 1, 4], [0.1, 0.9, 3], [10, 100, 3]])
def test_exponents_that_look_like_values_are_warned_of(value):
    with pytest.warns(NbtuneWarning, match="takes these for exponents.* use geomspace") as caught:
        made = domain("logspace", value)

    assert made.log  # and they are exponents all the same
    assert made.low > 1
    assert caught[0].filename == __file__


def test_the_published_example_of_logspace_keeps_its_meaning():  # FEATURES P1
    with pytest.warns(NbtuneWarning, match=r"go from 1.02329\d+ to 1.25892\d+"):
        made = domain("logspace", "0.01:0.1:5")

    assert made.grid() == pytest.approx(np.logspace(0.01, 0.1, 5).tolist())


# FEATURES P1
@pytest.mark.parametrize("value", [[-5, -1, 5], [0, 3, 4], [1, 10, 10, 2], [0.5, 2, 4]])
def test_exponents_that_look_like_exponents_are_not_warned_of(value):
    assert domain("logspace", value)  # warnings are errors here


# FEATURES P1
@pytest.mark.parametrize("value", [[0, 1, 5], {"low": 0, "high": 1, "size": 5}])
def test_a_size_is_ignored_with_a_warning(value):
    with pytest.warns(NbtuneWarning, match="size=5 is ignored") as caught:
        assert domain("uniform", value) == Real(0, 1)

    assert caught[0].filename == __file__
