"""Single domains: what they hold, draw, refuse, and how they map to the unit interval."""

import math
import pickle
import statistics
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nbtune.exceptions import NbtuneWarning, SpaceError
from nbtune.space import Bool, Choice, Int, LogNormal, Normal, Range, Real, Space, named

RNG = np.random.default_rng
finite = st.floats(-1e12, 1e12)
shares = st.floats(0, 1)


def relu():
    return "relu"


@st.composite
def reals(draw, log=False):
    bounds = st.floats(1e-12, 1e12) if log else finite
    low, high = sorted((draw(bounds), draw(bounds)))
    assume(high - low > 1e-6 * max(abs(low), abs(high)))
    return Real(low, high, log=log)


@st.composite
def stepped_reals(draw):
    step = Decimal(draw(st.integers(1, 999))) / 10 ** draw(st.integers(0, 5))
    low = step * draw(st.integers(-500, 500)) + Decimal("0.5")
    high = low + step * draw(st.integers(1, 500))
    return Real(float(low), float(high), step=float(step))


@st.composite
def ints(draw):
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -(10**6), 10**6))
    step = draw(st.integers(1, 50))
    return Int(low, low + step + draw(st.integers(0, 10**5)), log=log, step=step)


# --- the round trip through the unit interval -----------------------------------------------


@given(domain=reals(), u=shares)
def test_a_real_comes_back_from_the_unit_interval(domain, u):
    value = domain.from_unit(u)

    again = domain.from_unit(domain.to_unit(value))

    assert math.isclose(again, value, rel_tol=1e-9, abs_tol=1e-9 * (domain.high - domain.low))


@given(domain=reals(log=True), u=shares)
def test_a_log_real_comes_back_within_a_billionth_of_its_value(domain, u):
    value = domain.from_unit(u)

    assert math.isclose(domain.from_unit(domain.to_unit(value)), value, rel_tol=1e-9)


@given(domain=stepped_reals(), data=st.data())
def test_every_value_of_a_stepped_real_comes_back_exactly(domain, data):
    value = domain.at(data.draw(st.integers(0, domain.size - 1)))

    assert domain.from_unit(domain.to_unit(value)) == value


@given(domain=ints(), data=st.data())
def test_every_int_comes_back_exactly(domain, data):
    value = domain.at(data.draw(st.integers(0, domain.size - 1)))

    assert domain.from_unit(domain.to_unit(value)) == value


@given(domain=st.one_of(reals(), reals(log=True), stepped_reals(), ints()), u=shares)
def test_what_comes_from_the_unit_interval_is_inside(domain, u):
    value = domain.from_unit(u)

    assert domain.validate(value) == value
    assert 0 <= domain.to_unit(value) <= 1


@given(domain=st.one_of(reals(), ints()), one=shares, other=shares)
def test_the_map_from_the_unit_interval_never_falls(domain, one, other):
    low, high = sorted((one, other))

    assert domain.from_unit(low) <= domain.from_unit(high)


@given(mean=st.floats(-100, 100), std=st.floats(0.01, 100), z=st.floats(-5, 5))
def test_a_normal_value_comes_back(mean, std, z):
    domain = Normal(mean, std)
    value = mean + z * std

    again = domain.from_unit(domain.to_unit(value))

    assert math.isclose(again, value, rel_tol=1e-9, abs_tol=1e-9 * std)


@given(mean=st.floats(-10, 10), std=st.floats(0.01, 3), z=st.floats(-5, 5))
def test_a_log_normal_value_comes_back(mean, std, z):
    domain = LogNormal(mean, std)
    value = math.exp(mean + z * std)

    assert math.isclose(domain.from_unit(domain.to_unit(value)), value, rel_tol=1e-8)


@given(step=st.sampled_from([0.1, 0.25, 1.0, 3.0]), index=st.integers(-40, 40))
def test_every_likely_value_of_a_quantised_normal_comes_back_exactly(step, index):
    domain = Normal(0.3, 10 * step, step=step)
    value = domain.validate(float(Fraction(str(step)) * index))

    assert domain.from_unit(domain.to_unit(value)) == value


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, 7.5])
def test_a_quantised_log_normal_value_comes_back_exactly(value):
    domain = LogNormal(0.0, 1.0, step=0.5)

    assert domain.from_unit(domain.to_unit(value)) == value


