"""The right to run a sweep: a POSIX lock on its folder, which the system drops with the process."""

import fcntl
import os
from pathlib import Path

from nbtune.exceptions import StoreError, SweepError

__all__ = ["Lock", "is_locked"]

_held: set[Path] = set()  # closing any handle of a file drops the process's record lock on it


class Lock:
    """The right to run a sweep, held by at most one process; released by ``close`` or death.

    Raises
    ------
    SweepError
        When another process, or this one, holds it already.
    """

    def __init__(self, path: Path) -> None:
        if path in _held:
            raise SweepError(f"sweep {path.parent.name!r} is running: stop it first.")
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)  # it may have been removed by hand
            path.touch(mode=0o600)
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error}") from error
        # A POSIX record lock: not inherited by children that the kernel forks, unlike flock.
        self._file = path.open("a+")
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            raise SweepError(
                f"sweep {path.parent.name!r} is running in {owner}. "
                "Look at it with nbtune.load(...), or stop it there first."
            ) from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {os.uname().nodename}")
        self._file.flush()
        self._path = path
        _held.add(path)

    def close(self) -> None:
        """Give the right back; idempotent."""
        self._file.close()
        _held.discard(self._path)


def is_locked(path: Path) -> bool:
    """Return whether another process holds the lock file at `path`."""
    if path in _held or not path.exists():
        return False
    with path.open() as file:  # to read is enough to ask, also where nothing can be written
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
