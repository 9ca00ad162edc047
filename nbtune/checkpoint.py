"""What a trial keeps to go on from: saved atomically in its folder, the newest few of them."""

import os
import shutil
from pathlib import Path
from typing import Any, TypeVar

from nbtune.checkpoint_files import (
    Checkpoint,
    checkpoints_home,
    discard,
    readable,
    saved_checkpoints,
)
from nbtune.context import active_reporter

__all__ = ["discard_checkpoints", "has_checkpoint", "load_checkpoint", "save_checkpoint"]

T = TypeVar("T")

KEPT = 2
"""How many checkpoints a trial keeps: the newest, and one more should that be damaged."""


def save_checkpoint(state: Any) -> None:
    """Keep `state`, so that the trial can go on from it after a pause, a crash or a restart.

    Save before the report of the same step: at a rung the trial may end inside ``report``. Outside
    a sweep nothing is kept.

    Parameters
    ----------
    state : object or Path
        Anything that pickles (a model, an optimiser's state, an epoch), or the `Path` of a folder,
        which is copied.
    """
    reporter = active_reporter()
    if reporter is None or not reporter.keeps:
        return
    home = checkpoints_home(reporter.trial.dir)
    home.mkdir(parents=True, exist_ok=True)
    saved = saved_checkpoints(reporter.trial.dir)
    number = int(saved[-1].path.stem.partition("-")[0]) + 1 if saved else 1
    name = f"{number:06d}-{reporter.last_step}"
    draft = home / f"{name}.draft"
    discard(draft)
    if isinstance(state, Path):
        shutil.copytree(state, draft)
        draft.rename(home / name)
    else:
        _write(state, draft)
        draft.rename(home / f"{name}.pickle")
    for old in saved[: len(saved) - KEPT + 1]:
        discard(old.path)


def load_checkpoint(default: T | None = None) -> Any | T:
    """Return what the trial saved last, or `default` when it has saved nothing.

    What was saved since the last report that arrived (the process was killed in between) is passed
    over for the one before, so that no step is missing. A folder comes back as the `Path` of
    the copy, to be read and not changed.
    """
    reporter = active_reporter()
    if reporter is None or not reporter.keeps:
        return default
    saved = _followed(saved_checkpoints(reporter.trial.dir), reporter.known_until)
    for checkpoint, state in readable(reversed(saved)):
        # Steps that are counted by `report` itself go on from here.
        reporter.last_step = checkpoint.after_step
        return state
    return default


def _followed(saved: list[Checkpoint], known_until: int) -> list[Checkpoint]:
    """Drop the checkpoints whose reports, before them and the one to follow, are not all known."""
    saved = [checkpoint for checkpoint in saved if checkpoint.after_step <= known_until]
    if not saved or saved[-1].after_step < known_until:
        return saved
    # Two in a row after the same report: this trial does not save before each report.
    if len(saved) > 1 and saved[-2].after_step == saved[-1].after_step:
        return saved
    return saved[:-1]


def has_checkpoint(folder: Path) -> bool:
    """Return whether the trial with this folder has something to go on from."""
    return bool(saved_checkpoints(folder))


def discard_checkpoints(folder: Path) -> None:
    """Forget what the trial with this folder has saved."""
    discard(checkpoints_home(folder))


def _write(state: Any, path: Path) -> None:
    from nbtune import pickling  # noqa: PLC0415 - it brings cloudpickle, only needed here

    with path.open("wb") as file:
        pickling.dump(state, file)  # the stdlib's cannot pickle a notebook's classes
        file.flush()
        os.fsync(file.fileno())
