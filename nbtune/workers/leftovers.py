"""What dead kernels could not remove: their pools' folders with sockets, and loky's semaphores.

A living pool holds a lock on a file in its folder, so that neither a process id that is used
again nor another container's processes, which cannot be seen from here, are mistaken for its own.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from nbtune.workers.reaper import end_family

__all__ = ["PREFIX", "claim", "remove_leftovers", "temporary_folders"]

PREFIX = "nbtune-"
_LOCK = "lock"
_YOUNG = 60.0  # seconds; a folder without a lock that is younger may be in the making
_SEMAPHORE = re.compile(r"sem\.loky-(\d+)-")


def temporary_folders() -> list[Path]:
    """Return where pools' folders may lie, the usual place first."""
    return list(dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp"))))


def claim(folder: Path, token: str) -> int:
    """Lock a new folder as that of a living pool; return the descriptor that holds the lock.

    Parameters
    ----------
    folder : Path
    token : str
        What the pool's processes carry (`reaper.MARK`).
    """
    new = folder / f".{_LOCK}"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
    os.write(descriptor, token.encode())
    with contextlib.suppress(OSError):  # a file system without locks: nobody else gets one either
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    new.rename(folder / _LOCK)  # there is none under this name that is not held
    return descriptor


def remove_leftovers(
    places: list[Path] | None = None, shared_memory: Path = Path("/dev/shm")
) -> None:
    """Remove what dead kernels of this user have left, and end what still runs of theirs.

    Parameters
    ----------
    places : list of Path, optional
        Where pools' folders lie; by default the temporary folders.
    shared_memory : Path
        Where semaphores lie.
    """
    for place in temporary_folders() if places is None else places:
        for folder in _own(place, PREFIX):
            with contextlib.suppress(OSError):
                _remove_folder(folder)
    for semaphore in _own(shared_memory, "sem.loky-"):
        match = _SEMAPHORE.match(semaphore.name)
        if match is not None and not Path(f"/proc/{match[1]}").exists():
            with contextlib.suppress(OSError):
                semaphore.unlink()


def _own(place: Path, prefix: str) -> Iterator[Path]:
    """Yield this user's entries of a folder; links are not followed."""
    with contextlib.suppress(OSError):
        for entry in place.iterdir():
            with contextlib.suppress(OSError):
                if entry.name.startswith(prefix) and entry.lstat().st_uid == os.getuid():
                    yield entry


def _remove_folder(folder: Path) -> None:
    if folder.is_symlink() or not folder.is_dir():
        return
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        if time.time() - folder.stat().st_mtime > _YOUNG and not any(folder.iterdir()):
            folder.rmdir()
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while its pool lives
        token = os.read(descriptor, 64).decode("ascii", "replace")
        if re.fullmatch(r"[0-9a-f]{16}", token):
            end_family(f"{token}.")
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)
