"""Ends what a dead driver left behind: its workers, their children, its sockets and semaphores.

Run as a script (``python -I -S reaper.py TOKEN DRIVER FOLDER``), it outlives a driver that was
killed with SIGKILL. It imports nothing but the standard library, and little of that.
"""

import contextlib
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Collection

__all__ = ["MARK", "end_family"]

MARK = "NBTUNE_POOL"
"""The environment variable that a pool's workers, and all that they start, carry."""


def _is_family(pid: int, token: bytes, groups: Collection[int]) -> bool:
    """Whether a process carries the token, or belongs to a worker's group or session."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            # The name in parentheses may hold anything, so count from its end.
            fields = file.read().rpartition(b") ")[2].split()
        if fields[0] in (b"Z", b"X"):
            return False
        if int(fields[2]) in groups or int(fields[3]) in groups:
            return True
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            return any(line.startswith(token) for line in file.read().split(b"\0"))
    except (OSError, IndexError, ValueError):
        return False  # it ended meanwhile, or is another user's


def end_family(token: str, groups: Collection[int] = ()) -> None:
    """Kill every process whose mark begins with `token`, or that is in one of `groups`.

    Parameters
    ----------
    token : str
        What follows ``NBTUNE_POOL=``; children inherit it, also those in a session of their own.
    groups : collection of int
        Ids of process groups and sessions, for children that dropped their environment.
    """
    prefix = f"{MARK}={token}".encode()
    myself = os.getpid()
    for _ in range(50):  # what forks faster than this is beyond help
        found = [
            int(name)
            for name in os.listdir("/proc")  # noqa: PTH208 - as above
            if name.isdigit() and int(name) != myself and _is_family(int(name), prefix, groups)
        ]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def _watch(driver: int) -> set[int]:
    """Return the workers' process groups once the driver is gone or has closed its pipe."""
    poller = select.poll()
    poller.register(0, select.POLLIN)
    try:
        # A child that the driver forked holds the pipe open: only this tells the driver's death.
        poller.register(os.pidfd_open(driver), select.POLLIN)
    except OSError:
        return set()
    groups: set[int] = set()
    text = b""
    while True:
        ready = [descriptor for descriptor, _ in poller.poll()]
        chunk = os.read(0, 65536) if 0 in ready else b""
        if not chunk:
            return groups
        *lines, text = (text + chunk).split(b"\n")
        for line in lines:
            change = groups.add if line[:1] == b"+" else groups.discard
            change(int(line[1:]))


def _remove_semaphores(driver: int) -> None:
    """Remove the semaphores of loky that the driver could not."""
    folder = "/dev/shm"
    time.sleep(0.3)  # loky's own tracker, where it lives, comes first
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - as above
            if name.startswith(f"sem.loky-{driver}-"):
                with contextlib.suppress(OSError):
                    os.unlink(f"{folder}/{name}")  # noqa: PTH108 - as above


def _main() -> None:
    token, driver, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    for ignored in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(ignored, signal.SIG_IGN)
    groups = _watch(driver)
    end_family(token, groups)
    shutil.rmtree(folder, ignore_errors=True)
    if os.getppid() != driver:
        _remove_semaphores(driver)


if __name__ == "__main__":
    _main()
