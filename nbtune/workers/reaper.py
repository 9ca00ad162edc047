"""Ends what a dead driver left behind: its workers, their children, its folder with the socket.

Run as a script (``python -I -S reaper.py TOKEN DRIVER FOLDER``), it outlives a driver that was
killed with SIGKILL. It imports nothing but the standard library, and little of that.
"""

import contextlib
import errno
import os
import select
import signal
import sys
import time
from collections.abc import Collection, Mapping

__all__ = [
    "LOCK",
    "MARK",
    "Process",
    "descendants",
    "end_family",
    "end_groups",
    "processes",
    "remove_folder",
    "signal_all",
]

MARK = "NBTUNE_POOL"
"""The environment variable that a pool's workers, and all that they start, carry."""

LOCK = "lock"
"""The file in a pool's folder on which the living pool holds a lock."""

_SHORT = errno.EMFILE, errno.ENFILE


class Process:
    """A line of the system's table of processes."""

    __slots__ = ("group", "is_zombie", "parent", "session")

    def __init__(self, state: bytes, parent: bytes, group: bytes, session: bytes) -> None:
        self.is_zombie = state in b"ZX"
        self.parent, self.group, self.session = int(parent), int(group), int(session)


def processes() -> dict[int, Process]:
    """Return all processes by their ids, as they are now.

    Raises
    ------
    OSError
        When they cannot be seen, for want of a free descriptor.
    """
    table = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is slow to import
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - as above
                    # The name in parentheses may hold anything, so count from its end.
                    fields = file.read().rpartition(b") ")[2].split(None, 4)
                table[int(name)] = Process(*fields[:4])
            except (OSError, ValueError, TypeError) as error:
                if getattr(error, "errno", None) in _SHORT:
                    raise
                # else it ended meanwhile
    return table


def descendants(ancestors: Collection[int], table: Mapping[int, Process]) -> set[int]:
    """Return all processes below `ancestors` in the tree, themselves left out."""
    children: dict[int, list[int]] = {}
    for pid, process in table.items():
        children.setdefault(process.parent, []).append(pid)
    found: set[int] = set()
    to_visit = list(ancestors)
    while to_visit:
        below = [pid for pid in children.get(to_visit.pop(), ()) if pid not in found]
        found.update(below)
        to_visit.extend(below)
    return found.difference(ancestors)


def signal_all(pids: Collection[int], number: int) -> None:
    """Send a signal to processes; those that have ended are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            return any(line.startswith(mark) for line in file.read().split(b"\0"))
    except OSError as error:
        if error.errno in _SHORT:
            raise
        return False  # it ended meanwhile, or is another user's


def _family(mark: bytes, groups: Collection[int], table: Mapping[int, Process]) -> set[int]:
    """Return who carries the mark or belongs to one of the groups, and all below them."""
    family = {
        pid
        for pid, process in table.items()
        if process.group in groups or process.session in groups or _is_marked(pid, mark)
    }
    family |= descendants(family, table)
    return {pid for pid in family if not table[pid].is_zombie and pid != os.getpid()}


def end_family(token: str, groups: Collection[int] = ()) -> None:
    """Kill every process whose mark begins with `token`, or that is in one of `groups`.

    And all that they started: a supervisor adopts orphans, so that those stay below it also when
    they have dropped their environment and lead a session of their own.

    Parameters
    ----------
    token : str
        What follows ``NBTUNE_POOL=``; children inherit it, also those in a session of their own.
    groups : collection of int
        Ids of process groups and sessions.
    """
    mark = f"{MARK}={token}".encode()
    for _ in range(50):  # what forks faster than this is beyond help
        table = processes()
        family = _family(mark, groups, table)
        if not family:
            return
        # The topmost go last, stopped meanwhile: who is orphaned at this moment stays below them.
        roots = {pid for pid in family if table[pid].parent not in family}
        signal_all(roots, signal.SIGSTOP if family - roots else signal.SIGKILL)
        signal_all(family - roots, signal.SIGKILL)
        time.sleep(0.002)


def end_groups(groups: Collection[int]) -> None:
    """Kill process groups, without a look at all processes."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


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


def _is_a_pools(name: str) -> bool:
    kind, _, rest = name.partition("-")
    index, _, ending = rest.partition(".")
    return (
        name in (LOCK, f".{LOCK}", "payload", "socket")
        or (name.startswith(".payload.") and name[9:].isdigit())
        or (kind == "slot" and index.isdigit() and ending in ("end", "log"))
    )


def remove_folder(folder: str) -> None:
    """Remove what a pool makes in its folder, and the folder unless something else lies there."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - as above
            if _is_a_pools(name):
                with contextlib.suppress(OSError):  # a folder of that name is not ours
                    os.unlink(f"{folder}/{name}")  # noqa: PTH108 - as above
        os.rmdir(folder)  # noqa: PTH106 - as above


def _main() -> None:
    token, driver, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    for ignored in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(ignored, signal.SIG_IGN)
    groups = _watch(driver)
    end_family(token, groups)
    remove_folder(folder)


if __name__ == "__main__":
    _main()
