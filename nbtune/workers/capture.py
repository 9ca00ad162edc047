"""A trial's surroundings in its worker: its folder, its log, and all put back afterwards."""

import contextlib
import multiprocessing
import os
import random
import signal
import sys

# What `signal.getsignal` calls before it makes enums: for all signals 1 us instead of 28.
from _signal import getsignal  # type: ignore[import-not-found]
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from nbtune.workers.guard import fflush
from nbtune.workers.triallog import shorten

__all__ = ["Surroundings", "seed_generators"]

_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_TIMERS = signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF


class Surroundings:
    """What every trial finds alike: the process as it is now.

    Its streams, directory, environment and umask, its signal handlers, mask and timers,
    multiprocessing's start method.

    ``served`` counts the trials that have ended here.

    Parameters
    ----------
    folder : Path
        The sweep's folder; trial n writes into ``folder / str(n)``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = str(folder)
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._descriptors = os.dup(0), os.dup(1), os.dup(2)
        self._environ = os.environ
        self._environment = os.environ.copy()
        self._variables = _encoded(os.environ).copy()
        self._directory = str(Path.cwd())
        self._handlers = [getsignal(number) for number in _SIGNALS]
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        # loky makes itself the way that a worker's own processes start: a trial finds Python's.
        multiprocessing.set_start_method(None, force=True)
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self.served = 0

    @contextlib.contextmanager
    def of(self, number: int) -> Iterator[None]:
        """Send all output of trial `number` to its ``log.txt``, at the level of descriptors.

        What C libraries and child processes write goes there too.
        """
        # Plain strings and calls: with pathlib this took longer than all else of a short trial.
        folder = f"{self._folder}/{number}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)  # noqa: PTH102
        log = os.open(f"{folder}/log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        try:
            yield
        finally:
            self.served += 1
            self._put_back_streams()
            self._put_back_process()
            self._put_back_signals()
            shorten(f"{folder}/log.txt")

    def _put_back_streams(self) -> None:
        stdin, stdout, stderr = self._streams
        for stream in {sys.stdout, sys.stderr, stdout, stderr}:
            with contextlib.suppress(Exception):  # the trial may have closed or replaced it
                stream.flush()
        fflush()
        for descriptor, copy in enumerate(self._descriptors):
            os.dup2(copy, descriptor)
        self._streams = stdin, _usable(stdout, 1), _usable(stderr, 2)
        sys.stdin, sys.stdout, sys.stderr = self._streams

    def _put_back_process(self) -> None:
        os.environ = self._environ  # noqa: B003 - the trial may have put another in its place
        if _encoded(os.environ) != self._variables:
            os.environ.clear()
            os.environ.update(self._environment)
        with contextlib.suppress(OSError):  # the folder may be gone
            os.chdir(self._directory)
        os.umask(self._umask)
        multiprocessing.set_start_method(None, force=True)

    def _put_back_signals(self) -> None:
        """Undo what could end or disturb a later trial, an alarm that is still set above all."""
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            # None is a handler that C code has set: it can be neither compared nor set again.
            if getsignal(number) is not handler and handler is not None:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def _encoded(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return what an environment holds as it holds it: to decode it takes 17 us each time."""
    variables: dict[bytes, bytes] = vars(environment)["_data"]
    return variables


def seed_generators(seed: int) -> None:
    """Start the global generators of this process anew, whatever the last trial did with them.

    Those of Python and, where it has been imported, of NumPy.
    """
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)


def _usable(stream: TextIO, descriptor: int) -> TextIO:
    """Return the stream, or a new one on its descriptor if the trial closed it."""
    if not stream.closed:
        return stream
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
