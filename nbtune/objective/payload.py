"""One file that carries an objective to the workers, with its data or the names of it.

Buffers lie page-aligned in the file or, where there is a depot, in packs: files of one large buffer
or several small ones. Each load maps them afresh, copy on write: what a trial does to its arrays no
other trial sees, and clean pages are shared by all processes.
"""

import contextlib
import functools
import io
import mmap
import os
import pickle
import shutil
import struct
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias

import cloudpickle

from nbtune import pickling
from nbtune.exceptions import ObjectiveError, StoreError
from nbtune.objective.call import Call
from nbtune.objective.culprit import explain
from nbtune.objective.reducers import reduce
from nbtune.trial import Params

__all__ = ["Payload", "duplicate", "write"]

_MAGIC = b"nbtune-2"
_HEADER = struct.Struct("<8sQQQQ")  # magic, where the pickle is, its length, packs, buffers
_PACK = struct.Struct("<Q16s")  # a pack's length, its digest
_SPAN = struct.Struct("<qQQ")  # a buffer's pack, where it is there, its length
_HERE = -1  # the pack of a buffer in this file
_PAGE = 4096
_SMALL = 64 * 1024  # a buffer below this travels in the pickle: copying it is cheaper than mapping
_LARGE = 16 * 1024 * 1024  # a pack is full; each costs a load 15 us, and a file descriptor
_LITTLE = 1024 * 1024  # less than this, in all, is not worth a pack
_PIECE = 16 * 1024 * 1024

_Pieces: TypeAlias = Callable[[], Iterable[memoryview]]
_Take: TypeAlias = Callable[[int, _Pieces], None]


class _Depot(Protocol):
    """Where large buffers go: `Cargo`."""

    def put(self, nbytes: int, pieces: _Pieces) -> str: ...


class _Full(Exception):  # noqa: N818 - tells a write that failed from an OSError of the user's
    """The disk does not take what is written; holds the OSError."""


class _Pickler(pickling.Pickler):
    """Pickles a call, handing its buffers to `take`: their length, and what yields the pieces."""

    def __init__(self, file: IO[bytes], call: Callable[..., Any], take: _Take) -> None:
        super().__init__(file, protocol=5, buffer_callback=self._buffer)
        self._take = take
        self._array: Any = None  # the array that `_stand_in` stands for
        self._stand_in: pickle.PickleBuffer | None = None
        self._function = getattr(call, "function", None)
        self._titles = call.sources.titles if isinstance(call, Call) else {}
        if isinstance(call, Call):
            # The dict that `globals_ref` names by a namespace's id becomes the globals of the
            # functions defined there: so they see what the cell assigns, as in the notebook.
            self.globals_ref.update(call.shared_globals())

    def _buffer(self, buffer: pickle.PickleBuffer) -> bool:
        """Take a buffer; return whether it shall go into the pickle instead."""
        if buffer is self._stand_in:
            array = self._array
            self._take(array.nbytes, lambda: _pieces(array))
            self._array = self._stand_in = None
            return False
        with memoryview(buffer) as view:
            if not view.contiguous:  # the pickle would refuse it
                packed = memoryview(view.tobytes())
                self._take(packed.nbytes, lambda: [packed])
                return False
            if view.nbytes < _SMALL:
                return True
        raw = buffer.raw()
        self._take(raw.nbytes, lambda: [raw])
        return False

    def filename(self, code: types.CodeType) -> str:
        """Return the name by which the user knows the file of `code`."""
        return self._titles.get(code.co_filename, code.co_filename)

    def reducer_override(self, obj: Any) -> Any:
        """Reduce what its own library would reduce in a way that does not suit trials."""
        if _is_copied_by_numpy(obj):
            self._array, self._stand_in = obj, pickle.PickleBuffer(bytearray(1))
            return _array, (self._stand_in, obj.dtype, obj.shape)
        apart = reduce(obj)
        if apart is not None:
            return apart
        reduced = super().reducer_override(obj)
        if isinstance(obj, type) and isinstance(reduced, tuple):
            return _untracked(obj, reduced)
        if obj is self._function and isinstance(reduced, tuple):
            # Its annotations are domains: to load them a worker would import NumPy, 0.2 s.
            reduced[2][1]["__annotations__"] = {}
        return reduced


