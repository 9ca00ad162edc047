"""What runs in a worker process: it takes trials from its channel, one at a time, until killed."""

import gc
import os
import pickle
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from nbtune.context import Reporter
from nbtune.decision import Stop
from nbtune.exceptions import ReportError
from nbtune.objective.call import Call
from nbtune.objective.payload import Payload
from nbtune.objective.preparation import Preparation
from nbtune.trial import Params
from nbtune.workers.capture import Surroundings, seed_generators
from nbtune.workers.channel import Link, connect, encode
from nbtune.workers.outcome import Course, Outcome, failure_of, perform, trial_of
from nbtune.workers.remnants import Remnants
from nbtune.workers.state import ProcessState

__all__ = ["Task", "serve"]

_BUFFERED = 10_000  # reports; with more unsent, `report` waits for the driver
_BATCH = 1_000  # reports a frame: parsing one holds the driver's GIL for about 3 ms
_SEND_EVERY = 0.02
_LOOK_EVERY = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a worker process knows of the sweep: `base.Job` without the objective itself."""

    payload: Path
    step_name: str
    result_metric: str
    folder: Path
    seed: int
    data: tuple[Path, ...] = ()
    memory: int | None = None
    preparation: bytes = b""


def serve(address: str, key: bytes, slot: int, generation: int, task: Task) -> NoReturn:
    """Run trials for the driver that listens at `address`; never returns."""
    try:
        channel = _Channel(connect(address, key))
        preparation = Preparation(task.preparation)
        payload = Payload(task.payload, task.data, preparation)
        channel.say("hello", slot, generation, os.getppid())
        preparation.begin()  # it takes what time it takes: after the hello
        surroundings, state = Surroundings(task.folder), ProcessState()
        while True:
            message = channel.hear()
            if message[0] == "start":  # the rest was meant for a trial that is over
                began = time.perf_counter()
                _run(channel, payload, surroundings, task, *message[1:])
                # The driver has been told of the end already: a trial that it sends meanwhile
                # waits, or is sent to the next process.
                if lost := state.restore(time.perf_counter() - began):
                    sys.stderr.write(f"nbtune: a trial has changed {lost}: this process ends\n")
                    break
    except (EOFError, OSError):
        pass  # the driver is gone: so is the sense of going on
    finally:
        # Whatever threads a trial left behind must not keep the process alive.
        os._exit(0)


_Buffer: TypeAlias = deque[tuple[int, float, dict[str, float]]]  # step, time, metrics


class _Channel:
    """The worker's end: reports may wait a moment in a buffer, the rest goes at once."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()  # of sending
        self._received: deque[bytes] = deque()
        self._buffer: _Buffer = deque()
        self._number = -1
        self._wake = threading.Event()
        self._poller = select.poll()
        self._poller.register(link.fileno(), select.POLLIN | select.POLLOUT)
        self._looked = self._sent = 0.0
        self.forked = False
        os.register_at_fork(after_in_child=self._forget)
        threading.Thread(target=self._send_reports, name="nbtune-reports", daemon=True).start()

    def _forget(self) -> None:
        """Leave the channel to the parent: a forked child must neither use nor hold it."""
        self.forked = True
        self._link.close()

    def begin(self, number: int) -> "_Buffer":
        """Let reports be those of trial `number`; return where they go.

        A buffer of its own: a thread that the last trial left behind may be adding to the last one.
        """
        self._number = number
        self._buffer = deque()
        return self._buffer

    def say(self, *words: Any) -> None:
        """Send one frame, after the reports that wait."""
        with self._lock:
            self._flush()
            self._link.send(encode(words).encode())

    def ask(self, number: int, *report: Any) -> None:
        """Send a report of a trial, after those that wait, marked as awaiting a decision."""
        with self._lock:
            self._flush()
            self._link.send(encode(("reports", number, True, [report])).encode())

    def hear(self) -> tuple[Any, ...]:
        """Wait for the driver's next message."""
        while not self._received:
            self._received.extend(self._link.receive())
        message: tuple[Any, ...] = pickle.loads(self._received.popleft())
        return message

    def add(self, buffer: _Buffer, step: int, now: float, metrics: dict[str, float]) -> bool:
        """Take a report; return whether the driver has sent something.

        What comes alone is sent at once, and on this thread: the next thing that the trial does
        may be to hold the GIL for minutes. What comes in quick succession goes together, within
        20 ms.
        """
        buffer.append((step, now, metrics))
        events = 0
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            events = sum(event for _, event in self._poller.poll(0))
        if events & select.POLLOUT and now - self._sent >= _SEND_EVERY and len(buffer) < 100:
            self._sent = now
            with self._lock:
                self._flush()
        elif not self._wake.is_set():
            self._wake.set()
        elif len(buffer) >= _BUFFERED:
            with self._lock:
                self._flush()
        return bool(events & select.POLLIN or self._received)

    def has_message(self) -> bool:
        """Return whether the driver has sent something, or is gone."""
        return bool(self._received) or any(
            event & ~select.POLLOUT for _, event in self._poller.poll(0)
        )

    def _flush(self) -> None:
        """Send the reports that wait; the caller holds the lock."""
        buffer = self._buffer
        while buffer:
            batch = [buffer.popleft() for _ in range(min(len(buffer), _BATCH))]
            self._link.send(encode(("reports", self._number, False, batch)).encode())

    def _send_reports(self) -> None:
        try:
            while True:
                self._wake.wait()
                time.sleep(_SEND_EVERY)
                self._wake.clear()
                with self._lock:
                    self._flush()
        except OSError:
            os._exit(0)  # the driver is gone


