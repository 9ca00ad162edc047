"""The recurrent network: what it draws, and what it learns."""

import pickle

import numpy as np
import pytest
import torch

from nbtune.searchers.controller import Controller, one_thread
from nbtune.searchers.tokens import Tokens
from nbtune.space import Bool, Choice, Int, Space

FLAT = Space({"n": Int(1, 3), "kind": Choice("a", "b"), "flag": Bool()})
BRANCHES = Space(
    {
        "model": Choice(
            Space({"kind": "svm", "C": Choice(1, 10, 100)}),
            Space({"kind": "tree", "depth": Int(1, 4), "inner": Choice("a", Space({"n": Bool()}))}),
        ),
        "scale": Bool(),
    }
)
NONE = np.empty((0, 3), dtype=np.int64)


@pytest.fixture(autouse=True)
def alone():
    """As the searcher does: two threads for such matrices wait for each other."""
    with one_thread():
        yield


def controller(space, *, seed=0, learning_rate=0.02):
    axes = Tokens(space, 10).axes
    return Controller(axes, seed=seed, width=8, learning_rate=learning_rate)


def every(space):
    """Return the tokens of all points, one a row."""
    tokens = Tokens(space, 10)
    return np.array([tokens.of(params) for params in space.grid()])


@pytest.mark.parametrize("space", [FLAT, BRANCHES], ids=["flat", "branches"])
def test_the_probabilities_of_all_sequences_add_up_to_one(space):
    network = controller(space)
    rows = every(space)
    network.learn(rows[:1], np.ones(1), rows[:0], entropy=0.0)

    assert network.probabilities(rows).sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("space", [FLAT, BRANCHES], ids=["flat", "branches"])
def test_sequences_are_drawn_as_often_as_they_are_likely(space):
    network = controller(space, learning_rate=0.1)
    rows = every(space)
    for _ in range(5):
        network.learn(rows[:1], np.ones(1), rows[:0], entropy=0.0)
    shares = np.random.default_rng(1).random((20_000, space.n_dims))

    drawn, probabilities = network.draw(shares)

    expected = network.probabilities(rows)
    counts = [int((drawn == row).all(axis=1).sum()) for row in rows]
    assert np.array(counts) / 20_000 == pytest.approx(expected, abs=0.015)
    assert sum(counts) == 20_000
    assert probabilities == pytest.approx(network.probabilities(drawn))


@pytest.mark.parametrize("advantage", [0.5, -0.5])
def test_a_step_makes_a_sequence_likelier_that_did_better_than_the_baseline(advantage):
    network, rows = controller(FLAT), every(FLAT)
    before = network.probabilities(rows[4:5])[0]

    network.learn(rows[4:5], np.array([advantage]), NONE, entropy=0.0)

    assert (network.probabilities(rows[4:5])[0] > before) == (advantage > 0)


def test_a_step_makes_the_best_sequences_likelier():
    network, rows = controller(FLAT), every(FLAT)
    before = network.probabilities(rows[2:4])

    network.learn(rows[:1], np.zeros(1), rows[2:4], entropy=0.0)

    assert (network.probabilities(rows[2:4]) > before).all()


def test_the_bonus_for_entropy_evens_the_choices_out():
    network, rows = controller(FLAT), every(FLAT)
    for _ in range(20):
        network.learn(rows[:1], np.ones(1), NONE, entropy=0.0)
    before = network.probabilities(rows).max()

    for _ in range(40):
        network.learn(rows[:1], np.zeros(1), NONE, entropy=1.0)

    assert before > 0.5 > 0.2 > network.probabilities(rows).max()


def test_a_step_goes_along_the_gradient_of_expected_reward():
    """REINFORCE is unbiased: weighed by probability, its steps add up to the true gradient."""
    network, rows = controller(FLAT), every(FLAT)
    rewards = np.random.default_rng(0).random(len(rows))

    def expected():
        logs, _ = network._follow(rows)
        return (logs.exp() * torch.from_numpy(rewards)).sum()

    exact = torch.autograd.grad(expected(), network._weights)
    logs, _ = network._follow(rows)
    shares = logs.detach().exp() * torch.from_numpy(rewards - 0.4)  # any baseline will do
    estimated = torch.autograd.grad((shares * logs).sum(), network._weights)

    for one, other in zip(exact, estimated, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_later_choices_heed_earlier_ones():
    """Only equal values are rewarded: independent choices could not tell."""
    space = Space({"a": Choice(*"xyz"), "b": Choice(*"xyz")})
    network, rows = controller(space), every(space)
    equal = np.array([row[0] == row[1] for row in rows], dtype=float)
    rng = np.random.default_rng(0)

    for _ in range(400):
        drawn, _ = network.draw(rng.random((4, 2)))
        gains = (drawn[:, 0] == drawn[:, 1]) - 0.5
        network.learn(drawn, gains, NONE[:, :2], entropy=0.3)

    shares = network.probabilities(rows)
    assert shares @ equal > 0.8
    assert np.sort(shares[equal == 1.0])[1] > 0.1  # not by always choosing one value


def test_neighbouring_values_learn_together_and_options_do_not():
    values, options = Space({"x": Int(1, 9)}), Space({"x": Choice(*range(1, 10))})

    def gains(space):
        network, rows = controller(space), every(space)
        before = network.probabilities(rows)
        for _ in range(10):
            network.learn(rows[4:5], np.ones(1), rows[:0], entropy=0.0)
        return network.probabilities(rows) / before

    near, alone = gains(values), gains(options)
    assert near[3] > 1.0 > near[0]
    assert near[5] > 1.0 > near[8]
    assert (np.delete(alone, 4) < 1.0).all()


def test_the_weights_of_options_are_where_it_begins():
    network = controller(Space({"x": Choice("a", "b", weights=[1, 9])}))

    assert network.probabilities(np.array([[0], [1]])) == pytest.approx([0.1, 0.9], abs=0.03)


def test_nothing_is_drawn_from_pytorchs_generator():
    before = torch.get_rng_state()

    network = controller(FLAT)
    tokens, _ = network.draw(np.full((2, 3), 0.5))
    network.learn(tokens, np.ones(2), NONE, entropy=0.1)

    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_says_where_the_weights_begin():
    rows = every(FLAT)

    one, same, other = (controller(FLAT, seed=seed).probabilities(rows) for seed in (1, 1, 2))

    assert one.tolist() == same.tolist() != other.tolist()


def test_a_copy_learns_on_alike_and_apart():
    network, rows = controller(FLAT), every(FLAT)
    network.learn(rows[:1], np.ones(1), NONE, entropy=0.0)
    copy = pickle.loads(pickle.dumps(network))
    before = copy.probabilities(rows)

    network.learn(rows[:1], np.ones(1), NONE, entropy=0.0)
    assert copy.probabilities(rows).tolist() == before.tolist()
    copy.learn(rows[:1], np.ones(1), NONE, entropy=0.0)

    assert copy.probabilities(rows).tolist() == network.probabilities(rows).tolist()


def test_threads_are_as_they_were_afterwards():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with pytest.raises(KeyError), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_every_point_is_drawn_and_nothing_else():
    tokens, _ = controller(BRANCHES).draw(np.random.default_rng(0).random((200, BRANCHES.n_dims)))

    found = {tuple(row) for row in tokens.tolist()}
    assert found == {tuple(row) for row in every(BRANCHES).tolist()}
    assert len(found) == BRANCHES.size == 2 * (3 + 4 * 3)
