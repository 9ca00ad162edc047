"""What every registered searcher must do."""

import math
import pickle
from collections.abc import Iterator

import pytest

from nbtune import searchers
from nbtune.exceptions import SpaceError
from nbtune.searchers import Bayes, Random, Searcher
from nbtune.space import Bool, Choice, Int, Real, Space
from nbtune.trial import Params

LISTED = Space({"n": Int(1, 9), "kind": Choice("x", 1, True, None), "flag": Bool(), "fixed": 7})
SMALL = Space({"n": Int(1, 4), "kind": Choice("x", 1, True)})
BRANCHES = Space(
    {
        "model": Choice(
            Space({"kind": "svm", "C": Real(0.1, 100.0, log=True)}),
            Space({"kind": "tree", "depth": Int(1, 9)}),
        ),
        "scale": Bool(),
    }
)
LISTED_BRANCHES = BRANCHES | {
    "model": Choice(Space({"kind": "svm", "C": Choice(1, 10)}), Space({"depth": Int(1, 3)}))
}
MIXED = Space({"lr": Real(1e-4, 1.0, log=True), "width": Int(8, 256, log=True), "deep": Bool()})
SPACES = {"listed": LISTED, "small": SMALL, "branches": BRANCHES, "mixed": MIXED}


def distinct(space: Space) -> list[Params]:
    """Return 15 points of a space, or all where there are fewer."""
    samples = [space.sample(seed) for seed in range(200)]
    return list({space.key(params): params for params in samples}.values())[:15]


class Fives:
    """A tuner that goes through a list of points, five a round."""

    def __init__(self, points: list[Params]) -> None:
        self.points = points

    def __call__(self, iteration: int) -> list[Params]:
        return self.points[5 * iteration :][:5]


# For searchers that cannot be built by name alone: their arguments.
ARGUMENTS = {
    "points": lambda space: [distinct(space)],
    "iterative": lambda space: [Fives(distinct(space)), 9],
}
# Others of a registered class, which must do the same.
VARIANTS = {
    "random, sobol": lambda: Random("sobol"),
    "random, halton": lambda: Random("halton"),
    "bayes, sobol": lambda: Bayes(sequence="sobol"),
    "bayes, no sequence": lambda: Bayes(sequence=None),
    "bayes, forest": lambda: Bayes(base_estimator="ET"),
}
# For searchers that do not try all points of `SMALL`: how many they do, None when they cannot know.
SIZES = {"chain": 1 + 3 + 2, "iterative": None}


def build(name: str, space: Space) -> Searcher:
    if name in VARIANTS:
        return VARIANTS[name]()
    if name in ARGUMENTS:
        return searchers.registry.find(name)(*ARGUMENTS[name](space))
    return searchers.build(name)


def ready(name: str, space: Space = LISTED, *, seed: int = 0) -> Searcher:
    searcher = build(name, space)
    searcher.setup(space, seed=seed)
    return searcher


def takes(name: str, space: Space) -> bool:
    """Return whether this searcher can walk the space; it may refuse one with a SpaceError."""
    try:
        ready(name, space)
    except SpaceError:
        return False
    return True


NAMES = [*searchers.registry.names(), *VARIANTS]
each = pytest.mark.parametrize("name", NAMES)
in_each_space = pytest.mark.parametrize(
    ("name", "space"),
    [
        pytest.param(name, space, id=f"{name}-{label}")
        for name in NAMES
        for label, space in SPACES.items()
        if takes(name, space)
    ],
)


def score(params: Params) -> float:
    """Return a score that depends on params by their printed form."""
    return (sum(map(ord, repr(params))) % 97) / 97


def walk(searcher: Searcher, count: int, *, first: int = 0) -> Iterator[Params]:
    """Run trials one after another until there are `count` or the searcher is exhausted."""
    for number in range(first, first + count):
        params = searcher.suggest(number, [])
        if params is None:
            return
        yield params
        searcher.observe(params, score(params), step=1, ended=True)


def natives(value: object) -> bool:
    if isinstance(value, dict):
        return all(type(name) is str and natives(item) for name, item in value.items())
    return type(value) in {int, float, bool, str, type(None)}


@each
def test_what_is_needed_later_can_be_imported_ahead(name):
    ready(name, SMALL).warm_up()


@in_each_space
def test_suggestions_are_plain_values_inside_the_space(name, space):
    for params in walk(ready(name, space), 12):
        assert natives(params)
        assert space.validate(params) == params


@in_each_space
def test_the_same_seed_and_history_give_the_same_suggestions(name, space):
    first = list(walk(ready(name, space, seed=3), 11))

    assert list(walk(ready(name, space, seed=3), 11)) == first


@in_each_space
def test_nothing_observed_or_pending_is_suggested_while_an_untried_point_is_left(name, space):
    searcher = ready(name, space)
    pending: list[Params] = []
    seen: list = []

    for number in range(13):
        params = searcher.suggest(number, list(pending))
        if params is not None:
            seen.append(space.key(params))
            pending.append(params)
        if len(pending) == 3 or (pending and params is None):
            done = pending.pop(0)
            searcher.observe(done, score(done), step=1, ended=True)

    assert len(seen) == len(set(seen))


