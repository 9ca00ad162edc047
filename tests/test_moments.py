"""No two things that a scheduler is told happen at the same moment."""

import pytest

from nbtune.engine.moments import Moments
from nbtune.workers.simulated import VirtualInbox


@pytest.fixture
def inbox():
    inbox = VirtualInbox()
    inbox.go_on_from(10.0)
    return inbox


def test_what_is_heard_later_has_a_later_moment(inbox):
    moments = Moments(inbox)

    given = [moments.at(time) for time in (5.0, 5.0, 3.0, 7.0)]

    assert given[0] == 5.0
    assert given == sorted(set(given))
    assert given[1:3] == pytest.approx([5.0, 5.0])
    assert given[3] == 7.0


def test_a_clock_that_is_ahead_is_not_believed(inbox):
    assert Moments(inbox).at(1000.0) == 10.0


def test_after_a_restart_all_comes_after_what_was_told_before():
    inbox = VirtualInbox()
    moments = Moments(inbox)

    moments.go_on_from(20.0)

    assert inbox.now() == 20.0
    assert moments.at(15.0) > 20.0
