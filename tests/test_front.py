"""Who is on the front, kept up to date."""

import math

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from nbtune.engine.front import Front
from nbtune.pareto import front_mask

SCORES = st.one_of(
    st.none(),
    st.just((-math.inf, -math.inf)),
    st.tuples(st.integers(0, 4).map(float), st.integers(0, 4).map(float)),
)


@given(st.lists(st.tuples(st.integers(0, 9), SCORES, st.booleans()), max_size=60))
def test_the_front_is_that_of_the_present_scores(updates):  # FEATURES C7
    front, present = Front(), {}
    for number, scores, asked in updates:
        front.update(number, scores)
        present[number] = scores
        if not asked:
            continue
        known = [n for n, s in present.items() if s is not None and s[0] > -math.inf]
        table = np.array([present[n] for n in known]).reshape(-1, 2)
        on_front = [known[i] for i in np.flatnonzero(front_mask(table))]

        assert front.numbers == sorted(on_front, key=lambda n: (-present[n][0], n))


def test_whom_it_dominated_are_back_when_one_gets_worse():
    front = Front()
    for number, scores in enumerate([(1.0, 1.0), (2.0, 2.0), (0.0, 3.0)]):
        front.update(number, scores)
    assert front.numbers == [1, 2]

    front.update(1, (0.5, 0.5))

    assert front.numbers == [0, 2]
