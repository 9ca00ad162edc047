"""A folder of buffers, each in a file named by its content: what lies there is not written again.

A file appears whole or not at all, is readable by its owner only and never changes.
"""

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from xxhash import xxh3_128

__all__ = ["Depot", "digest_of", "is_own"]

_PIECE = 1024 * 1024  # hashed right after it was written, it is still in the processor's cache
_LOCK = ".lock"
_NAMES = re.compile(r"[0-9a-f]{32}|\.[0-9a-f]{16}|\.lock")
"""A buffer's, one's that is being written, the lock's."""


def digest_of(pieces: Iterable[memoryview]) -> str:
    """Return the name of a buffer's file: 128 bits of XXH3, 30 ms for 500 MB (BLAKE2b: 860)."""
    hasher = xxh3_128()
    for piece in pieces:
        hasher.update(piece)
    return hasher.hexdigest()


def is_own(path: Path) -> bool:
    """Return whether a file in a depot's folder has a name that a depot gives."""
    return _NAMES.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


class Depot:
    """The buffers in one folder.

    Parameters
    ----------
    folder : Path
        Made, for its owner only, where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder

    def has(self, digest: str, nbytes: int) -> bool:
        """Return whether a buffer of that name and length lies here."""
        try:
            return (self.folder / digest).stat().st_size == nbytes
        except OSError:
            return False

    def add(self, pieces: Iterable[memoryview]) -> str:
        """Write a buffer; return its name.

        The name is that of the bytes written, whoever changes the array meanwhile.
        """
        hasher = xxh3_128()
        with self._part() as (descriptor, name):
            for piece in pieces:
                for start in range(0, len(piece), _PIECE):
                    chunk = piece[start : start + _PIECE]
                    _write(descriptor, chunk)
                    hasher.update(chunk)
            name.append(hasher.hexdigest())
        return name[0]

    def copy(self, source: Path) -> None:
        """Copy a buffer's file from another depot."""
        with source.open("rb") as file, self._part() as (descriptor, name):
            start = 0
            while sent := os.sendfile(descriptor, file.fileno(), start, 16 * _PIECE):
                start += sent
            name.append(source.name)

    @contextlib.contextmanager
    def _part(self) -> Iterator[tuple[int, list[str]]]:
        """Open a new file that gets the name put into the list, if it comes to that."""
        name: list[str] = []
        part = self.folder / f".{secrets.token_hex(8)}"
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY
        with self.in_use():
            descriptor = os.open(part, flags, 0o600)
            try:
                yield descriptor, name
                part.replace(self.folder / name[0])
            finally:
                os.close(descriptor)
                part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep `clear` away, in every process, from buffers that nobody names yet."""
        with self._lock(fcntl.LOCK_SH):
            yield

    def clear(self, named: Callable[[], Collection[str]]) -> None:
        """Remove the buffers that `named` does not return; nothing while the depot is in use."""
        with contextlib.suppress(BlockingIOError), self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
            kept = {_LOCK, *named()}
            for path in self.folder.iterdir():
                if is_own(path) and path.name not in kept:
                    path.unlink()

    @contextlib.contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        # Unlike a record lock this one holds between the threads of one process too.
        flags = os.O_CREAT | os.O_NOFOLLOW | os.O_RDWR
        descriptor = os.open(self.folder / _LOCK, flags, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)


def _write(descriptor: int, chunk: memoryview) -> None:
    start = 0
    while start < len(chunk):
        start += os.write(descriptor, chunk[start:])
