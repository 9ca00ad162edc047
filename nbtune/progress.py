"""A sweep in one line: how far it is, what it has found, and when it will be done."""

import contextlib
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Protocol, TextIO

from nbtune.ended_by import EndedBy
from nbtune.engine import Snapshot, SweepStatus
from nbtune.trial import Goal, Trial

__all__ = ["Described", "ProgressLine", "described", "duration", "state_and_why"]

LOG_SECONDS = 30.0
"""How often a line is written where it cannot be written over: into a file or a pipe."""


class Described(Protocol):
    """What a line about a sweep says: a `Snapshot`, or what answers from the store."""

    @property
    def status(self) -> SweepStatus:
        """Where it stands."""

    @property
    def reason(self) -> str:
        """Why it stands there."""

    @property
    def ended_by(self) -> EndedBy | None:
        """What ended it, as data."""

    @property
    def progress(self) -> str:
        """How many trials are over."""

    @property
    def goals(self) -> tuple[Goal, ...]:
        """Each objective."""

    @property
    def front(self) -> Sequence[Trial]:
        """The trials that none is better than, the best in the first objective first."""


def described(sweep: Described) -> str:
    """Return where a sweep stands: "running, 12 of 60 trials, best loss 0.021 in trial 7"."""
    state, reason = state_and_why(sweep)
    why = f" ({reason})" if reason else ""
    return f"{state}{why}, {sweep.progress}{_found(sweep.goals, sweep.front)}"


def state_and_why(sweep: Described) -> tuple[str, str]:
    """Return where a sweep stands and why, ``("failed", "all 3 trials failed")``.

    The reason is empty where the state has it already, "stopped by you", or the progress, "60 of
    60 trials".
    """
    by = sweep.ended_by
    if by is not None and by.by_hand:
        return sweep.reason if sweep.status is SweepStatus.STOPPED else str(sweep.status), ""
    is_told = by is not None and by.limit == "trials" and sweep.status is SweepStatus.COMPLETED
    return str(sweep.status), "" if is_told else sweep.reason


def _found(goals: Sequence[Goal], front: Sequence[Trial]) -> str:
    if len(goals) > 1:
        return f", {len(front)} on the Pareto front"
    if not front:
        return ""
    best, goal = front[0], goals[0]
    return f", best {goal.metric} {best.value_for(goal):.4g} in trial {best.number}"


class ProgressLine:
    """Writes how a sweep stands to stderr, while somebody waits for it.

    On a terminal it is one line, written anew as the sweep goes on; elsewhere a line now and then,
    and the last.
    """

    def __init__(self) -> None:
        self._shown = ""
        self._next = time.monotonic() + LOG_SECONDS
        self._open = False  # on a terminal: the line has not been ended

    def show(self, snapshot: Snapshot) -> None:
        """Write the line, if it is time and there is anything new."""
        text = f"{snapshot.name}: {described(snapshot)}{_times(snapshot)}"
        stream, ended = sys.stderr, snapshot.status.ended
        if stream is None or text == self._shown:
            return
        with contextlib.suppress(OSError, ValueError):  # a closed stream is nobody's loss
            if stream.isatty():
                self._shown = text
                self._write_over(stream, text)
                if ended:
                    self.leave()
            elif ended or time.monotonic() >= self._next:
                self._shown, self._next = text, time.monotonic() + LOG_SECONDS
                stream.write(f"{text}\n")
                stream.flush()

    def leave(self) -> None:
        """End the line, so that what comes next is written below it."""
        if self._open and sys.stderr is not None:
            self._open = False
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write("\n")
                sys.stderr.flush()

    def _write_over(self, stream: TextIO, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1  # a full line would begin the next
        self._open = True
        stream.write("\r\x1b[K" + (text if len(text) <= width else f"{text[: width - 1]}…"))
        stream.flush()


def _times(snapshot: Snapshot) -> str:
    left = snapshot.remaining
    if left is None or snapshot.status.ended:
        return f", {duration(snapshot.elapsed)}"
    return f", {duration(snapshot.elapsed)} and about {duration(left)} left"


def duration(seconds: float) -> str:
    """Return seconds as "0:41", "12:03" or "3:07:45"."""
    minutes, left = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"
