"""The engine's books: who is best, what is spent, how long it will take."""

import math
from pathlib import Path

import pytest

from nbtune.ended_by import EndedBy, EndKind
from nbtune.engine.ledger import Budget, Ledger
from nbtune.engine.trials import TrialBook
from nbtune.trial import Goal, Report, Status

UP = Goal(metric="accuracy", direction="maximize")
DOWN = Goal(metric="accuracy", direction="minimize")


def ledger(goal=UP, **limits):
    return Ledger((goal,), Budget(**limits), TrialBook())


def run(books, *values, status=Status.COMPLETED, start=0.0, end=1.0):
    """Enter a trial that reports `values` at steps 1, 2, ...; it stays running without a status."""
    entered = books.add({}, "suggested")
    books.start(entered, 0, start)
    for step, value in enumerate(values, 1):
        books.report(entered, [Report(step, {"accuracy": value}, start)])
    if status is not None:
        books.end(entered, status, EndedBy(kind=EndKind.COMPLETED), end)
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


def spending(books, name, *, now=0.0, elapsed=0.0):
    """What is left of one limit, and the estimate in seconds."""
    (found,) = [each for each in books.remaining(now, elapsed) if each.name == name]
    return found.left, found.seconds


def test_without_a_limit_nothing_remains():
    assert ledger(trial_time_limit=5).remaining(0.0, 10.0) == ()


def test_trials_go_on_at_the_pace_so_far():
    books = ledger(trials=10)
    run(books, 0.1)
    assert spending(books, "trials", elapsed=5.0) == (9, None)

    run(books, 0.1)

    assert spending(books, "trials", elapsed=10.0) == (8, 40.0)


def test_a_running_trial_counts_as_half_done():
    books = ledger(trials=10)
    run(books, 0.1)
    run(books, 0.1)
    run(books, 0.1, status=None)
    run(books, 0.1, status=None)

    # 3 of 10 are done after 12 s, 7 are not
    assert spending(books, "trials", elapsed=12.0) == (8, 28.0)


def test_a_paused_trial_has_had_its_turn_until_it_goes_on():
    books = ledger(trials=4)
    paused = [run(books, 0.1, status=Status.PAUSED) for _ in range(4)]
    assert spending(books, "trials", elapsed=8.0) == (0, 0.0)

    books.start(paused[0], 0, 8.0)

    assert spending(books, "trials", elapsed=7.0) == (1, 1.0)


def test_the_time_limit_is_what_the_clock_says():
    assert spending(ledger(time_limit=60), "time_limit", elapsed=45.0) == (15, 15)


def test_compute_time_goes_as_fast_as_trials_run():
    books = ledger(compute_time_limit=100.0)
    run(books, 0.1, start=0.0, end=20.0)
    assert spending(books, "compute_time_limit", now=20.0, elapsed=20.0) == (80, None)

    for _ in range(4):
        run(books, 0.1, start=20.0, status=None)

    assert spending(books, "compute_time_limit", now=30.0, elapsed=30.0) == (40, 10)


def test_steps_go_on_at_the_pace_so_far_and_then_trials_run_to_their_end():
    books = ledger(max_total_steps=10)
    assert spending(books, "max_total_steps", elapsed=1.0) == (10, None)
    run(books, 0.1, 0.2, 0.3, start=0.0, end=6.0)
    assert spending(books, "max_total_steps", elapsed=6.0) == (7, 14)

    run(books, 0.1, start=6.0, status=None)

    # 6 more at 2 s each, and then half of the 6 s that a trial takes
    assert spending(books, "max_total_steps", elapsed=8.0) == (6, 12 + 3)


def test_limits_that_are_passed_leave_nothing():
    books = ledger(time_limit=5, max_total_steps=2)
    run(books, 0.1, 0.2, 0.3)

    assert [(each.left, each.seconds) for each in books.remaining(9.0, 9.0)] == [(0, 0), (0, 0)]


def test_a_snapshot_does_not_change_when_the_trial_goes_on(tmp_path):
    books = ledger()
    going = run(books, 0.1, status=None)
    before = going.snapshot(tmp_path)

    books.report(going, [Report(2, {"accuracy": 0.2}, 1.0)])

    assert (before.steps, len(before.reports)) == (1, 1)
    assert going.snapshot(tmp_path).steps == 2


def test_a_budget_that_was_pickled_before_a_limit_existed_has_its_default():
    old = Budget.__new__(Budget)

    old.__setstate__([60, 600.0, None, None, None, 2, False])

    assert old == Budget(trials=60, time_limit=600.0, retries=2)


def test_a_run_that_is_put_away_is_found_as_it_was():
    trials = TrialBook()
    books = Ledger((UP,), Budget(), trials)
    over = run(books, 0.5, 0.7)
    running = run(books, 0.6, status=None)
    over.origin = "enqueued"
    trials.show(over.snapshot(Path()))

    books.runs.put_away(over)

    found = books.runs[0]
    assert (found.number, found.origin, found.status) == (0, "enqueued", Status.COMPLETED)
    assert (found.last_step, books.score(found)) == (2, 0.7)
    assert [books.runs.may_go_on(number) for number in (-1, 0, 1, 2)] == [False, False, True, False]
    assert [*books.runs.at_hand] == [running]
    assert books.best.number == 0
