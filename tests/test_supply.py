"""Suggestions ready ahead of need, and the end of them."""

from collections import deque

from nbtune.engine.supply import Supply
from nbtune.engine.thinker import Suggested


class Asked:
    """Stands for the thinker: notes what it is asked."""

    def __init__(self):
        self.indices = deque()

    def ask(self, index):
        self.indices.append(index)


def answer(params, pending=0):
    return Suggested(params=params, pending=pending)


def test_without_prefetch_it_asks_when_a_slot_needs_one():
    thinker = Asked()
    supply = Supply(thinker, 0)

    supply.ask(None, needed=False)
    assert not thinker.indices
    supply.ask(None, needed=True)
    supply.receive(answer({"x": 1}))
    supply.ask(None, needed=True)

    assert list(thinker.indices) == [0]
    assert supply.take() == (0, {"x": 1}, "")


def test_it_asks_for_one_at_a_time_until_enough_are_ready():
    thinker = Asked()
    supply = Supply(thinker, 2)
    for _ in range(3):
        supply.ask(None, needed=False)
    supply.receive(answer({"x": 1}))
    supply.ask(None, needed=False)
    supply.receive(answer({"x": 2}))
    supply.ask(None, needed=False)

    assert list(thinker.indices) == [0, 1]
    assert [supply.take(), supply.take(), supply.take()] == [
        (0, {"x": 1}, ""),
        (1, {"x": 2}, ""),
        None,
    ]


def test_it_asks_for_no_more_than_there_is_room_for():
    thinker = Asked()
    supply = Supply(thinker, 8)
    supply.ask(1, needed=False)
    supply.receive(answer({"x": 1}))

    supply.ask(1, needed=False)

    assert list(thinker.indices) == [0]


def test_nothing_now_is_asked_again_after_a_result_under_the_same_index():
    thinker = Asked()
    supply = Supply(thinker, 1)
    supply.ask(None, needed=False)
    supply.receive(answer(None, pending=1))
    supply.ask(None, needed=False)
    assert list(thinker.indices) == [0]

    supply.result_came()
    supply.ask(None, needed=False)

    assert list(thinker.indices) == [0, 0]
    assert not supply.exhausted


def test_a_result_that_overtakes_the_answer_is_not_lost():
    thinker = Asked()
    supply = Supply(thinker, 1)
    supply.ask(None, needed=False)
    supply.result_came()
    supply.receive(answer(None, pending=1))

    supply.ask(None, needed=False)

    assert list(thinker.indices) == [0, 0]


def test_nothing_with_nothing_pending_is_the_end():
    supply = Supply(Asked(), 1)
    supply.ask(None, needed=False)

    supply.receive(answer(None))

    assert supply.exhausted


def test_the_end_has_the_searchers_reason():
    supply = Supply(Asked(), 1)
    supply.ask(None, needed=False)

    supply.receive(Suggested(params=None, pending=0, reason="2 of 2 rounds"))

    assert supply.end_reason == "2 of 2 rounds"