@each
def test_a_finite_space_is_walked_once_and_then_exhausted(name):
    searcher = ready(name, SMALL)

    tried = [SMALL.key(params) for params in walk(searcher, 50)]

    assert len(tried) == len(set(tried)) == min(SMALL.size, searcher.size() or SMALL.size)
    assert searcher.suggest(50, []) is None


@each
def test_with_every_point_pending_there_is_nothing_to_try_now(name):
    searcher = ready(name, SMALL)

    assert searcher.suggest(12, SMALL.grid()) is None


@each
def test_searchers_that_end_by_themselves_say_so(name):
    searcher = ready(name, SMALL)

    assert searcher.finite
    assert searcher.size() == SIZES.get(name, SMALL.size)


@each
def test_failures_and_minus_infinity_are_taken(name):
    searcher = ready(name)
    for number, worst in enumerate([None, -math.inf, None, -math.inf, 0.5, None, 0.25]):
        params = searcher.suggest(number, [])
        searcher.observe(params, worst, step=1, ended=True)

    assert searcher.suggest(7, []) is not None


@each
def test_all_trials_failing_is_survived(name):
    searcher = ready(name, LISTED)
    for number in range(12):
        searcher.observe(searcher.suggest(number, []), None, step=0, ended=True)

    assert searcher.suggest(12, []) is not None


@each
def test_equal_scores_are_survived(name):
    searcher = ready(name, LISTED)
    for number in range(12):
        searcher.observe(searcher.suggest(number, []), 0.5, step=1, ended=True)

    assert searcher.suggest(12, []) is not None


@each
def test_huge_scores_are_survived(name):
    searcher = ready(name, LISTED)
    for number in range(12):
        extreme = (-1) ** number * 1.7e308
        searcher.observe(searcher.suggest(number, []), extreme, step=1, ended=True)

    assert searcher.suggest(12, []) is not None


@in_each_space
def test_a_resumed_sweep_goes_on_as_the_old_one_would_have(name, space):
    old = ready(name, space, seed=1)
    history = list(walk(old, min(11, (old.size() or 12) - 1)))
    waiting = old.suggest(11, [])
    assert waiting is not None

    new = ready(name, space, seed=1)
    for params in history:
        new.observe(params, score(params), step=1, ended=True)

    assert new.suggest(12, [waiting]) == old.suggest(12, [waiting])


@in_each_space
def test_it_pickles_in_the_middle(name, space):
    searcher = ready(name, space, seed=1)
    list(walk(searcher, 5))

    copy = pickle.loads(pickle.dumps(searcher))

    assert list(walk(copy, 6, first=5)) == list(walk(searcher, 6, first=5))


@each
def test_a_trial_that_goes_on_is_still_pending(name):
    searcher = ready(name)
    params = searcher.suggest(0, [])
    searcher.observe(params, 0.5, step=1, ended=False)

    following = searcher.suggest(1, [params])

    assert LISTED.key(following) != LISTED.key(params)


@each
def test_enqueued_params_are_learned_like_its_own(name):
    searcher = ready(name)
    searcher.observe(LISTED.defaults, 0.5, step=1, ended=True)

    tried = [LISTED.key(params) for params in walk(searcher, 11, first=1)]

    assert LISTED.key(LISTED.defaults) not in tried


def hinted(name: str, space: Space, *, seed: int = 0) -> Searcher:
    searcher = ready(name, space, seed=seed)
    for params in distinct(space):
        searcher.hint(params, (score(params),), step=1)
    return searcher


@each
def test_hints_are_no_trials(name):
    searcher, alone = hinted(name, SMALL), ready(name, SMALL)

    tried = {SMALL.key(params) for params in walk(searcher, 50)}

    assert searcher.size() == alone.size()
    assert len(tried) == min(SMALL.size, searcher.size() or SMALL.size)


@in_each_space
def test_the_same_hints_give_the_same_suggestions(name, space):
    searcher = hinted(name, space, seed=2)
    copy = pickle.loads(pickle.dumps(searcher))

    first = list(walk(hinted(name, space, seed=2), 4))

    assert list(walk(searcher, 4)) == first
    assert list(walk(copy, 4)) == first


@each
def test_setup_forgets_an_earlier_sweep(name):
    searcher = ready(name)
    first = list(walk(searcher, 4))

    searcher.setup(LISTED, seed=0)

    assert list(walk(searcher, 4)) == first


@each
def test_a_trial_that_alters_its_params_alters_no_other(name):
    searcher = ready(name, LISTED_BRANCHES)
    first = searcher.suggest(0, [])
    kept = pickle.loads(pickle.dumps(first))
    first["model"].clear()

    assert searcher.suggest(0, []) == kept


@each
def test_a_space_with_nothing_to_search_has_one_point(name):
    space = Space({"fixed": 7})
    searcher = ready(name, space)

    assert list(walk(searcher, 1)) == [{"fixed": 7}]


@each
def test_it_shows_as_its_constructor_call(name):
    searcher = build(name, SMALL)

    assert repr(searcher).startswith(f"{type(searcher).__name__}(")
