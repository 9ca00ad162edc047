"""The checkpoints in a trial's folder, as they lie there: found, read, and dropped."""

import contextlib
import pickle
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Checkpoint", "checkpoints_home", "discard", "readable", "saved_checkpoints"]

_NAME = re.compile(r"\d{6,}-\d+(\.pickle)?")  # a file or folder of another name is the user's


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a trial has kept by ``save_checkpoint``, complete on disk.

    Attributes
    ----------
    path : Path
        A pickle, or the folder that was saved.
    after_step : int
        The last step that had been reported when it was saved: a trial that saves before each
        report, as it should, saves what it reports at step 5 after step 4. 0 before the first.
    """

    path: Path
    after_step: int

    def load(self) -> Any:
        """Return what was saved; of a folder its `Path`, to be read and not changed."""
        return self.path if self.path.is_dir() else pickle.loads(self.path.read_bytes())


def checkpoints_home(folder: Path) -> Path:
    """Return the folder in a trial's folder in which its checkpoints are."""
    return folder / "checkpoints"


def saved_checkpoints(folder: Path) -> list[Checkpoint]:
    """Return the complete checkpoints of the trial with this folder, oldest first."""
    home = checkpoints_home(folder)
    if not home.exists():
        return []
    paths = sorted(path for path in home.iterdir() if _NAME.fullmatch(path.name))
    return [Checkpoint(path, int(path.stem.partition("-")[2])) for path in paths]


def readable(checkpoints: Iterable[Checkpoint]) -> Iterator[tuple[Checkpoint, Any]]:
    """Yield each checkpoint with what it holds, but those that are damaged."""
    for checkpoint in checkpoints:
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            yield checkpoint, checkpoint.load()


def discard(path: Path) -> None:
    """Remove a checkpoint, or all of them with their folder."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