@pytest.mark.parametrize("index", range(3))
def test_every_option_comes_back_exactly(index):
    domain = Choice("relu", None, relu)

    assert domain.from_unit(domain.to_unit(domain.options[index])) is domain.options[index]


@pytest.mark.parametrize("value", [False, True])
def test_a_bool_comes_back_exactly(value):
    assert Bool().from_unit(Bool().to_unit(value)) is value


def test_ints_have_bins_of_equal_width_with_the_value_in_the_middle():
    assert [Int(1, 4).to_unit(value) for value in (1, 2, 3, 4)] == [0.125, 0.375, 0.625, 0.875]


def test_half_of_a_log_real_is_the_geometric_mean():
    assert math.isclose(Real(1e-4, 1.0, log=True).from_unit(0.5), 1e-2)


def test_a_log_int_gives_each_order_of_magnitude_about_the_same_share():
    draws = [Int(1, 9999, log=True).from_unit(u) for u in np.linspace(0, 1, 4001)]

    shares_of = np.histogram(draws, bins=[1, 10, 100, 1000, 10000])[0] / len(draws)

    assert shares_of == pytest.approx([0.25] * 4, abs=0.05)


def test_a_log_int_may_have_two_values():
    assert {Int(1, 2, log=True).from_unit(u) for u in (0.0, 0.4, 0.6, 1.0)} == {1, 2}


def test_the_ends_of_the_unit_interval_are_the_bounds():
    assert (Real(-3, 5).from_unit(0.0), Real(-3, 5).from_unit(1.0)) == (-3.0, 5.0)


def test_a_normal_is_finite_at_the_ends_of_the_unit_interval():
    assert [round(Normal(0, 1).from_unit(u)) for u in (0.0, 1.0)] == [-7, 7]


def test_bounds_near_the_largest_float_do_not_overflow():
    domain = Real(-1.7e308, 1.7e308)

    assert domain.to_unit(domain.from_unit(0.25)) == pytest.approx(0.25)


def test_a_value_outside_sits_on_the_edge_of_the_unit_interval():
    assert (Int(0, 3).to_unit(9), Real(0, 1).to_unit(9.0)) == (0.875, 1.0)


# --- drawing ---------------------------------------------------------------------------------

PLAIN = [
    (Real(0, 1), float),
    (Real(0, 1, step=0.25), float),
    (Int(1, 9), int),
    (Int(1, 9, log=True), int),
    (Bool(), bool),
    (Normal(0, 1), float),
    (Normal(0, 1, step=0.5), float),
    (LogNormal(0, 1), float),
    (Choice(1, 2), int),
    (Range(1, 9), int),
    (Range(0, 1, num=5), int),
    (Range("0.0-1.0:5"), float),
    (Range("1_100:9.log"), int),
]


@pytest.mark.parametrize(("domain", "kind"), PLAIN)
def test_draws_defaults_and_unit_values_are_plain_python(domain, kind):
    values = [domain.sample(RNG(0)), domain.default, domain.from_unit(np.float64(0.3))]

    assert [type(value) for value in values] == [kind] * 3


@pytest.mark.parametrize("options", [(1, "b"), (True, "a"), (None, relu, int), ([1], {"a": 1})])
def test_a_choice_draws_the_original_objects(options):
    rng = RNG(0)
    domain = Choice(*options)

    drawn = {id(domain.sample(rng)) for _ in range(50)}

    assert drawn == {id(option) for option in options}


def test_weights_set_how_often_an_option_is_drawn():
    rng = RNG(1)
    domain = Choice("a", "b", "c", weights=[3, 0, 1])

    drawn = [domain.sample(rng) for _ in range(2000)]

    assert drawn.count("b") == 0
    assert drawn.count("a") / 2000 == pytest.approx(0.75, abs=0.04)


