"""Courses: which results of trials that are judged on their way count, and what is pending."""

import numpy as np
import pytest

from nbtune.searchers.bayes.courses import FEEDS, Courses

PLACE = np.array([0.5])
A, B, C = "abc"


def counted(courses: Courses) -> list[tuple[str, int, float | None]]:
    return [tuple(row) for row in courses.rows()]


def one_trial(feed: str, steps: int = 5, rungs: tuple[int, ...] = (1, 3, 9)) -> Courses:
    """Tell a trial with a result at each step, ten times the step, that is running."""
    courses = Courses(feed, maxt_pending=False)
    courses.start(A, PLACE, 0, rungs[0])
    for step in range(1, steps + 1):
        if step in rungs:
            courses.rung(A, PLACE, step, 10.0 * step)
            courses.start(A, PLACE, step, next(rung for rung in rungs if rung > step))
        else:
            courses.report(A, PLACE, step, 10.0 * step)
    return courses


# FEATURES A6
@pytest.mark.parametrize(
    ("feed", "steps"), [("rungs", [1, 3]), ("all", [1, 2, 3, 4, 5]), ("rungs_and_last", [1, 3, 5])]
)
def test_of_a_running_trial_those_results_count(feed, steps):
    assert counted(one_trial(feed)) == [(A, step, 10.0 * step) for step in steps]


# FEATURES A6
@pytest.mark.parametrize(
    ("feed", "steps"),
    [("rungs", [1, 3, 7]), ("all", [1, 2, 3, 4, 5, 6, 7]), ("rungs_and_last", [1, 3, 7])],
)
def test_the_final_result_counts_wherever_it_is(feed, steps):
    courses = one_trial(feed, 6)
    courses.end(A, PLACE, 7, 70.0)

    assert counted(courses) == [(A, step, 10.0 * step) for step in steps]


def test_a_last_report_stays_when_the_trial_ends_with_it():
    courses = one_trial("rungs_and_last", 5)
    courses.end(A, PLACE, 5, 50.0)

    assert counted(courses) == [(A, 1, 10.0), (A, 3, 30.0), (A, 5, 50.0)]


def test_a_report_between_rungs_gives_way_to_the_rung():
    assert [step for _, step, _ in counted(one_trial("rungs_and_last", 3))] == [1, 3]


@pytest.mark.parametrize("feed", FEEDS)
def test_of_a_trial_that_failed_the_failure_alone_counts(feed):
    courses = one_trial(feed, 5)
    courses.end(A, PLACE, 5, None)

    assert counted(courses) == [(A, 5, None)]


# FEATURES A6
@pytest.mark.parametrize("feed", FEEDS)
def test_a_promoted_trial_that_repeats_its_first_steps_is_told_nothing_new(feed):
    courses = Courses(feed, maxt_pending=False)
    courses.start(A, PLACE, 0, 3)
    courses.end(A, PLACE, 3, 0.3)  # paused
    courses.start(A, PLACE, 3, 9)
    courses.report(A, PLACE, 1, 0.7)
    courses.rung(A, PLACE, 3, 0.9)
    courses.end(A, PLACE, 9, 0.5)

    assert counted(courses) == [(A, 3, 0.3), (A, 9, 0.5)]


# FEATURES A6
def test_a_trial_is_pending_at_its_first_milestone_and_then_at_the_next_rung():
    courses = Courses("rungs", maxt_pending=False)
    courses.start(A, PLACE, 0, 1)
    assert courses.pending([]) == [(A, 1)]

    courses.rung(A, PLACE, 1, 0.5)
    courses.start(A, PLACE, 1, 3)
    assert courses.pending([]) == [(A, 3)]

    courses.end(A, PLACE, 3, 0.6)
    assert courses.pending([]) == []


# FEATURES A6
@pytest.mark.parametrize("feed", ["all", "rungs_and_last"])
def test_where_every_report_counts_a_trial_is_pending_at_its_next_step(feed):
    courses = Courses(feed, maxt_pending=False)
    courses.start(A, PLACE, 0, 3)
    assert courses.pending([]) == [(A, 3)]

    courses.report(A, PLACE, 1, 0.5)
    assert courses.pending([]) == [(A, 2)]

    courses.rung(A, PLACE, 3, 0.6)
    courses.start(A, PLACE, 3, 9)
    assert courses.pending([]) == [(A, 4)]


def test_a_promoted_trial_is_pending_at_its_next_rung():
    courses = Courses("all", maxt_pending=False)
    courses.start(A, PLACE, 0, 3)
    courses.end(A, PLACE, 3, 0.5)
    courses.start(A, PLACE, 3, 9)

    assert courses.pending([]) == [(A, 9)]


# FEATURES A6
def test_with_maxt_pending_a_trial_is_pending_at_the_most_steps_too():
    courses = Courses("rungs", maxt_pending=True)
    courses.longest = 9
    courses.start(A, PLACE, 0, 1)
    courses.start(B, PLACE, 0, 9)

    assert courses.pending([]) == [(A, 1), (B, 9), (A, 9)]


def test_a_trial_that_has_not_started_is_pending_at_the_lowest_first_milestone():
    courses = Courses("rungs", maxt_pending=False)
    courses.start(A, PLACE, 0, 3)  # of another bracket
    courses.start(B, PLACE, 0, 1)

    assert courses.pending([C]) == [(C, 1), (A, 3), (B, 1)]


@pytest.mark.parametrize("feed", FEEDS)
def test_what_counted_earlier_can_be_had_again(feed):
    now, then = one_trial(feed, 6), one_trial(feed, 4)

    assert now.rows(then.count) == then.rows()


def test_without_a_milestone_no_trial_is_judged():
    courses = Courses("rungs", maxt_pending=True)
    courses.longest = 9
    courses.end(A, PLACE, 9, 0.5)

    assert not courses.judged
    assert courses.pending([B]) == []
