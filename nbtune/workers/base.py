"""What runs trials: the contract between the engine and every kind of worker.

The engine calls; workers answer by posting events to the engine's inbox. Every method returns at
once. Each trial that was started ends with exactly one `Ended`.
"""

import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from nbtune.decision import Decision
from nbtune.trial import Failure, Params, Report

__all__ = [
    "MOST_SLOTS",
    "Assignment",
    "Ended",
    "Event",
    "Inbox",
    "Job",
    "Reported",
    "SlotGone",
    "SlotReady",
    "Warned",
    "Workers",
]

MOST_SLOTS = 4096
"""How many slots there can be at once: each is a process, or a thread, with its connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all trials of a sweep share.

    ``call`` takes params (a dict) and returns what the user's code returns. ``payload`` is a file
    from which another process loads a fresh ``call`` for each trial (`objective.payload`), ``data``
    the folders in which it finds large buffers.
    ``preparation`` is what worker processes do before trials (`objective.preparation`), ``setup``
    the user's part of it, for workers of this process.
    ``result_metric`` names a bare number that the objective returns. ``folder`` is the sweep's own:
    trial n writes into ``folder / str(n)``.
    """

    call: Callable[[Params], Any]
    payload: Path | None
    step_name: str
    result_metric: str
    folder: Path
    seed: int
    data: tuple[Path, ...] = ()
    preparation: bytes = b""
    setup: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One trial to run.

    ``milestone`` is a step, None when nothing will be asked. Reports up to step ``known_until``
    came in an earlier run of the trial: they are not posted again.
    """

    number: int
    params: Params
    milestone: int | None = None
    known_until: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotReady:
    """A slot can take a trial: posted once when its process is up, and again after each `Ended`."""

    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotGone:
    """A slot that was ready is no more: its machine left.

    A trial that it was given meanwhile waits for the next slot that comes free.
    """

    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """Reports of one trial, oldest first; ``waiting`` when it awaits a decision on the last one.

    None at all say that it tried to report after it had been told to end: it goes on.
    """

    number: int
    reports: list[Report]
    waiting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A trial is over.

    ``how``: "returned" (``result`` holds the metrics of what it returned, empty for None),
    "stopped" (it obeyed a `Stop` or a ``stop()``), "completed" (it obeyed a `Complete`),
    "raised" (``failure``), "died" (the process ended under it: ``failure`` says how),
    "killed" (by ``kill()``).
    """

    number: int
    slot: int
    how: Literal["returned", "stopped", "completed", "raised", "died", "killed"]
    time: float
    result: dict[str, float] | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something that does not work as meant, though trials go on: shown to the user once.

    ``code`` is a short fixed name of its kind, ``text`` a sentence.
    """

    code: str
    text: str


Event: TypeAlias = Any
"""One of the classes above, or whatever else the engine itself posts to its inbox."""


class Inbox:
    """The engine's queue on real time; `Simulated` workers bring one on virtual time."""

    virtual = False

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def put(self, event: Event) -> None:
        """Post an event, from any thread."""
        self._queue.put(event)

    def get(self, timeout: float | None) -> Event | None:
        """Return the next event, or None after `timeout` seconds (None: wait for ever)."""
        try:
            return (
                self._queue.get(timeout=timeout)
                if timeout is None or timeout > 0
                else (self._queue.get_nowait())
            )
        except queue.Empty:
            return None

    def now(self) -> float:
        """Return the time in seconds since the epoch."""
        return time.time()

    def clock(self) -> float:
        """Return seconds since some moment: for durations, whatever becomes of the time of day."""
        return time.monotonic()

    def stand_for(self, settled: Callable[[float], bool]) -> None:
        """Let virtual time stand until another thread is through; real time goes on."""

    def go_on_from(self, moment: float) -> None:
        """Learn when the past of a sweep that is resumed ended; real time needs no telling."""


class Workers(ABC):
    """A set of slots that run trials, one at a time each."""

    slots: int
    """How many trials may run at once; it changes while workers join and leave."""

    elastic: bool = False
    """Whether workers may join and leave."""

    in_processes: bool = True
    """Whether each trial has a process that can be killed when it does not end as it was told."""

    def inbox(self) -> Inbox:
        """Return the inbox that the engine should use with these workers."""
        return Inbox()

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Import ahead what `open` will need; called on a thread while the payload is written."""

    @abstractmethod
    def open(self, job: Job, inbox: Inbox) -> None:
        """Begin to bring up the slots; each posts `SlotReady` when it can take a trial.

        A slot that cannot come up posts an exception (a `WorkerError`) instead.
        """

    @abstractmethod
    def start(self, slot: int, assignment: Assignment) -> None:
        """Run a trial on a slot that is ready."""

    def has_room(self, running: int) -> bool:
        """Return whether a trial may start on a free slot beside those that are `running`.

        Asked again and again, at least once a second: other sweeps may want the same machine.
        """
        return True

    @property
    def remark(self) -> str:
        """What is to be added to the plan just now; empty when there is nothing."""
        return ""

    @abstractmethod
    def answer(self, number: int, decision: Decision) -> None:
        """Send the decision that trial `number` waits for."""

    @abstractmethod
    def stop(self, number: int, reason: str) -> None:
        """Ask a running trial to stop: it ends at its next report."""

    @abstractmethod
    def kill(self, number: int) -> None:
        """End a running trial now, with all its child processes; its slot comes back by itself."""

    @abstractmethod
    def close(self) -> None:
        """Kill what runs and free everything; idempotent, leaves nothing behind. Posts nothing."""

    def describe(self) -> str:
        """Return the plan in a few words, "2 slots, 1 core each"."""
        return f"{self.slots} slot{'s' * (self.slots != 1)}"
