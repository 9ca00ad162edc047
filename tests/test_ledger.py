"""The engine's books: who is best, what is spent, how long it will take."""

import math

import pytest

from nbtune.engine.ledger import Budget, Ledger
from nbtune.trial import Goal, Report, Status

UP = Goal(metric="accuracy", direction="maximize")
DOWN = Goal(metric="accuracy", direction="minimize")


def ledger(goal=UP, **limits):
    return Ledger((goal,), Budget(**limits))


def run(books, *values, status=Status.COMPLETED, start=0.0, end=1.0):
    """Enter a trial that reports `values` at steps 1, 2, ...; it stays running without a status."""
    entered = books.add({}, "suggested")
    books.start(entered, 0, start)
    for step, value in enumerate(values, 1):
        books.report(entered, [Report(step, {"accuracy": value}, start)])
    if status is not None:
        books.end(entered, status, "", end)
    return entered


def test_the_best_is_the_best_last_value_in_the_goals_direction():
    for goal, number in ((UP, 1), (DOWN, 0)):
        books = ledger(goal)
        for value in (0.1, 0.9, 0.5):
            run(books, value)

        assert books.best.number == number


def test_the_earlier_of_equals_is_the_best():
    books = ledger()
    run(books, 0.5)
    run(books, 0.5)

    assert books.best.number == 0


def test_a_running_trial_may_be_the_best_and_loses_it_when_it_gets_worse():
    books = ledger()
    run(books, 0.5)
    rising = run(books, 0.6, status=None)
    assert books.best is rising

    books.report(rising, [Report(2, {"accuracy": 0.4}, 1.0)])

    assert books.best.number == 0


@pytest.mark.parametrize("value", [math.nan, -math.inf, math.inf])
def test_nan_and_infinity_are_never_the_best(value):
    books = ledger()
    run(books, value)

    assert books.best is None


def test_a_failed_trial_is_never_the_best():
    books = ledger()
    run(books, 0.9, status=Status.FAILED)

    assert books.best is None


def test_steps_count_the_last_step_of_each_trial():
    books = ledger()
    run(books, 0.1, 0.2, 0.3)
    run(books, 0.1)

    assert books.steps == 4


def test_room_is_what_the_number_of_trials_leaves():
    books = ledger(trials=3)
    run(books, 0.1)

    assert books.room() == 2
    assert ledger(time_limit=1).room() is None


def test_there_is_no_room_once_the_steps_are_spent():
    books = ledger(max_total_steps=2)
    run(books, 0.1, 0.2)

    assert books.room() == 0


def test_compute_seconds_add_up_over_ended_and_running_trials():
    books = ledger()
    run(books, 0.1, start=0.0, end=4.0)
    run(books, 0.1, start=2.0, status=None)

    assert books.compute_seconds(7.0) == 9.0


def test_the_remaining_time_follows_the_pace_so_far():
    books = ledger(trials=10)
    run(books, 0.1)
    assert books.remaining(5.0) is None

    run(books, 0.1)

    assert books.remaining(10.0) == 40.0


def test_the_remaining_time_is_at_most_the_time_limit():
    assert ledger(time_limit=60).remaining(45.0) == 15.0


def test_a_snapshot_does_not_change_when_the_trial_goes_on(tmp_path):
    books = ledger()
    going = run(books, 0.1, status=None)
    before = going.snapshot(tmp_path)

    books.report(going, [Report(2, {"accuracy": 0.2}, 1.0)])

    assert (before.steps, len(before.reports)) == (1, 1)
    assert going.snapshot(tmp_path).steps == 2
