"""What stands behind an open `Local`: its slots, their channel, and what cleans up after them."""

import atexit
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nbtune.objective import payload
from nbtune.workers import reaper
from nbtune.workers.base import Event, Job
from nbtune.workers.channel import Link, Listener
from nbtune.workers.leftovers import PREFIX, claim, remove_leftovers
from nbtune.workers.runner import Task, serve
from nbtune.workers.slot import Slot
from nbtune.workers.spawner import Place, Spawner
from nbtune.workers.switchboard import Switchboard

__all__ = ["Pool"]


class Pool:
    """The slots of one opening of a `Local`.

    Parameters
    ----------
    job : Job
        Without a payload file, its ``call`` is written to one of the pool's own.
    post : callable
        Takes the events; it is not called any more once `close` has begun.
    places : sequence of Place, one a slot
    memory : int, optional
        How many bytes each trial may hold.
    switchboard : Switchboard, optional
        Hears the processes; without one each slot's thread hears its own.
    """

    def __init__(
        self,
        job: Job,
        post: Callable[[Event], None],
        places: Sequence[Place],
        *,
        memory: int | None = None,
        switchboard: Switchboard | None = None,
    ) -> None:
        self._post_open = post
        self._driver = os.getpid()
        self._closed = False
        self._closing = threading.Lock()
        token = secrets.token_hex(8)
        key = secrets.token_bytes(32)
        self._folder = _own_folder()
        self._claim = claim(self._folder, token)
        try:
            task = replace(self._describe(job), memory=memory)
            self.slots = [
                Slot(
                    index,
                    token,
                    job.folder,
                    self._post,
                    last_words=self._folder / f"slot-{index}.end",
                    memory=memory,
                    switchboard=switchboard,
                )
                for index in range(len(places))
            ]
            address = self._folder / "socket"
            self._listener = Listener(address, key, self._welcome)
            self._reaper = _Reaper(token, self._folder)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._claim)
            raise
        self._sweeper = threading.Thread(target=remove_leftovers, name="nbtune-leftovers")
        self._sweeper.start()
        _open_pools.add(self)
        _close_first_at_exit()
        self._spawner = Spawner(
            self.slots,
            places,
            lambda slot, generation: (serve, str(address), key, slot, generation, task),
            logs=self._folder,
            memory=memory,
            spawned=_close_first_at_exit,
        )

    def _describe(self, job: Job) -> Task:
        job.folder.mkdir(parents=True, exist_ok=True)  # an error here is the caller's to see
        path = job.payload
        if path is None:
            path = self._folder / "payload"
            payload.write(job.call, path)
        return Task(
            payload=path.absolute(),
            step_name=job.step_name,
            result_metric=job.result_metric,
            folder=job.folder.absolute(),
            seed=job.seed,
            data=job.data,
        )

    def _post(self, event: Event) -> None:
        if not self._closed:
            self._post_open(event)

    def _welcome(self, link: Link) -> None:
        """Hand a proved connection to the slot that its process was spawned for."""
        try:
            link.patience(receive=30, send=10)
            frame, *_ = link.receive()
            _, index, generation, supervisor = json.loads(frame)
            slot, supervisor = self.slots[index], int(supervisor)
            link.patience(receive=0, send=10)
        except (EOFError, OSError, ValueError, TypeError, IndexError, RecursionError):
            return
        if self._closed or not slot.claim(generation):
            return
        pid = link.peer()
        self._reaper.add(pid)
        slot.serve(link, pid, supervisor)
        self._reaper.remove(pid)
        if not self._closed:
            self._spawner.gone(slot, generation)

    def close(self) -> None:
        """Kill every process and all that they started; return when nothing is left.

        Idempotent; without effect in a forked child, whose parent's pool it is.
        """
        if os.getpid() != self._driver:
            return
        with self._closing:
            if self._closed:
                return
            self._closed = True
            for slot in self.slots:
                slot.close()
            self._listener.close()  # the supervisors of those killed end in their own time
            self._spawner.close()
            self._reaper.close()  # the last sweep is its
            self._sweeper.join()
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._claim)
            _open_pools.discard(self)


class _Reaper:
    """The process that cleans up when this one has no time to (`reaper.py`)."""

    def __init__(self, token: str, folder: Path) -> None:
        # Its own children's mark must not make it a victim of the pool that it may run under.
        environment = {name: value for name, value in os.environ.items() if name != reaper.MARK}
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                reaper.__file__,
                f"{token}.",
                str(os.getpid()),
                str(folder),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env=environment,
            start_new_session=True,
        )

    def add(self, pid: int) -> None:
        """Name a worker, the leader of its process group and session."""
        self._tell(f"+{pid}\n")

    def remove(self, pid: int) -> None:
        """Take the name back: the number may soon be another process's."""
        self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.write(line.encode())

    def close(self) -> None:
        """Let it sweep and end."""
        with self._lock, contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _own_folder() -> Path:
    """Return a new folder that only this user can enter, its path short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    if len(os.fsencode(folder)) > 90:  # a socket's path has at most 107 bytes
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))
    return folder


_open_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _close_all() -> None:
    for pool in list(_open_pools):
        pool.close()


def _close_first_at_exit() -> None:
    """Have the open pools closed before all that is registered so far for the interpreter's exit.

    Raises
    ------
    RuntimeError
        When the interpreter is exiting already.
    """
    # The hook of concurrent.futures and loky: an atexit function would run after the interpreter
    # has waited, for ever, for the threads of executors whose task never ends. What comes last
    # runs first, and loky 3.7 registers anew for every executor: so must this.
    getattr(threading, "_register_atexit", atexit.register)(_close_all)
