"""The right to run a sweep: a lock on a file in its folder, which ends with its process.

It is an open-file-description lock: unlike a POSIX record lock it is not lost when some other
descriptor of the file is closed, by a backup that reads it or by a look at it through another path,
and it keeps out this process as it does others.
"""

import errno
import fcntl
import os
import struct
import threading
from contextlib import suppress
from pathlib import Path

from nbtune.exceptions import StoreError, SweepError

__all__ = ["Lock", "is_locked", "owner_of", "stamp_of"]

_TAKEN = (errno.EACCES, errno.EAGAIN)
_FLOCK = "hhqqi4x"  # struct flock: l_type, l_whence, l_start, l_len, l_pid

_held: set["Lock"] = set()  # only so that a child that is forked finds them
_held_guard = threading.Lock()


class Lock:
    """The right to run a sweep, held by at most one `Lock` at a time; see `close`.

    It ends with the process, however that ends. A child that is forked does not share it.

    Parameters
    ----------
    path : Path
        The file, made where it is not there.

    Raises
    ------
    SweepError
        When it is held already, by this process or another.
    StoreError
        When the file cannot be made, or its file system knows no locks.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self.stamp: tuple[int, int] | None = None
        """The file and when it was last taken, as `stamp_of` returns it."""
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)  # it may have been removed by hand
            self._take()
        except SweepError:
            raise
        except OSError as error:
            raise _refused(path, error) from error

    def _take(self) -> None:
        while True:
            # Both under the guard: a child that is forked in between would keep the descriptor.
            with _held_guard:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                _held.add(self)
            try:
                self._lock()
                if stamp_of(self._path, times=False) == _stamp(self._descriptor, times=False):
                    break
            except BaseException:
                self.close()
                raise
            self.close()  # its sweep was deleted, and another made, while this waited for it

    def _lock(self) -> None:
        assert self._descriptor is not None
        try:
            _control(self._descriptor, fcntl.F_OFD_SETLK, fcntl.F_WRLCK)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            raise _running(self._path) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, _me().encode(), 0)
        self.stamp = _stamp(self._descriptor)

    def close(self) -> None:
        """Give the right back; idempotent."""
        with _held_guard:
            descriptor, self._descriptor = self._descriptor, None
            _held.discard(self)
        if descriptor is None:
            return
        with suppress(OSError):  # a program that is just being started may have the descriptor
            _control(descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK)
        os.close(descriptor)

    def drop(self) -> None:
        """Close the descriptor without unlocking what a parent process holds by it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether some process, this one or another, holds the lock on the file at `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        answer = _control(descriptor, fcntl.F_OFD_GETLK, fcntl.F_WRLCK)
    except OSError:
        return False  # no locks there: nobody can have taken one
    finally:
        os.close(descriptor)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def owner_of(path: Path) -> str:
    """Return who took the lock last: "this process", or "process 4711 on host"."""
    try:
        owner = path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        owner = ""
    return "this process" if owner == _me() else owner or "another process"


def stamp_of(path: Path, *, times: bool = True) -> tuple[int, int] | None:
    """Return what changes whenever the lock at `path` is taken; None where it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns if times else 0


def _stamp(descriptor: int, *, times: bool = True) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_ino, found.st_mtime_ns if times else 0


def _me() -> str:
    return f"process {os.getpid()} on {os.uname().nodename}"


def _control(descriptor: int, command: int, kind: int) -> bytes:
    return fcntl.fcntl(descriptor, command, struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0))


def _running(path: Path) -> SweepError:
    name, owner = path.parent.name, owner_of(path)
    if owner == "this process":
        return SweepError(f"sweep {name!r} is running: stop it first.")
    return SweepError(
        f"sweep {name!r} is running in {owner}. Look at it with nbtune.load({name!r}), which can "
        "also stop it."
    )


def _refused(path: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
        return StoreError(
            f"{path.parent} is on a file system that cannot lock files ({error.strerror}), so two "
            "processes could run one sweep at once. Set NBTUNE_STORE or store= to a folder on a "
            "local disk."
        )
    return StoreError(f"{path} cannot be written: {error}")


def _let_go() -> None:
    """Close what a forked child has of its parent's locks, which stay the parent's."""
    for lock in _held:
        lock.drop()
    _held.clear()
    _held_guard.release()


os.register_at_fork(
    before=_held_guard.acquire, after_in_parent=_held_guard.release, after_in_child=_let_go
)
