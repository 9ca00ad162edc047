"""Fronts, their order and their volume: by hand, and against what the definitions say."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from nbtune.pareto import (
    crowding_distances,
    front,
    front_mask,
    front_numbers,
    hypervolume,
    nsga_order,
    ranked,
    scores_of,
)
from nbtune.trial import Goal, Report, Status, Trial

UP, DOWN = Goal(metric="up", direction="maximize"), Goal(metric="down", direction="minimize")
# Few values, so that there are equal rows and equal columns; up to four objectives.
TABLES = st.tuples(st.integers(0, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 4).map(float))
)


def dominates(one, other):
    return all(one >= other) and any(one > other)


def trial(number, status=Status.COMPLETED, **metrics):
    reports = [Report(1, metrics, 0.0)]
    return Trial(number=number, params={}, status=status, reports_so_far=reports, count=1)


# --- fronts


def test_a_front_by_hand():  # FEATURES C7
    #                     0       1       2       3       4       5
    scores = np.array([(1, 5), (2, 4), (2, 3), (4, 1), (4, 1), (0, 5)])

    assert front_mask(scores).tolist() == [True, True, False, True, True, False]


def test_a_front_of_three_objectives_by_hand():
    scores = np.array([(1, 1, 3), (1, 2, 2), (0, 2, 2), (3, 0, 0), (1, 1, 2), (3, 0, 0)])

    assert front_mask(scores).tolist() == [True, True, False, True, False, True]


def test_fronts_are_numbered_by_hand():
    scores = np.array([(1, 5), (2, 4), (2, 3), (4, 1), (1, 4), (1, 3), (2, 3)])

    assert front_numbers(scores).tolist() == [0, 0, 1, 0, 1, 2, 1]


@given(TABLES)
def test_nobody_dominates_a_member_of_the_front_and_a_member_dominates_each_other(scores):
    on_front = front_mask(scores)

    for row, is_on in zip(scores, on_front, strict=True):
        assert any(dominates(other, row) for other in scores) != is_on
        assert is_on or any(dominates(other, row) for other in scores[on_front])


@given(TABLES)
def test_each_front_is_the_pareto_front_of_what_the_fronts_before_it_leave(scores):
    numbers = front_numbers(scores)

    for number in range(numbers.max(initial=-1) + 1):
        left = numbers >= number
        assert (front_mask(scores[left]) == (numbers[left] == number)).all()


@pytest.mark.parametrize("objectives", [2, 3])
def test_ten_thousand_trials_are_put_into_their_hundred_fronts(objectives):
    # Row i of front k is (i - k, -i - k, -k): the one before it in i's column dominates it alone.
    front_of, place = np.divmod(np.random.default_rng(0).permutation(10_000), 100)
    scores = np.column_stack([place - front_of, -place - front_of, -front_of])[:, :objectives]

    assert front_numbers(scores).tolist() == front_of.tolist()
    assert front_of[nsga_order(scores)].tolist() == sorted(front_of.tolist())


# --- order


def test_crowding_by_hand():
    # Ranges 4 and 8; the inner ones: (3 - 0) / 4 + (8 - 2) / 8, then (4 - 1) / 4 + (5 - 0) / 8.
    scores = np.array([(0, 8), (1, 5), (3, 2), (4, 0)])

    assert crowding_distances(scores).tolist() == [math.inf, 1.5, 1.375, math.inf]


def test_who_is_equal_in_all_is_not_crowded():
    assert crowding_distances(np.ones((3, 2))).tolist() == [0, 0, 0]


def test_the_order_is_by_front_then_by_crowding():
    #                     0       1       2       3       4: dominated by 0 .. 3
    scores = np.array([(0, 8), (3, 2), (1, 5), (4, 0), (0, 0)])

    assert nsga_order(scores) == [0, 3, 2, 1, 4]


@given(st.lists(st.integers(0, 5).map(float), max_size=20))
def test_of_one_objective_the_order_is_that_of_its_values_the_earlier_of_equals_first(values):
    expected = sorted(range(len(values)), key=lambda index: (-values[index], index))

    assert nsga_order(np.array(values).reshape(-1, 1)) == expected


def test_values_near_the_largest_float_have_an_order():
    scores = np.array([(1e308, -1e308), (0.0, 0.0), (-1e308, 1e308)])

    assert nsga_order(scores) == [0, 2, 1]


# --- volume


def test_a_volume_of_two_objectives_by_hand():
    # Over (0, 0): 1 x 3, then from 1 to 2 x 2, then from 2 to 4 x 1; (1, 1) adds nothing.
    assert hypervolume([(1, 3), (2, 2), (4, 1), (1, 1)], (0, 0)) == 7


def test_a_volume_of_three_objectives_by_hand():
    # 2 x 2 x 1 and 1 x 1 x 3 share 1 x 1 x 1.
    assert hypervolume([(2, 2, 1), (1, 1, 3)], (0, 0, 0)) == 6


def test_a_row_that_is_no_better_than_the_reference_in_one_objective_adds_nothing():
    assert hypervolume([(1, 3), (9, 0), (9, -1)], (0, 0)) == 3


def test_the_volume_of_nothing_is_zero():
    assert hypervolume(np.empty((0, 3)), (0, 0, 0)) == 0


@given(TABLES)
def test_a_volume_is_what_inclusion_and_exclusion_give(scores):
    rows = scores[:7]
    expected = sum(
        (-1) ** (size + 1) * np.prod(np.min(chosen, axis=0))
        for size in range(1, len(rows) + 1)
        for chosen in itertools.combinations(rows, size)
    )

    assert hypervolume(rows, np.zeros(scores.shape[1])) == pytest.approx(expected)


@given(TABLES)
def test_a_volume_is_the_number_of_cells_below_the_rows(scores):
    size = scores.shape[1]
    cells = np.array(list(itertools.product(range(4), repeat=size)))
    covered = [any((row > cell).all() for row in scores) for cell in cells]

    assert hypervolume(scores, np.zeros(size)) == sum(covered)


@given(TABLES.filter(len))
def test_a_volume_does_not_shrink_when_a_row_is_added(scores):
    reference = np.zeros(scores.shape[1])

    assert hypervolume(scores[:-1], reference) <= hypervolume(scores, reference)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_a_volume_agrees_with_a_sample_of_the_cube(seed):
    rng = np.random.default_rng(seed)
    scores, points = rng.random((12, 5)), rng.random((20_000, 5))
    share = np.mean([(scores >= point).all(axis=1).any() for point in points])

    assert hypervolume(scores, np.zeros(5)) == pytest.approx(share, abs=0.015)


# --- trials


def test_scores_go_by_direction():
    assert scores_of((UP, DOWN), {"up": 2.0, "down": 3.0}.get) == (2.0, -3.0)


def test_who_lacks_a_value_has_no_scores():
    assert scores_of((UP, DOWN), {"up": 2.0}.get) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_the_worst_in_all(value):
    assert scores_of((UP, DOWN), {"up": 2.0, "down": value}.get) == (-math.inf, -math.inf)


def test_the_front_of_trials_begins_with_the_best_in_the_first_objective():
    trials = [trial(0, up=1, down=1), trial(1, up=3, down=4), trial(2, up=1, down=1)]

    assert [t.number for t in front(trials, (UP, DOWN))] == [1, 0, 2]


def test_who_failed_lacks_a_value_or_has_a_nan_is_not_on_the_front():
    trials = [
        trial(0, up=1, down=1),
        trial(1, Status.FAILED, up=9, down=0),
        trial(2, up=9),
        trial(3, up=9, down=math.nan),
    ]

    assert [t.number for t in front(trials, (UP, DOWN))] == [0]


def test_a_front_of_nothing_but_nan_is_empty():
    assert front([trial(0, up=math.nan, down=1)], (UP, DOWN)) == []


def test_the_front_of_one_objective_is_the_earliest_best():
    trials = [trial(0, up=1), trial(1, up=2), trial(2, up=2)]

    assert [t.number for t in front(trials, (UP,))] == [1]


def test_nan_ranks_last_and_who_failed_or_lacks_a_value_is_left_out():
    trials = [
        trial(0, up=math.nan, down=0),
        trial(1, up=1, down=2),
        trial(2, up=2, down=1),
        trial(3, up=5),
        trial(4, Status.FAILED, up=5, down=0),
    ]

    assert [t.number for t in ranked(trials, (UP, DOWN))] == [2, 1, 0]
