"""The thread that brings up a pool's worker processes, and a new one wherever one is gone.

It is one permanent thread, since a worker is told to die with the thread that spawned it. Of loky
it takes the launch alone: an executor's pipe for results is open in the trial, and what is written
there is unpickled in the driver.
"""

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from nbtune.workers.guard import protect
from nbtune.workers.reaper import MARK
from nbtune.workers.slot import Slot

__all__ = ["Place", "Spawner"]

_BOOT_SECONDS = 60
_TRIES = 3  # at least, before a slot is given up
_SHORTAGE_SECONDS = 10.0  # of descriptors, processes or memory, that a slot waits out
_FIRST_PAUSE = 0.25  # seconds between two tries, twice as long each time
_SOON = 10.0  # a process that dies idle within so many seconds counts as one that failed to start
_TICK = 0.02  # seconds between two looks at processes that are coming up
_GIVE_UP = 5.0  # seconds: a process that waits for a dead disk cannot be killed
_SPARE = 8  # descriptors that a launch takes for a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a slot's processes have of this machine.

    ``environment`` comes on top of this process's own; ``cores`` are those that they are pinned
    to, none to leave that to the system.
    """

    environment: dict[str, str]
    cores: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Gone:
    """A process of a slot, which had been heard of, is dead and cleaned up after."""

    slot: Slot
    generation: int


@dataclass(slots=True)
class _Upkeep:
    """How a slot is kept supplied: its process, if there is one, and how the last tries went.

    Times are those of the monotonic clock, in seconds; infinity for what is not due.
    """

    slot: Slot
    place: Place
    process: Any = None  # loky's
    begun: float = 0.0
    due: float = 0.0  # the next try
    failures: int = 0  # in a row
    failing_since: float = 0.0


class Spawner:
    """Keeps one process for each slot.

    Parameters
    ----------
    slots : sequence of Slot
    places : sequence of Place, one a slot
    work : callable
        Makes, from a slot and a generation, what its process is to run for ever: a function and
        its arguments.
    logs : Path
        The folder for what the processes write outside trials.
    memory : int, optional
        How many bytes a trial may hold.
    prepare : callable
        Called on the thread before each launch; an error from it counts as one of the launch.
    turned_away : callable
        Says why the last process that called the driver was turned away, "" if none was.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        places: Sequence[Place],
        work: Callable[[int, int], tuple[Any, ...]],
        *,
        logs: Path,
        memory: int | None,
        prepare: Callable[[], None],
        turned_away: Callable[[], str],
    ) -> None:
        self._slots = [_Upkeep(slot, place) for slot, place in zip(slots, places, strict=True)]
        self._work = work
        self._logs = logs
        self._memory = memory
        self._prepare = prepare
        self._turned_away = turned_away
        self._orders: queue.SimpleQueue[_Gone | None] = queue.SimpleQueue()
        # Not a daemon: the interpreter's exit waits until it has ended its processes.
        self._thread = threading.Thread(target=self._run, name="nbtune-spawn", daemon=False)
        self._thread.start()

    def gone(self, slot: Slot, generation: int) -> None:
        """Take note that a process which had been heard of is dead and cleaned up after."""
        self._orders.put(_Gone(slot, generation))

    def close(self) -> None:
        """Kill all processes and wait for their end."""
        self._orders.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._keep_up()
        except Exception as error:
            for each in self._slots:
                each.slot.give_up(f"slot {each.slot.index}: {type(error).__name__}: {error}")
            raise
        finally:
            for each in self._slots:
                _end(each)

    def _keep_up(self) -> None:
        """Bring up a process for each slot, and again where one is gone, until told to close."""
        for each in self._slots:
            if each.slot.replace(0) is not None:
                self._launch(each)
        while True:
            try:
                order = self._orders.get(timeout=self._patience())
            except queue.Empty:
                self._look_around()
                continue
            if order is None:
                return
            self._on_gone(self._slots[order.slot.index], order.generation)

    def _patience(self) -> float | None:
        """Return how long to wait for orders, in seconds: for ever when there is nothing to do."""
        if any(self._is_coming_up(each) for each in self._slots):
            return _TICK
        next_try = min(each.due for each in self._slots)
        return None if next_try == float("inf") else max(0.0, next_try - time.monotonic())

    def _is_coming_up(self, each: _Upkeep) -> bool:
        return each.process is not None and not each.slot.connected

    def _look_around(self) -> None:
        """See to processes that died before they were heard of, and to tries that are due."""
        now = time.monotonic()
        for each in self._slots:
            if self._is_coming_up(each):
                silent = now - each.begun > _BOOT_SECONDS
                if silent or _has_ended(each.process.pid):
                    self._on_unheard(each, silent)
            elif each.due <= now:
                self._launch(each)

    def _on_gone(self, each: _Upkeep, generation: int) -> None:
        was_used = each.slot.replace(generation)
        if was_used is None:
            return
        lived = time.monotonic() - each.begun
        _end(each)
        if was_used or lived > _SOON:
            each.failures = 0
            self._launch(each)
        else:
            self._on_failure(each, self._why_it_died(each, "it ended before it ran a trial"))

    def _on_unheard(self, each: _Upkeep, silent: bool) -> None:
        if each.slot.replace(each.slot.generation, unclaimed=True) is None:
            return  # it is here after all
        _end(each)
        why = f"it said nothing for {_BOOT_SECONDS} s" if silent else "it ended as it came up"
        self._on_failure(each, self._why_it_died(each, why))

    def _why_it_died(self, each: _Upkeep, what: str) -> str:
        log = self._log(each.slot)
        with contextlib.suppress(OSError):
            what = f"{what}. {log.read_text(errors='replace')[-2000:].strip()}"
            log.unlink()  # the next try is told of by what it said itself
        reason = self._turned_away()
        return f"{what}\nThis process turned it away: {reason}" if reason else what

    def _on_failure(self, each: _Upkeep, why: str, *, lasting: bool = False) -> None:
        """Try again in a moment, as what was short may be there again, or give the slot up."""
        now = time.monotonic()
        if not each.failures:
            each.failing_since = now
        each.failures += 1
        pause = _FIRST_PAUSE * 2 ** (each.failures - 1)
        spent = now - each.failing_since
        if lasting or (each.failures >= _TRIES and spent + pause > _SHORTAGE_SECONDS):
            tries = f"{each.failures} tries in {spent:.0f} s: " if each.failures > 1 else ""
            each.due = float("inf")
            each.slot.give_up(
                f"slot {each.slot.index}: no worker process could be started: {tries}{why}"
            )
        else:
            each.due = now + pause

    def _log(self, slot: Slot) -> Path:
        return self._logs / f"slot-{slot.index}.log"

    def _launch(self, each: _Upkeep) -> None:
        each.due = float("inf")
        try:
            self._prepare()
            self._spawn(each)
        except Exception as error:  # noqa: BLE001 - it shows in as many ways as loky has lines
            first = _first_cause(error)
            lasting = isinstance(first, FileNotFoundError | PermissionError)
            self._on_failure(each, str(first) or type(first).__name__, lasting=lasting)

    def _spawn(self, each: _Upkeep) -> None:
        # The package first: of two threads that import it from different ends one gets half of it.
        import loky  # noqa: F401, PLC0415 - 0.1 s, not for the caller
        from loky.backend.process import LokyProcess  # noqa: PLC0415 - as above

        slot = each.slot
        _check_surroundings()
        # Processes inherit the blocked SIGINT, so that an interrupt of the kernel's process group
        # cannot hit them before they ignore it. Starting multiprocessing's tracker, as a spawn
        # does when it is not there, would unblock it again (CPython 3.11).
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        guard = os.getpid(), str(self._log(slot)), str(slot.last_words), self._memory
        process = LokyProcess(
            target=_work,
            args=((*guard, each.place.cores), *self._work(slot.index, slot.generation)),
            env={**each.place.environment, MARK: slot.token},
        )
        each.begun = time.monotonic()
        each.process = _started(process)


