"""One worker process's place, seen from the driver: what it runs, what it says, how it died."""

import contextlib
import json
import os
import pickle
import select
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from nbtune import pickling
from nbtune.exceptions import WorkerError
from nbtune.trial import Failure, Report
from nbtune.workers.base import Assignment, Ended, Event, Reported, SlotReady
from nbtune.workers.channel import Link
from nbtune.workers.memory import over
from nbtune.workers.outcome import failure_of, plain
from nbtune.workers.reaper import end_family, end_groups
from nbtune.workers.supervisor import LastWords
from nbtune.workers.switchboard import Switchboard

__all__ = ["Slot", "pickled"]

_T = TypeVar("_T")

_SHORTAGE_SECONDS = 10.0
_SHORTAGE_PAUSE = 0.05
_FULL = 0.9  # the share of the memory in use from which a kill looks like the kernel's


class Slot:
    """Runs one trial at a time in one process after another.

    Any thread may call `start`, `send`, `stop` and `kill`. `serve` runs on the thread of the
    process's connection and hears the process. Where there is a switchboard, that hears it, and
    `serve` what is left once the process has hung up or died. An idle process may die and be
    replaced without anyone noticing.

    Parameters
    ----------
    index : int
    pool : str
        The token of the pool's processes.
    folder : Path
        The sweep's folder, with one folder a trial.
    post : callable
        Takes the events.
    last_words : Path
        The file in which a process's supervisor says how the process ended.
    memory : int, optional
        How many bytes a trial may hold.
    switchboard : Switchboard, optional
    """

    def __init__(
        self,
        index: int,
        pool: str,
        folder: Path,
        post: Callable[[Event], None],
        *,
        last_words: Path,
        memory: int | None = None,
        switchboard: Switchboard | None = None,
    ) -> None:
        self.index = index
        self.last_words = last_words
        self.generation = 0  # of the present process; only the thread that spawns changes it
        self._pool = pool
        self._folder = folder
        self._post = post
        self._memory = memory
        self._switchboard = switchboard
        self._hearing = threading.Lock()  # of reading; who holds it may take the other
        self._unheard: Exception | None = None  # what ended the hearing
        self._lock = threading.Lock()
        self._connected = False  # the present process has been heard of
        self._used = False  # it has ended a trial
        self._link: Link | None = None
        self._pid = 0
        self._trial: int | None = None  # owes an Ended
        self._unsent: bytes | None = None  # that trial, while there is no process to take it
        self._begun: bytes | None = None  # that trial, while nothing has been sent after it
        self._stopped = False  # that trial has been asked to stop
        self._announced = False  # the engine knows that the slot is free
        self._doomed = False  # the process has been killed, it will not take another trial
        self._closed = False  # so will be every other

    @property
    def token(self) -> str:
        """What the environment of the present process, and of all its children, carries."""
        return f"{self._pool}.{self.index}.{self.generation}."

    @property
    def connected(self) -> bool:
        """Whether the present process has been heard of."""
        with self._lock:
            return self._connected

    def replace(self, generation: int, *, unclaimed: bool = False) -> bool | None:
        """Prepare for the next process after `generation`.

        Returns
        -------
        bool or None
            Whether that process had ended a trial; None when it is not its turn, or, with
            `unclaimed`, when it has been heard of.
        """
        with self._lock:
            if generation != self.generation or (unclaimed and self._connected):
                return None
            was_used = self._used
            self.generation += 1
            self._connected = self._used = False
            return was_used

    def claim(self, generation: int) -> bool:
        """Take a process that says it is of `generation`; return False if that one is not due."""
        with self._lock:
            if generation != self.generation or self._connected:
                return False
            self._connected = True
            return True

    def give_up(self, why: str) -> None:
        """Say that no process will come up, in place of the trial that waits for one."""
        with self._lock:
            if self._unsent is not None:
                self._end_unsent("died", Failure(type="ProcessDied", message=why))
        self._post(WorkerError(why))

    def start(self, assignment: Assignment) -> None:
        """Give the process a trial, or keep it for the process that is coming up."""
        number = assignment.number
        try:
            params = pickled(assignment.params)
        except Exception as error:  # noqa: BLE001 - whatever a param's __reduce__ raises
            self._post(
                Ended(
                    number=number,
                    slot=self.index,
                    how="raised",
                    time=time.time(),
                    failure=failure_of(error),
                )
            )
            self._post(SlotReady(slot=self.index))
            return
        self.begin(number, assignment.milestone, assignment.known_until, params)

    def begin(self, number: int, milestone: int | None, known_until: int, params: bytes) -> None:
        """Do as `start` does, with params that are pickled already."""
        message = pickle.dumps(("start", number, milestone, known_until, params))
        with self._lock:
            self._trial = number
            self._announced = self._stopped = False
            self._unsent = self._begun = None
            if self._deliver(message):
                self._begun = message
            else:
                self._unsent = message

    def send(self, kind: Literal["decide", "stop"], number: int, content: object) -> None:
        """Pass a decision, or a request to stop, on to the trial; nothing when it is over."""
        if self._trial != number:
            return
        with self._lock:
            if self._trial != number:
                return
            if self._unsent is None:
                self._begun = None
                self._stopped = self._stopped or kind == "stop"
                self._deliver(pickle.dumps((kind, number, content)))
            elif kind == "stop":
                self._end_unsent("stopped")

    def kill(self, number: int) -> None:
        """Kill the process of the trial, with its group."""
        with self._lock:
            if self._trial != number:
                return
            if self._unsent is None:
                self._doomed = True
                self._kill_group()
            else:
                self._end_unsent("killed")

    def kill_any(self) -> None:
        """Kill the present process, whatever it does."""
        with self._lock:
            self._doomed = True
            self._kill_group()

    def close(self) -> None:
        """Kill the present process, and one that is being welcomed as soon as it is here."""
        with self._lock:
            self._closed = self._doomed = True
            self._kill_group()

    def _kill_group(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)

    def _deliver(self, message: bytes) -> bool:
        """Send to the process; return False when it is gone or going."""
        if self._link is None or self._doomed:
            return False
        try:
            self._link.send(message)
        except BlockingIOError:
            # It has not read for seconds, and half a frame may be under way: no use any more.
            self._doomed = True
            self._kill_group()
            return False
        except OSError:
            return False
        return True

    def _end_unsent(
        self, how: Literal["stopped", "killed", "died"], failure: Failure | None = None
    ) -> None:
        number, self._trial, self._unsent = self._trial, None, None
        if number is not None:
            self._post(
                Ended(number=number, slot=self.index, how=how, time=time.time(), failure=failure)
            )

    def serve(self, link: Link, pid: int, alive: int) -> None:
        """Hear the process out until its supervisor is dead too, then clean up after both.

        Parameters
        ----------
        link : Link
        pid : int
        alive : int
            A descriptor of the supervisor's process (`os.pidfd_open`).
        """
        self._attach(link, pid)
        try:
            trouble = self._listen(link, alive)
        except OSError as error:  # no room for it in the kernel
            trouble = f"this process cannot hear it: {error}"
        if trouble is not None:
            self.kill_any()
            _is_ready(alive, 5.0)
        self._bury(trouble or "")

    def _attach(self, link: Link, pid: int) -> None:
        with self._lock:
            self._link, self._pid = link, pid
            self._unheard, self._doomed = None, self._closed
            if self._closed:
                self._kill_group()
            elif self._unsent is not None:
                if self._deliver(self._unsent):
                    self._begun, self._unsent = self._unsent, None
            elif not self._announced:
                self._announced = True
                self._post(SlotReady(slot=self.index))

    def _listen(self, link: Link, alive: int) -> str | None:
        """Return None once the process is dead and all it said is heard, else what is wrong."""
        # A grandchild may hold the socket open, so that its end alone would not tell the death.
        poller = select.poll()
        poller.register(alive, select.POLLIN)
        if self._switchboard is not None:
            poller.register(link.fileno(), 0)  # that it has hung up, nothing else
            self._switchboard.connect(link.fileno(), partial(self._overhear, link))
            poller.poll()
            self._switchboard.disconnect(link.fileno())
        poller.register(link.fileno(), select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poller.poll()]
            if link.fileno() not in ready:
                return None
            try:
                self._hear_next(link)
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                return f"it sent what no nbtune sends: {error}"
            except ConnectionResetError:
                # The kernel's word for what was sent and never read: the trial did not begin.
                with self._lock:
                    if not self._doomed:
                        self._unsent = self._begun
                return None if _is_ready(alive, 1.0) else "it closed its connection unread"
            except (EOFError, OSError):
                # The end of a dying process's socket comes a little before its death.
                return None if _is_ready(alive, 1.0) else "it closed its connection to the notebook"

    def _overhear(self, link: Link) -> None:
        """Hear what has come, on the switchboard's thread; say nothing of what is wrong."""
        try:
            self._hear_next(link)
        except Exception:  # noqa: BLE001 - kept: `_listen` meets it again
            if self._switchboard is not None:
                self._switchboard.disconnect(link.fileno())
            link.wake()

    def _hear_next(self, link: Link) -> None:
        with self._hearing:
            if self._unheard is not None:
                raise self._unheard
            try:
                for frame in link.receive(wait=False):
                    self._hear(frame)
            except BlockingIOError:  # the other thread was faster
                pass
            except Exception as error:
                self._unheard = error
                raise

    def _hear(self, frame: bytes) -> None:
        kind, number, *rest = json.loads(frame)
        if kind == "reports":
            waiting, batch = rest
            reports = [_report_of(*told) for told in batch]
            if number == self._trial:
                self._begun = None
                self._post(Reported(number=number, reports=reports, waiting=waiting is True))
        elif kind == "ended":
            self._hear_end(number, *rest)
        elif kind == "unfit":
            self._hear_unfit(number)
        else:
            raise ValueError(f"a frame of kind {kind!r}")

    def _hear_end(
        self, number: int, how: Any, moment: Any, result: Any, failure: Any, leaves: bool
    ) -> None:
        if how not in ("returned", "stopped", "completed", "raised") or type(moment) is not float:
            raise ValueError(f"a trial's end of kind {how!r} at {moment!r}")
        if result is not None:
            _report_of(1, moment, result)
        told = None
        if failure is not None:
            kind, message, trace = map(str, failure)
            told = Failure(type=plain(kind, 200), message=message, traceback=trace)
        with self._lock:
            if number != self._trial:
                return
            self._trial = None
            self._used = True
            # One that is on its way out will not take another trial: its successor will.
            ready = self._announced = not (self._doomed or leaves)
        self._post(
            Ended(number=number, slot=self.index, how=how, time=moment, result=result, failure=told)
        )
        if ready:
            self._post(SlotReady(slot=self.index))

    def _hear_unfit(self, number: int) -> None:
        """Keep a trial for the next process: an earlier one has spoilt this."""
        with self._lock:
            if number != self._trial:
                return
            if self._stopped:
                self._end_unsent("stopped")
            elif self._begun is None:
                raise ValueError("a trial that had begun is said not to have")
            self._doomed = True
            self._unsent, self._begun = self._begun, None

    def _bury(self, trouble: str) -> None:
        """Kill what the dead process left behind, and say how its trial ended."""
        group = {self._pid} if self._pid else set()
        until = time.monotonic() + _SHORTAGE_SECONDS
        self._insist(until, lambda: end_family(self.token, group), lambda: end_groups(group))
        words = self._insist(until, lambda: LastWords.read(self.last_words), lambda: None)
        with self._lock:
            self._link, self._pid = None, 0
            doomed = self._doomed and not trouble
            number = self._trial if self._unsent is None else None
            if number is not None:
                self._trial = None
                self._used = True
        if number is None:
            return
        how, failure = self._autopsy(number, words, trouble)
        self._post(
            Ended(
                number=number,
                slot=self.index,
                how="killed" if doomed else how,
                time=time.time(),
                failure=None if doomed else failure,
            )
        )

    def _insist(self, until: float, act: Callable[[], _T], otherwise: Callable[[], _T]) -> _T:
        """Do what takes a descriptor; while none is free wait for one, for some time."""
        while True:
            try:
                return act()
            except OSError:
                if self._closed or time.monotonic() > until:
                    return otherwise()
                time.sleep(_SHORTAGE_PAUSE)

    def _autopsy(
        self, number: int, words: LastWords | None, trouble: str
    ) -> tuple[Literal["raised", "died"], Failure]:
        if words is not None and words.used and self._memory:
            # Not a crash: it would be so again.
            return "raised", Failure(type="MemoryLimit", message=over(words.used, self._memory))
        failure = Failure(
            type="ProcessDied",
            message=f"the trial's process ended: {trouble or self._cause_of_death(words)}",
            traceback=_fatal_error(self._folder / str(number) / "log.txt"),
        )
        return "died", failure

    def _cause_of_death(self, words: LastWords | None) -> str:
        folder = self.last_words.parent
        if words is None and not folder.exists():
            return f"how is not known, as somebody has removed the folder {folder}"
        return _cause_of_death(words)


