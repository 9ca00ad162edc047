"""Acts on what other processes ask of the sweep, and says what came of it."""

import logging
import sqlite3
import time
from collections.abc import Callable, Mapping

from nbtune.exceptions import NbtuneError
from nbtune.store import Request, clear_requests, unanswered

__all__ = ["RequestReader", "answer_to"]

logger = logging.getLogger("nbtune")

LOOK_SECONDS = 0.2


class RequestReader:
    """Finds the requests that are new.

    The table is read only where another connection has written the store since the last look.
    """

    def __init__(self, sweep: int) -> None:
        self._sweep = sweep
        self._last = 0
        self._seen: int | None = None
        self._next_look = 0.0

    def new(self, connection: sqlite3.Connection) -> list[Request]:
        """Return what has been asked since, oldest first; a few looks a second at most."""
        now = time.monotonic()
        if now < self._next_look:
            return []
        self._next_look = now + LOOK_SECONDS
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._seen:
            return []
        if self._seen is None:
            clear_requests(connection, self._sweep)
        found = [each for each in unanswered(connection, self._sweep) if each.id > self._last]
        self._seen = version
        if found:
            self._last = found[-1].id
        return found


def answer_to(
    request: Request, acts: Mapping[str, Callable[[Request], object]]
) -> tuple[str, str] | None:
    """Do what is asked; return the error's type and message, None where there was none.

    Parameters
    ----------
    request : Request
    acts : mapping
        What to do, by verb.
    """
    act = acts.get(request.verb)
    if act is None:
        return "SweepError", f"this version of nbtune cannot {request.verb!r} a sweep from outside"
    try:
        act(request)
    except NbtuneError as error:
        return type(error).__name__, str(error)
    except Exception as error:  # what another process wrote may be of any kind
        logger.exception("a request from another process failed: %s", request.verb)
        return "SweepError", f"{request.verb} failed: {type(error).__name__}: {error}"
    return None
