"""How trials stood when they were judged last."""

import sys

from nbtune.schedulers import Explanation
from nbtune.schedulers.explanations import Explanations


def stood(**changes):
    given = {"bracket": 1, "rung": 9, "rank": 2, "of": 7, "score": -0.5, "cutoff": -0.25}
    return Explanation(**given | changes)


def test_what_was_kept_is_found_the_last_of_a_trial():
    kept = Explanations()
    kept[3] = stood()
    kept[3] = last = stood(rung=27, cutoff=None)
    kept[1] = other = stood(score=float("-inf"))

    assert [kept.get(number) for number in (3, 1)] == [last, other]
    assert [type(value) for value in (kept.get(3).rung, kept.get(3).rank)] == [int, int]


def test_of_a_trial_that_was_never_judged_there_is_none():
    kept = Explanations()
    kept[3] = stood()

    assert [kept.get(number) for number in (-1, 0, 4)] == [None] * 3


def test_they_take_tens_of_bytes_a_trial():
    kept = Explanations()

    for number in range(10_000):
        kept[number] = stood(rank=number + 1)

    assert sys.getsizeof(kept._table) < 60 * 10_000
