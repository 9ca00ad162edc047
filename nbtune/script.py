"""The end of a trial that lives in a command's script: its `Reporter`, found by the environment.

The worker listens on a socket in Linux's abstract namespace, which leaves no file behind; both ends
check that the other is the same user's. Requests and replies are lines of JSON, one reply each.
"""

import json
import os
import socket
import struct
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from nbtune.context import SCRIPT_VARIABLE, CurrentTrial, Reporter, TrialStopped
from nbtune.exceptions import ReportError, WorkerError

__all__ = ["is_mine", "reporter"]

_lock = threading.Lock()
_found: tuple[int, Reporter] | None = None


def reporter() -> Reporter:
    """Return the reporter of the trial that this process is the script of.

    Raises
    ------
    WorkerError
        When that trial is over.
    """
    global _found  # noqa: PLW0603 - a script belongs to one trial
    with _lock:
        # A forked child would mix its requests with its parent's.
        if _found is None or _found[0] != os.getpid():
            _found = os.getpid(), _Line(os.environ[SCRIPT_VARIABLE]).reporter()
        return _found[1]


def is_mine(sock: socket.socket) -> bool:
    """Whether the process at the other end of a Unix socket is this user's, or root's."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return struct.unpack("3i", credentials)[1] in (os.getuid(), 0)


class _Line:
    """A connection to the worker at `address`."""

    def __init__(self, address: str) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(f"\0{address}")
            if not is_mine(sock):
                raise ConnectionRefusedError("it is another user's")
        except OSError as error:
            sock.close()
            raise WorkerError(
                f"{SCRIPT_VARIABLE}={address} says that this script is part of a trial, and its "
                f"worker does not answer ({error}): the trial is over. Unset {SCRIPT_VARIABLE} to "
                "run the script by itself."
            ) from error
        self._sock = sock
        self._replies = sock.makefile("r", encoding="utf-8")

    def reporter(self) -> Reporter:
        """Return what takes the script's reports."""
        told = self._ask("hello")
        found = Reporter(
            CurrentTrial(
                number=told["number"],
                params=told["params"],
                dir=Path(told["dir"]),
                seed=told["seed"],
            ),
            self._send,
            step_name=told["step_name"],
            known_until=told["known_until"],
            keeps=told["keeps"],
            metric=told["metric"],
        )
        found.last_step = told["last_step"]
        return found

    def _send(self, step: int, metrics: dict[str, float]) -> None:
        """Pass a report on and wait for what the sweep says to it."""
        match self._ask("report", step, metrics):
            case ["stop", reason, complete]:
                _end_quietly()
                raise TrialStopped(reason, complete=complete)
            case ["refused", message]:
                raise ReportError(message)

    def _ask(self, *words: Any) -> Any:
        try:
            self._sock.sendall(json.dumps(words).encode() + b"\n")
            reply = self._replies.readline()
        except OSError:
            reply = ""
        if not reply:
            raise WorkerError("the trial's worker is gone")
        return json.loads(reply)


def _end_quietly() -> None:
    """Show no traceback when the script lets a stop pass, as it should."""
    shown = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, TrialStopped):
            shown(kind, error, trace)

    sys.excepthook = show