def test_a_log_normal_takes_mean_and_std_of_the_logarithm():
    rng = RNG(2)

    logs = [math.log(LogNormal(2.0, 0.5).sample(rng)) for _ in range(4000)]

    assert statistics.fmean(logs) == pytest.approx(2.0, abs=0.03)
    assert statistics.stdev(logs) == pytest.approx(0.5, abs=0.03)


def test_quantised_draws_are_rounded_half_to_even():
    assert Normal(0.25, 1.0, step=0.1).default == 0.2
    assert Normal(0.35, 1.0, step=0.1).default == 0.4


# --- grids and steps -------------------------------------------------------------------------


def test_a_step_counts_in_decimals_and_includes_high_when_it_is_hit():
    assert Real(0, 1, step=0.1).grid() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def test_high_is_left_out_when_the_steps_miss_it():
    assert Int(1, 10, step=4).grid() == [1, 5, 9]


def test_a_step_as_wide_as_the_range_is_allowed_although_floats_disagree():
    assert Real(0.8, 0.9, step=0.1).grid() == [0.8, 0.9]


def test_sizes_count_the_values():
    domains = [Real(0, 1), Real(0, 1, step=0.5), Int(1, 9), Bool(), Choice(1, 2, 3), Normal(0, 1)]

    assert [domain.size for domain in domains] == [None, 3, 9, 2, 3, None]


def test_the_grid_of_a_continuous_domain_is_refused():
    with pytest.raises(SpaceError, match=r"Real\(0.0, 1.0\) has infinitely many.*step=.*Choice"):
        Real(0, 1).grid()


# --- defaults --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "default"),
    [
        (Real(0, 3), 1.5),
        (Real(1e-4, 1.0, log=True), 1e-2),
        (Real(0, 1, step=0.4), 0.4),
        (Int(0, 3), 2),
        (Int(1, 4), 2),
        (Int(16, 256, log=True), 64),
        (Int(0, 10, step=5), 5),
        (Bool(), False),
        (Choice("relu", "tanh"), "relu"),
        (Choice(None, 1), None),
        (Normal(3, 1), 3.0),
        (LogNormal(0, 1), 1.0),
    ],
)
def test_a_default_that_is_not_written_is_the_middle(domain, default):
    assert domain.default == default


@pytest.mark.parametrize(
    ("domain", "default"), [(Int(0, 9), 0), (Choice(1, None), None), (Bool(), False)]
)
def test_a_written_default_may_be_falsy(domain, default):
    assert domain.with_default(default).default is default


def test_writing_a_default_leaves_the_domain_as_it_was():
    domain = Int(0, 9)

    domain.with_default(7)

    assert domain.default == 4


def test_a_default_outside_is_refused_by_name():
    with pytest.raises(SpaceError, match=r"^lr: the default is 5, allowed is 0.0 to 1.0\."):
        Real(0, 1).with_default(5, "lr")


# --- validation ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "given_value", "plain"),
    [
        (Real(0, 1), 1, 1.0),
        (Real(0, 1), np.float32(0.5), 0.5),
        (Real(0, 1, step=0.1), 0.1 + 0.2, 0.3),
        (Int(1, 9), np.int64(3), 3),
        (Int(1, 9), 3.0, 3),
        (Bool(), np.True_, True),
        (Choice(16, 32), 16.0, 16),
        (Choice("a", "b"), np.str_("b"), "b"),
        (Choice((64,), (64, 64)), [64, 64], (64, 64)),
        (Normal(0, 1, step=0.1), 0.7, 0.7),
    ],
)
def test_validation_returns_the_plain_value(domain, given_value, plain):
    value = domain.validate(given_value)

    assert value == plain
    assert type(value) is type(plain)


