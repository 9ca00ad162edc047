"""A trial's log, kept from filling the disk: its beginning and its end stay."""

import contextlib
import os
import re

__all__ = ["LOG_LIMIT", "shorten"]

LOG_LIMIT = 16 * 2**20
"""A log longer than this, in bytes, loses its middle."""

_KEPT = 2**20  # bytes, at either end
_GAP = re.compile(rb"\n\[\.\.\. (\d+) bytes of output left out \.\.\.\]\n")


def shorten(path: str, limit: int = LOG_LIMIT) -> None:
    """Cut the middle out of a log that is longer than `limit`, while others append to it.

    Parameters
    ----------
    path : str
        The file, or a link to it in ``/proc/PID/fd``; anything but a file ``log.txt`` is left be.
    limit : int
        In bytes, well over 2 MiB.
    """
    with contextlib.suppress(OSError):
        size = os.stat(path).st_size  # noqa: PTH116 - several times a second, in every slot
        if size > limit and os.path.realpath(path).endswith("/log.txt"):
            log = os.open(path, os.O_RDWR | os.O_APPEND)
            try:
                _cut(log)
            finally:
                os.close(log)


def _cut(log: int) -> None:
    gap = _GAP.match(os.pread(log, 100, _KEPT))
    start = os.fstat(log).st_size - _KEPT
    left_out = start - _KEPT + (int(gap[1]) - len(gap[0]) if gap else 0)
    end = os.pread(log, _KEPT, start)
    os.truncate(log, _KEPT)
    # What is written between these two lines comes before the gap.
    os.write(log, b"\n[... %d bytes of output left out ...]\n" % left_out + end)
