"""A trial's surroundings in its worker: its folder, its log, and all put back afterwards."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from nbtune.workers.guard import fflush

__all__ = ["captured"]


@contextlib.contextmanager
def captured(folder: Path) -> Iterator[None]:
    """Send all output to ``folder / "log.txt"``, at the level of file descriptors.

    What C libraries and child processes write goes there too. On the way out the output, the
    working directory and the environment are as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    streams = sys.stdin, sys.stdout, sys.stderr
    environment = os.environ.copy()
    directory = os.getcwd()  # noqa: PTH109 - one system call, pathlib takes three times as long
    saved = os.dup(1), os.dup(2)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    try:
        yield
    finally:
        for stream in {sys.stdout, sys.stderr, *streams[1:]}:
            with contextlib.suppress(Exception):  # the trial may have closed or replaced it
                stream.flush()
        fflush()
        for descriptor, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        sys.stdin, sys.stdout, sys.stderr = (
            streams[0],
            _usable(streams[1], 1),
            _usable(streams[2], 2),
        )
        if os.environ.copy() != environment:
            os.environ.clear()
            os.environ.update(environment)
        with contextlib.suppress(OSError):  # the folder may be gone
            os.chdir(directory)


def _usable(stream: TextIO, descriptor: int) -> TextIO:
    """Return the stream, or a new one on its descriptor if the trial closed it."""
    if not stream.closed:
        return stream
    return open(
        descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
    )
