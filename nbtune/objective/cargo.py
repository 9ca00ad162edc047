"""The large buffers of one run of a sweep: mapped from memory, kept in its store for the next run.

Workers map them from memory at once; the copy into the store is written while trials run.
"""

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from nbtune.exceptions import StoreError
from nbtune.objective.depot import Depot, digest_of
from nbtune.objective.memory import Memory, of_this_process

__all__ = ["Cargo"]


class Cargo:
    """Takes the buffers of a payload.

    Parameters
    ----------
    kept : Path
        The store's folder of buffers.
    memory : Memory, optional
        By default what all sweeps of this process share.
    """

    def __init__(self, kept: Path, memory: Memory | None = None) -> None:
        try:
            self._kept = Depot(kept)
        except OSError as error:
            raise StoreError(f"{kept} cannot be written: {error}") from error
        self._memory = of_this_process() if memory is None else memory
        # In one and the same file system a second copy would serve nothing.
        self._apart = self._memory.device != kept.stat().st_dev
        self._unkept: dict[str, int] = {}
        self._from_disk = 0
        self._thread: threading.Thread | None = None
        self._warn: Callable[[str], object] = lambda trouble: None
        self.trouble = ""
        """Why the store lacks some of it, empty when it does not."""

    @property
    def places(self) -> tuple[Path, ...]:
        """The folders where the buffers lie, the fastest first."""
        folder = self._memory.folder
        return (self._kept.folder,) if folder is None else (folder, self._kept.folder)

    @property
    def remark(self) -> str:
        """What is worth a word about where the data lies; empty when all of it is in memory."""
        if not self._from_disk or not self._apart:
            return ""
        room = self._memory.room() / 1e6
        return f"{self._from_disk / 1e6:,.0f} MB of data on disk (/dev/shm can take {room:,.0f} MB)"

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Keep the store from clearing away what no payload names yet."""
        return self._kept.in_use()

    def put(self, nbytes: int, pieces: Callable[[], Iterable[memoryview]]) -> str:
        """Have a buffer where workers find it; return its digest.

        Raises
        ------
        OSError
            When the store has no room for it.
        """
        digest = digest_of(pieces())
        if not self._apart or not self._memory.hold(digest, nbytes, self):
            added = self._memory.add(nbytes, pieces, self) if self._apart else None
            if added is None:
                self._from_disk += nbytes
                return digest if self._kept.has(digest, nbytes) else self._kept.add(pieces())
            digest = added
        self._owe(digest, nbytes)
        if sum(self._unkept.values()) > shutil.disk_usage(self._kept.folder).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return digest

    def take_up(self, buffers: Mapping[str, int]) -> None:
        """Hold the buffers, lengths by digest, of a payload that was written before.

        Raises
        ------
        StoreError
            When some are nowhere.
        """
        missing = 0
        for digest, nbytes in buffers.items():
            if self._memory.hold(digest, nbytes, self):
                self._owe(digest, nbytes)
            elif not self._kept.has(digest, nbytes):
                missing += nbytes
        if missing:
            self.close()
            raise StoreError(
                f"{missing / 1e6:,.1f} MB of the sweep's data are not in {self._kept.folder}: its "
                "process ended before they were written. Give the objective again, with "
                ".resume(objective=...), or run its cell again with --replace."
            )

    def _owe(self, digest: str, nbytes: int) -> None:
        if not self._kept.has(digest, nbytes):
            self._unkept[digest] = nbytes

    def keep(self, warn: Callable[[str], object] = lambda trouble: None) -> None:
        """Begin to copy into the store what it lacks; `warn` is told why when that fails."""
        self._warn = warn
        if self._unkept:
            self._thread = threading.Thread(target=self._copy, name="nbtune-keep")
            self._thread.start()

    def _copy(self) -> None:
        with contextlib.suppress(OSError):  # trials come first; on Linux a thread has its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        self._copy_all()

    def _copy_all(self) -> None:
        try:
            for digest, nbytes in list(self._unkept.items()):
                if not self._kept.has(digest, nbytes):
                    self._kept.copy(self.places[0] / digest)
                del self._unkept[digest]
        except OSError as error:
            left = sum(self._unkept.values()) / 1e6
            self.trouble = (
                f"{left:,.0f} MB of its data are not in the store ({error.strerror}): "
                "it cannot be resumed once this process is gone"
            )
            self._warn(self.trouble)
        else:
            self.trouble = ""

    def close(self) -> None:
        """Wait for the copy, try again what failed, and hold nothing any longer; idempotent."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            if self.trouble:
                self._copy_all()
        self._memory.release(self)
