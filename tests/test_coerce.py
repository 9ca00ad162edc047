"""What stands for a domain in a space without being one."""

import subprocess
import sys

import numpy as np
import pytest
from optuna import distributions
from scipy import stats

from nbtune import Choice, Int, Range, Real, Space, SpaceError, Sweep, report, tunable
from nbtune.objective import as_objective
from nbtune.objective.cell import from_cell
from nbtune.space import Constant
from nbtune.workers import Inline

AS_WRITTEN = [
    ([0.1, 0.01], Choice(0.1, 0.01)),
    (["relu", "tanh"], Choice("relu", "tanh")),
    ([None, 3, 5], Choice(None, 3, 5)),
    ([(64,), (64, 64)], Choice((64,), (64, 64))),
    (np.array([0.1, 0.01]), Choice(0.1, 0.01)),
    ([0.1], Constant(0.1)),
    ([[64, 64]], Constant([64, 64])),
    (range(3, 8, 2), Range(3, 7, 2)),
    (range(5, 0, -2), Range(5, 1, 2)),
    (range(4, 5), Constant(4)),
    (stats.uniform(1, 2), Real(1, 3)),
    (stats.uniform(loc=-1, scale=2), Real(-1, 1)),
    (stats.loguniform(1e-4, 1e-1), Real(1e-4, 1e-1, log=True)),
    (stats.reciprocal(1e-4, 1e-1), Real(1e-4, 1e-1, log=True)),
    (stats.randint(1, 10), Int(1, 9)),
    (stats.randint(1, 2), Constant(1)),
    (distributions.FloatDistribution(0, 1), Real(0, 1)),
    (distributions.FloatDistribution(1e-4, 1e-1, log=True), Real(1e-4, 1e-1, log=True)),
    (distributions.FloatDistribution(0, 1, step=0.25), Real(0, 1, step=0.25)),
    (distributions.FloatDistribution(2, 2), Constant(2.0)),
    (distributions.IntDistribution(1, 9), Int(1, 9)),
    (distributions.IntDistribution(1, 9, step=2), Int(1, 9, step=2)),
    (distributions.IntDistribution(1, 9, log=True), Int(1, 9, log=True)),
    (distributions.CategoricalDistribution(["a", None]), Choice("a", None)),
]


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


@pytest.mark.parametrize(("given", "domain"), AS_WRITTEN, ids=lambda value: repr(value)[:40])
def test_a_space_reads_it_as_what_it_says(given, domain):
    assert Space({"x": given})["x"] == domain


