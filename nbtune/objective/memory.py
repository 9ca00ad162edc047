"""Buffers of one process in memory that all its workers map, on ``/dev/shm``.

They stay, up to a quarter of it, when no sweep uses them any more: a cell that runs again ships
nothing. The folder goes with the process; one that was killed leaves its buffers to the next
that has data to ship, or to the next `remove_leftovers`.
"""

import atexit
import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakSet

from nbtune.controlgroups import ROOT, groups_of
from nbtune.objective.depot import Depot, is_own

__all__ = ["Memory", "of_this_process", "remove_leftovers", "room_in"]

_ROOT = Path("/dev/shm")
_KEPT_SHARE = 4  # of the file system's size: what stays there unused, one in so many parts


@dataclass(slots=True)
class _Buffer:
    nbytes: int
    holders: WeakSet[object] = field(default_factory=WeakSet)


class Memory:
    """Buffers by their digest, each held by whoever uses it.

    Parameters
    ----------
    root : Path
        A file system in memory.
    room : callable
        Returns how many more bytes it can take; half of that is used.
    bound : int, optional
        How many bytes may lie there unused; by default a quarter of the file system's size.
    """

    def __init__(
        self,
        root: Path = _ROOT,
        *,
        room: Callable[[Path], int] | None = None,
        bound: int | None = None,
    ) -> None:
        self._root = root
        self._room = room or room_in
        self._bound = bound
        self._driver = os.getpid()
        self._lock = threading.Lock()
        self._buffers: dict[str, _Buffer] = {}  # the one used last comes last
        self._depot: Depot | None = None
        self._claim = -1

    @property
    def folder(self) -> Path | None:
        """Where they lie, None as long as there are none."""
        return self._depot.folder if self._depot else None

    @property
    def device(self) -> int | None:
        """The number of the file system, None without one."""
        try:
            return self._root.stat().st_dev
        except OSError:
            return None

    def room(self) -> int:
        """Return how long a new buffer may be, in bytes."""
        with contextlib.suppress(OSError):
            return max(0, self._room(self._root)) // 2
        return 0

    def hold(self, digest: str, nbytes: int, holder: object) -> bool:
        """Keep a buffer for `holder` if it lies here; return whether it does."""
        with self._lock:
            depot = self._open()
            if depot is None or not depot.has(digest, nbytes):
                return False
            self._take(digest, nbytes, holder)
            return True

    def add(
        self, nbytes: int, pieces: Callable[[], Iterable[memoryview]], holder: object
    ) -> str | None:
        """Write a buffer and keep it for `holder`; return its digest, None if there is no room."""
        with self._lock:
            depot = self._open()
            if depot is None or not self._make_room(nbytes):
                return None
            try:
                digest = depot.add(pieces())
            except OSError:
                return None  # others were faster
            self._take(digest, nbytes, holder)
            return digest

    def release(self, holder: object) -> None:
        """Keep nothing for `holder` any longer."""
        with self._lock:
            for buffer in self._buffers.values():
                buffer.holders.discard(holder)
            self._shrink()

    def close(self) -> None:
        """Remove everything; without effect in a forked child, whose parent's it is."""
        if os.getpid() == self._driver and self._depot is not None:
            shutil.rmtree(self._depot.folder, ignore_errors=True)
            os.close(self._claim)
            self._depot = None
            self._buffers.clear()

    def _take(self, digest: str, nbytes: int, holder: object) -> None:
        buffer = self._buffers.pop(digest, None) or _Buffer(nbytes)
        buffer.holders.add(holder)
        self._buffers[digest] = buffer

    # --- room

    def _unused(self) -> dict[str, int]:
        """Return the lengths of the buffers that nobody holds, the one used longest ago first."""
        return {name: each.nbytes for name, each in self._buffers.items() if not each.holders}

    def _make_room(self, nbytes: int) -> bool:
        unused = self._unused()
        if nbytes > (self._room(self._root) + sum(unused.values())) // 2:
            return False
        for digest in unused:
            if nbytes <= self._room(self._root) // 2:
                break
            self._remove(digest)
        return True

    def _shrink(self) -> None:
        if self._depot is None:
            return
        unused = self._unused()
        bound = self._bound
        if bound is None:
            bound = shutil.disk_usage(self._root).total // _KEPT_SHARE
        excess = sum(unused.values()) - bound
        for digest, nbytes in unused.items():
            if excess <= 0:
                break
            self._remove(digest)
            excess -= nbytes

    def _remove(self, digest: str) -> None:
        del self._buffers[digest]
        if self._depot is not None:
            (self._depot.folder / digest).unlink(missing_ok=True)

    # --- the folder

    def _open(self) -> Depot | None:
        """Return the depot, made at first use, with what dead processes left in theirs."""
        if self._depot is None:
            try:
                folder, self._claim = _new_folder(self._root)
            except OSError:
                return None  # no such file system, or not ours to write
            self._depot = Depot(folder)
            atexit.register(self.close)
            for left in _left_by_the_dead(self._root):
                self._inherit(left, folder)
            self._shrink()
        return self._depot

    def _inherit(self, left: Path, folder: Path) -> None:
        with contextlib.suppress(OSError):  # what cannot be taken over is given up
            for path in filter(is_own, left.iterdir()):
                if path.name.startswith("."):
                    path.unlink()
                else:
                    path.rename(folder / path.name)
                    self._buffers[path.name] = _Buffer((folder / path.name).stat().st_size)
            left.rmdir()  # raises where something else lies there: somebody's


