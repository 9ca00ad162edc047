"""Random, Grid and Points, and how searchers and schedulers are found by name."""

import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest
from driving import PATIENCE
from scipy.stats import qmc

from nbtune import schedulers, searchers
from nbtune.exceptions import SpaceError, SpecError
from nbtune.registry import Registry
from nbtune.schedulers import FIFO, Hyperband
from nbtune.searchers import Bayes, Grid, Points, Random, Searcher
from nbtune.searchers.sequences import SEQUENCES
from nbtune.searchers.untried import draw_untried
from nbtune.space import Bool, Choice, Int, Normal, Real, Space


def ready(searcher: Searcher, space: Space, *, seed: int = 0) -> Searcher:
    searcher.setup(space, seed=seed)
    return searcher


def walk(searcher: Searcher, count: int = 1000) -> list:
    tried = []
    while len(tried) < count and (params := searcher.suggest(len(tried), [])) is not None:
        searcher.observe(params, 0.5, step=1, ended=True)
        tried.append(params)
    return tried


def test_random_draws_from_the_seed_and_the_number_alone():
    space = Space({"x": Real(0, 1), "n": Int(1, 10**9)})
    one, other = ready(Random(), space, seed=7), ready(Random(), space, seed=7)
    other.observe(space.defaults, 0.5, step=1, ended=True)

    backward = [other.suggest(number, [space.defaults]) for number in reversed(range(5))]

    assert [one.suggest(number, []) for number in range(5)] == backward[::-1]


def test_random_is_quick_where_it_need_not_look_for_what_is_left():
    assert ready(Random(), Space({"x": Real(0, 1), "n": Int(1, 3)})).quick
    assert not ready(Random(), Space({"n": Int(1, 10**9)})).quick


@pytest.mark.parametrize("sequence", ["sobol", "halton"])
def test_a_sequence_fills_a_space_more_evenly_than_draws(sequence):
    space = Space({"x": Real(0, 1), "n": Int(1, 1000), "c": Real(1e-4, 1.0, log=True)})

    def unevenness(searcher, seed):
        points = walk(ready(searcher, space, seed=seed), 32)
        return qmc.discrepancy(np.array([space.to_unit(params) for params in points]), method="CD")

    even = [unevenness(Random(sequence), seed) for seed in range(9)]

    assert np.median(even) < 0.5 * np.median([unevenness(Random(), seed) for seed in range(9)])


def test_a_sequence_says_its_points_number():
    searcher = ready(Random("sobol"), Space({"x": Real(0, 1)}))

    searcher.suggest(3, [])

    assert searcher.why == "point 3 of a Sobol sequence"


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_sequence_goes_through_a_finite_space_once(sequence):
    space = Space({"n": Int(1, 20), "kind": Choice("a", "b", weights=[1, 0])})

    tried = walk(ready(Random(sequence), space))

    assert sorted(params["n"] for params in tried) == list(range(1, 21))
    assert {params["kind"] for params in tried} == {"a"}


def test_a_sequence_respects_what_is_pending():
    space = Space({"flag": Bool()})
    searcher = ready(Random("halton"), space)

    first = searcher.suggest(0, [])

    assert searcher.suggest(0, [first]) == {"flag": not first["flag"]}


@pytest.mark.parametrize("make", [Random, lambda name: Bayes(sequence=name)])
def test_an_unknown_sequence_is_refused_with_the_nearest(make):
    with pytest.raises(SpecError, match=r"sequence='sobel'.*sobol"):
        make("sobel")


def test_random_differs_from_seed_to_seed():
    space = Space({"x": Real(0, 1)})

    assert ready(Random(), space, seed=0).suggest(0, []) != ready(Random(), space, seed=1).suggest(
        0, []
    )


def test_random_tries_every_point_of_a_finite_space_once():
    space = Space({"n": Int(1, 50), "flag": Bool()})

    tried = walk(ready(Random(), space))

    assert sorted(map(space.key, tried)) == sorted(map(space.key, space.grid()))


def test_random_finds_the_one_unlikely_point_that_is_left():
    space = Space({"kind": Choice("common", "rare", weights=[1, 1e-12])})

    assert [params["kind"] for params in walk(ready(Random(), space))] == ["common", "rare"]


def test_random_never_draws_an_option_of_weight_zero():
    inner = Space({"inner": Choice("c", "d", weights=[0, 1])})
    space = Space({"kind": Choice("a", "b", inner, weights=[1, 0, 1])})

    tried = walk(ready(Random(), space))

    assert sorted(map(repr, tried)) == ["{'kind': 'a'}", "{'kind': {'inner': 'd'}}"]


