"""A command while it runs: a process group, its output, its end."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from nbtune.context import Reporter, TrialStopped
from nbtune.exceptions import ReportError
from nbtune.objective.desk import Desk

__all__ = ["Child"]

STOP_SECONDS = 3.0
"""From SIGTERM to SIGKILL; the engine kills the worker itself after 5."""

_UNWIND_SECONDS = 60.0  # for a script that has been told of its stop, to end in order
_LOOK_SECONDS = 0.1
_READ = 65536
_MOST_READS = 1024


class Child:
    """Runs one command to its end, and leaves nothing of its process group behind.

    Parameters
    ----------
    words : sequence of str
        The program and its arguments.
    environment : dict of str
    folder : str
        Where it runs.
    hear : pair of callable
        Take the bytes of its stdout and of its stderr as they come.

    Raises
    ------
    OSError, ValueError
        When it cannot be started.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: str,
        hear: tuple[Callable[[bytes], None], Callable[[bytes], None]],
    ) -> None:
        self._selector = selectors.DefaultSelector()
        # In the worker's session, so that whoever kills that finds the command too.
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=folder,
            process_group=0,
        )
        try:
            self._alive = os.pidfd_open(self._process.pid)
        except OSError:
            self._end_group()
            raise
        self._selector.register(self._alive, selectors.EVENT_READ)
        pipes = self._process.stdout, self._process.stderr
        self._streams = [
            _Stream(pipe, take) for pipe, take in zip(pipes, hear, strict=True) if pipe is not None
        ]
        for stream in self._streams:
            self._watch(stream.pipe, stream.serve)
        self._signals: deque[tuple[float, signal.Signals]] = deque()  # to come, each with its time
        self._verdict: TrialStopped | ReportError | None = None

    def run(self, reporter: Reporter | None, desk: Desk | None) -> int:
        """Return the exit code once it has ended, negative for a signal.

        Raises
        ------
        TrialStopped, ReportError
            When the sweep ended the trial.
        """
        if desk is not None:
            self._watch(desk.socket, lambda: desk.welcome(self._watch))
        try:
            while not self._attend():
                self._obey(reporter, desk)
            self._drain()
            self._end_group()
            self._drain()  # what its children wrote last
        finally:
            self._close()
        if self._verdict is not None:
            raise self._verdict
        return self._process.returncode

    def _watch(self, file: Any, serve: Callable[[], bool]) -> None:
        """Call `serve` whenever `file` is readable, until it returns False."""
        self._selector.register(file, selectors.EVENT_READ, serve)

    def _attend(self) -> bool:
        """Serve whatever is ready; return whether the command's own process has ended."""
        ready = [key for key, _ in self._selector.select(self._patience())]
        for key in ready:
            if key.data is not None and not self._serve(key.data):
                self._selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]  # only objects are watched
        return any(key.fd == self._alive for key in ready)

    def _serve(self, serve: Callable[[], bool]) -> bool:
        try:
            return serve()
        except (TrialStopped, ReportError) as verdict:
            self._stop(verdict)
            return True

    def _drain(self) -> None:
        """Take all that is in the pipes; no end is waited for, a daemon may hold them open."""
        for stream in self._streams:
            with contextlib.suppress(BlockingIOError, ValueError):  # empty, or closed
                for _ in range(_MOST_READS):
                    if not self._serve(stream.serve):
                        break

    # --- its end

    def _patience(self) -> float:
        if not self._signals:
            return _LOOK_SECONDS
        return min(_LOOK_SECONDS, max(0.0, self._signals[0][0] - time.monotonic()))

    def _obey(self, reporter: Reporter | None, desk: Desk | None) -> None:
        """Take in what the sweep has said, and send the signals that are due."""
        if self._verdict is None:
            if desk is not None and desk.verdict is not None:
                self._stop(desk.verdict, after=_UNWIND_SECONDS)
            elif reporter is not None:
                try:
                    reporter.look()
                except (TrialStopped, ReportError) as verdict:
                    self._stop(verdict)
        while self._signals and self._signals[0][0] <= time.monotonic():
            self._signal(self._signals.popleft()[1])

    def _stop(self, verdict: TrialStopped | ReportError, *, after: float = 0.0) -> None:
        if self._verdict is None:
            self._verdict = verdict
            due = time.monotonic() + after
            self._signals.extend([(due, signal.SIGTERM), (due + STOP_SECONDS, signal.SIGKILL)])

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _end_group(self) -> None:
        """Kill what is left of the group, then reap its leader, whose id is the group's."""
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _close(self) -> None:
        if self._process.returncode is None:  # an interrupt, a full disk: not its own end
            self._signal(signal.SIGTERM)
            poller = selectors.PollSelector()
            poller.register(self._alive, selectors.EVENT_READ)
            poller.select(STOP_SECONDS)
            self._end_group()
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                key.fileobj.close()  # type: ignore[union-attr]  # as above
        self._selector.close()
        os.close(self._alive)


class _Stream:
    """A pipe from the command."""

    def __init__(self, pipe: IO[bytes], take: Callable[[bytes], None]) -> None:
        os.set_blocking(pipe.fileno(), False)
        self.pipe = pipe
        self._take = take

    def serve(self) -> bool:
        """Pass on what is there; return False at its end."""
        chunk = os.read(self.pipe.fileno(), _READ)
        if chunk:
            self._take(chunk)
        return bool(chunk)
