"""The warnings of one sweep: each said once, a bounded number of them kept."""

import logging
import threading
from collections.abc import Iterable

from nbtune.sweep_warning import SweepWarning

__all__ = ["MOST_WARNINGS", "WarningLog"]

logger = logging.getLogger("nbtune")

MOST_WARNINGS = 100
_MOST_CHARACTERS = 1000


class WarningLog:
    """Takes warnings from any thread, logs each once, and hands on what is not yet stored.

    Parameters
    ----------
    sweep : str
        The sweep's name, for the log.
    earlier : iterable of SweepWarning
        Those that are stored already; they are not said again.
    """

    def __init__(self, sweep: str, earlier: Iterable[SweepWarning] = ()) -> None:
        self._sweep = sweep
        self._kept = {(each.code, each.text): each for each in earlier}
        self._unwritten: list[SweepWarning] = []
        self._lock = threading.Lock()

    @property
    def kept(self) -> tuple[SweepWarning, ...]:
        """All so far, oldest first; at most `MOST_WARNINGS` and one that says so."""
        with self._lock:
            return tuple(self._kept.values())

    def add(self, code: str, text: str, time: float) -> bool:
        """Take a warning; return whether it is new."""
        if len(text) > _MOST_CHARACTERS:
            text = text[: _MOST_CHARACTERS - 1] + "…"
        with self._lock:
            if (code, text) in self._kept or len(self._kept) > MOST_WARNINGS:
                return False
            if len(self._kept) == MOST_WARNINGS:
                code = "more-warnings"
                text = f"there were more than {MOST_WARNINGS} warnings; further ones are not kept"
            warning = SweepWarning(time, code, text)
            self._kept[code, text] = warning
            self._unwritten.append(warning)
        logger.warning("%s: %s", self._sweep, text)
        return True

    def take_unwritten(self) -> list[SweepWarning]:
        """Return those that nobody has taken yet, to be stored now."""
        with self._lock:
            taken, self._unwritten = self._unwritten, []
        return taken
