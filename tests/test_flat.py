"""Where params change nothing: it is proven by equal results, and suggestions go elsewhere."""

import numpy as np
import pytest

from nbtune import Sweep, report
from nbtune.schedulers import Hyperband
from nbtune.searchers import Bayes
from nbtune.searchers.bayes import models
from nbtune.searchers.bayes.flat import flats_of
from nbtune.space import Real
from nbtune.workers import Inline

CURVE = {1: 0.5, 3: 0.7, 9: 0.8}
LENGTHS = np.array([1.0, 1.0])


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def flats(*trials, lengths=LENGTHS):
    places = np.array([place for place, _ in trials])
    return flats_of({index: scores for index, (_, scores) in enumerate(trials)}, places, lengths)


def test_two_equal_trials_prove_a_flat_around_both():
    found = flats(((0.2, 0.5), CURVE), ((0.3, 0.5), CURVE), ((0.9, 0.5), {1: 0.1}))

    inside = np.array([[0.25, 0.5], [0.35, 0.5], [0.25, 0.6], [0.05, 0.5]])
    outside = np.array([[0.55, 0.5], [0.25, 0.8], [0.9, 0.5]])
    assert found.hold(inside).all()
    assert not found.hold(outside).any()


@pytest.mark.parametrize(
    "other",
    [{1: 0.5, 3: 0.7, 9: 0.81}, {1: 0.5, 3: 0.71}, {1: 0.5}, {3: 0.7, 9: 0.8}, {27: 0.9}],
    ids=["end", "step", "one equal result", "other first step", "nothing in common"],
)
def test_what_is_not_equal_at_two_steps_proves_nothing(other):
    assert flats(((0.2, 0.5), CURVE), ((0.3, 0.5), other)) is None


def test_a_different_trial_between_two_equal_ones_disproves():
    assert flats(((0.2, 0.5), CURVE), ((0.3, 0.5), {1: 0.4}), ((0.4, 0.5), CURVE)) is None


def test_a_trial_that_was_stopped_while_equal_does_not_disprove():
    assert flats(((0.2, 0.5), CURVE), ((0.3, 0.5), {1: 0.5}), ((0.4, 0.5), CURVE)) is not None


def test_flats_are_as_long_as_the_model_thinks():
    found = flats(
        ((0.2, 0.5), CURVE), ((0.2, 0.6), CURVE), ((0.9, 0.5), {1: 0.1}), lengths=np.array([1.0, 9])
    )

    assert found.hold(np.array([[0.2, 0.75]])).all()
    assert not found.hold(np.array([[0.3, 0.55]])).any()


def test_a_single_trial_and_none_prove_nothing():
    assert flats(((0.2, 0.5), CURVE)) is None
    assert flats_of({}, np.empty((0, 2)), LENGTHS) is None


class Here(Bayes):
    """Thinks in this process, whose functions a test may replace."""

    apart = False


def rows_played(seed):
    """Return which of 40 rows a sweep plays, where params stand for the nearest row."""
    rng = np.random.default_rng(1)
    rows, levels = rng.random((40, 2)), rng.random(40)
    played = set()

    def nearest_row(x: Real(0, 1), y: Real(0, 1)):
        row = int(((rows - (x, y)) ** 2).sum(axis=1).argmin())
        played.add(row)
        for epoch in range(1, 10):
            report(epoch=epoch, score=levels[row] - 1 / epoch)

    Sweep(
        nearest_row,
        maximize="score",
        searcher=Here(),
        scheduler=Hyperband(max_t=9),
        trials=50,
        workers=Inline(),
        seed=seed,
    ).run()
    return len(played)


def test_suggestions_leave_what_was_shown_to_be_flat(monkeypatch):
    elsewhere = [rows_played(seed) for seed in (0, 2)]
    monkeypatch.setattr(models, "flats_of", lambda *_: None)

    assert sum(elsewhere) > sum(rows_played(seed) for seed in (0, 2))
