"""What stands behind an open `Local`: its slots, their channel, and what cleans up after them."""

import atexit
import contextlib
import json
import os
import secrets
import stat
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nbtune.exceptions import WorkerError
from nbtune.objective import memory as shared_memory
from nbtune.objective import payload
from nbtune.workers import reaper
from nbtune.workers.base import Event, Job
from nbtune.workers.channel import Link, Listener
from nbtune.workers.leftovers import claim, make_folder, remove_leftovers
from nbtune.workers.runner import Task, serve
from nbtune.workers.slot import Slot
from nbtune.workers.spawner import Place, Spawner
from nbtune.workers.switchboard import Switchboard

__all__ = ["Pool"]

_STDERR = 2  # the last of the standard descriptors


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
        self._job = job
        self._token = secrets.token_hex(8)
        key = secrets.token_bytes(32)
        with contextlib.ExitStack() as undo:  # where a part cannot be had
            _occupy_standard_descriptors()
            self._folder = make_folder(self._token)
            undo.callback(reaper.remove_folder, str(self._folder))
            self._claim = claim(self._folder, self._token)
            undo.callback(lambda: os.close(self._claim))
            task = replace(self._describe(), memory=memory)
            self.slots = [
                Slot(
                    index,
                    self._token,
                    job.folder,
                    self._post,
                    last_words=self._folder / f"slot-{index}.end",
                    memory=memory,
                    switchboard=switchboard,
                )
                for index in range(len(places))
            ]
            self._address = self._folder / "socket"
            self._listener = Listener(self._address, key, self._welcome)
            undo.callback(self._listener.close)
            self._reaper = _Reaper(self._token, self._folder)
            undo.callback(self._reaper.close)
            self._sweeper = threading.Thread(target=_clean_up, name="nbtune-leftovers")
            self._sweeper.start()
            undo.callback(self._sweeper.join)
            _close_first_at_exit()
            self._spawner = Spawner(
                self.slots,
                places,
                lambda slot, generation: (serve, str(self._address), key, slot, generation, task),
                logs=self._folder,
                memory=memory,
                prepare=self._mend_folder,
                turned_away=self._listener.turned_away,
            )
            undo.pop_all()
        _open_pools.add(self)

    def _describe(self) -> Task:
        job = self._job
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
            preparation=job.preparation,
        )

    def _mend_folder(self) -> None:
        """Make anew what somebody has removed of the folder, as cleaners of ``/tmp`` do.

        Raises
        ------
        OSError
            When it cannot be made, or has become somebody else's.
        """
        folder = self._folder
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
            raise PermissionError(f"{folder} was removed, and what is there now is not nbtune's")
        if not (folder / reaper.LOCK).exists():
            os.close(self._claim)
            self._claim = claim(folder, self._token)
        if not self._address.exists():
            self._listener.renew(self._address)
        if self._job.payload is None and not (folder / "payload").exists():
            payload.write(self._job.call, folder / "payload")

    def _post(self, event: Event) -> None:
        if not self._closed:
            self._post_open(event)

    def _welcome(self, link: Link) -> None:
        """Hand a proved connection to the slot that its process was spawned for."""
        try:
            link.patience(receive=30, send=10)
            frame, *_ = link.receive()
            _, index, generation, supervisor = json.loads(frame)
            slot = self.slots[index]
            link.patience(receive=0, send=10)
            alive = os.pidfd_open(int(supervisor))
        except (EOFError, OSError, ValueError, TypeError, IndexError, RecursionError) as error:
            self._listener.turn_away(error)
            return
        try:
            if self._closed or not slot.claim(generation):
                return
            pid = link.peer()
            self._reaper.add(pid)
            slot.serve(link, pid, alive)
            self._reaper.remove(pid)
        except Exception as error:
            self._post(WorkerError(f"slot {index} is lost: {type(error).__name__}: {error}"))
            raise
        finally:
            os.close(alive)
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
            reaper.remove_folder(str(self._folder))
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


def _clean_up() -> None:
    """Remove what dead kernels have left."""
    remove_leftovers()
    shared_memory.remove_leftovers()


def _occupy_standard_descriptors() -> None:
    """Put the null device where this process's descriptors 0 to 2 are closed.

    Else the next socket or pipe would get such a number, and what any library prints would go
    into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


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
    # The hook of concurrent.futures: an atexit function would run after the interpreter
    # has waited, for ever, for the threads of executors whose task never ends. What comes last
    # runs first.
    getattr(threading, "_register_atexit", atexit.register)(_close_all)