@pytest.mark.parametrize("value", [(64, 64), {"a": [1, 2]}, "text", None, np.eye(2)], ids=repr)
def test_any_other_value_is_fixed(value):
    assert isinstance(Space({"x": value})["x"], Constant)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], r"x: got \[\], which lists no value. Give at least one"),
        (range(0), r"x: got range\(0, 0\), which lists no value"),
        ([1, 1], r"x: option 1 is listed twice"),
        ([Real(0, 1)], r"x: got a list with domains in it.* Nest with Space"),
        ({0.1, 0.01}, r"x: got .*a set, which has no order. List the values: \["),
        (
            stats.norm(0, 1),
            r"x: got scipy.stats.norm\(...\), a distribution that cannot be.* Normal",
        ),
        (stats.uniform, r"x: got scipy.stats.uniform, not called, a distribution"),
        (stats.loguniform(1e-4, 1e-1, loc=1), r"x: got scipy.stats.loguniform.*without a shift"),
        (stats.poisson(3), r"x: got scipy.stats.poisson\(...\), a distribution"),
        (range(10**6), r"x: .*1000000 values, allowed are 100000. Use Int"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_cannot_be_searched_is_refused_by_name(given, message):
    with pytest.raises(SpaceError, match=message):
        Space({"x": given})


class Mine:
    def rvs(self, size=None, random_state=None):
        return 0.5


def test_an_unknown_object_that_draws_is_refused_by_the_name_of_its_class():
    with pytest.raises(SpaceError, match=r"x: got a .*test_coerce.Mine, a distribution"):
        Space({"x": Mine()})


def test_a_sweep_searches_what_is_listed():
    def train(lr, width, depth=3):
        report(epoch=1, loss=lr * width)

    space = {"lr": stats.loguniform(1e-4, 0.1), "width": [32, 64], "depth": range(1, 9)}
    done = Sweep(
        train, space, minimize="loss", trials=5, searcher="random", seed=1, workers=Inline(1)
    ).run()

    assert done.trial(0).params["depth"] == 3  # the function's own default
    for trial in done.snapshot().trials:
        lr, width, depth = trial.params.values()
        assert 1e-4 <= lr <= 0.1
        assert width in (32, 64)
        assert depth in range(1, 9)


def test_a_grid_walks_lists_and_ranges_and_keeps_what_has_one_value():  # FEATURES I1
    def train(fold, factor, lr, depth):
        report(epoch=1, loss=fold + factor)

    space = {"fold": range(2), "factor": [0.5, 0.7], "lr": 1e-4, "depth": [3]}
    done = Sweep(train, space, minimize="loss", searcher="grid", workers=Inline(1)).run()

    assert [tuple(trial.params.values()) for trial in done.snapshot().trials] == [
        (0, 0.5, 1e-4, 3),
        (0, 0.7, 1e-4, 3),
        (1, 0.5, 1e-4, 3),
        (1, 0.7, 1e-4, 3),
    ]


def test_tunable_takes_a_list_with_the_functions_default():
    @tunable(lr=[0.1, 0.01, 0.001])
    def train(lr=0.01):
        return lr

    domain = as_objective(train, None, title=None).space["lr"]

    assert domain == Choice(0.1, 0.01, 0.001).with_default(0.01)


def test_a_default_of_a_function_is_no_listed_domain():
    def train(lr: Real(0, 1) = 0.5, layers=[64, 64]):  # noqa: B006 - as people write it
        return lr

    assert list(as_objective(train, None, title=None).space) == ["lr"]


@pytest.mark.parametrize(
    ("annotation", "default", "domain"),
    [
        ([0.1, 0.01], 0.01, Choice(0.1, 0.01)),
        ("[0.1, 0.01]", 0.01, Choice(0.1, 0.01)),
        (range(1, 9), 3, Range(1, 8)),
        (stats.uniform(0, 1), 0.5, Real(0, 1)),
    ],
    ids=["list", "text", "range", "distribution"],
)
def test_an_annotation_of_a_function_lists_values(annotation, default, domain):
    def train(lr=default):
        return lr

    train.__annotations__["lr"] = annotation

    assert as_objective(train, None, title=None).space["lr"] == domain.with_default(default)


@pytest.mark.parametrize("annotation", [[int], [int, str], list[int], "list[int]"], ids=repr)
def test_a_hint_of_types_is_no_domain(annotation):
    def train(x: Real(0, 1) = 0.5, names=()):
        return x

    train.__annotations__["names"] = annotation

    assert list(as_objective(train, None, title=None).space) == ["x"]


def test_a_cell_lists_values_in_an_annotation():
    objective = from_cell("lr: [0.1, 0.01] = 0.01\nn: range(1, 9) = 3\nlr * n", {}, filename="cell")

    assert dict(objective.space) == {
        "lr": Choice(0.1, 0.01).with_default(0.01),
        "n": Range(1, 8).with_default(3),
    }


def test_what_a_param_that_is_left_out_was_stays_fixed_though_it_is_a_list():
    def train(x, layers):
        report(epoch=1, loss=x)

    sweep = Sweep(
        train,
        {"x": Real(0, 1), "layers": Choice([64], [32, 32])},
        minimize="loss",
        trials=1,
        workers=Inline(1),
    )

    sweep.space = {"x": Real(0, 0.5)}

    assert sweep.space["layers"] == Constant([64])


def test_a_list_in_a_matrix_stays_one_value():
    assert Space.from_matrix({"layers": [64, 64]})["layers"] == Constant([64, 64])


def test_neither_library_is_imported_for_it():
    code = (
        "import sys, nbtune; nbtune.Space({'x': [1, 2], 'y': range(3), 'z': object()}); "
        "print({'scipy.stats', 'optuna'} & set(sys.modules))"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )

    assert shown.stdout.strip() == "set()"
