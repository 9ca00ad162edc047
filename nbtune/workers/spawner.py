"""The thread that brings up a pool's worker processes, and a new one wherever one is gone.

It is one permanent thread, since a worker is told to die with the thread that spawned it.
"""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from nbtune.workers.guard import protect
from nbtune.workers.reaper import MARK
from nbtune.workers.slot import Slot

__all__ = ["Place", "Spawner"]

_BOOT_SECONDS = 60
_TRIES = 3
_SOON = 10.0  # a process that dies idle within so many seconds counts as one that failed to start


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
    """A process of a slot ended; `error` tells why when it was never heard of."""

    slot: Slot
    generation: int
    error: BaseException | None = None


class Spawner:
    """Keeps one loky executor of one process a slot.

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
    spawned : callable
        Called on the thread after each process that loky has spawned. A RuntimeError, from here or
        from loky, says that the interpreter is exiting: all processes are ended then.
    """

    def __init__(
        self,
        slots: Sequence[Slot],
        places: Sequence[Place],
        work: Callable[[int, int], tuple[Any, ...]],
        *,
        logs: Path,
        memory: int | None,
        spawned: Callable[[], None],
    ) -> None:
        self._slots = slots
        self._places = places
        self._work = work
        self._logs = logs
        self._memory = memory
        self._on_spawn = spawned
        self._orders: queue.SimpleQueue[_Gone | None] = queue.SimpleQueue()
        self._executors: dict[int, Any] = {}
        self._spawned = dict.fromkeys(range(len(slots)), 0.0)
        self._failures = dict.fromkeys(range(len(slots)), 0)
        for slot in slots:
            self._orders.put(_Gone(slot, 0))
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
        retired: list[Any] = []
        try:
            while True:
                try:
                    order = self._orders.get(timeout=self._patience(bool(retired)))
                except queue.Empty:
                    _shut_down(retired)
                    self._end_the_silent()
                    continue
                if order is None:
                    break
                self._replace(order, retired)
        except RuntimeError:
            pass  # the interpreter is exiting: nothing can be spawned any more
        finally:
            _shut_down([*retired, *self._executors.values()])

    def _patience(self, has_retired: bool) -> float | None:
        """Return how long to wait for orders, in seconds: for ever when there is nothing to do."""
        if has_retired:
            return 0.0
        starting = [self._spawned[slot.index] for slot in self._slots if not slot.connected]
        if not starting:
            return None
        return max(0.0, min(starting) + _BOOT_SECONDS - time.monotonic())

    def _end_the_silent(self) -> None:
        for slot in self._slots:
            silent = time.monotonic() - self._spawned[slot.index]
            if not slot.connected and silent >= _BOOT_SECONDS and slot.index in self._executors:
                self._spawned[slot.index] = time.monotonic()
                _shut_down([self._executors[slot.index]])  # its future then tells `_ended`

    def _replace(self, order: _Gone, retired: list[Any]) -> None:
        slot = order.slot
        was_useful = slot.used or time.monotonic() - self._spawned[slot.index] > _SOON
        if not slot.replace(order.generation, unclaimed=order.error is not None):
            return
        if slot.index in self._executors:
            retired.append(self._executors.pop(slot.index))
            self._failures[slot.index] = 0 if was_useful else self._failures[slot.index] + 1
        if self._failures[slot.index] == _TRIES:
            slot.give_up(self._why(order))
            slot.connected = True  # nothing to wait for
            return
        self._spawn(slot)

    def _why(self, order: _Gone) -> str:
        log = self._log(order.slot)
        said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        cause = (order.error and order.error.__cause__) or order.error
        detail = "\n".join(text for text in (str(cause or "").strip(), said.strip()) if text)
        return (
            f"slot {order.slot.index}: its worker process ended {_TRIES} times in a row before it "
            f"ran a trial. {detail or 'It left no message; is there enough memory?'}"
        )

    def _log(self, slot: Slot) -> Path:
        return self._logs / f"slot-{slot.index}.log"

    def _spawn(self, slot: Slot) -> None:
        from loky import ProcessPoolExecutor  # noqa: PLC0415 - 0.1 s, not in the caller's thread
        from loky.backend.context import LokyContext  # noqa: PLC0415 - as above

        # Processes inherit the blocked SIGINT, so that an interrupt of the kernel's process group
        # cannot hit them before they ignore it. Starting multiprocessing's tracker, as a spawn
        # does when it is not there, would unblock it again (CPython 3.11).
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        place = self._places[slot.index]
        executor = ProcessPoolExecutor(
            max_workers=1,
            timeout=None,
            # By name it would be joblib's copy of loky once joblib is imported: scikit-learn does
            # so, and then every worker imports joblib and NumPy.
            context=LokyContext(),
            env={**place.environment, MARK: slot.token},
            initializer=protect,
            initargs=(
                os.getpid(),
                str(self._log(slot)),
                str(slot.last_words),
                self._memory,
                place.cores,
            ),
        )
        self._executors[slot.index] = executor
        self._spawned[slot.index] = time.monotonic()
        future = executor.submit(*self._work(slot.index, slot.generation))
        future.add_done_callback(partial(self._ended, slot, slot.generation))
        self._on_spawn()

    def _ended(self, slot: Slot, generation: int, future: Future[Any]) -> None:
        """Note that a process is dead; counts only if it was never heard of."""
        error = future.exception() or RuntimeError("it returned")
        self._orders.put(_Gone(slot, generation, error))


def _shut_down(executors: list[Any]) -> None:
    """Kill the executors' processes, if they still live, and end their threads."""
    while executors:
        executors.pop().shutdown(wait=True, kill_workers=True)
    multiprocessing.active_children()  # lets go of those that ended, and of their semaphores
