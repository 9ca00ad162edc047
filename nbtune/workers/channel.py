"""Frames between the driver and its workers, over one authenticated AF_UNIX socket each.

A frame is its length (4 bytes, big-endian) and its bytes. What a worker sends is JSON and is never
unpickled; what the driver sends is pickled, and only the holder of the key can send it.
"""

import contextlib
import errno
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path

__all__ = ["ChannelError", "Link", "Listener", "connect", "encode"]

FRAME_LIMIT = 64 * 1024 * 1024
"""No frame of a worker is longer, in bytes: what claims to be is noise."""

_HEADER = struct.Struct("!I")
_UNLIMITED = 2**32 - 1
_HANDSHAKE_SECONDS = 5
_SEND_SECONDS = 10
_SHORTAGE_PAUSE = 0.05  # seconds until callers are accepted again, where no descriptor is free

encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
"""JSON text of a frame; NaN and infinity pass as JavaScript's names."""


class ChannelError(OSError):
    """The other side sent what no nbtune sends."""


class Link:
    """One end of a channel: whole frames in, whole frames out.

    Reading belongs to one thread. `send` needs a lock when several threads use it.
    """

    def __init__(self, sock: socket.socket, *, limit: int = _UNLIMITED) -> None:
        self._sock = sock
        self._limit = limit
        self._pending = bytearray()
        self.fileno = sock.fileno

    def send(self, data: bytes) -> None:
        """Send one frame; raise OSError when the other side is gone or does not read."""
        self._sock.sendall(_HEADER.pack(len(data)) + data)

    def receive(self, *, wait: bool = True) -> list[bytes]:
        """Read once, waiting if need be, and return the frames that are complete now.

        Raises
        ------
        BlockingIOError
            When there is nothing to read and it shall not `wait`.
        EOFError
            When the other side is gone.
        ChannelError
            When a frame is longer than the limit.
        """
        # Larger reads would make Python map and unmap memory for each: 5 us a decision.
        chunk = self._sock.recv(65536, 0 if wait else socket.MSG_DONTWAIT)
        if not chunk:
            raise EOFError
        pending = self._pending
        if not pending and len(chunk) == 4 + int.from_bytes(chunk[:4]) <= self._limit + 4:
            return [chunk[4:]]  # the usual case
        pending += chunk
        frames = []
        start, size = 0, len(pending)
        while size - start >= 4:
            (length,) = _HEADER.unpack_from(pending, start)
            if length > self._limit:
                raise ChannelError(f"a frame of {length} bytes, the limit is {self._limit}")
            if size - start - 4 < length:
                break
            frames.append(bytes(pending[start + 4 : start + 4 + length]))
            start += 4 + length
        del pending[:start]
        return frames

    def peer(self) -> int:
        """Return the process id on the other side, as the kernel knows it."""
        credentials = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int(struct.unpack("3i", credentials)[0])

    def patience(self, *, receive: float, send: float) -> None:
        """Give up on reads and writes after so many seconds; 0 waits for ever."""
        # Kernel timeouts: Python's own would make the descriptor non-blocking, and
        # multiprocessing's Connection, which shares it for the handshake, cannot cope with that.
        for option, seconds in (socket.SO_RCVTIMEO, receive), (socket.SO_SNDTIMEO, send):
            self._sock.setsockopt(
                socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
            )

    def wake(self) -> None:
        """End both directions: whoever reads gets EOFError."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the descriptor."""
        self._sock.close()


def _prove(link: Link, key: bytes, *, first: bool) -> None:
    """Prove to each other that both hold the key."""
    with Connection(os.dup(link.fileno())) as connection:
        # The driver challenges first and answers only whoever passed, so that it proves
        # nothing to strangers.
        for step in (deliver_challenge, answer_challenge)[:: 1 if first else -1]:
            step(connection, key)