@pytest.mark.parametrize(
    ("domain", "value", "message"),
    [
        (Real(0, 1), math.nan, "nan, which is not finite"),
        (Real(0, 1), math.inf, "inf, which is not finite"),
        (Real(0, 1), True, "True, of type bool. Use an int or a float"),
        (Real(0, 1), "0.1", "'0.1', of type str. Use an int or a float without quotes"),
        (Real(1e-6, 0.1, log=True), 1, "1, allowed is 1e-6 to 0.1. Change it, or widen Real"),
        (Real(0, 1, step=0.25), 0.3, r"0.3, .* step=0.25 from 0.0. The nearest is 0.25"),
        (Int(1, 9), 2.5, "2.5, which is not a whole number"),
        (Int(1, 9), True, "True, of type bool"),
        (Int(1, 9, step=2), 4, "4, .*step=2 from 1. The nearest is 5"),
        (Int(1, 9), 10**40, "1(0)+, allowed is 1 to 9"),
        (Bool(), 1, "1, of type int. Use True or False"),
        (Choice("relu", "tanh"), "rleu", "'rleu', which is no option. Did you mean 'relu'"),
        (Choice(1, "a"), True, "True, which is no option"),
        (LogNormal(0, 1), 0, "0, allowed are positive"),
    ],
)
def test_a_value_outside_is_refused_by_name(domain, value, message):
    with pytest.raises(SpaceError, match=f"^x: got {message}"):
        domain.validate(value, "x")


def test_options_that_are_equal_across_types_are_kept_apart():
    domain = Choice(1, 1.0, True)

    assert [domain.index(value) for value in (1, 1.0, True)] == [0, 1, 2]


def test_arrays_may_be_options():
    domain = Choice(np.arange(3), np.arange(4))

    assert domain.index(np.arange(4)) == 1


def test_an_option_list_of_thousands_is_checked_at_once():
    assert Choice(*range(5000)).size == 5000


def test_a_long_list_of_options_is_not_spelt_out_in_an_error():
    with pytest.raises(SpaceError, match=r"Did you mean '7'") as caught:
        Choice(*range(1000)).validate("7")

    assert len(str(caught.value)) < 200


# --- wrong constructor calls -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: Real(0.0, 0.1, log=True),
            r"a log domain needs low > 0, got low=0.0. Use Real\(1e-6, 0.1, log=True\) or drop",
        ),
        (lambda: Int(0, 8, log=True), r"got low=0. Use Int\(1, 8, log=True\) or drop log."),
        (lambda: Real(-2, -1, log=True), "got low=-2. Drop log."),
        (lambda: Real(3, 1), r"needs low < high, got low=3, high=1. Use Real\(1, 3\)."),
        (lambda: Int(4, 4), "got low=4, high=4. Widen it, or write the constant 4."),
        (lambda: Real(math.nan, 1), "low=nan, which is not finite"),
        (lambda: Real(0, math.inf), "high=inf, which is not finite"),
        (lambda: Real("0", 1), "low='0', of type str"),
        (lambda: Int(1, "9"), "high='9', of type str"),
        (lambda: Int(1.5, 9), "low=1.5, which is not a whole number"),
        (lambda: Int(False, 9), "low=False, of type bool"),
        (lambda: Int(0, 2**65), "allowed is"),
        (lambda: Real(0, 1, step=0), "needs 0 < step <= high - low, got step=0, low=0, high=1."),
        (lambda: Real(0, 1, step=-0.1), "got step=-0.1"),
        (lambda: Real(0, 1, step=2), "got step=2"),
        (lambda: Int(0, 3, step=4), "got step=4"),
        (lambda: Real(0, 1, step=1e-300), "finer than floats can tell apart"),
        (lambda: Real(1, 2, log="yes"), "log='yes', allowed is True or False"),
        (Choice, "List at least one"),
        (lambda: Choice("a", "b", "a"), "option 'a' is listed twice, at 0 and 2"),
        (lambda: Choice([1], [2], [1]), r"option \[1\] is listed twice"),
        (lambda: Choice(math.nan, float("nan")), "option nan is listed twice"),
        (lambda: Choice("a", Real(0, 1)), "is a domain. Name it"),
        (lambda: Choice("a", "b", weights=[1]), "got 1 weights for 2 options"),
        (lambda: Choice("a", "b", weights=[1, -1]), "allowed are numbers >= 0"),
        (lambda: Choice("a", "b", weights=[0, 0]), "a sum above 0"),
        (lambda: Choice("a", "b", weights=[1, math.nan]), "allowed are finite numbers"),
        (lambda: Choice("a", "b", weights=3), "allowed are finite numbers"),
        (lambda: Normal(0, 0), "needs std > 0, got std=0"),
        (lambda: Normal(0, 1, step=0), "needs step > 0, got step=0"),
        (lambda: Normal(math.nan, 1), "mean=nan"),
        (lambda: LogNormal(1000, 1), "overflows. mean and std are those of the logarithm"),
    ],
)
def test_a_contradictory_domain_is_refused_in_one_line(build, message):
    with pytest.raises(SpaceError, match=message) as caught:
        build()

    assert "\n" not in str(caught.value)
    assert str(caught.value).split(":")[0] in {"Real", "Int", "Choice", "Normal", "LogNormal"}


