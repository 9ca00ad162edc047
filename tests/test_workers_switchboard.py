"""The inbox that reads the workers' sockets."""

import os
import socket
import threading
import time

import pytest
from driving import PATIENCE

from nbtune.workers.channel import Link
from nbtune.workers.switchboard import Switchboard


@pytest.fixture
def switchboard():
    switchboard = Switchboard()
    yield switchboard
    switchboard.close()


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Link(ours), Link(theirs)


def listen(switchboard, link):
    """Have the frames of a link posted."""

    def hear():
        for frame in link.receive(wait=False):
            switchboard.put((frame, threading.get_ident()))

    switchboard.connect(link.fileno(), hear)


def test_a_socket_is_read_by_the_thread_that_asks(switchboard, pair):
    ours, theirs = pair
    listen(switchboard, ours)

    theirs.send(b"one")

    assert switchboard.get(PATIENCE) == (b"one", threading.get_ident())


def test_what_another_thread_posts_wakes_whoever_waits(switchboard):
    threading.Timer(0.2, switchboard.put, ["posted"]).start()

    assert switchboard.get(None) == "posted"


def test_events_come_in_the_order_in_which_they_were_posted(switchboard):
    def post(start):
        for number in range(start, 3000, 3):
            switchboard.put(number)

    threads = [threading.Thread(target=post, args=(start,)) for start in range(3)]
    for thread in threads:
        thread.start()
    heard = [switchboard.get(PATIENCE) for _ in range(3000)]

    assert sorted(heard) == list(range(3000))
    for start in range(3):
        mine = [number for number in heard if number % 3 == start]
        assert mine == sorted(mine)


def test_half_a_frame_is_no_event(switchboard, pair):
    ours, theirs = pair
    listen(switchboard, ours)
    began = time.monotonic()

    theirs._sock.send(b"\0\0\0\3on")

    assert switchboard.get(0) is None
    assert switchboard.get(0.2) is None
    assert time.monotonic() - began >= 0.2


def test_a_socket_that_was_disconnected_is_left_unread(switchboard, pair):
    ours, theirs = pair
    listen(switchboard, ours)
    switchboard.disconnect(ours.fileno())
    switchboard.disconnect(ours.fileno())

    theirs.send(b"one")

    assert switchboard.get(0) is None
    assert ours.receive() == [b"one"]


def test_closing_frees_all_descriptors():
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts, nothing else
    switchboard = Switchboard()

    switchboard.close()
    switchboard.close()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_what_was_posted_is_there_after_closing(switchboard):
    switchboard.put("before")
    switchboard.close()
    switchboard.put("after")

    assert [switchboard.get(PATIENCE) for _ in range(3)] == ["before", "after", None]
