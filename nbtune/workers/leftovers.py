"""What dead kernels could not remove: their pools' folders, and the data that they had shipped.

A living pool holds a lock on a file in its folder, so that neither a process id that is used
again nor another container's processes, which cannot be seen from here, are mistaken for its own.
Only what a pool makes is removed: the folder is named by the token that the lock's file holds.
"""

import contextlib
import fcntl
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from nbtune.workers.reaper import LOCK, end_family, remove_folder

__all__ = ["claim", "make_folder", "remove_leftovers", "temporary_folders"]

_PREFIX = "nbtune-"
_TOKEN = re.compile(r"[0-9a-f]{16}")
_YOUNG = 60.0  # seconds; a folder without a lock that is younger may be in the making
_LONGEST = 100  # bytes; a path of a socket in it has at most 107


def temporary_folders() -> list[Path]:
    """Return where pools' folders may lie, the usual place first."""
    return list(dict.fromkeys((Path(tempfile.gettempdir()), Path("/tmp"))))


def make_folder(token: str) -> Path:
    """Return a new folder for a pool that only this user can enter.

    Parameters
    ----------
    token : str
        16 hexadecimal digits: what the pool's processes carry (`reaper.MARK`).
    """
    place = Path(tempfile.gettempdir())
    if len(os.fsencode(place / f"{_PREFIX}{token}")) > _LONGEST:
        place = Path("/tmp")
    folder = place / f"{_PREFIX}{token}"
    folder.mkdir(mode=0o700)
    return folder


def claim(folder: Path, token: str) -> int:
    """Lock a pool's folder as that of a living one; return the descriptor that holds the lock."""
    new = folder / f".{LOCK}"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    os.write(descriptor, token.encode())
    with contextlib.suppress(OSError):  # a file system without locks: nobody else gets one either
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    new.rename(folder / LOCK)  # there is none under this name that is not held
    return descriptor


def remove_leftovers(places: list[Path] | None = None) -> None:
    """Remove what dead kernels of this user have left, and end what still runs of theirs.

    Parameters
    ----------
    places : list of Path, optional
        Where pools' folders lie; by default the temporary folders.
    """
    for place in temporary_folders() if places is None else places:
        for folder in _pool_folders(place):
            with contextlib.suppress(OSError):
                _remove(folder)


def _pool_folders(place: Path) -> Iterator[Path]:
    """Yield what may be a pool's folder of this user; links are not followed."""
    with contextlib.suppress(OSError):
        for entry in place.iterdir():
            if _TOKEN.fullmatch(entry.name.removeprefix(_PREFIX)):
                with contextlib.suppress(OSError):
                    about = entry.lstat()
                    if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid():
                        yield entry


def _remove(folder: Path) -> None:
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        if time.time() - folder.stat().st_mtime > _YOUNG:
            folder.rmdir()  # raises unless it is empty: its pool died before it had claimed it
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while its pool lives
        token = folder.name.removeprefix(_PREFIX)
        if os.read(descriptor, 64) == token.encode():  # else it only looks like a pool's
            end_family(f"{token}.")
            remove_folder(str(folder))
    finally:
        os.close(descriptor)
