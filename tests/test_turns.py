"""Who is told what when."""

import pytest

from nbtune.engine.turns import Turns


@pytest.fixture
def told():
    return []


def test_without_a_window_all_is_told_at_once_and_nothing_waits(told):
    turns = Turns(None)
    turns.begin(0)

    turns.tell(0, lambda: told.append("a"))

    assert told == ["a"]
    assert turns.advance()
    assert 0 not in turns


def test_results_are_told_in_the_order_in_which_trials_began(told):
    turns = Turns(1)
    for number in (0, 1, 2):
        turns.begin(number)
    for number in (2, 1, 0):
        turns.tell(number, lambda number=number: told.append(number), last=True)

    assert told == [0, 1]  # the last may be unknown when the next begins


def test_the_next_waits_for_the_oldest_when_the_window_is_full():
    turns = Turns(1)
    turns.begin(0)
    assert turns.advance()
    turns.begin(1)
    assert not turns.advance()

    turns.tell(1, lambda: None, last=True)
    assert not turns.advance()
    turns.tell(0, lambda: None, last=True)

    assert turns.advance()


def test_what_is_not_due_is_told_one_by_one_when_asked(told):
    turns = Turns(3)
    turns.begin(0)
    turns.tell(0, lambda: told.append("on the way"))
    turns.tell(0, lambda: told.append("the end"), last=True)
    assert told == []

    assert turns.tell_next()
    assert told == ["on the way"]
    assert turns.tell_next()
    assert told == ["on the way", "the end"]
    assert not turns.tell_next()


def test_a_trial_that_starts_again_keeps_its_turn(told):
    turns = Turns(0)
    turns.begin(0)
    turns.begin(0)
    turns.tell(0, lambda: told.append(0), last=True)

    assert told == [0]
    assert turns.advance()


def test_a_trial_that_goes_on_after_a_pause_has_another_turn(told):
    turns = Turns(0)
    turns.begin(0)
    turns.tell(0, lambda: told.append("paused"), last=True)
    assert told == ["paused"]

    turns.begin(0)

    assert 0 in turns
    assert not turns.advance()
