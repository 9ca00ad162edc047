"""Names and types of params against what a function or a cell declares, before anything starts."""

import datetime
import functools
from typing import Annotated, Any, Literal, Optional

import pytest

from nbtune.exceptions import NbtuneError, ObjectiveError, SpaceError
from nbtune.objective import from_cell, from_function, tunable
from nbtune.searchers import Points
from nbtune.space import Bool, Choice, Int, LogNormal, Normal, Range, Real, Space
from nbtune.sweep import Sweep
from nbtune.workers import Inline

REAL, INT = Real(0, 1), Int(1, 9)
BRANCH = Choice(Space({"depth": Int(1, 3)}), Space({"C": REAL}))


def takes(annotation, default=0):
    """Return a function of ``x`` with an annotation, and of ``y``, which gives it a dimension."""

    def objective(x, y):
        return 0.0

    objective.__annotations__["x"] = annotation
    objective.__defaults__ = (default, 0)
    return objective


class Loader:
    """A type of the user's own."""


# FEATURES P5
@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        (int, INT),
        (int, Range(1, 9)),
        (int, Choice(1, 2)),
        (int, 3),
        (int, Bool()),  # a bool is an int to Python
        (float, REAL),
        (float, INT),
        (float, Choice(1, 0.5)),
        (float, Normal(0, 1)),
        (complex, REAL),
        (bool, Bool()),
        (str, Choice("a", "b")),
        (str, "a"),
        (list, Choice([1], [2])),
        (list[int], Choice([1], [2])),
        (tuple[int, ...], Choice([1], [2])),  # as YAML has it
        (dict, BRANCH),
        (dict[str, Any], BRANCH),
        (Optional[int], Choice(None, 1)),  # noqa: UP045 - as users write it
        (int | None, Choice(None, 1)),
        (int | str, Choice("auto", 8)),
        (Literal["relu", "tanh"], Choice("relu", "tanh")),
        (Annotated[float, "a share"], REAL),
        (datetime.date, Choice(datetime.date(2026, 1, 1), datetime.date(2026, 1, 2))),
        ("int", INT),
        ("learning rate", REAL),  # text for people
        ("Missing", REAL),
        (Any, Choice("a", 1)),
        (object, Choice("a", 1)),
        (Loader, Choice("csv", "parquet")),  # what makes one of a name is the function's affair
        (int | Loader, Choice("csv", 1)),
    ],
)
def test_values_of_the_annotated_type_are_taken(annotation, given):
    found = from_function(takes(annotation), {"x": given, "y": REAL})

    assert set(found.space) == {"x", "y"}


# FEATURES P5
@pytest.mark.parametrize(
    ("annotation", "given", "message"),
    [
        (int, REAL, r"x: Real\(0.0, 1.0\) has values such as 0.*, of type float, where the annota"),
        (int, Real(0, 8, step=1), "of type float"),  # 3.0 is no index
        (int, Range("0.0-1.0:5"), "of type float"),
        (int, Normal(0, 1), "of type float"),
        (int, LogNormal(0, 1), "of type float"),
        (int, Choice(1, 0.5), "such as 0.5, of type float.* is int. Give Int"),
        (int, 0.5, "x: fixed at 0.5, of type float"),
        (int, Choice(1, None), "of type NoneType"),
        (float, Choice("a"), "x: Choice.'a'. has values such as 'a', of type str.*Give Real"),
        (float, "0.5", "of type str"),
        (bool, INT, "of type int.*Give Bool"),
        (str, INT, "of type int"),
        (list[int], Choice([1], 2), "such as 2, of type int"),
        (str, BRANCH, "of type dict"),
        (int | None, REAL, "of type float"),
        (Optional[int], REAL, "of type float"),  # noqa: UP045 - as users write it
        (Literal["relu", "tanh"], Choice("relu", "gelu"), "such as 'gelu'"),
        (Literal[1], Choice(True, 2), "such as True"),
        (Annotated[int, "a count"], REAL, "of type float"),
        (datetime.date, Choice("2026-01-01"), "of type str"),
        ("int", REAL, "of type float"),
        ("int | None", REAL, "of type float"),
    ],
)
def test_values_of_another_type_are_refused_by_name(annotation, given, message):
    with pytest.raises(SpaceError, match=message):
        from_function(takes(annotation), {"x": given, "y": REAL})


def test_an_untyped_parameter_takes_anything():  # FEATURES P5
    def objective(x, **others):
        return 0.0

    space = {"x": Choice("a", 1, None, [2]), "other": REAL}

    assert set(from_function(objective, space).space) == {"x", "other"}


