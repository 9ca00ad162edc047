"""Where the scripts of a command report: a socket in the worker, asked from the child's loop."""

import contextlib
import json
import socket
from collections.abc import Callable
from typing import Any

from nbtune.context import Reporter, TrialStopped
from nbtune.exceptions import ReportError
from nbtune.objective.printed import Printed
from nbtune.script import is_mine

__all__ = ["Desk"]

_SEND_SECONDS = 10.0


class Desk:
    """Answers the requests of `script` on the thread that calls it.

    Parameters
    ----------
    reporter : Reporter
        The trial's.
    printed : Printed
        Once the script calls ``report`` its JSON lines are only log.

    Attributes
    ----------
    socket : socket
        Where scripts connect; `welcome` when it is readable.
    verdict : TrialStopped, ReportError or None
        What ended the trial, once the script has been told of it.
    """

    def __init__(self, reporter: Reporter, printed: Printed) -> None:
        self._reporter = reporter
        self._printed = printed
        self._last_step = 0  # that a script reported; JSON lines before it do not count
        self.verdict: TrialStopped | ReportError | None = None
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind("")  # Linux gives a free name of its abstract namespace
        self.socket.listen(64)
        self.socket.setblocking(False)

    @property
    def address(self) -> str:
        """The name by which a script finds it."""
        return bytes(self.socket.getsockname()[1:]).decode()

    def welcome(self, watch: Callable[[socket.socket, Callable[[], bool]], None]) -> bool:
        """Take a caller; `watch` has its requests served until that returns False."""
        with contextlib.suppress(OSError):  # it went away again
            caller, _ = self.socket.accept()
            if is_mine(caller):
                caller.settimeout(_SEND_SECONDS)
                watch(caller, _Caller(caller, self._answer).serve)
            else:
                caller.close()
        return True

    def _answer(self, kind: str, *words: Any) -> Any:
        if kind == "report":
            return self._report(*words)
        if kind != "hello":
            raise ValueError(f"a request of kind {kind!r}")
        reporter, trial = self._reporter, self._reporter.trial
        return {
            "number": trial.number,
            "params": trial.params,
            "dir": str(trial.dir.absolute()),
            "seed": trial.seed,
            "step_name": reporter.step_name,
            "known_until": reporter.known_until,
            "last_step": self._last_step,
            "keeps": reporter.keeps,
            "metric": reporter.metric,
        }

    def _report(self, step: int, metrics: dict[str, Any]) -> list[Any]:
        """Pass a report on, at a milestone wait for what is decided; return what it came to."""
        self._printed.enabled = False
        self._last_step = step
        if step <= self._printed.reported_until:
            return []  # its JSON line has been taken for a report
        try:
            self._reporter.report(step, metrics, lambda: "report in the script")
        except TrialStopped as stop:
            self.verdict = stop
            return ["stop", stop.reason, stop.complete]
        except ReportError as error:
            self._note_verdict()
            return ["refused", str(error)]
        return []

    def _note_verdict(self) -> None:
        """Tell a report that the sweep rejects, which ends the trial, from a malformed one."""
        try:
            self._reporter.look()
        except (TrialStopped, ReportError) as verdict:
            self.verdict = verdict

    def close(self) -> None:
        """Free the socket."""
        self.socket.close()


class _Caller:
    """One script's connection."""

    def __init__(self, sock: socket.socket, answer: Callable[..., Any]) -> None:
        self._sock = sock
        self._answer = answer
        self._pending = b""

    def serve(self) -> bool:
        """Answer what has come; return False when the caller is gone or talks nonsense."""
        try:
            chunk = self._sock.recv(65536)
            *requests, self._pending = (self._pending + chunk).split(b"\n")
            for request in requests:
                reply = self._answer(*json.loads(request))
                self._sock.sendall(json.dumps(reply, default=str).encode() + b"\n")
        except (OSError, ValueError, TypeError):
            return False
        return bool(chunk)
