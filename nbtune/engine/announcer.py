"""Hands the engine's events to subscribers, in a thread that may be slow without harm."""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Announcer"]

logger = logging.getLogger("nbtune")


class Announcer:
    """A list of callbacks and the thread that calls them, begun with the first.

    Parameters
    ----------
    warn : callable
        Called as ``warn(code, text)`` when a callback raises, returns whether that is new; the
        others are called all the same.
    """

    def __init__(self, warn: Callable[[str, str], bool]) -> None:
        self._warn = warn
        self._callbacks: list[Callable[[Any], None]] = []
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._beginning = threading.Lock()
        self._begun = False

    @property
    def heard(self) -> bool:
        """Whether anyone listens: when not, events need not be made."""
        return bool(self._callbacks)

    def subscribe(self, callback: Callable[[Any], None]) -> None:
        """Call `callback` with each event from now on; from any thread."""
        with self._beginning:
            self._callbacks.append(callback)
            if not self._begun:
                self._begun = self._begin()

    def _begin(self) -> bool:
        thread = threading.Thread(target=self._run, name="nbtune-callbacks", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no thread is to be had now; perhaps for the next callback
            self._warn("callbacks-not-called", f"callbacks are not called: {error}")
            return False
        return True

    def announce(self, event: Any) -> None:
        """Pass an event on; returns at once."""
        if self._callbacks:
            self._events.put(event)

    def close(self) -> None:
        """End the thread after what has been announced."""
        self._events.put(None)

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            for callback in [*self._callbacks]:
                self._call(callback, event)

    def _call(self, callback: Callable[[Any], None], event: Any) -> None:
        # A callback may raise anything, SystemExit too: the thread is for the others as well.
        try:
            callback(event)
        except BaseException as error:
            name = getattr(callback, "__qualname__", type(callback).__name__)
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            if self._warn("callback-failed", f"the callback {name} raised {said}"):
                logger.warning("where it raised:", exc_info=True)