def test_the_error_of_a_constructor_can_take_the_name_of_the_param():
    with pytest.raises(SpaceError) as caught:
        Real(0.0, 0.1, log=True)

    assert str(named(caught.value, "lr")).startswith("lr: a log domain needs low > 0")


def test_a_list_as_the_only_option_is_a_warning():
    with pytest.warns(NbtuneWarning, match=r"write Choice\(\*items\)") as caught:
        Choice(["relu", "tanh"])

    assert caught[0].filename == __file__


# --- as objects ------------------------------------------------------------------------------

SPELT = [
    "Real(1e-6, 0.1, log=True)",
    "Real(0.0, 1.0, step=0.25)",
    "Int(1, 9)",
    "Int(1, 9, log=True, step=2)",
    "Bool()",
    "Choice('a', None, 3, weights=[1.0, 2.0, 0.0])",
    "Choice(Space({'C': Real(0.0, 1.0), 'kind': 'svm'}), 'none')",
    "Normal(0.0, 1.0)",
    "LogNormal(0.0, 1.0, step=0.5)",
    "Int(0, 9).with_default(0)",
    "Range(0, 6)",
    "Range(3, 10, 2)",
    "Range(3, 10, num=4)",
    "Range(0.001, 100.0, num=6, log=True).with_default(0.01)",
]


@pytest.mark.parametrize("text", SPELT)
def test_the_repr_is_the_constructor_call(text):
    names = {"Space": Space, "Bool": Bool, "Choice": Choice, "Int": Int, "Real": Real}
    domain = eval(text, {**names, "Normal": Normal, "LogNormal": LogNormal, "Range": Range})

    assert repr(domain) == text


@pytest.mark.parametrize(("domain", "_kind"), PLAIN)
def test_a_pickled_domain_is_equal(domain, _kind):
    assert pickle.loads(pickle.dumps(domain)) == domain


def test_a_domain_cannot_be_changed():
    with pytest.raises(AttributeError):
        Real(0, 1).low = 0.5


def test_domains_with_equal_options_of_other_types_differ():
    assert Choice(1, "a") != Choice(True, "a")


# --- JSON ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "encoded"),
    [
        ("a", "a"),
        (None, None),
        (0.5, 0.5),
        ((1, 2), [1, 2]),
        ([1, 2], "[1, 2]#4"),
        (relu, "relu"),
        ("relu", "relu#6"),
        (math.inf, "inf"),
        (len, "len"),
        ({"b", "a"}, ["a", "b"]),
    ],
)
def test_an_option_becomes_readable_json_and_comes_back(option, encoded):
    domain = Choice("a", None, 0.5, (1, 2), [1, 2], relu, "relu", math.inf, len, {"a", "b"})

    assert domain.to_json(option) == encoded
    assert domain.from_json(encoded) is domain.options[domain.index(option)]


def test_labels_are_short_and_distinct():
    space = Space({"kind": "svm", "C": Real(0, 1)})

    assert Choice("a", None, relu, space).labels == ("a", "None", "relu", "svm")


def test_the_key_of_a_negative_zero_is_that_of_zero():
    assert Real(-1, 1).key(-0.0) == Real(-1, 1).key(0.0)
    assert str(Real(-1, 1).key(-0.0)) == "0.0"
