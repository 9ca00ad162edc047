"""Where the store is, and which folders it may write, remove or trust."""

import functools
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nbtune.exceptions import StoreError, SweepError

__all__ = [
    "check_trusted",
    "claim_folder",
    "default_path",
    "drafts",
    "is_never_begun",
    "is_own",
    "make_folder",
    "new_draft",
    "starting_folder",
    "store_path",
]

_OWN_FILES = ("lock", "objective.bin")  # what a sweep's folder has from its start on
_BEFORE_TRIALS = re.compile(r"lock|objective\.bin|\.objective\.bin\.\d+")
_DRAFT = re.compile(r"\.new-[0-9a-f]{16}")  # no sweep's name begins with a dot


@functools.cache
def starting_folder() -> Path:
    """Return the working folder when this was first asked, whatever it is now.

    So a notebook that calls ``os.chdir`` finds its earlier sweeps where it made them.
    """
    return _working_folder()


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise StoreError(
            f"the working folder cannot be used: {error}. Change to one that is there, or set "
            "NBTUNE_STORE or store= to a whole path."
        ) from error


def default_path() -> Path:
    """Return the store's folder: ``NBTUNE_STORE``, else ``.nbtune``, seen from where we started."""
    place = Path(os.environ.get("NBTUNE_STORE") or ".nbtune").expanduser()
    return place if place.is_absolute() else starting_folder() / place


def store_path(path: Path | str | None) -> Path:
    """Return the whole path of a store's folder: `path` seen from here, None for the default.

    Raises
    ------
    StoreError
        When `path` is no path, or relative to a working folder that is gone.
    """
    if path is None:
        return default_path()
    try:
        given = Path(path).expanduser()
    except (TypeError, RuntimeError) as error:
        raise StoreError(f"store={path!r}: give a folder, a string or a Path") from error
    if "\0" in str(given):
        raise StoreError(f"store={path!r}: give a folder, a string or a Path")
    return given if given.is_absolute() else _working_folder() / given


def make_folder(path: Path) -> None:
    """Make a store's folder, for its user alone and out of Git's sight; one that is there stays.

    A folder that we did not make may have a ``.gitignore`` of its own.
    """
    if path.is_dir():
        return
    try:
        path.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        if path.is_dir():  # another process was first
            return
        raise
    (path / ".gitignore").write_text("*\n")


def new_draft(store: Path) -> Path:
    """Make a folder in which a sweep is put together before it gets its name."""
    draft = store / f".new-{secrets.token_hex(8)}"
    draft.mkdir(mode=0o700)
    return draft


def drafts(store: Path) -> Iterator[Path]:
    """Yield what `new_draft` made in a store's folder, and what looks like it in all respects."""
    for path in store.glob(".new-*"):
        if _DRAFT.fullmatch(path.name) and is_own(path) and is_never_begun(path):
            yield path


def claim_folder(draft: Path, folder: Path) -> None:
    """Give a draft the name of its sweep, where nothing or an empty folder has it.

    Raises
    ------
    SweepError
        When something else has that name: it would be removed with the sweep.
    OSError
        When it cannot be renamed.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise SweepError(
            f"{folder} exists already, and it is no sweep's. Pick another name for the sweep, "
            "or move that away."
        )
    draft.rename(folder)  # of an empty folder it takes the place


def is_never_begun(folder: Path) -> bool:
    """Return whether a folder holds nothing but what a sweep has before its first trial."""
    return all(_BEFORE_TRIALS.fullmatch(path.name) for path in folder.iterdir())


def is_own(folder: Path) -> bool:
    """Return whether a sweep made the folder that has its name: another may have its place now."""
    return not folder.is_symlink() and any((folder / name).is_file() for name in _OWN_FILES)


def check_trusted(*files: Path) -> None:
    """Raise a StoreError where another user could have written what is loaded from a store.

    Loading a sweep runs code that stands there: each of `files` that is there must be the user's
    own, or root's, and not everybody's to write.
    """
    for file in files:
        try:
            found, link = file.stat(), file.lstat()
        except FileNotFoundError:
            continue
        for uid in (link.st_uid, found.st_uid):
            if uid not in (os.geteuid(), 0):
                raise StoreError(
                    f"{file} belongs to another user (uid {uid}), and loading a sweep runs code "
                    "that is stored there. If you trust it, copy the store and load the copy."
                )
        if found.st_mode & 0o002 and _has_modes(file.parent):
            raise StoreError(
                f"{file} can be written by every user, and loading a sweep runs code that is "
                f"stored there. If you trust it, run: chmod o-w {file}"
            )


def _has_modes(folder: Path) -> bool:
    """Return whether files in `folder` have modes: on some mounts all are 0777, whatever is set."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            return not os.fstat(probe.fileno()).st_mode & 0o002
    except OSError:
        return True
