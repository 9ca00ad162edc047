"""What every worker process does before all else, so that it never outlives or disturbs its driver.

It has a session of its own (a kill of its group takes its children along), leaves the keyboard's
interrupt to the driver, and works under a supervisor that ends it with the driver, even inside C
code that holds the GIL.
"""

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
from collections.abc import Collection

from nbtune.workers.supervisor import die_with_parent, supervise

__all__ = ["fflush", "protect"]

_libc = ctypes.CDLL(None, use_errno=True)


def protect(
    driver: int, log: str, last_words: str, memory: int | None, cores: Collection[int] = ()
) -> None:
    """Guard this process, the child of process `driver`; returns in a fork of it, the worker.

    Parameters
    ----------
    driver : int
    log : str
        The file for output from outside trials.
    last_words, memory
        As `supervise` takes them.
    cores : collection of int
        What it is pinned to, and so is all that it will start; all cores when empty.
    """
    _redirect(log)
    if cores:
        with contextlib.suppress(OSError):  # they were taken away meanwhile: run on what is left
            os.sched_setaffinity(0, cores)
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Ignored in the driver, it would be so here: no exit code of a child could be had.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # The driver spawned it with SIGINT blocked, so that none could hit it before this line.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Follows the thread that spawned this process, which lives as long as the pool.
    die_with_parent(signal.SIGTERM)
    if os.getppid() != driver:
        os._exit(1)
    supervise(driver, last_words, memory)


def _redirect(log: str) -> None:
    """Point the standard streams away from the notebook kernel's."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(nothing)
    os.close(output)
    if "PYTHONFAULTHANDLER" not in os.environ:
        faulthandler.enable(2)
    for stream in sys.stdout, sys.stderr:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A path or text that the locale cannot encode must not fail a trial.
            reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")


def fflush() -> None:
    """Flush what C libraries hold in their stdio buffers."""
    _libc.fflush(None)
