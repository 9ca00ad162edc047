"""A mind in a process of its own, so that a long thought holds up neither kernel nor engine.

The parent writes pickled frames to the child's standard input; the child answers in JSON lines:
nothing that it says is unpickled. It dies with the thread that began it.
"""

import ctypes
import json
import logging
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any, TypeAlias

from nbtune import pickling
from nbtune.engine.mind import Mind, Thought
from nbtune.pareto import Scores
from nbtune.searchers.base import Searcher
from nbtune.trial import Failure, Params
from nbtune.workers.outcome import failure_of

__all__ = ["DistantMind", "SearcherRaised"]

logger = logging.getLogger("nbtune")

_Told: TypeAlias = tuple[str, tuple[Any, ...]]
"""A method of `Mind` and its arguments: a number, params, and others."""

_PUT_AWAY = 1_000  # messages
_HEADER = struct.Struct("!I")
_PR_SET_PDEATHSIG = 1
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class SearcherRaised(Exception):  # noqa: N818 - what it holds is the error
    """A searcher in a child process raised; `failure` tells what."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class DistantMind:
    """What `Mind` is, with the searcher in a child process; one thread calls all but `close`.

    Where no child can be had, or it dies (memory ran out), the searcher thinks here from then on:
    it is told again what it was told.

    Parameters
    ----------
    searcher : Searcher
        Already set up, nothing told yet.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._told: list[_Told] = []  # what came after what is put away
        self._sent = 0  # how much of that the child has
        self._put_away: list[bytes] = []
        self._child: subprocess.Popen[bytes] | None = None
        self._home: Mind | None = None
        self._closing = threading.Lock()
        self._closed = False

    def prepare(self) -> None:
        """Begin the child, so that it need not be waited for; what fails is tried again later."""
        if self._child is None and self._home is None:
            try:
                self._begin()
            except Exception as error:  # noqa: BLE001 - pickling the user's code may raise anything
                logger.info("the searcher's process did not begin: %r", error)
                self._end_child()

    def begin(self, number: int, params: Params, suggestion: int | None) -> None:
        """Learn that a trial is entered; `suggestion` is the index under which it was suggested."""
        self._tell("begin", number, params, suggestion)

    def observe(
        self, number: int, params: Params, scores: Scores | None, step: int, ended: bool
    ) -> None:
        """Learn a result."""
        self._tell("observe", number, params, scores, step, ended)

    def follow(
        self, number: int, params: Params, scores: Scores | None, step: int, until: int
    ) -> None:
        """Learn how far a trial is."""
        self._tell("follow", number, params, scores, step, until)

    def hint(self, number: int, params: Params, scores: Scores, step: int) -> None:
        """Learn the result of a trial that the present space holds only roughly."""
        self._tell("hint", number, params, scores, step)

    def suggest(self, index: int) -> Thought:
        """Return the suggestion of that index.

        Raises
        ------
        SearcherRaised
            When the searcher did.
        """
        notes: list[tuple[str, str]] = []
        if self._home is None:
            try:
                answer = self._ask(index)
            except Exception as error:  # noqa: BLE001 - pickling the user's code may raise anything
                if self._closed:
                    return Thought(None, 0)
                notes.append(
                    (
                        "searcher-in-kernel",
                        f"the searcher's process is gone ({error!r}): it runs in the kernel, "
                        "which is busy while it does",
                    )
                )
                self._come_home()
            else:
                return self._thought(index, answer)
        assert self._home is not None
        thought = self._home.suggest(index)
        return thought._replace(warnings=[*notes, *thought.warnings])

    def _tell(self, name: str, *arguments: Any) -> None:
        if self._home is None:
            self._told.append((name, arguments))
        else:
            getattr(self._home, name)(*arguments)

    def _come_home(self) -> None:
        self._end_child()
        self._home = Mind(self._searcher)
        for name, arguments in [*self._taken_out(), *self._told]:
            getattr(self._home, name)(*arguments)

    def _put_sent_away(self) -> None:
        """Keep in little memory what the child has been told: it is needed only if it dies."""
        if self._sent >= _PUT_AWAY:
            sent = pickling.dumps(self._encoded(self._told[: self._sent]))
            self._put_away.append(zlib.compress(sent))
            del self._told[: self._sent]
            self._sent = 0

    def _taken_out(self) -> Iterator[_Told]:
        from_json = self._searcher.space.from_json
        for part in self._put_away:
            for name, (key, encoded, *rest) in pickle.loads(zlib.decompress(part)):
                yield name, (key, from_json(encoded), *rest)

    def _ask(self, index: int) -> dict[str, Any]:
        """Return what the child answers."""
        child = self._child or self._begin()
        self._put_sent_away()
        _send(child.stdin, (self._encoded(self._told[self._sent :]), index))
        self._sent = len(self._told)
        return json.loads(_line(child.stdout))  # type: ignore[no-any-return]

    def _thought(self, index: int, answer: dict[str, Any]) -> Thought:
        if "failure" in answer:
            raise SearcherRaised(Failure(**answer["failure"]))
        warnings = [(code, text) for code, text in answer["warnings"]]
        if answer["params"] is None:
            return Thought(None, answer["pending"], warnings=warnings)
        params = self._searcher.space.from_json(answer["params"])
        self._told.append(("expect", (index, params)))
        self._sent += 1  # the child has it
        return Thought(params, answer["pending"], answer["why"], warnings)

    def _encoded(self, told: list[_Told]) -> list[_Told]:
        # Options may be objects that mean something by being themselves: a pickled one would be
        # another.
        to_json = self._searcher.space.to_json
        return [(name, (key, to_json(params), *rest)) for name, (key, params, *rest) in told]

    def _begin(self) -> "subprocess.Popen[bytes]":
        with self._closing:
            if self._closed:
                raise EOFError
            self._child = child = _spawn()
        _send(child.stdin, (sys.path, self._searcher))
        return child

    def close(self) -> None:
        """End the child, from any thread; a suggestion under way comes back as none."""
        with self._closing:
            self._closed = True
        self._end_child()

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for stream in child.stdin, child.stdout:
                if stream is not None:
                    with suppress(BrokenPipeError):  # what it did not live to read
                        stream.close()


def _spawn() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import main; main({os.getpid()})"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a kernel's interrupt reaches its whole process group
        env={**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def _send(stream: IO[bytes] | None, message: Any) -> None:
    assert stream is not None
    data = pickling.dumps(message)
    stream.write(_HEADER.pack(len(data)) + data)
    stream.flush()


def _line(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the searcher's process ended")
    return line


def main(parent: int) -> None:
    """Think for process `parent`: what `DistantMind` has its child run."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return
    questions = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a searcher prints is no answer
    path, searcher = _receive(questions)
    sys.path[:] = path
    mind = Mind(searcher)
    threading.Thread(target=searcher.warm_up, daemon=True).start()
    while True:
        told, index = _receive(questions)
        try:
            for name, (number, encoded, *rest) in told:
                getattr(mind, name)(number, searcher.space.from_json(encoded), *rest)
            thought = mind.suggest(index)
            chosen = None if thought.params is None else searcher.space.to_json(thought.params)
            answer: dict[str, Any] = {**thought._asdict(), "params": chosen}
        except BaseException as error:  # noqa: BLE001 - the border where the user's code is called
            answer = {"failure": asdict(failure_of(error))}
        print(json.dumps(answer), file=answers, flush=True)


def _receive(stream: IO[bytes]) -> Any:
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        sys.exit()
    return pickle.loads(stream.read(_HEADER.unpack(header)[0]))
