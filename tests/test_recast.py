"""What params of one space are in the terms of another, and one space for both."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbtune.space import (
    Bool,
    Choice,
    Edit,
    Int,
    LogNormal,
    Normal,
    Range,
    Real,
    Space,
    Timeline,
    declares_the_same,
    hull,
    recast,
)

bounds = st.lists(st.integers(-20, 20), min_size=2, max_size=2, unique=True).map(sorted)
reals = bounds.map(lambda ends: Real(*map(float, ends)))
stepped = bounds.map(lambda ends: Real(ends[0], ends[1], step=0.5))
whole = bounds.map(lambda ends: Int(*ends))
listed = bounds.map(lambda ends: Range(*ends))
choices = st.lists(
    st.sampled_from(["a", "b", "c", 1, 2.5, None, True]), min_size=1, max_size=5, unique_by=repr
).map(lambda options: Choice(*options))
others = st.sampled_from([Bool(), Normal(0, 1), LogNormal(0, 1), Normal(3, 2, step=0.5)])
leaves = st.one_of(reals, stepped, whole, listed, choices, others)
names = st.sampled_from("xyz")
spaces = st.dictionaries(names, leaves | st.integers(0, 3), min_size=1).map(Space)
branches = st.builds(
    lambda c, depth: Space(
        {"model": Choice(Space({"kind": "svm", "C": c}), Space({"kind": "tree", "depth": depth}))}
    ),
    reals,
    whole,
)
seeds = st.integers(0, 1000)


@given(spaces | branches, seeds)
def test_within_one_space_params_stay_as_they_are(space, seed):
    params = space.sample(seed)

    found = recast(params, space, space)

    assert found.exact
    assert found.params == params


@given(spaces | branches, spaces | branches, seeds)
def test_what_is_expressed_is_a_point_of_the_new_space(old, new, seed):
    found = recast(old.sample(seed), old, new)

    assert found is None or new.validate(found.params) == found.params


@given(spaces | branches, spaces | branches, seeds)
def test_what_is_exact_is_what_the_objective_got(old, new, seed):
    params = old.sample(seed)

    found = recast(params, old, new)

    if found is not None and found.exact:
        assert found.params == params
        assert recast(found.params, new, old).params == params


@given(spaces, leaves, seeds)
def test_a_dimension_that_is_added_has_its_default(space, domain, seed):
    wider = Space({**space, "added": domain})

    found = recast(space.sample(seed), space, wider)

    assert found.params["added"] == domain.default
    assert not found.exact


@given(spaces, leaves, seeds)
def test_a_dimension_that_is_removed_is_dropped(space, domain, seed):
    wider = Space({**space, "removed": domain})
    params = wider.sample(seed)

    found = recast(params, wider, space)

    assert found.params == {name: params[name] for name in space}
    assert not found.exact


@given(bounds, bounds, seeds)
def test_a_number_is_expressed_where_the_new_bounds_hold_it(old, new, seed):
    before, after = Space({"x": Real(*old)}), Space({"x": Real(*new)})
    params = before.sample(seed)

    found = recast(params, before, after)

    assert (found is not None) == (new[0] <= params["x"] <= new[1])


@pytest.mark.parametrize(
    ("value", "old", "new", "expected"),
    [
        (0.34, Real(0, 1), Real(0, 1, step=0.1), 0.3),
        (7, Int(0, 9), Int(0, 9, step=3), 6),
        (0.34, Real(0, 1), Range("0.0-1.0:3"), 0.5),
        (3.0, Real(0, 9), Int(0, 9), 3),
        (2, Int(0, 9), Real(0, 9), 2.0),
        (1.3, Normal(0, 1), Real(0, 1), None),
        ("b", Choice("a", "b"), Choice("b", "c"), "b"),
        ("a", Choice("a", "b"), Choice("b", "c"), None),
        ("a", Choice("a", "b"), Real(0, 1), None),
        (True, Bool(), Int(0, 1), None),
    ],
)
def test_values_change_domain(value, old, new, expected):
    found = recast({"x": value}, Space({"x": old}), Space({"x": new}))

    assert (found and found.params["x"]) == expected


@pytest.mark.parametrize(
    ("value", "told"), [(1e-2, True), (1.2e-2, True), (3e-3, False), (1.0, False)]
)
def test_a_number_that_is_now_fixed_must_have_been_near(value, told):
    old = Space({"lr": Real(1e-4, 1.0, log=True), "x": Real(0, 1)})
    new = Space({"lr": 1e-2, "x": Real(0, 1)})

    found = recast({"lr": value, "x": 0.5}, old, new)

    assert (found is not None) is told
    assert not told or found.params == {"lr": 1e-2, "x": 0.5}
    assert not told or found.exact is (value == 1e-2)


def test_an_option_that_is_now_fixed_must_have_been_chosen():
    old, new = Space({"kind": Choice("a", "b")}), Space({"kind": "a"})

    assert recast({"kind": "a"}, old, new).exact
    assert recast({"kind": "b"}, old, new) is None


def test_a_fixed_value_that_is_another_now_takes_the_new_one():
    found = recast({"epochs": 9}, Space({"epochs": 9}), Space({"epochs": 27}))

    assert found.params == {"epochs": 27}
    assert not found.exact


def test_a_value_that_was_fixed_may_be_searched():
    found = recast({"x": 3}, Space({"x": 3}), Space({"x": Int(1, 5)}))

    assert found.exact
    assert recast({"x": 9}, Space({"x": 9}), Space({"x": Int(1, 5)})) is None


SVM = Space({"kind": "svm", "C": Real(0.1, 10)})
TREE = Space({"kind": "tree", "depth": Int(1, 9)})


def test_a_branch_is_known_by_its_constants_and_may_have_grown():
    grown = Space({"kind": "svm", "C": Real(0.01, 100), "gamma": Real(0, 1)})
    old, new = Space({"model": Choice(TREE, SVM)}), Space({"model": Choice(grown, TREE)})

    found = recast({"model": {"kind": "svm", "C": 2.0}}, old, new)

    assert found.params == {"model": {"kind": "svm", "C": 2.0, "gamma": 0.5}}
    assert not found.exact


def test_a_branch_that_is_gone_is_not_expressed():
    old, new = Space({"model": Choice(TREE, SVM)}), Space({"model": Choice(TREE)})

    assert recast({"model": {"kind": "svm", "C": 2.0}}, old, new) is None


def test_a_branch_without_constants_is_known_by_its_names():
    one, other = Space({"C": Real(0, 1)}), Space({"depth": Int(1, 9)})
    wider = Space({"C": Real(0, 5)})
    old = Space({"model": Choice(one, other)})

    found = recast({"model": {"C": 0.5}}, old, Space({"model": Choice(other, wider)}))

    assert found.params == {"model": {"C": 0.5}}
    assert recast({"model": {"C": 0.5}}, old, Space({"model": Choice(other)})) is None


def test_a_function_that_came_back_from_a_file_is_known_by_its_name():
    def relu():
        pass

    mine, again = relu, type(relu)(relu.__code__, {}, "relu")
    again.__qualname__ = relu.__qualname__

    found = recast({"f": mine}, Space({"f": Choice(mine, "x")}), Space({"f": Choice("x", again)}))

    assert found.params["f"] is again


# --- one space for all


@given(st.dictionaries(names, leaves, min_size=1), st.dictionaries(names, leaves), seeds)
def test_a_hull_has_all_names_and_the_newest_spaces_values_or_wider(old, new, seed):
    one, other = Space(old), Space(new)

    whole = hull([one, other])

    assert whole.keys() == {**old, **new}.keys()
    for name in other.keys() - one.keys():
        assert whole[name] == other[name]


numbers = st.one_of(reals, whole)


@given(numbers | choices, numbers | choices, seeds)
def test_a_hull_of_numbers_or_options_holds_the_values_of_both(old, new, seed):
    if isinstance(old, Choice) is not isinstance(new, Choice):
        return
    rng = np.random.default_rng(seed)

    widest = hull([Space({"x": old}), Space({"x": new})])

    for domain in (old, new):
        value = domain.sample(rng)
        assert widest.validate({"x": value})["x"] == value


def test_options_keep_the_order_in_which_they_came():
    found = hull([Space({"k": Choice("a", "b")}), Space({"k": Choice("c", "b")})])

    assert found["k"].options == ("a", "b", "c")


def test_a_fixed_param_keeps_its_axis():
    found = hull([Space({"lr": Real(0.1, 1, log=True)}), Space({"lr": 5.0})])

    assert repr(found["lr"]) == "Real(0.1, 5.0, log=True)"


def test_a_branch_that_grew_is_one_branch():
    grown = Space({"kind": "svm", "C": Real(0.01, 100), "gamma": Real(0, 1)})

    found = hull([Space({"model": Choice(SVM, TREE)}), Space({"model": Choice(TREE, grown)})])

    assert found.flatten({"model": {"kind": "svm", "C": 90.0, "gamma": 0.1}}) == {
        "model": "svm",
        "model.kind": "svm",
        "model.C": 90.0,
        "model.gamma": 0.1,
    }
    assert len(found["model"].options) == 2


# --- one after the other

FIRST, SECOND = Space({"x": Real(0, 1), "n": 3}), Space({"x": Real(0, 5), "n": 3})
THIRD = Space({"x": 2.0, "n": Int(1, 4)})
EDITED = Timeline(
    FIRST, [Edit(time=0.0, trial=4, space=SECOND), Edit(time=1.0, trial=9, space=THIRD)]
)


def test_a_trial_is_of_the_space_that_held_when_it_was_entered():
    assert [EDITED.at(number) for number in (0, 3, 4, 8, 9, 20)] == [
        *(FIRST, FIRST),
        *(SECOND, SECOND),
        *(THIRD, THIRD),
    ]
    assert EDITED.now is THIRD


def test_an_edit_says_what_changed():
    told = [(edit.trial, *rest) for edit, *rest in EDITED.changes()]

    assert told == [
        (4, "x", "Real(0.0, 1.0)", "Real(0.0, 5.0)"),
        (9, "x", "Real(0.0, 5.0)", "2.0"),
        (9, "n", "3", "Int(1, 4)"),
    ]
    assert EDITED.remark == "space edited: x at trial 4; x, n at trial 9"
    assert not Timeline(FIRST).remark


def test_params_of_the_present_space_are_told_as_the_objects_they_are():
    params = {"x": 2.0, "n": 1}

    assert EDITED.told_now(9, params).params is params
    assert EDITED.told_now(0, {"x": 0.5, "n": 3}) is None


def loss_of(text):
    """Make a function anew, as a cell does that runs again."""
    names = {}
    exec(text, names)
    return names["loss"]


def test_a_space_whose_functions_were_made_anew_declares_the_same():
    text = "def loss(x): return x"
    first, again = (
        Space({"loss": Choice(loss_of(text), None), "inner": Space({"lr": Real(0, 1)})})
        for _ in range(2)
    )

    assert first != again
    assert declares_the_same(first, again)


@pytest.mark.parametrize(
    "other",
    [
        {"x": Choice(1, 2), "y": 3},
        {"y": 3, "x": Choice(1, 2, 4)},
        {"y": 4, "x": Choice(1, 2)},
        {"y": 3, "x": Choice(1.0, 2.0)},
        {"y": 3, "x": Choice(1, 2, weights=[1, 2])},
        {"y": 3, "x": Choice(1, 2).with_default(2)},
        {"y": 3, "x": Int(1, 2)},
        {"y": 3},
    ],
    ids=repr,
)
def test_another_space_does_not_declare_the_same(other):
    assert not declares_the_same(Space({"y": 3, "x": Choice(1, 2)}), Space(other))