def test_random_ends_where_an_endless_domain_has_few_likely_values():
    space = Space({"x": Normal(0, 1, step=5)})

    tried = walk(ready(Random(), space))

    assert {0.0} <= {params["x"] for params in tried} <= {-5.0, 0.0, 5.0}
    assert len(tried) <= 3


def test_random_follows_the_weights():
    space = Space({"kind": Choice("a", "b", weights=[3, 1]), "x": Real(0, 1)})

    kinds = [params["kind"] for params in walk(ready(Random(), space), 2000)]

    assert kinds.count("a") == pytest.approx(1500, abs=100)


def test_random_is_as_quick_with_thousands_of_trials_pending():
    space = Space({"x": Real(0, 1), "n": Int(1, 3)})
    unhashable = [{"neither": "x", "nor": "n"}] * 10_000  # a key of one of these would raise

    assert ready(Random(), space).suggest(0, unhashable) is not None


def test_grid_walks_the_product_as_written_the_last_fastest():
    space = Space({"b": Choice("y", "x"), "fixed": 1, "a": Int(1, 5, step=2), "r": Bool()})

    tried = walk(ready(Grid(), space))

    assert [tuple(params.values()) for params in tried] == [
        (b, 1, a, r) for b in ("y", "x") for a in (1, 3, 5) for r in (False, True)
    ]


def test_grid_walks_real_numbers_with_a_step():
    tried = walk(ready(Grid(), Space({"x": Real(0.1, 0.4, step=0.1)})))

    assert [params["x"] for params in tried] == [0.1, 0.2, 0.3, 0.4]


def test_grid_repeats_the_whole_product():
    searcher = ready(Grid(repeat=3), Space({"n": Int(1, 2)}))

    assert searcher.size() == 6
    assert [params["n"] for params in walk(searcher)] == [1, 2, 1, 2, 1, 2]


def test_grid_names_the_continuous_domain():
    space = Space({"n": Int(1, 2), "lr": Real(0, 1)})

    with pytest.raises(SpaceError, match=r"lr: Real\(0\.0, 1\.0\) has infinitely many values"):
        Grid().setup(space, seed=0)


@pytest.mark.parametrize("repeat", [0, -1, 1.5, True, "2"])
def test_grid_refuses_a_repeat_that_is_no_count(repeat):
    with pytest.raises(SpecError, match=r"Grid\(repeat=.*\): needs an integer of at least 1"):
        Grid(repeat=repeat)


def test_grid_of_a_vast_space_starts_at_once():
    space = Space({f"x{i}": Int(1, 1000) for i in range(10)})

    assert walk(ready(Grid(), space), 2)[1] == {**space.at(0), "x9": 2}


def test_grid_leaves_out_what_was_enqueued():
    searcher = ready(Grid(), Space({"n": Int(1, 4)}))
    searcher.observe({"n": 3}, 0.5, step=1, ended=True)

    assert searcher.suggest(1, [{"n": 1}]) == {"n": 2}
    assert searcher.suggest(2, [{"n": 1}, {"n": 2}]) == {"n": 4}


def test_grid_counts_copies_when_it_repeats():
    searcher = ready(Grid(repeat=2), Space({"n": Int(1, 2)}))
    searcher.observe({"n": 2}, 0.5, step=1, ended=True)
    searcher.observe({"n": 2}, 0.5, step=1, ended=True)

    assert [params["n"] for params in walk(searcher)] == [1, 1]


def test_points_are_tried_in_order_with_repeats():
    points = [{"n": 3}, {"n": 1}, {"n": 3}]

    assert walk(ready(Points(points), Space({"n": Int(1, 9)}))) == points


def test_points_take_missing_names_from_the_defaults():
    space = Space({"n": Int(1, 9).with_default(4), "x": Real(0, 1).with_default(0.25)})

    assert walk(ready(Points([{"x": 0.5}, {}]), space)) == [
        {"n": 4, "x": 0.5},
        {"n": 4, "x": 0.25},
    ]


def test_points_that_the_space_does_not_have_are_refused_by_position():  # FEATURES P5
    space = Space({"n": Int(1, 9)})

    with pytest.raises(SpaceError, match=r"Points: params\[1\]: n: got 10, allowed is 1 to 9"):
        Points([{"n": 1}, {"n": 10}]).setup(space, seed=0)
    with pytest.raises(SpaceError, match=r"Points: params\[0\]: m: unknown name"):
        Points([{"m": 1}]).setup(space, seed=0)


