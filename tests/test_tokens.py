"""A space as sequences of tokens."""

import numpy as np
import pytest

from nbtune.searchers.tokens import INACTIVE, Tokens
from nbtune.space import Bool, Choice, Int, LogNormal, Normal, Range, Real, Space

BRANCHES = Space(
    {
        "model": Choice(
            Space({"kind": "svm", "C": Real(0.1, 100.0, log=True), "size": Int(1, 4)}),
            Space({"kind": "tree", "inner": Choice(Space({"depth": Int(1, 3)}), "none")}),
            "none",
        ),
        "scale": Bool(),
    }
)


def only(domain, value=None, *, quantiles=10):
    """Return the axis of one domain; with a value, its token."""
    tokens = Tokens(Space({"x": domain}), quantiles)
    return tokens.axes[0] if value is None else int(tokens.of({"x": value})[0])


@pytest.mark.parametrize(
    ("domain", "count"),
    [
        (Choice(*range(30)), 30),
        (Bool(), 2),
        (Int(1, 20), 20),
        (Range(0, 95, 5), 20),
        (Real(0.0, 1.0, step=0.1), 11),
        (Int(1, 21), 10),
        (Range("1e-3_1e2:6.log"), 6),
        (Int(1, 2**40), 10),
        (Real(0.0, 1.0), 10),
        (Normal(0.0, 1.0), 10),
    ],
    ids=str,
)
def test_short_lists_keep_their_values_and_others_are_cut_into_ten(domain, count):  # FEATURES A7
    assert only(domain).count == count


@pytest.mark.parametrize(
    ("domain", "first", "last"),
    [
        (Real(1e-4, 1.0, log=True), (1e-4, 10**-3.6), (10**-0.4, 1.0)),
        (Real(0.0, 5.0), (0.0, 0.5), (4.5, 5.0)),
        (Int(1, 10**6, log=True), (1, 4), (200_000, 10**6)),
        (Int(1, 100), (1, 10), (91, 100)),
        (LogNormal(0.0, 1.0), (0.0, 0.2777), (3.6022, np.inf)),
    ],
    ids=str,
)
def test_quantiles_are_of_the_logarithm_where_the_domain_is(domain, first, last):  # FEATURES A7
    tokens = Tokens(Space({"x": domain}), 10)
    rng = np.random.default_rng(0)

    for token, (low, high) in [(0, first), (9, last)]:
        drawn = [tokens.params(np.array([token]), rng.random(1))["x"] for _ in range(200)]
        assert low <= min(drawn) <= max(drawn) <= high


@pytest.mark.parametrize(
    "space",
    [
        BRANCHES,
        Space({"n": Int(1, 1000, log=True), "r": Range(9, 0, 0.25), "s": Real(0, 1, step=0.3)}),
        Space({"r": Real(-2.0, 3.0), "l": Real(1e-9, 1.0, log=True), "n": Normal(3.0, 2.0)}),
    ],
    ids=["branches", "listed", "continuous"],
)
def test_tokens_come_back_from_the_params_that_they_make(space):
    tokens = Tokens(space, 7)
    rng = np.random.default_rng(0)

    for seed in range(100):
        given = tokens.of(space.sample(seed))
        params = tokens.params(given, rng.random(space.n_dims))
        assert space.validate(params) == params
        assert tokens.of(params).tolist() == given.tolist()


def test_every_value_can_be_drawn():
    space = Space({"n": Int(1, 100, log=True)})
    tokens = Tokens(space, 10)
    rng = np.random.default_rng(0)
    axis = tokens.axes[0]

    drawn = {
        tokens.params(np.array([token]), rng.random(1))["n"]
        for token in range(axis.count)
        for _ in range(400)
    }

    assert drawn == set(range(1, 101))


def test_a_part_of_the_range_without_a_value_is_no_token():
    axis = only(Int(1, 30, log=True), quantiles=12)

    assert axis.count < 12
    assert set(axis.groups.tolist()) == set(range(axis.count))


def test_a_branch_that_is_not_chosen_has_no_tokens():
    tokens = Tokens(BRANCHES, 10)

    assert tokens.of({"model": "none", "scale": True}).tolist() == [
        2, INACTIVE, INACTIVE, INACTIVE, INACTIVE, 1
    ]  # fmt: skip
    deep = {"model": {"kind": "tree", "inner": {"depth": 3}}, "scale": False}
    assert tokens.of(deep).tolist() == [1, INACTIVE, INACTIVE, 0, 2, 0]


def test_an_option_of_weight_0_is_no_token_and_others_keep_their_weights():
    domain = Choice("a", "b", "c", weights=[1, 0, 3])

    assert only(domain).weights.tolist() == [0.25, 0.75]
    assert [only(domain, "a"), only(domain, "c")] == [0, 1]
    assert Tokens(Space({"x": domain}), 10).of({"x": "b"}) is None


def test_params_of_an_option_of_weight_0_are_never_active():
    inner = Space({"depth": Int(1, 3)})
    tokens = Tokens(Space({"x": Choice("a", inner, "c", weights=[1, 0, 3])}), 10)

    assert tokens.of({"x": "c"}).tolist() == [1, INACTIVE]