def _report_of(step: Any, moment: Any, metrics: Any) -> Report:
    """Return a report, once it is sure that the sweep and its store can take it."""
    if type(step) is not int or not 0 < step < 2**63 or type(moment) is not float:
        raise ValueError(f"a report at step {step!r} and time {moment!r}")
    for name, value in metrics.items():
        if type(value) is not float:
            raise ValueError(f"a metric {name!r} of {value!r}")
        if not name.isascii():
            name.encode()
    return Report(step, metrics, moment)


def _is_ready(descriptor: int, seconds: float) -> bool:
    """Wait for a descriptor; a poll, since select fails on descriptors from 1024 on."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def pickled(value: object) -> bytes:
    """Pickle by reference where the worker can follow it, else by value."""
    try:
        data = pickle.dumps(value, protocol=5)
    except Exception:  # noqa: BLE001 - lambdas and local classes raise different things
        data = b"__main__"
    # The notebook's own classes and functions do not exist in the worker's __main__.
    if b"__main__" in data:
        return pickling.dumps(value)
    return data


def _cause_of_death(words: LastWords | None) -> str:
    """Say in words how a process ended."""
    if words is None:
        return "it was killed together with its supervisor"
    if words.status is None:
        return "its supervisor was told to end it"
    code = os.waitstatus_to_exitcode(words.status)
    if code >= 0:
        return f"it exited with code {code} (os._exit or sys.exit in a library)"
    if code == -signal.SIGKILL:
        return _cause_of_kill(words)
    if code == -signal.SIGSEGV:
        return "segmentation fault (SIGSEGV)"
    try:
        return f"it was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was killed by signal {-code}"


def _cause_of_kill(words: LastWords) -> str:
    if words.oom_kills:
        return "out of memory: the kernel killed it (SIGKILL); try fewer workers, or less data"
    hint = " (out of memory?)" if words.fullness > _FULL else ""
    return f"it was killed by SIGKILL; memory was {words.fullness:.0%} used{hint}"


def _fatal_error(log: Path) -> str:
    """Return what Python's faulthandler wrote at the end of a log, if it did."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    start = text.rfind("Fatal Python error")
    return text[start:] if start >= 0 else ""
