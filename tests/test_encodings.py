"""What searchers make of a point: columns, tokens, Optuna's values. Nothing is lost on the way."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from optuna.trial import FixedTrial
from scipy.stats import kstest
from spaces import spaces

from nbtune.searchers.bayes.columns import Columns
from nbtune.searchers.optuna_space import OptunaSpace
from nbtune.searchers.tokens import Tokens
from nbtune.space import Choice, Int, LogNormal, Normal, Space

seeds = st.integers(0, 2**32)


def columns_of(space, *points):
    return Columns(space).of(np.array([space.to_unit(params) for params in points]))


@given(space=spaces(), one=seeds, other=seeds)
def test_points_have_equal_columns_when_they_are_the_same(space, one, other):
    first, second = space.sample(one), space.sample(other)

    ours, theirs = columns_of(space, first, second)

    assert np.array_equal(ours, theirs) == (space.key(first) == space.key(second))


@given(space=spaces(), count=st.integers(2, 9), data=st.data())
def test_any_two_options_are_at_distance_one(space, count, data):
    options = st.integers(0, count - 1)
    one, other = data.draw(st.tuples(options, options).filter(lambda pair: pair[0] != pair[1]))
    space = space | {"choice": Choice(*range(count))}
    params = space.defaults

    ours, theirs = columns_of(space, params | {"choice": one}, params | {"choice": other})

    assert np.linalg.norm(ours - theirs) == pytest.approx(1.0)


@given(space=spaces(), data=st.data())
def test_the_columns_of_a_value_are_those_of_where_it_settles(space, data):
    shares = st.floats(0, 1, exclude_max=True)
    place = np.array(data.draw(st.lists(shares, min_size=space.n_dims, max_size=space.n_dims)))
    settled = space.to_unit(space.from_unit(place))

    again = space.to_unit(space.from_unit(settled))

    columns = Columns(space)
    assert columns.of(settled[None]) == pytest.approx(columns.of(again[None]), abs=1e-9)


@given(space=spaces(), quantiles=st.integers(2, 12), seed=seeds)
@example(space=Space({"x": Normal(0.0, 1.0, step=0.5)}), quantiles=4, seed=0)
def test_tokens_come_back_from_the_params_that_they_make(space, quantiles, seed):  # FEATURES A7
    tokens = Tokens(space, quantiles)
    given_tokens = tokens.of(space.sample(seed))

    made = tokens.params(given_tokens, np.random.default_rng(seed).random(space.n_dims))

    assert space.validate(made) == made
    assert tokens.of(made).tolist() == given_tokens.tolist()


@pytest.mark.parametrize(
    "domain",
    [
        Int(0, 24),
        Int(1, 400, log=True),
        Normal(0.0, 0.2, step=1),
        Normal(0.0, 50.0, step=0.5),
        LogNormal(0.0, 0.5, step=0.5),
    ],
)
def test_tokens_by_their_weights_give_what_a_draw_gives(domain):
    space = Space({"x": domain})
    tokens = Tokens(space, 10)
    [axis] = tokens.axes
    rng = np.random.default_rng(0)

    chosen = rng.choice(axis.count, size=(4000, 1), p=axis.weights)
    made = [tokens.params(token, rng.random(1))["x"] for token in chosen]

    drawn = [space.sample(seed)["x"] for seed in range(4000)]
    assert kstest(made, drawn, method="asymp").pvalue > 0.01


@given(space=spaces(), seed=seeds)
def test_params_come_back_from_what_optuna_is_told(space, seed):  # FEATURES C1
    walked = OptunaSpace(space)
    params = space.sample(seed)

    again = walked.suggest(FixedTrial(walked.encode(params)))

    # Some go as a share of the probability, which may cost the last digits.
    assert space.to_unit(again) == pytest.approx(space.to_unit(params), abs=1e-9)