class _Desk:
    """Where one trial's reports go."""

    def __init__(self, channel: _Channel, number: int, course: Course) -> None:
        self._channel = channel
        self._buffer = channel.begin(number)
        self._number = number
        self._course = course
        self._told: set[int] = set()  # threads in which its end was raised
        self._goes_on = False

    def send(self, step: int, metrics: dict[str, float]) -> None:
        """Pass a report on; at the milestone wait for what is decided."""
        channel, course = self._channel, self._course
        if course.verdict is not None:
            self._end_again()
        if channel.forked:
            raise ReportError(
                "report was called in a child process of the trial; "
                "call it in the process that the trial began in"
            )
        now = time.time()
        if course.milestone is not None and step >= course.milestone:
            channel.ask(self._number, step, now, metrics)
            while not self._follow():
                pass
        else:
            if channel.add(self._buffer, step, now, metrics):
                self._follow()

    def look(self) -> None:
        """Obey what the driver has sent since the last report, if anything."""
        self._course.enforce()
        if self._channel.has_message():
            self._follow()

    def _follow(self) -> bool:
        """Do what the driver's next message says; return False if it is not about this trial."""
        kind, number, content = self._channel.hear()
        if number != self._number:
            return False
        try:
            self._course.follow(Stop(content) if kind == "stop" else content)
        finally:
            if self._course.verdict is not None:
                self._told.add(threading.get_ident())
        return True

    def _end_again(self) -> None:
        """Raise the trial's end once more; tell the driver if this thread goes on in spite of it.

        Another thread may report once without knowing, while the trial cleans up.
        """
        thread, is_first = threading.get_ident(), not self._goes_on
        if thread in self._told and is_first and not self._channel.forked:
            self._goes_on = True
            self._channel.say("reports", self._number, False, [])
        self._told.add(thread)
        self._course.enforce()


def _run(
    channel: _Channel,
    payload: Payload,
    surroundings: Surroundings,
    task: Task,
    number: int,
    milestone: int | None,
    known_until: int,
    params: bytes,
) -> None:
    """Run one trial and say how it ended."""
    course = Course(milestone)
    desk = _Desk(channel, number, course)
    leaves = begun = False
    try:
        with surroundings.of(number):
            begun = True
            trial = trial_of(number, pickle.loads(params), task.folder, task.seed)
            reporter = Reporter(
                trial,
                desk.send,
                step_name=task.step_name,
                known_until=known_until,
                metric=task.result_metric,
                look=desk.look,
            )
            # In a context of its own: the contexts of decimal and NumPy are part of it.
            outcome, leaves = copy_context().run(_perform, payload, task, course, reporter)
    except Exception as error:  # noqa: BLE001 - no disk space, params that cannot be unpickled
        if surroundings.served and not begun:
            # An earlier trial may have left the process so: another one takes this trial.
            channel.say("unfit", number)
            os._exit(0)
        outcome = Outcome(how="raised", failure=failure_of(error))
    if channel.forked:
        os._exit(0)  # a child that the trial forked came out here
    failure = outcome.failure
    channel.say(
        "ended",
        number,
        outcome.how,
        time.time(),
        outcome.result,
        failure and (failure.type, failure.message, failure.traceback),
        leaves,
    )
    if leaves:
        os._exit(0)


def _perform(
    payload: Payload, task: Task, course: Course, reporter: Reporter
) -> tuple[Outcome, bool]:
    """Run one trial; return how it ended, and whether the process should not take another."""
    began = time.perf_counter()
    remnants = Remnants(task.memory)

    def load() -> Callable[[Params], Any]:
        call = payload.load()
        seed_generators(reporter.trial.seed)
        if isinstance(call, Call):
            _main.__getattr__ = partial(_look_up, call.namespace())  # type: ignore[method-assign]
        return call

    outcome = perform(
        load,
        reporter,
        course,
        result_metric=task.result_metric,
        whole_process=True,
        earlier=remnants.threads,
    )
    vars(_main).pop("__getattr__", None)  # it holds all that the trial defined
    _collect(time.perf_counter() - began)
    return outcome, remnants.end(reporter.threads)


_main = sys.modules["__main__"]


def _look_up(namespace: Mapping[str, Any], name: str) -> Any:
    """Find what pickle looks for in the notebook, which is ``__main__`` to the user's code."""
    if name in namespace and not name.startswith("__"):
        return namespace[name]
    raise AttributeError(f"module '__main__' has no attribute {name!r}")


_collecting = 0.005  # seconds that the last collection took


def _collect(elapsed: float) -> None:
    """Free what a trial of `elapsed` seconds left in cycles, at 5 % of its time at most.

    It happens before the trial is over: finalizers are the trial's own code.
    """
    global _collecting  # noqa: PLW0603 - a worker process runs one trial at a time
    if elapsed > 20 * _collecting:
        began = time.perf_counter()
        gc.collect()
        _collecting = time.perf_counter() - began
