"""The inbox of workers that speak through sockets: whoever asks it for events reads them itself."""

import math
import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable

from nbtune.workers.base import Event, Inbox

__all__ = ["Switchboard"]


class Switchboard(Inbox):
    """An inbox that hears connected sockets in the thread that calls `get`.

    A thread a socket would have to be woken for each frame, only to wake that one in its turn, and
    each would wait for the GIL: so the engine's process woke seven times a trial. Linux only.
    """

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._hearers: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        self._bell = os.eventfd(0)
        self._close_bell = weakref.finalize(self, os.close, self._bell)
        self._epoll.register(self._bell, select.EPOLLIN)
        # Of the bell and the register; a signal's handler may post while its thread does.
        self._lock = threading.RLock()
        self._sleeps = False

    def put(self, event: Event) -> None:
        """Post an event, from any thread."""
        with self._lock:
            self._events.append(event)
            if self._sleeps:
                self._sleeps = False
                os.eventfd_write(self._bell, 1)

    def get(self, timeout: float | None) -> Event | None:
        """Return the next event, or None after `timeout` seconds (None: wait for ever).

        Once it is closed, what is left is returned, and then None at once.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        # What is heard may be no event, or half of one.
        while not (self._events or self._epoll.closed):
            left = max(0.0, until - time.monotonic())
            self._listen(left)
            if not left:
                break
        return self._events.popleft() if self._events else None

    def _listen(self, seconds: float) -> None:
        with self._lock:
            if self._events:
                return
            self._sleeps = seconds > 0
        ready = self._epoll.poll(None if seconds == math.inf else seconds)
        with self._lock:
            self._sleeps = False
        for descriptor, _ in ready:
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
            elif (hear := self._hearers.get(descriptor)) is not None:
                hear()

    def connect(self, descriptor: int, hear: Callable[[], None]) -> None:
        """From now on call `hear` when `descriptor` can be read; it must not wait for more."""
        with self._lock:
            self._hearers[descriptor] = hear
            self._epoll.register(descriptor, select.EPOLLIN)

    def disconnect(self, descriptor: int) -> None:
        """End that, before the descriptor is closed; a call under way goes on. Idempotent."""
        with self._lock:  # two threads may do so: neither may go on to close it too early
            if self._hearers.pop(descriptor, None) is not None:
                self._epoll.unregister(descriptor)

    def close(self) -> None:
        """Free its descriptors, in the thread that calls `get`; idempotent."""
        with self._lock:
            self._sleeps = False
            self._epoll.close()
            self._close_bell()
