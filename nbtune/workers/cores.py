"""How many cores there are for trials, and how each slot is held to its own."""

import contextlib
import math
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from nbtune.controlgroups import MEMBERSHIP, ROOT, groups_of

__all__ = ["available_cores", "share_out", "thread_limits"]

_LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
    "LOKY_CPU_COUNT",
)


def available_cores(
    *,
    groups: Path = ROOT,
    membership: Path = MEMBERSHIP,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Return how many cores this process may keep busy, at least 1.

    The least, rounded down, of what the machine has, the affinity mask allows (a cpuset shows
    there), the quotas of the control group and of its ancestors grant (versions 1 and 2),
    ``LOKY_MAX_CPU_COUNT`` or ``LOKY_CPU_COUNT`` says, and JupyterHub has told as ``CPU_LIMIT``.

    Parameters
    ----------
    groups, membership : Path
        Where the control groups are mounted, and the file that says which this process is in.
    environment : mapping, optional
        By default this process's own; ``LOKY_MAX_CPU_COUNT`` is always read there.
    """
    from loky import cpu_count  # noqa: PLC0415 - 0.1 s that only the default needs

    known = os.environ if environment is None else environment
    # loky reads the quota of the topmost group alone (a systemd slice sits further down), and
    # rounds up: with 1.5 cores, two slots would stand still for a quarter of their time.
    limits: list[float] = [cpu_count(), *_quotas(groups, membership), *_told(known)]
    return max(1, math.floor(min(limits)))


def _told(environment: Mapping[str, str]) -> Iterator[float]:
    """Yield the limits, in cores, that the environment names."""
    count = environment.get("LOKY_CPU_COUNT", "")
    if count.isdecimal():
        yield int(count)
    # Other software uses that name too. A hub's limit shows as a quota where the hub enforces it
    # by one and the sandbox lets it be seen.
    if "JUPYTERHUB_USER" in environment:
        with contextlib.suppress(ValueError):
            limit = float(environment.get("CPU_LIMIT", ""))
            if limit > 0:
                yield limit


def _quotas(root: Path, membership: Path) -> Iterator[float]:
    """Yield the CPU quota, in cores, of each control group that this process is in."""
    for folder in groups_of("cpu", root, membership):
        quota = _quota(folder)
        if quota is not None:
            yield quota


def _quota(folder: Path) -> float | None:
    """Return the quota of one control group in cores; None when it has none."""
    try:
        if (folder / "cpu.max").exists():
            granted, period = (folder / "cpu.max").read_text().split()
        else:
            granted = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(granted) / int(period) if int(granted) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None  # "max", or no such file


def thread_limits(cpus: int, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that hold BLAS, OpenMP and loky to `cpus` threads in one slot.

    What `environment` (this process's own unless given) sets already, the user has decided.
    """
    known = os.environ if environment is None else environment
    return {name: str(cpus) for name in _LIMITS if name not in known}


def share_out(
    slots: int,
    cpus: int,
    allowed: Collection[int],
    topology: Path = Path("/sys/devices/system/cpu"),
) -> list[tuple[int, ...]]:
    """Return the cores of each slot: disjoint, and no two slots on one physical core if possible.

    A physical core's second hyperthread is used only when each has given its first; then slots of
    several cores get both threads of one rather than one thread each of two.

    Parameters
    ----------
    slots, cpus : int >= 1
        How many slots, and how many cores each; at most ``len(allowed)`` together.
    allowed : collection of int
        The numbers of the cores to choose from.
    topology : Path
        Where Linux tells which of them are hyperthreads of one core.
    """
    threads: dict[tuple[int, ...], list[int]] = {}  # of each physical core
    for core in sorted(allowed):
        threads.setdefault(_siblings(core, topology), []).append(core)
    ranked = sorted(
        (rank, place, core)
        for place, family in enumerate(threads.values())
        for rank, core in enumerate(family)
    )
    used = sorted((place, rank, core) for rank, place, core in ranked[: slots * cpus])
    cores = [core for _, _, core in used]
    return [tuple(cores[slot * cpus : (slot + 1) * cpus]) for slot in range(slots)]


def _siblings(core: int, topology: Path) -> tuple[int, ...]:
    """Return all hyperthreads of the physical core that `core` is one of."""
    try:
        text = (topology / f"cpu{core}/topology/thread_siblings_list").read_text()
        return tuple(_core_list(text))
    except (OSError, ValueError):
        return (core,)


def _core_list(text: str) -> Iterator[int]:
    """Yield the numbers of a list as Linux writes it, "0-2,8"."""
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