def _is_copied_by_numpy(obj: Any) -> bool:
    """Whether NumPy would put an array's bytes into the pickle, 500 MB to copy for every trial.

    NumPy 2.4 does so for views with gaps (``data[:, :-1]``) and for dates.
    """
    numpy = sys.modules.get("numpy")
    return (
        numpy is not None
        and type(obj) is numpy.ndarray
        and obj.nbytes >= _SMALL
        and not obj.dtype.hasobject
        and (obj.dtype.kind in "mM" or not (obj.flags.c_contiguous or obj.flags.f_contiguous))
    )


def _pieces(array: Any) -> Iterator[memoryview]:
    """Yield an array's bytes in C order, about 16 MB at a time: whole, the copy could be huge."""
    numpy = sys.modules["numpy"]
    rows = max(1, _PIECE * len(array) // array.nbytes)
    for start in range(0, len(array), rows):
        yield numpy.ascontiguousarray(array[start : start + rows]).reshape(-1).view("u1").data


def _array(buffer: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Return the array that `_Pickler` took apart."""
    import numpy as np  # noqa: PLC0415 - a worker without arrays does without NumPy

    return np.frombuffer(buffer, dtype=dtype).reshape(shape)


def _untracked(kind: type, reduced: tuple[Any, ...]) -> tuple[Any, ...]:
    """Let every load make a class of its own.

    cloudpickle 3.1 finds a class that it has sent or loaded before by an id and sets its members
    again: one trial would change another's class, and in the driver the notebook's own.
    """
    tracker = cloudpickle.cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS.get(kind)
    if tracker is None:
        return reduced
    make, arguments, *rest = reduced
    return make, tuple(None if each == tracker else each for each in arguments), *rest


class _Sink:
    """Writes a payload's parts one after the other, and packs to the depot."""

    def __init__(self, file: IO[bytes], depot: _Depot | None) -> None:
        self._file = file
        self._depot = depot
        self._packs: list[tuple[int, bytes]] = []
        self._spans: list[tuple[int, int, int]] = []
        self._waiting: list[tuple[int, int, _Pieces]] = []  # the next pack: number, length, pieces
        self._end = _HEADER.size

    def take(self, nbytes: int, pieces: _Pieces) -> None:
        """Write a buffer at the next page, or have it packed."""
        number = len(self._spans)
        self._spans.append((_HERE, 0, nbytes))
        if self._depot is None:
            self._write(number, pieces)
        elif nbytes >= _LARGE:
            self._pack(self._depot, [(number, nbytes, pieces)])
        else:
            self._waiting.append((number, nbytes, pieces))
            if self._waits() >= _LARGE:
                self._pack(self._depot, self._waiting)
                self._waiting = []

    def _waits(self) -> int:
        return sum(nbytes for _, nbytes, _ in self._waiting)

    def _write(self, number: int, pieces: _Pieces) -> None:
        start = end = _page(self._end)
        for piece in pieces():
            self._put(end, piece)
            end = self._end
        self._spans[number] = _HERE, start, end - start

    def _pack(self, depot: _Depot, members: list[tuple[int, int, _Pieces]]) -> None:
        end = 0
        for number, nbytes, _ in members:
            start = _page(end)
            self._spans[number] = len(self._packs), start, nbytes
            end = start + nbytes
        try:
            digest = depot.put(end, lambda: _joined(members))
        except OSError as error:
            raise _Full(error) from error
        self._packs.append((end, bytes.fromhex(digest)))

    def finish(self, stream: memoryview) -> None:
        """Write what waits, the pickle, the tables and, last, the header."""
        if self._depot is not None and self._waits() >= _LITTLE:
            self._pack(self._depot, self._waiting)
        else:
            for number, _, pieces in self._waiting:
                self._write(number, pieces)
        start = self._end
        self._put(start, stream)
        self._put(self._end, b"".join(_PACK.pack(*pack) for pack in self._packs))
        self._put(self._end, b"".join(_SPAN.pack(*span) for span in self._spans))
        counts = len(self._packs), len(self._spans)
        self._put(0, _HEADER.pack(_MAGIC, start, stream.nbytes, *counts))

    def _put(self, start: int, content: memoryview | bytes) -> None:
        try:
            self._file.seek(start)
            self._file.write(content)
            self._file.flush()
        except OSError as error:
            raise _Full(error) from error
        self._end = max(self._end, start + len(content))


def _page(position: int) -> int:
    """Return where the next page begins, at `position` or after it."""
    return -(-position // _PAGE) * _PAGE


def _joined(members: list[tuple[int, int, _Pieces]]) -> Iterator[memoryview]:
    """Yield a pack's bytes: each buffer from a new page on."""
    end = 0
    for _, nbytes, pieces in members:
        if end % _PAGE:
            yield memoryview(bytes(_page(end) - end))
        yield from pieces()
        end = _page(end) + nbytes


def write(call: Callable[[Params], Any], path: Path, depot: _Depot | None = None) -> None:
    """Write `call` and what it uses to a file that `Payload` reads.

    The file appears whole or not at all and is readable by its owner only. Large contiguous
    buffers go from where they are straight to the file.

    Parameters
    ----------
    call : callable
    path : Path
    depot : Cargo, optional
        Takes the buffers from 1 MB on, in all; without it the file holds everything.

    Raises
    ------
    ObjectiveError
        When something cannot be pickled: it names the variable, and says what to do.
    StoreError
        When the file cannot be written, for instance on a full disk.
    """
    path = Path(path)
    try:
        with _new_file(path) as file:
            sink = _Sink(file, depot)
            stream = _pickled(call, sink.take)
            with stream.getbuffer() as content:
                sink.finish(content)
    except _Full as full:
        raise _no_room(call, path, full.args[0]) from full.args[0]
    except OSError as error:
        raise _unwritable(path, error) from error


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that stands at `path` once it is written, for its owner only."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be written: {error}")


def _pickled(call: Callable[..., Any], take: _Take) -> io.BytesIO:
    stream = io.BytesIO()
    try:
        _Pickler(stream, call, take).dump(call)
    except _Full:
        raise
    except Exception as error:
        parts = call.parts() if isinstance(call, Call) else {"the objective": call}
        advice = call.advice if isinstance(call, Call) else "Create it where it is used."
        raise ObjectiveError(explain(parts, _why_not, error, advice)) from error
    return stream


def _no_room(call: Callable[..., Any], path: Path, error: OSError) -> StoreError:
    sizes: list[int] = []
    stream = _pickled(call, lambda nbytes, _pieces: sizes.append(nbytes))
    needed = (sum(sizes) + stream.tell()) / 1e6
    free = shutil.disk_usage(path.parent).free / 1e6
    return StoreError(
        f"{path} cannot be written: {error.strerror}. What the objective uses takes "
        f"{needed:,.1f} MB, and {free:,.1f} MB are free there. Free some space, or choose another "
        "place with store=..."
    )


def duplicate(call: Callable[[Params], Any]) -> Callable[[Params], Any]:
    """Return what a load from a payload would give, by way of memory."""
    buffers: list[bytearray] = []
    stream = _pickled(call, lambda _, pieces: buffers.append(bytearray().join(pieces())))
    copy: Callable[[Params], Any] = pickle.loads(stream.getbuffer(), buffers=buffers)
    return copy


class Payload:
    """A file that `write` made.

    Parameters
    ----------
    path : Path
    places : sequence of Path
        The folders in which to look for packs, in this order.
    prepare : callable
        Called before each load.
    """

    def __init__(
        self,
        path: Path,
        places: Sequence[Path] = (),
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        self._prepare = prepare
        self.path = Path(path)
        self.places = tuple(places)
        self._stream: bytes | None = None  # of a file without buffers

    def load(self) -> Callable[[Params], Any]:
        """Return a fresh call, on its own copy-on-write mapping of the data.

        Raises
        ------
        StoreError
            When the file is missing or not whole, or a pack is in none of the places.
        """
        self._prepare()
        if self._stream is None:
            stream, buffers = self._read()
        else:
            stream, buffers = memoryview(self._stream), []
        call: Callable[[Params], Any] = pickle.loads(stream, buffers=buffers)
        if isinstance(call, Call):
            call.renew = self.load
        return call

    def packs(self) -> dict[str, int]:
        """Return the lengths of the packs that the objective uses, by digest.

        Raises
        ------
        StoreError
            When the file is missing or not whole.
        """
        _, _, packs, _ = self._map()
        return {digest.hex(): nbytes for nbytes, digest in packs}

    def gather(self, path: Path) -> None:
        """Write all of it, packs included, to one file: for a machine that has not the places.

        Raises
        ------
        StoreError
            When a part cannot be read, or the file cannot be written.
        """
        stream, buffers = self._read()
        try:
            with _new_file(path) as file:
                sink = _Sink(file, None)
                for buffer in buffers:
                    sink.take(buffer.nbytes, functools.partial(iter, [buffer]))
                sink.finish(stream)
        except _Full as full:
            raise _unwritable(path, full.args[0]) from full.args[0]
        except OSError as error:
            raise _unwritable(path, error) from error

    def _read(self) -> tuple[memoryview, list[memoryview]]:
        whole, stream, packs, spans = self._map()
        if not spans and len(stream) <= _SMALL:
            self._stream = bytes(stream)
        # Two packs of the same content are mapped twice: equal arrays are not the same array.
        parts = [self._fetch(digest.hex(), nbytes) for nbytes, digest in packs] + [whole]
        return stream, [parts[pack][start : start + nbytes] for pack, start, nbytes in spans]

    def _map(
        self,
    ) -> tuple[memoryview, memoryview, list[tuple[int, bytes]], list[tuple[int, int, int]]]:
        """Return the whole file, the pickle in it, and the tables of packs and buffers."""
        try:
            with self.path.open("rb") as file:
                magic, start, length, packs, spans = _HEADER.unpack(file.read(_HEADER.size))
                table = start + length
                size = os.fstat(file.fileno()).st_size
                if magic != _MAGIC or size != table + packs * _PACK.size + spans * _SPAN.size:
                    raise ValueError("it is not whole")
                whole = _mapping(file)
        except (OSError, ValueError, struct.error) as error:
            raise StoreError(
                f"{self.path} cannot be read: {error}. It holds what the objective uses; run the "
                "cell again to write it anew."
            ) from error
        between = table + packs * _PACK.size
        return (
            whole,
            whole[start:table],
            list(_PACK.iter_unpack(whole[table:between])),
            list(_SPAN.iter_unpack(whole[between:])),
        )

    def _fetch(self, digest: str, nbytes: int) -> memoryview:
        """Return a pack."""
        for place in self.places:
            with contextlib.suppress(OSError), (place / digest).open("rb") as file:
                if os.fstat(file.fileno()).st_size == nbytes:
                    return _mapping(file)
        raise StoreError(
            f"{nbytes / 1e6:,.1f} MB of what the objective in {self.path} uses are gone. Run the "
            "cell again to write them anew."
        )


def _mapping(file: IO[bytes]) -> memoryview:
    """Return a copy-on-write view of a file; it lives as long as the arrays made of it."""
    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))


def _why_not(value: Any) -> Exception | None:
    """Return the error that pickling `value` on its own raises."""
    try:
        _Pickler(io.BytesIO(), value, lambda _nbytes, _pieces: None).dump(value)
    except Exception as error:  # noqa: BLE001 - the user's own __reduce__ may raise anything
        return error
    return None