def connect(address: str, key: bytes) -> Link:
    """Return the worker's end of a channel to the driver at `address`."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link = Link(sock)
    try:
        sock.connect(address)
        link.patience(receive=_HANDSHAKE_SECONDS * 6, send=_HANDSHAKE_SECONDS * 6)
        _prove(link, key, first=False)
        link.patience(receive=0, send=0)
    except BaseException:
        link.close()
        raise
    return link


class Listener:
    """Accepts workers: each connection is proved, and then served, on a thread of its own.

    A stranger that stays silent, talks nonsense or has the wrong key costs a thread for a few
    seconds and nothing else. Where no thread can be had, the worker is turned away.

    Parameters
    ----------
    address : Path
        The socket's file, in a folder that only this user can enter.
    key : bytes
    serve : callable
        Called with each proved `Link`, on its thread; it owns the link.
    """

    def __init__(self, address: Path, key: bytes, serve: Callable[[Link], None]) -> None:
        self._key = key
        self._serve = serve
        self._lock = threading.Lock()
        self._unproved: set[Link] = set()
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self._turned_away = ""
        self._sock = _listening(address)
        self._acceptor = threading.Thread(target=self._accept, name="nbtune-accept", daemon=True)
        try:
            self._acceptor.start()
        except BaseException:
            self._sock.close()
            raise

    def turned_away(self) -> str:
        """Say why the last worker was turned away since this was asked, "" if none was."""
        with self._lock:
            why, self._turned_away = self._turned_away, ""
            return why

    def renew(self, address: Path) -> None:
        """Listen at the address anew: the socket's file was removed."""
        with self._lock:
            old, self._sock = self._sock, _listening(address)
        _close_listening(old)

    def turn_away(self, why: object) -> None:
        """Take note of why a worker was not served."""
        with self._lock:
            self._turned_away = str(why)

    def _accept(self) -> None:
        while True:
            sock = self._sock
            try:
                accepted, _ = sock.accept()
            except OSError as error:
                if self._closed:
                    return
                if sock is self._sock:  # no free descriptor: whoever calls waits meanwhile
                    self.turn_away(error)
                    time.sleep(_SHORTAGE_PAUSE)
                continue
            link = Link(accepted, limit=FRAME_LIMIT)
            thread = threading.Thread(
                target=self._welcome, args=(link,), name="nbtune-worker", daemon=True
            )
            with self._lock:
                if self._closed:
                    link.close()
                    return
                self._unproved.add(link)
                self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError as error:  # "can't start new thread"
                self.turn_away(error)
                self._forget(thread, link)

    def _welcome(self, link: Link) -> None:
        try:
            if self._is_proved(link):
                self._serve(link)
        finally:
            self._forget(threading.current_thread(), link)

    def _forget(self, thread: threading.Thread, link: Link) -> None:
        with self._lock:
            self._threads.discard(thread)
            self._unproved.discard(link)
        link.close()

    def _is_proved(self, link: Link) -> bool:
        try:
            link.patience(receive=_HANDSHAKE_SECONDS, send=_HANDSHAKE_SECONDS)
            _prove(link, self._key, first=True)
            link.patience(receive=0, send=_SEND_SECONDS)
        except (AuthenticationError, OSError, EOFError, AssertionError, ValueError) as error:
            # AssertionError is what Python 3.11 raises on a challenge that is none.
            if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE):
                self.turn_away(error)
            return False
        finally:
            with self._lock:
                self._unproved.discard(link)
        return True

    def close(self) -> None:
        """Stop accepting, turn unproved callers away, wait for the served ones to be done."""
        with self._lock:
            self._closed = True
            waiting = list(self._unproved)
        for link in waiting:
            link.wake()
        _close_listening(self._sock)
        self._acceptor.join()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()


def _listening(address: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(os.fspath(address))
        sock.listen(64)
    except BaseException:
        sock.close()
        raise
    return sock


def _close_listening(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread, close alone would not
    sock.close()
