"""Who is best, kept up to date."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from nbtune.engine.leader import Leader

SCORES = st.one_of(st.none(), st.integers(-3, 3).map(float), st.just(-math.inf), st.just(math.nan))


@given(st.lists(st.tuples(st.integers(0, 9), SCORES), max_size=200))
def test_the_leader_has_the_highest_score_and_the_lowest_number_of_equals(updates):
    leader, scores = Leader(), {}
    for number, score in updates:
        leader.update(number, None if score is None else (score,))
        scores[number] = score

        present = {n: s for n, s in scores.items() if s is not None and s > -math.inf}
        expected = min(present, key=lambda n: (-present[n], n), default=None)
        assert leader.numbers == ([] if expected is None else [expected])


def test_what_is_kept_does_not_grow_with_the_number_of_updates():
    leader = Leader()

    for step in range(10_000):
        leader.update(step % 3, (step / 10_000,))

    assert len(leader._scores) == 3


@pytest.mark.parametrize("worst", [None, math.nan, -math.inf])
def test_a_leader_that_falls_out_is_followed_by_the_next(worst):
    leader = Leader()
    leader.update(0, (2.0,))
    leader.update(1, (1.0,))

    leader.update(0, worst and (worst,))

    assert leader.numbers == [1]
