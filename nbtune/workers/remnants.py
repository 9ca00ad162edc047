"""What a trial leaves running in its worker: its child processes end, its threads are told of."""

import contextlib
import gc
import multiprocessing.process
import os
import signal
import sys
import threading
import time

from nbtune.workers.memory import anonymous_memory
from nbtune.workers.reaper import descendants, processes, signal_all

__all__ = ["Remnants"]

_PATIENCE = 0.1  # seconds for threads that are about to end
# Kept for the next trial: loky's reusable workers and what multiprocessing helps itself with.
_KEPT = (b"popen_loky_posix", b"resource_tracker", b"forkserver")


class Remnants:
    """Made as a trial begins; says at its end whether the process may take another.

    Parameters
    ----------
    memory : int, optional
        How many bytes a trial may hold.
    """

    def __init__(self, memory: int | None) -> None:
        self.threads = frozenset(threading.enumerate())
        self._memory = memory

    def end(self, reporting: set[int]) -> bool:
        """End the trial's child processes; return whether its worker should end too.

        It should where a thread goes on that is not a daemon's or has reported, and where half of
        the memory that a trial may hold is taken already.

        Parameters
        ----------
        reporting : set of int
            The identifiers of the threads, other than its own, that have reported.
        """
        if _has_children():
            _end_children()
        threads = [
            thread
            for thread in threading.enumerate()
            if thread not in self.threads
            and (not (thread.daemon or _keeps_processes(thread)) or thread.ident in reporting)
        ]
        return bool(threads and _go_on(threads)) or self._is_full()

    def _is_full(self) -> bool:
        if self._memory is None or anonymous_memory(os.getpid()) < self._memory / 2:
            return False
        gc.collect()
        return anonymous_memory(os.getpid()) >= self._memory / 2


def _keeps_processes(thread: threading.Thread) -> bool:
    """Whether the thread belongs to an executor of loky's."""
    return type(thread).__module__.endswith("loky.process_executor")


def _go_on(threads: list[threading.Thread]) -> bool:
    """Return whether one of them still runs after a moment."""
    gc.collect()  # an executor that nobody holds any more lets its threads go
    until = time.monotonic() + _PATIENCE
    for thread in threads:
        # A thread that a library started, not Python, cannot be waited for.
        if not isinstance(thread, threading._DummyThread):
            thread.join(max(0.0, until - time.monotonic()))
    names = [thread.name for thread in threads if thread.is_alive()]
    if names:
        sys.stderr.write(f"nbtune: the trial is over but not its thread {names[0]!r}: ended\n")
    return bool(names)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _end_children() -> None:
    """Kill all below this process but what libraries keep for the next call, and reap them.

    Kept are loky's reusable workers and multiprocessing's own helpers.
    """
    mine, own = os.getpid(), _command(os.getpid())
    known = {child.pid for child in multiprocessing.process._children}  # type: ignore[attr-defined]
    for _ in range(50):
        table = processes()
        children = {pid for pid, process in table.items() if process.parent == mine}
        kept = {pid for pid in children if _is_kept(_command(pid), own)}
        spared = kept | descendants(kept, table)
        ended = descendants([mine], table) - spared
        for pid in children - spared:
            if table[pid].is_zombie and pid not in known:
                _reap(pid)
        ended = {pid for pid in ended if not table[pid].is_zombie}
        if not ended:
            return
        signal_all(ended, signal.SIGKILL)
        time.sleep(0.002)


def _is_kept(command: bytes, own: bytes) -> bool:
    # A fork of this process has the same command line; it is no worker of loky's.
    return command != own and any(word in command for word in _KEPT)


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - as in `reaper`
            return file.read()
    except OSError:
        return b""


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):  # whoever started it was faster
        os.waitpid(pid, os.WNOHANG)
