"""The control groups that this process is in: where a container's limits can be read."""

from collections.abc import Iterator
from pathlib import Path

__all__ = ["MEMBERSHIP", "ROOT", "groups_of"]

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def groups_of(controller: str, root: Path = ROOT, membership: Path = MEMBERSHIP) -> Iterator[Path]:
    """Yield the folders of this process's groups for a controller, from its own to the topmost.

    Version 2, where all controllers share a tree, and version 1, where each has its own, alone or
    with others. A limit of any of the groups holds.

    Parameters
    ----------
    controller : str
        "cpu" or "memory".
    root : Path
        Where control groups are mounted.
    membership : Path
        What tells the process's groups.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root
        if controllers:
            top = root / controller if (root / controller).exists() else root / controllers
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            yield folder
            if folder == top:
                break