def _work(guard: tuple[Any, ...], serve: Callable[..., None], *arguments: Any) -> None:
    """Run in the new process."""
    protect(*guard)
    serve(*arguments)


def _started(process: Any) -> Any:
    """Launch a process of loky's; return what launched it, which has its ``pid``."""
    from loky.backend.popen_loky_posix import Popen  # noqa: PLC0415 - as above

    # Its constructor first flushes this process's standard streams: they may be closed, or None,
    # or block, and a notebook's wait for up to 10 s.
    launched = Popen.__new__(Popen)
    launched.returncode, launched._fds = None, []
    launched._launch(process)
    return launched


def _check_surroundings() -> None:
    """Raise what loky would stumble over, while it can still be told from other errors."""
    try:
        os.getcwd()  # noqa: PTH109 - no path is needed
    except FileNotFoundError as error:
        raise FileNotFoundError(
            "this process's working folder was deleted; os.chdir to one that exists"
        ) from error
    spare: list[int] = []
    try:
        spare.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_SPARE))
    finally:
        for descriptor in spare:
            os.close(descriptor)


def _first_cause(error: BaseException) -> BaseException:
    """Return what went wrong: loky meets errors of its own on the way out of the first."""
    while error.__context__ is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _has_ended(pid: int) -> bool:
    """Return whether a child has ended, and let go of its number."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:  # somebody else of this process waits for all children
        return True


def _end(each: _Upkeep) -> None:
    """Kill the slot's process, if it still lives, and wait for its end."""
    process, each.process = each.process, None
    if process is None or _has_ended(process.pid):
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)  # a supervisor: its worker dies with it
    until = time.monotonic() + _GIVE_UP
    while not _has_ended(process.pid) and time.monotonic() < until:
        time.sleep(0.002)