def test_a_default_of_none_lets_none_in():  # FEATURES P5
    found = from_function(takes(int, default=None), {"x": Choice(None, 1), "y": REAL})

    assert found.space["x"].options == (None, 1)


def test_types_hold_for_what_a_decorator_declares():  # FEATURES P5
    @tunable(x=REAL)
    def objective(x: int):
        return 0.0

    with pytest.raises(SpaceError, match=r"x: .*annotation is int"):
        from_function(objective)


def test_types_hold_through_a_partial():  # FEATURES P5
    def objective(data: list, x: int):
        return 0.0

    with pytest.raises(SpaceError, match=r"x: .*annotation is int"):
        from_function(functools.partial(objective, []), {"x": REAL})


def test_annotated_may_not_contradict_itself():  # FEATURES P5
    def objective(x: Annotated[int, Real(0, 1)] = 0):
        return 0.0

    with pytest.raises(SpaceError, match=r"x: Real\(0.0, 1.0\) .*of type float"):
        from_function(objective)


def test_annotated_with_a_default_of_none_is_optional():  # FEATURES P5
    def objective(x: Annotated[int, Choice(None, 1)] = None):  # noqa: RUF013 - as users write it
        return 0.0

    assert from_function(objective).space.defaults == {"x": None}


def test_annotated_in_a_cell_may_not_contradict_itself():  # FEATURES P5
    cell = "from typing import Annotated\nx: Annotated[str, Real(0, 1)] = 0.5\n"

    with pytest.raises(SpaceError, match=r"line 2: x: Real\(0.0, 1.0\) .*of type float"):
        from_cell(cell, {}, filename="Cell In[1]")


# --- through the sweep, before any worker starts


class Unstarted(Inline):
    """Workers that may not be asked for anything."""

    def start(self, *_: Any, **__: Any) -> None:
        pytest.fail("a worker started")


def trained(x: int, y: float = 0.5):
    return float(x)


CELL = "x: Int(1, 9) = 2\ny: Choice('a', 'b') = 'a'\nx\n"


def objective_of(kind):
    return trained if kind == "function" else from_cell(CELL, {}, filename="Cell In[1]")


def sweep(objective, space=None, **options):
    return Sweep(objective, space, maximize="value", workers=Unstarted(1), **options)


# FEATURES P5
@pytest.mark.parametrize(
    ("space", "kind", "message"),
    [
        ({"x": REAL}, SpaceError, "x: .*of type float"),
        ({"x": INT, "y": Choice("a")}, SpaceError, "y: .*of type str"),
        ({"x": INT, "z": REAL}, ObjectiveError, "'z' is not a parameter of trained. Known: x, y"),
        ({"y": REAL}, ObjectiveError, "trained needs 'x': neither in the space nor with a default"),
    ],
)
def test_a_space_that_does_not_fit_the_function_makes_no_sweep(space, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        sweep(trained, space, trials=2, store=tmp_path)

    assert not list(tmp_path.iterdir())


# FEATURES P5
@pytest.mark.parametrize("kind", ["function", "cell"])
@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"x": "3"}, "x: got '3', of type str. Use an int or a float without quotes"),
        ({"x": 2.5}, "x: got 2.5, which is not a whole number"),
        ({"x": True}, "x: got True, of type bool"),
        ({"z": 1}, "z: unknown name"),
        ({"y": 7.5}, "y: got 7.5"),
    ],
)
def test_points_and_enqueued_params_of_a_wrong_type_are_refused(kind, point, message, tmp_path):
    space = {"x": INT, "y": REAL} if kind == "function" else None

    with pytest.raises(NbtuneError, match=message):
        sweep(objective_of(kind), space, searcher=Points([{"x": 1}, point]), store=tmp_path)
    waiting = sweep(objective_of(kind), space, trials=2, store=tmp_path)
    with pytest.raises(SpaceError, match=message):
        waiting.enqueue(point)


def test_a_parameter_that_an_edit_adds_must_fit_too(tmp_path):  # FEATURES P5
    made = sweep(trained, {"x": INT}, trials=2, store=tmp_path)

    with pytest.raises(SpaceError, match=r"y: .*of type str"):
        made.edit(y=Choice("a", "b"))


def test_an_edit_must_fit_the_function(tmp_path):  # FEATURES P5
    made = sweep(trained, {"x": INT}, trials=2, store=tmp_path)

    with pytest.raises(SpaceError, match=r"x: .*of type float"):
        made.edit(x=REAL)
    with pytest.raises(SpaceError, match=r"x: fixed at 0.5, of type float"):
        made.space = {"x": 0.5, "y": REAL}
    assert made.space["x"] == INT
