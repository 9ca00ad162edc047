"""Spaces: points drawn, checked, listed, encoded; nested and conditional params."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spaces import spaces

from nbtune.exceptions import SpaceError
from nbtune.space import Bool, Choice, Constant, Int, LogNormal, Normal, Real, Space


def conditional():
    svm = Space({"kind": "svm", "C": Real(1e-3, 1e3, log=True), "kernel": Choice("rbf", "linear")})
    forest = Space({"kind": "forest", "trees": Int(10, 500, log=True), "depth": Choice(None, 3, 9)})
    return Space(
        {
            "lr": Real(1e-4, 1e-1, log=True),
            "model": Choice(svm, forest, "mean", weights=[2, 1, 1]),
            "epochs": 10,
            "early": Bool(),
        }
    )


def finite():
    return Space({"a": Int(1, 2), "b": Choice("x", "y", "z"), "c": 7})


# --- drawing and defaults --------------------------------------------------------------------


def test_one_seed_gives_one_point():
    assert conditional().sample(0) == conditional().sample(0)


def test_zero_is_a_seed_of_its_own():
    assert conditional().sample(0) != conditional().sample(1)


def test_a_generator_goes_on():
    rng = np.random.default_rng(0)

    assert conditional().sample(rng) != conditional().sample(rng)


@pytest.mark.parametrize("seed", [-1, None, True, 1.5, "0"])
def test_a_seed_must_be_a_whole_number_or_a_generator(seed):
    with pytest.raises(SpaceError, match=r"^seed: got .*, allowed is an int >= 0 or a numpy"):
        finite().sample(seed)


def test_weights_hold_for_branches_too():
    rng = np.random.default_rng(0)
    space = conditional()

    kinds = [space["model"].index(space.sample(rng)["model"]) for _ in range(2000)]

    assert kinds.count(0) / 2000 == pytest.approx(0.5, abs=0.04)


@given(space=spaces(), seed=st.integers(0, 2**32))
def test_a_drawn_point_is_inside(space, seed):
    params = space.sample(seed)

    assert space.validate(params) == params


@given(space=spaces())
def test_the_defaults_are_inside(space):
    assert space.validate(space.defaults) == space.defaults


# FEATURES A1
def test_defaults_take_the_first_branch_and_the_constants():
    assert conditional().defaults == {
        "lr": pytest.approx(10**-2.5),
        "model": {"kind": "svm", "C": 1.0, "kernel": "rbf"},
        "epochs": 10,
        "early": False,
    }


def test_the_default_of_a_branch_is_a_new_dict_each_time():
    domain = Choice(Space({"n": Int(1, 3)})).with_default({"n": 3})

    domain.default["n"] = 99

    assert domain.default == {"n": 3}


def test_a_branch_may_stand_for_its_defaults():
    one, other = Space({"C": Real(0, 1)}), Space({"n": Int(1, 3)})

    assert Choice(one, other).with_default(other).default == {"n": 2}


# --- the unit cube ---------------------------------------------------------------------------


@given(space=spaces(), seed=st.integers(0, 2**32))
def test_a_point_comes_back_from_the_unit_cube(space, seed):
    params = space.sample(seed)

    again = space.from_unit(space.to_unit(params))

    assert space.flatten(again).keys() == space.flatten(params).keys()
    for name, value in space.flatten(params).items():
        is_float = isinstance(value, float)
        assert space.flatten(again)[name] == (pytest.approx(value, rel=1e-9) if is_float else value)


@given(space=spaces(), data=st.data())
def test_every_place_in_the_unit_cube_is_a_point(space, data):
    places = data.draw(st.lists(st.floats(0, 1), min_size=space.n_dims, max_size=space.n_dims))

    params = space.from_unit(places)

    assert space.validate(params) == params
    assert space.to_unit(params).shape == (space.n_dims,)


def test_dimensions_are_listed_depth_first_with_what_they_depend_on():
    assert [(dim.path, dim.condition) for dim in conditional().dims] == [
        ("lr", ()),
        ("model", ()),
        ("model.C", ((("model",), 0),)),
        ("model.kernel", ((("model",), 0),)),
        ("model.trees", ((("model",), 1),)),
        ("model.depth", ((("model",), 1),)),
        ("early", ()),
    ]


def test_dimensions_that_are_not_active_sit_in_the_middle():
    params = conditional().validate({"lr": 1e-4, "model": "mean", "early": True})

    assert conditional().to_unit(params) == pytest.approx([0, 5 / 6, 0.5, 0.5, 0.5, 0.5, 0.75])


def test_dimensions_that_are_not_active_are_ignored_on_the_way_back():
    one, other = [[0.5, 0.9, x, x, x, x, 0.5] for x in (0.1, 0.8)]

    assert conditional().from_unit(one) == conditional().from_unit(other)


def test_constants_and_lone_options_take_no_dimension():
    assert Space({"a": 1, "b": Choice("x"), "c": Space({"d": 2})}).n_dims == 0


@pytest.mark.parametrize("places", [[0.5], [0.5, float("nan")], [[0.5, 0.5]]])
def test_a_place_must_have_one_number_for_each_dimension(places):
    with pytest.raises(SpaceError, match="allowed are 2 numbers, no NaN"):
        finite().from_unit(places)


# --- size and grid ---------------------------------------------------------------------------


def test_the_grid_changes_the_last_param_fastest():
    assert finite().grid() == [{"a": a, "b": b, "c": 7} for a in (1, 2) for b in ("x", "y", "z")]


def test_sizes_multiply_and_branches_add():
    branch = Space({"x": Int(1, 5), "y": Bool()})

    assert Space({"m": Choice(branch, "none"), "b": Bool()}).size == (5 * 2 + 1) * 2


def test_the_grid_walks_through_each_branch():
    space = Space({"m": Choice("none", Space({"x": Int(1, 2)})), "b": Bool()})

    assert [point["m"] for point in space.grid()[::2]] == ["none", {"x": 1}, {"x": 2}]


@given(space=spaces())
def test_a_grid_has_as_many_different_points_as_the_size_says(space):
    if space.size is not None and space.size < 2000:
        assert len({space.key(point) for point in space.grid()}) == space.size


def test_a_far_point_of_a_huge_grid_is_found_at_once():
    space = Space({name: Int(1, 1000) for name in "abcdef"})

    assert space.at(space.size - 1) == dict.fromkeys("abcdef", 1000)


def test_points_of_a_grid_share_no_dict():
    points = Space({"m": Space({"x": Int(1, 2)}), "b": Bool()}).grid()

    points[0]["m"]["x"] = 99

    assert points[1]["m"] == {"x": 1}


def test_an_infinite_grid_names_the_param_and_what_to_do():
    with pytest.raises(SpaceError, match=r"^model.C: Real.* infinitely many.*step=.*Choice"):
        Space({"n": Int(1, 2), "model": Space({"C": Real(0, 1)})}).grid()


def test_an_empty_space_has_one_empty_point():
    assert (Space({}).size, Space({}).grid()) == (1, [{}])


# --- validation ------------------------------------------------------------------------------


def test_validation_returns_plain_values_in_the_order_of_the_space():
    params = {"early": np.True_, "lr": np.float64(0.01), "model": "mean"}

    validated = conditional().validate(params)

    assert list(validated) == ["lr", "model", "epochs", "early"]
    assert [type(value) for value in validated.values()] == [float, str, int, bool]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lrr": 1}, "^lrr: unknown name. Did you mean 'lr'. Known: lr, model, epochs, early"),
        ({"lr": 1}, r"^lr: got 1, allowed is 0.0001 to 0.1\."),
        ({"epochs": 11}, "^epochs: got 11, but it is fixed at 10"),
        ({"model": "men"}, "^model: got 'men', which is no option. Did you mean 'mean'"),
        ({"model": {"kind": "forest", "trees": 1, "depth": 3}}, "^model.trees: got 1, allowed"),
        ({"model": {"kind": "svm", "c": 1}}, "^model.c: unknown name. Did you mean 'C'"),
        ({"model": {"kind": "svm", "C": 1.0}}, "^model.kernel: missing, got kind, C"),
    ],
)
def test_params_outside_are_refused_by_path(changes, message):
    with pytest.raises(SpaceError, match=message):
        conditional().validate({**conditional().defaults, **changes})


def test_a_missing_param_is_named():
    with pytest.raises(SpaceError, match=r"^b: missing, got a. Add a value of Choice\('x'"):
        finite().validate({"a": 1})


def test_params_must_be_a_dict():
    with pytest.raises(SpaceError, match=r"^params: got \[1\], allowed is a dict"):
        finite().validate([1])


def test_the_branch_with_the_very_names_is_taken():
    space = Space({"m": Choice(Space({"kind": "b", "C": Real(0, 1)}), Space({"C": Real(0, 1)}))})

    assert space.validate({"m": {"C": 0.5}}) == {"m": {"C": 0.5}}


# --- building --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domains_of", "message"),
    [
        ({"": Int(1, 2)}, "got the name '', allowed are non-empty strings"),
        ({3: Int(1, 2)}, "got the name 3"),
        ({"lr": Real}, r"^lr: got the class Real. Call it: Real\(...\)"),
        ({"m": {"C": Real(0, 1)}}, r"^m: got a dict with domains in it.*Nest with Space"),
        ({"m": [Real(0, 1)]}, r"^m: got a list with domains in it"),
        ({"m.C": 1, "m": Space({"C": Real(0, 1)})}, "^m.C: two params have this name"),
        ([("a", 1)], "allowed is a dict of domains"),
    ],
)
def test_a_contradictory_space_is_refused(domains_of, message):
    with pytest.raises(SpaceError, match=message):
        Space(domains_of)


def test_branches_that_nobody_could_tell_apart_are_refused():
    with pytest.raises(SpaceError, match=r"options 0 and 1 .* same names \(C\).* Add a constant"):
        Choice(Space({"C": Real(0, 1)}), Space({"C": Real(0, 9)}))


def test_branches_may_share_names_when_a_constant_differs():
    assert Choice(Space({"k": 1, "C": Real(0, 1)}), Space({"k": 2, "C": Real(0, 9)})).size is None


def test_in_a_union_the_right_side_wins():
    union = Space({"a": Int(1, 2), "b": Bool()}) | Space({"b": Int(3, 4), "c": 5})

    assert union == Space({"a": Int(1, 2), "b": Int(3, 4), "c": 5})


def test_a_union_leaves_both_sides_as_they_were():
    left, right = Space({"a": Bool()}), Space({"a": Int(1, 2)})

    _ = left | right

    assert (left["a"], right["a"]) == (Bool(), Int(1, 2))


def test_a_pickled_space_is_equal():
    assert pickle.loads(pickle.dumps(conditional())) == conditional()


def test_the_repr_reads_as_it_was_written():
    assert repr(finite()) == "Space({'a': Int(1, 2), 'b': Choice('x', 'y', 'z'), 'c': 7})"


def test_a_domain_in_a_space_cannot_be_replaced():
    with pytest.raises(TypeError):
        finite()["a"] = Bool()


# --- narrowing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Real(0, 1), Real(0.2, 0.3, log=True)),
        (Real(0, 1), Real(0, 1, step=0.1)),
        (Real(0, 1, step=0.1), Real(0.2, 0.8, step=0.3)),
        (Real(0, 1), Choice(0.1, 0.7)),
        (Int(1, 100), Int(5, 50, step=5)),
        (Int(1, 100), 7),
        (Normal(0, 1), Real(-3, 3)),
        (Normal(0, 1), LogNormal(0, 1)),
        (LogNormal(0, 1), Real(0.1, 3)),
        (Choice("a", "b", "c"), Choice("c", "a")),
        (Choice("a", True, False), Bool()),
        (Choice(Space({"C": Real(0, 1)}), "x"), Space({"C": Real(0, 0.5)})),
        (5, 5),
    ],
)
def test_a_space_can_be_narrowed_to_a_part(old, new):
    narrowed = Space({"p": old, "q": Bool()}).narrow({"p": new})

    assert narrowed == Space({"p": new, "q": Bool()})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Real(0, 1), Real(0.5, 1.5)),
        (Real(0, 1, step=0.1), Real(0, 1)),
        (Real(0, 1, step=0.1), Real(0.05, 0.95, step=0.1)),
        (Int(1, 100), Real(5, 50)),
        (Int(1, 9, step=2), Int(1, 9)),
        (Int(1, 9), 10),
        (Real(0, 1), Normal(0.5, 0.1)),
        (LogNormal(0, 1), Real(0, 1)),
        (Choice("a", "b"), Choice("a", "z")),
        (Choice(Space({"C": Real(0, 1)}), "x"), Space({"C": Real(0, 2)})),
        (Choice("a", "b"), Space({"C": Real(0, 2)})),
        (Bool(), Choice(0, 1)),
    ],
)
def test_a_domain_that_is_not_inside_the_old_one_is_refused(old, new):
    with pytest.raises(SpaceError, match=r"^p: got .*, allowed is a part of "):
        Space({"p": old}).narrow({"p": new})


def test_narrowing_an_unknown_name_gives_the_nearest():
    with pytest.raises(SpaceError, match=r"^epoch: unknown name. Did you mean 'epochs'"):
        conditional().narrow({"epoch": 3})


def test_a_written_default_stays_while_it_is_inside():
    space = Space({"lr": Real(0, 1).with_default(0.25)})

    assert space.narrow({"lr": Real(0.2, 0.8)}).defaults == {"lr": 0.25}
    assert space.narrow({"lr": Real(0.4, 0.8)}).defaults == {"lr": pytest.approx(0.6)}


def test_narrowing_to_a_value_makes_it_a_plain_constant():
    narrowed = Space({"lr": Real(0, 1)}).narrow({"lr": np.int64(1)})

    assert narrowed["lr"] == Constant(1.0)


# --- other forms of a point ------------------------------------------------------------------


def test_flat_params_have_dotted_names_and_name_the_branch():
    assert conditional().flatten(conditional().defaults) == {
        "lr": pytest.approx(10**-2.5),
        "model": "svm",
        "model.kind": "svm",
        "model.C": 1.0,
        "model.kernel": "rbf",
        "epochs": 10,
        "early": False,
    }


def test_flat_params_keep_dicts_that_are_options():
    space = Space({"optimiser": Choice({"name": "sgd"}, {"name": "adam"})})

    assert space.flatten(space.defaults) == {"optimiser": {"name": "sgd"}}


@given(space=spaces(), seed=st.integers(0, 2**32))
def test_a_point_comes_back_from_json(space, seed):
    params = space.sample(seed)

    again = space.from_json(json.loads(json.dumps(space.to_json(params), allow_nan=False)))

    assert again == params
    assert space.key(again) == space.key(params)


def test_json_of_another_space_is_refused():
    with pytest.raises(SpaceError, match=r"^a: got 9, allowed is 1 to 2"):
        finite().from_json({"a": 9, "b": "x", "c": 7})


@given(space=spaces(), seed=st.integers(0, 2**32))
def test_a_key_is_hashable(space, seed):
    assert hash(space.key(space.sample(seed))) == hash(space.key(space.sample(seed)))


def test_keys_tell_options_apart_that_python_calls_equal():
    space = Space({"x": Choice(1, 1.0, True)})

    assert len({space.key({"x": value}) for value in (1, 1.0, True)}) == 3


def test_keys_tell_branches_apart():
    space = Space({"m": Choice(Space({"k": 1, "n": Int(1, 2)}), Space({"k": 2, "n": Int(1, 2)}))})

    assert space.key({"m": {"k": 1, "n": 1}}) != space.key({"m": {"k": 2, "n": 1}})