def test_points_must_be_dicts():
    with pytest.raises(SpecError, match=r"Points: params\[0\] is 3, not a dict"):
        Points([3])


@pytest.mark.parametrize("params", [3, {"n": 3}, "n"])
def test_points_must_be_a_list(params):
    with pytest.raises(SpecError, match=r"Points: got .*, not a list of dicts"):
        Points(params)


def test_grid_and_points_do_not_start_with_the_defaults():
    assert not Grid.starts_with_defaults
    assert not Points.starts_with_defaults


@pytest.mark.parametrize(
    ("registry", "value", "made"),
    [
        (searchers.registry, "random", Random),
        (searchers.registry, Grid, Grid),
        (schedulers.registry, "hyperband", Hyperband),
        (schedulers.registry, FIFO, FIFO),
    ],
)
def test_a_name_or_a_class_is_built(registry, value, made):
    assert type(registry.build(value)) is made


def test_an_instance_is_returned_as_it_is():
    grid = Grid(repeat=2)

    assert searchers.build(grid) is grid


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(SpecError, match=r"searcher 'bays' is not known\. Did you mean 'bayes'\? K"):
        searchers.build("bays")


@pytest.mark.parametrize("value", [3, None, dict, FIFO, FIFO()])
def test_what_is_no_searcher_is_refused_with_what_is(value):
    with pytest.raises(SpecError, match=r"give a name \(random, grid, .*\), a Searcher or"):
        searchers.build(value)


@pytest.mark.parametrize("value", ["points", Points])
def test_a_searcher_that_needs_arguments_says_how_to_make_it(value):
    with pytest.raises(SpecError, match=r"missing a required argument: .*searcher=Points\(params"):
        searchers.build(value)


def test_the_error_of_a_wrong_option_knows_which_option():
    with pytest.raises(SpecError) as caught:
        schedulers.build("asha")

    assert caught.value.path == "scheduler"


def test_an_abstract_class_is_refused():
    with pytest.raises(SpecError, match="Searcher is abstract"):
        searchers.build(Searcher)


@pytest.mark.parametrize("registry", [searchers.registry, schedulers.registry])
def test_the_built_in_names_are_also_entry_points(registry):
    installed = {e.name: e.value for e in importlib.metadata.entry_points(group=registry.group)}

    assert installed == registry.builtin


@pytest.fixture
def other_package(tmp_path, monkeypatch):
    """Another distribution on the path that registers members of a family."""
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nbtune.searchers]\nmine = other_searcher:Mine\nrandom = other_searcher:Mine\n"
        "gone = other_missing:Gone\nodd = other_searcher:odd\n"
    )
    (tmp_path / "other_searcher.py").write_text(
        "from nbtune.searchers import Random\nclass Mine(Random):\n    pass\nodd = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("other_package")
def test_another_package_adds_a_searcher_by_name():
    assert "mine" in searchers.registry.names()
    assert type(searchers.build("mine")).__name__ == "Mine"


@pytest.mark.usefixtures("other_package")
def test_another_package_does_not_replace_a_built_in_name():
    assert type(searchers.build("random")) is Random


@pytest.mark.usefixtures("other_package")
def test_an_entry_point_that_cannot_be_imported_is_named():
    with pytest.raises(
        SpecError, match=r"'gone' \(other_missing:Gone\) cannot be imported: No mod"
    ):
        searchers.build("gone")


@pytest.mark.usefixtures("other_package")
def test_an_entry_point_that_is_no_searcher_is_named():
    with pytest.raises(SpecError, match=r"'odd' \(other_searcher:odd\) is 3, not a subclass of"):
        searchers.build("odd")


def test_names_work_from_a_tree_that_is_not_installed():
    registry = Registry(
        word="searcher", base=Searcher, group="nbtune.none", builtin=searchers.registry.builtin
    )

    assert type(registry.build("grid")) is Grid


@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**32, 2**70])
def test_a_draw_is_that_of_numpys_generator_whatever_the_seed(seed):
    space = Space({"x": Real(0, 1), "n": Int(1, 9)})

    params = draw_untried(space, set(), seed=seed, number=7)

    assert params == space.sample(np.random.default_rng((0x5EA, seed, 7, 0)))


def test_importing_the_families_leaves_skopt_and_sklearn_alone():
    code = (
        "import sys, nbtune.searchers as s, nbtune.schedulers as c\n"
        "[f.registry.find(n) for f in (s, c) for n in f.registry.names()]; s.build('bayes')\n"
        "print(sorted({'skopt', 'sklearn', 'scipy', 'joblib', 'pandas'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )

    assert done.stdout.strip() == "[]"
