"""A trial's surroundings in its worker: its folder, its log, and all put back afterwards."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from nbtune.workers.guard import fflush

__all__ = ["Surroundings"]


class Surroundings:
    """What every trial finds alike: the process's output, directory, environment as they are now.

    Parameters
    ----------
    folder : Path
        The sweep's folder; trial n writes into ``folder / str(n)``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = str(folder)
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._output = os.dup(1), os.dup(2)
        self._environment = os.environ.copy()
        self._directory = str(Path.cwd())

    @contextlib.contextmanager
    def of(self, number: int) -> Iterator[None]:
        """Send all output of trial `number` to its ``log.txt``, at the level of descriptors.

        What C libraries and child processes write goes there too.
        """
        # Plain strings and calls: with pathlib this took longer than all else of a short trial.
        folder = f"{self._folder}/{number}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)  # noqa: PTH102
        log = os.open(f"{folder}/log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        try:
            yield
        finally:
            self._put_back()

    def _put_back(self) -> None:
        stdin, stdout, stderr = self._streams
        for stream in {sys.stdout, sys.stderr, stdout, stderr}:
            with contextlib.suppress(Exception):  # the trial may have closed or replaced it
                stream.flush()
        fflush()
        for descriptor, copy in zip((1, 2), self._output, strict=True):
            os.dup2(copy, descriptor)
        self._streams = stdin, _usable(stdout, 1), _usable(stderr, 2)
        sys.stdin, sys.stdout, sys.stderr = self._streams
        if os.environ.copy() != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        with contextlib.suppress(OSError):  # the folder may be gone
            os.chdir(self._directory)


def _usable(stream: TextIO, descriptor: int) -> TextIO:
    """Return the stream, or a new one on its descriptor if the trial closed it."""
    if not stream.closed:
        return stream
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
