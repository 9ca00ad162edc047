"""Hands the engine's events to subscribers, in a thread that may be slow without harm."""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Announcer"]

logger = logging.getLogger("nbtune")


class Announcer:
    """A list of callbacks and the thread that calls them, begun with the first."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Any], None]] = []
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()

    @property
    def heard(self) -> bool:
        """Whether anyone listens: when not, events need not be made."""
        return bool(self._callbacks)

    def subscribe(self, callback: Callable[[Any], None]) -> None:
        """Call `callback` with each event from now on."""
        self._callbacks.append(callback)
        if len(self._callbacks) == 1:
            threading.Thread(target=self._run, name="nbtune-callbacks", daemon=True).start()

    def announce(self, event: Any) -> None:
        """Pass an event on; returns at once."""
        if self._callbacks:
            self._events.put(event)

    def close(self) -> None:
        """End the thread after what has been announced."""
        self._events.put(None)

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            for callback in self._callbacks:
                try:
                    callback(event)
                except Exception:
                    logger.exception("a callback failed on %s", type(event).__name__)