def remove_leftovers(root: Path = _ROOT) -> None:
    """Remove the buffers that dead processes of this user have left."""
    for left in _left_by_the_dead(root):
        with contextlib.suppress(OSError):
            for path in filter(is_own, left.iterdir()):
                path.unlink()
            left.rmdir()  # as above


def _prefix() -> str:
    return f"nbtune-data-{os.getuid()}-"


def _left_by_the_dead(root: Path) -> Iterator[Path]:
    """Yield dead processes' folders, each locked until the next is asked for."""
    for folder in root.glob(f"{_prefix()}*"):
        claim = _claim(folder)
        if claim is not None:  # else it lives
            try:
                yield folder
            finally:
                os.close(claim)


def _new_folder(root: Path) -> tuple[Path, int]:
    """Return a new folder that only this user can enter, and what claims it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix(), dir=root))
        try:
            claim = _locked(folder)
        except (BlockingIOError, FileNotFoundError):  # as below: that process removes it
            continue
        except OSError:  # no descriptor is free, or this file system has no locks
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
        if os.fstat(claim).st_nlink:  # else it was taken for a dead process's in between
            return folder, claim
        os.close(claim)


def _claim(folder: Path) -> int | None:
    """Lock a folder until its descriptor is closed; None when it is not ours, or its owner lives.

    A lock, unlike a process's number, holds across containers that share the file system.
    """
    with contextlib.suppress(OSError):
        return _locked(folder)
    return None


def _locked(folder: Path) -> int:
    """Return the descriptor by which a folder is locked; raise `OSError` when it cannot be."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        about = os.fstat(descriptor)
        if about.st_uid != os.getuid() or about.st_mode & 0o077:
            raise PermissionError(errno.EACCES, "others can write to it", str(folder))
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def room_in(folder: Path) -> int:
    """Return how many bytes the file system, the machine and the control groups can take."""
    return min([shutil.disk_usage(folder).free, *_memory_left()])


def _memory_left(root: Path = ROOT, proc: Path = Path("/proc")) -> Iterator[int]:
    """Yield the bytes of memory that are free, or can be made so, by each account there is."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = (proc / "meminfo").read_text().splitlines()
        yield next(int(line.split()[1]) for line in lines if "MemAvailable" in line) * 1024
    for group in groups_of("memory", root, proc / "self/cgroup"):
        yield from _group_left(group)


def _group_left(group: Path) -> Iterator[int]:
    """Yield what a control group has left, nothing where it has no limit."""
    with contextlib.suppress(OSError, ValueError):
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        if (group / "memory.max").exists():
            limit, used = group / "memory.max", group / "memory.current"
        else:
            limit, used = group / "memory.limit_in_bytes", group / "memory.usage_in_bytes"
        left = int(limit.read_text()) - int(used.read_text())
        yield left + int(stat.get("inactive_file", 0))


_of_this_process: Memory | None = None


def of_this_process() -> Memory:
    """Return the one that all sweeps of this process share; a forked child has its own."""
    global _of_this_process  # noqa: PLW0603 - a process has one
    if _of_this_process is None or _of_this_process._driver != os.getpid():
        _of_this_process = Memory()
    return _of_this_process
