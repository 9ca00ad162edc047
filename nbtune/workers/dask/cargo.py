"""What the two sides say to each other, and a trial's files on their way between machines.

A frame is a JSON list and, after a newline, bytes. Files travel as three kinds of frames, all by
the trial's number and a path inside its folder: "put" (these bytes come next), "move" (the file or
folder is whole, this is its name) and "drop" (remove it).
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from nbtune.workers.channel import encode

__all__ = ["Courier", "fields", "frame", "pack", "unpack"]

_PIECE = 4 * 1024 * 1024
_LOG_TAIL = 64 * 1024
_LEFT_BEHIND = 64 * 1024 * 1024
"""Bytes of a trial's files, checkpoints and log apart, that are brought home in all."""


def frame(*words: Any, body: bytes = b"") -> bytes:
    """Return a frame of plain values and bytes."""
    return encode(words).encode() + b"\n" + body


def fields(data: bytes) -> tuple[list[Any], bytes]:
    """Return the values and the bytes of a frame."""
    head, _, body = data.partition(b"\n")
    return json.loads(head), body


def pack(folder: Path, number: int, path: str, *, start: int = 0) -> Iterator[bytes]:
    """Yield the frames that carry a file or a folder, from byte `start` of a file on.

    Raises
    ------
    FileNotFoundError
        When it is removed meanwhile; what has been carried has no name yet, only a draft's.
    """
    source = folder / path
    draft = f"{path}.draft"
    yield frame("drop", number, draft)
    if source.is_dir():
        files = sorted(source.rglob("*"))
        for file in files:
            if file.is_file():
                yield from _pieces(file, number, f"{draft}/{file.relative_to(source)}", 0)
        if sorted(source.rglob("*")) != files:
            raise FileNotFoundError(source)
    else:
        yield from _pieces(source, number, draft, start)
    yield frame("move", number, draft, path)


def _pieces(file: Path, number: int, name: str, start: int) -> Iterator[bytes]:
    with file.open("rb") as content:
        content.seek(start)
        piece = content.read(_PIECE)
        while True:
            yield frame("put", number, name, body=piece)
            piece = content.read(_PIECE)
            if not piece:
                return


def unpack(folder: Path, kind: str, names: list[Any], body: bytes) -> None:
    """Do what a frame of a file says, inside the trial's folder and nowhere else."""
    paths = [_inside(folder, name) for name in names]
    if kind == "put":
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        with paths[0].open("ab") as file:
            file.write(body)
        return
    _remove(paths[-1])
    if kind == "move" and paths[0].exists():
        paths[1].parent.mkdir(parents=True, exist_ok=True)
        paths[0].rename(paths[1])


def _inside(folder: Path, name: Any) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"a file's name is {name!r}")
    return folder / path


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


class Courier:
    """Brings a trial's files home from a machine that does not share the sweep's folder.

    Parameters
    ----------
    folder : Path
        Where trial n writes into ``folder / str(n)``.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sent: dict[int, set[str]] = {}

    def begin(self, number: int) -> None:
        """Take the checkpoints that are there as known on the other side."""
        self._sent[number] = self._checkpoints(number)

    def news(self, number: int) -> Iterator[bytes]:
        """Yield the frames of the checkpoints that came, or went, since the last call."""
        there, sent = self._checkpoints(number), self._sent.setdefault(number, set())
        for path in sorted(there - sent):
            try:
                yield from pack(self._folder / str(number), number, path)
            except FileNotFoundError:  # the trial goes on, and has dropped it for a newer one
                yield frame("drop", number, f"{path}.draft")
                there.discard(path)
        for path in sorted(sent - there):
            yield frame("drop", number, path)
        self._sent[number] = there

    def _checkpoints(self, number: int) -> set[str]:
        home = self._folder / str(number) / "checkpoints"
        try:
            names = os.listdir(home)  # noqa: PTH208 - for each report: a `Path` each is too slow
        except OSError:
            return set()
        return {f"checkpoints/{name}" for name in names if not name.endswith(".draft")}

    def rest(self, number: int) -> Iterator[bytes]:
        """Yield the frames of all else that an ended trial leaves, then remove its folder.

        Of the log the last 64 KiB come along, of other files 64 MiB in all, the smallest first;
        what stays behind is named at the log's end.
        """
        yield from self.news(number)
        home = self._folder / str(number)
        room, behind = _LEFT_BEHIND, ""
        files = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
        for file in sorted(files, key=lambda path: path.stat().st_size):
            name = file.relative_to(home).as_posix()
            if name == "log.txt" or name.startswith("checkpoints/"):
                continue
            room -= file.stat().st_size
            if room >= 0:
                yield from pack(home, number, name)
            else:
                behind += f"\n[nbtune: {name} was not brought back from the worker: too large]\n"
        log = home / "log.txt"
        if log.exists():
            start = max(0, log.stat().st_size - _LOG_TAIL)
            if behind:
                with log.open("a") as text:
                    text.write(behind)
            yield from pack(home, number, "log.txt", start=start)
        self._sent.pop(number, None)
        shutil.rmtree(home, ignore_errors=True)
