"""The process between the driver and a worker: it cleans up after whatever a trial does.

It runs none of the user's code. All that a trial starts stays below it in the tree of processes,
also what daemonises, for it adopts orphans: when the worker or the driver has died, it ends all
that is left there. Meanwhile it sees to it that memory and log stay within their limits.
"""

import contextlib
import ctypes
import gc
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from nbtune.workers.memory import Holdings, fullness, oom_kills
from nbtune.workers.reaper import descendants, processes, signal_all
from nbtune.workers.triallog import shorten

__all__ = ["LastWords", "adopt_orphans", "die_with_parent", "supervise"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)

_SIGNALS = {signal.SIGCHLD, signal.SIGTERM}
_TICK = 0.1  # seconds between two looks at a trial's memory and log
_SELDOM = 10  # ticks between two looks at the machine's memory
_GIVE_UP = 5.0  # seconds: a process that waits for a dead disk cannot be killed
_OOM_SCORE = "1000"  # of a worker: where memory runs out the kernel kills it first, not the driver


@dataclass(frozen=True, slots=True, kw_only=True)
class LastWords:
    """What a supervisor leaves in a file about the end of its worker.

    ``status`` is as `os.waitpid` gives it, None when the worker could not be killed; ``used`` is
    what it and its children held when they were over the limit, else 0; ``fullness`` is the share
    of the machine's memory in use shortly before; ``oom_kills`` counts the processes that the
    kernel has killed for want of memory meanwhile.
    """

    status: int | None = None
    used: int = 0
    fullness: float = 0.0
    oom_kills: int = 0

    @classmethod
    def read(cls, path: Path) -> "LastWords | None":
        """Return what the file holds, and remove it; None when the supervisor died wordless.

        Raises
        ------
        OSError
            When it cannot be read, for want of a free descriptor.
        """
        try:
            text = path.read_text()
            path.unlink()
            return cls(**json.loads(text))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def die_with_parent(number: signal.Signals) -> None:
    """Have this process sent a signal when the thread that started it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of each descendant whose own parent has ended."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def supervise(driver: int, last_words: str, memory: int | None) -> None:
    """Turn this process, a child of `driver`, into the supervisor of a fork of it.

    Returns in the fork, the worker, which leads a session of its own. The supervisor ends once
    the worker and all that it started have ended.

    Parameters
    ----------
    driver : int
    last_words : str
        The file for the supervisor's `LastWords`.
    memory : int, optional
        How many bytes the worker and all that it started may hold.
    """
    adopt_orphans()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    supervisor = os.getpid()
    gc.freeze()  # no collection will write to, and so copy, the pages that the two share
    worker = os.fork()
    if worker:
        gc.disable()
        _Supervisor(driver, worker, last_words, memory).run()
    os.setsid()
    die_with_parent(signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)
    adopt_orphans()  # so that a trial's end can tell what it left, without a look at all processes
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


class _Supervisor:
    def __init__(self, driver: int, worker: int, last_words: str, memory: int | None) -> None:
        self._driver = driver
        self._worker = worker
        self._last_words = last_words
        self._memory = memory
        self._status: int | None = None  # of the worker, once it is dead
        self._used = 0
        self._fullness = 0.0
        self._oom_kills = oom_kills()
        self._ticks = 0
        self._family: set[int] = {worker}
        self._scan_at = 0.0
        self._holdings = Holdings()

    def run(self) -> NoReturn:
        """Watch until the worker or the driver is dead, or memory is over; then end the rest."""
        try:
            while not self._is_over():
                with contextlib.suppress(OSError):  # out of descriptors: look again in a moment
                    self._look()
        finally:
            try:
                self._end_all()
                self._write()
            finally:
                os._exit(0)

    def _is_over(self) -> bool:
        """Wait a moment; return whether there is no sense in going on."""
        told = signal.sigtimedwait(_SIGNALS, _TICK)
        if told is not None and told.si_signo == signal.SIGTERM:
            return True
        self._reap()
        return self._status is not None or self._used > 0 or os.getppid() != self._driver

    def _reap(self) -> bool:
        """Take note of the children that have ended; return whether there are others."""
        try:
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._worker:
                    self._status = found[1]
        except ChildProcessError:
            return False
        return True

    def _end_all(self) -> None:
        until = time.monotonic() + _GIVE_UP
        if self._status is None:
            signal_all([self._worker], signal.SIGKILL)
        while self._reap() and time.monotonic() < until:
            signal_all(descendants([os.getpid()], processes()), signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, 0.005)

    def _write(self) -> None:
        words = LastWords(
            status=self._status,
            used=self._used,
            fullness=self._fullness,
            oom_kills=oom_kills() - self._oom_kills,
        )
        Path(self._last_words).write_text(json.dumps(asdict(words)))

    # --- limits

    def _look(self) -> None:
        self._ticks += 1
        if self._ticks % _SELDOM == 1:
            self._fullness = fullness()
        if self._memory is not None:
            used = self._held(self._memory)
            if used > self._memory:
                self._used = used
        shorten(f"/proc/{self._worker}/fd/1")

    def _held(self, limit: int) -> int:
        """Return what the worker and all that it started hold."""
        now = time.monotonic()
        if now >= self._scan_at:
            self._family = descendants([os.getpid()], processes())
            # At most 1 % of a core goes into looking for new processes.
            self._scan_at = now + max(0.5, 100 * (time.monotonic() - now))
        return self._holdings.of(self._family, limit)
