"""How much memory trials may use, do use, and how full the machine is; all sizes are in bytes."""

import contextlib
import math
import re
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from nbtune.arguments import finite
from nbtune.controlgroups import MEMBERSHIP, ROOT, groups_of
from nbtune.exceptions import SpecError

__all__ = [
    "Holdings",
    "anonymous_memory",
    "bytes_of",
    "fullness",
    "machine_memory",
    "oom_kills",
    "over",
    "proportional_memory",
    "resident_memory",
    "shown",
]

_LEAST = 64 * 2**20  # a worker that does nothing yet has some 20 MB of its own
_UNITS = {
    prefix + ending: base**power
    for base, ending in ((1000, "b"), (1024, "ib"))
    for power, prefix in enumerate(("", "k", "m", "g", "t"))
    if prefix or ending == "b"
}
DATA = "/nbtune-data-"
"""What the path of a mapping of the sweep's data contains, where it lies in memory."""


def bytes_of(memory: object) -> int:
    """Return a size in bytes: a number of bytes, or text such as "2 GB" or "512 MiB".

    ``kB, MB, GB, TB`` are powers of 1000, ``KiB, MiB, GiB, TiB`` powers of 1024.

    Raises
    ------
    SpecError
        When it is neither, or less than a worker process needs.
    """
    size = math.nan
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", memory.lower())
        if match is not None and match[2] in _UNITS:
            size = float(match[1]) * _UNITS[match[2]]
    elif isinstance(memory, int | float) and not isinstance(memory, bool):
        size = math.nan if finite(memory) is None else memory
    if not math.isfinite(size):
        raise SpecError(
            f"memory={memory!r}: give a number of bytes, or text with a unit: '500 MB' and '2 GB' "
            "are decimal, '512 MiB' and '2 GiB' binary.",
            "memory",
        )
    if size < _LEAST:
        raise SpecError(
            f"memory={memory!r}: a trial needs {shown(_LEAST)} at least, for its worker process. "
            "Give more, or leave memory out.",
            "memory",
        )
    return int(size)


def shown(size: int) -> str:
    """Return a size as text: "2 GB", "3.1 GB"; in binary units where it is a multiple of 1 MiB."""
    return _in_unit(size, binary=size % 2**20 == 0)


def _in_unit(size: int, *, binary: bool) -> str:
    base, ending = (1024, "iB") if binary else (1000, "B")
    power = min(max(int(math.log(max(size, 1), base)), 1), 4)
    prefix = ("K" if binary else "k", "M", "G", "T")[power - 1]
    return f"{size / base**power:.3g} {prefix}{ending}"


def over(used: int, limit: int) -> str:
    """Return "used 3.1 GB of 2 GB", both in the unit of the limit's kind."""
    binary = limit % 2**20 == 0
    return f"used {_in_unit(used, binary=binary)} of {_in_unit(limit, binary=binary)}"


# --- of processes


class Holdings:
    """What some processes hold for themselves together: neither files nor the sweep's data."""

    def __init__(self) -> None:
        self._shared = 0  # what counted twice, or is the sweep's, when that was last looked at
        self._looked = 0.0

    def of(self, pids: Collection[int], limit: int) -> int:
        """Return how much they hold: roughly, and at next to no cost, while it is within `limit`.

        Pages of the sweep's data count once a trial has written to them.
        """
        most = sum(map(resident_memory, pids))
        rough = most - min(self._shared, most)
        if most <= limit or (rough <= limit and time.monotonic() < self._looked + _LOOK_SECONDS):
            return rough
        exact = sum(map(proportional_memory, pids))
        self._shared, self._looked = most - exact, time.monotonic()
        return exact


_LOOK_SECONDS = 1.0  # between two exact looks, which walk all pages


def resident_memory(pid: int) -> int:
    """Return what a process holds that is in no file on a disk; what it shares counts in full."""
    return _sum(f"/proc/{pid}/status", "RssAnon:", "RssShmem:")


def anonymous_memory(pid: int) -> int:
    """Return what a process holds that is in no file at all."""
    return _sum(f"/proc/{pid}/status", "RssAnon:")


def proportional_memory(pid: int) -> int:
    """Return the same, shared pages split among those who share them, without the sweep's data."""
    held = _sum(f"/proc/{pid}/smaps_rollup", "Pss_Anon:", "Pss_Shmem:")
    shared = False
    for name, size in _lines(f"/proc/{pid}/smaps"):
        if "-" in name:  # the addresses of a mapping, before its path
            shared = DATA in size
        elif shared and name in ("Pss:", "Anonymous:"):
            # What a trial has written to is anonymous then.
            held += _kilobytes(size) if name == "Anonymous:" else -_kilobytes(size)
    return max(0, held)


def _sum(path: str, *names: str) -> int:
    return sum(_kilobytes(size) for name, size in _lines(path) if name in names)


def _lines(path: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of a file, each cut after its first word; none when there is no such file."""
    with contextlib.suppress(OSError), open(path) as file:  # noqa: PTH123 - ten times a second
        for line in file:
            name, _, rest = line.partition(" ")
            yield name.partition("\t")[0], rest or line


def _kilobytes(text: str) -> int:
    return 1024 * int(text.split()[-2])


# --- of the machine, or the container


def machine_memory() -> int:
    """Return the memory that there is for this process's control group."""
    return min([_meminfo()["MemTotal"], *(limit for limit, _ in _limits())])


def fullness() -> float:
    """Return the share of the memory that is used and could not be given back, 0 to 1."""
    machine = _meminfo()
    shares = [1 - machine["MemAvailable"] / machine["MemTotal"]]
    shares.extend(used / limit for limit, used in _limits())
    return max(shares)


def _meminfo() -> dict[str, int]:
    with open("/proc/meminfo") as file:  # noqa: PTH123 - as above
        return {line.split(":")[0]: 1024 * int(line.split()[1]) for line in file}


def _limits(root: Path = ROOT, membership: Path = MEMBERSHIP) -> Iterator[tuple[int, int]]:
    """Yield the limit of each of this process's control groups that has one, and what is used."""
    for folder in groups_of("memory", root, membership):
        new = (folder / "memory.max").exists()
        names = ("max", "current") if new else ("limit_in_bytes", "usage_in_bytes")
        with contextlib.suppress(OSError, ValueError):  # "max", or no such file
            limit, used = (int((folder / f"memory.{name}").read_text()) for name in names)
            idle = "inactive_file" if new else "total_inactive_file"
            cache = _counter(folder / "memory.stat", idle) or 0  # given back when it is wanted
            if 0 < limit < 2**60:  # version 1 writes "none" as a huge number
                yield limit, max(0, used - cache)


def oom_kills(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int:
    """Return how many processes the kernel has killed for want of memory.

    In this process's control groups where they count it, else on the whole machine.
    """
    counts = [
        _counter(folder / name, "oom_kill")
        for folder in groups_of("memory", root, membership)
        for name in ("memory.events", "memory.oom_control")
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if known else _counter(Path("/proc/vmstat"), "oom_kill") or 0


def _counter(file: Path, name: str) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in file.read_text().splitlines():
            if line.split()[0] == name:
                return int(line.split()[1])
    return None
