"""What nbtune keeps inside a Dask worker: the way to a host, and the tasks that hold threads.

Everything here but `occupy` runs on the worker's event loop. The driver calls one handler, straight
or through the scheduler; nothing here ever calls the driver.
"""

import asyncio
import contextlib
import json
import os
import pickle
import platform
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbtune.workers.dask.cargo import frame
from nbtune.workers.dask.host import Duties

__all__ = ["Errand", "install", "key_of", "occupy", "version"]

_HEAR_SECONDS = 5.0  # an idle driver asks again so often
_LOOK_SECONDS = 1.0  # between two looks at whether the driver is still there
_PATIENCE = 60  # looks until the driver's task must have come
_HELD_BYTES = 32 * 1024 * 1024  # of frames that the driver has not fetched
_ANSWER_BYTES = 8 * 1024 * 1024
_END_SECONDS = 8
_HEADER_BYTES = 4
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from nbtune.workers.dask.host import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a driver asks a worker to do; ``duties`` holds paths as the driver sees them.

    ``token`` names the sweep's session, ``attempt`` tells a worker that is set up anew from its
    former self. ``nonce`` is a file that the driver wrote into the sweep's folder, and what is in
    it.
    """

    token: str
    attempt: int
    nonce: tuple[Path, str]
    duties: Duties


def key_of(errand: Errand, address: str, index: int) -> str:
    """Return the key of the task that holds a thread for a slot."""
    return f"nbtune-slot-{errand.token}-{errand.attempt}-{address}-{index}"


def version() -> str:
    """Return nbtune's, also where it was only put on the path."""
    return str(sys.modules["nbtune"].__version__)  # the layers forbid to import it here


async def install(errand: Errand, dask_worker: Any) -> dict[str, Any]:
    """Take up an errand; return plain facts about the worker."""
    former = _agents.get(dask_worker.address, {}).pop(errand.token, None)
    if former is not None:
        await former.close()
    _settle(dask_worker)
    agent = _Agent(errand, dask_worker)
    _agents.setdefault(dask_worker.address, {})[errand.token] = agent
    return {
        "nbtune": version(),
        "python": platform.python_version(),
        "shared": agent.duties.shared,
        "time": time.time(),
    }


def occupy(token: str, attempt: int, index: int) -> None:
    """Hold one of the worker's threads, as a task, for as long as the slot is wanted."""
    from distributed import get_worker  # noqa: PLC0415 - the host imports this module's sibling

    agent = _agents.get(get_worker().address, {}).get(token)
    if agent is not None and agent.errand.attempt == attempt:
        agent.hold(index)


_agents: dict[str, dict[str, "_Agent"]] = {}  # by the worker's address and the driver's token


def _settle(worker: Any) -> None:
    """Have the worker pass on what drivers ask, and say when it closes."""
    from distributed import WorkerPlugin  # noqa: PLC0415 - as above

    class Farewell(WorkerPlugin):  # type: ignore[misc]
        """Gives the worker's threads back when it closes: it would wait for them."""

        async def teardown(self, worker: Any) -> None:
            for agent in [*_agents.get(worker.address, {}).values()]:
                await agent.close()

    async def handle(token: str, what: str, **arguments: Any) -> Any:
        """Do what a driver asks; None says that there is nothing of its sweep here."""
        if what == "ping":
            return True
        agents = _agents.get(worker.address, {})
        agent = agents.get(token)
        if agent is None:
            return None
        if what == "leave":
            _forget(worker, token)
        return await getattr(agent, _CALLS[what])(**arguments)

    worker.handlers["nbtune"] = handle
    worker.plugins.setdefault("nbtune", Farewell())


def _forget(worker: Any, token: str) -> None:
    agents = _agents.get(worker.address, {})
    agents.pop(token, None)
    if not agents:
        _agents.pop(worker.address, None)
        worker.handlers.pop("nbtune", None)
        worker.plugins.pop("nbtune", None)


_CALLS = {"store": "store", "begin": "begin", "hear": "hear", "tell": "tell", "leave": "close"}


class _Agent:
    """One sweep's post in one Dask worker."""

    def __init__(self, errand: Errand, worker: Any) -> None:
        self.errand = errand
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._home = Path(worker.local_directory) / f"nbtune-{errand.token}"
        self._home.mkdir(parents=True, exist_ok=True)
        self.duties = self._adapt(errand)
        self._waiting: deque[bytes] = deque()
        self._held = 0  # bytes of these
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._released = threading.Event()
        self._patience = _PATIENCE
        self._ended = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: set[asyncio.Task[Any] | None] = {asyncio.ensure_future(self._look())}

    def _adapt(self, errand: Errand) -> Duties:
        """Return the duties with this machine's paths where the sweep's folder is not shared."""
        duties = errand.duties
        environment = {"NBTUNE_FILES": self._worker.local_directory}
        if duties.shared and _is_shared(*errand.nonce, duties):
            return replace(duties, environment=environment)
        return replace(
            duties,
            payload=self._home / "payload",
            folder=self._home / "trials",
            shared=False,
            environment=environment,
        )

    async def store(self, data: bytes) -> bool:
        """Append to this machine's copy of the payload."""
        await asyncio.to_thread(self._append, data)
        return True

    def _append(self, data: bytes) -> None:
        descriptor = os.open(self.duties.payload, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(data)

    async def begin(self) -> bool:
        """Start the host process."""
        ours, theirs = socket.socketpair()
        with theirs:
            paths = [*sys.path, self._worker.local_directory]  # where uploaded modules are
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _START,
                    str(theirs.fileno()),
                    str(os.getpid()),
                    json.dumps(paths),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._write(pickle.dumps(self.duties))
        self._tasks.add(asyncio.ensure_future(self._listen(reader)))
        return True

    def hold(self, index: int) -> None:
        """Say that a slot has its thread, and keep it; runs in that thread."""
        self._patience = 1  # the driver's tasks have come
        self._loop.call_soon_threadsafe(self._add, frame("held", index))
        self._released.wait()

    def _add(self, data: bytes) -> None:
        self._waiting.append(data)
        self._held += len(data)
        if self._held > _HELD_BYTES:
            self._room.clear()
        self._news.set()

    async def hear(self) -> list[bytes] | None:
        """Return the frames that came, waiting a while for the first; None when it is over."""
        if not self._waiting and not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _HEAR_SECONDS)
        frames, size = [], 0
        while self._waiting and size < _ANSWER_BYTES:
            frames.append(self._waiting.popleft())
            size += len(frames[-1])
        self._held -= size
        if self._held <= _HELD_BYTES:
            self._room.set()
        if not self._waiting and not self._ended.is_set():
            self._news.clear()
        return None if not frames and self._ended.is_set() else frames

    async def tell(self, frames: list[bytes]) -> bool:
        """Pass the driver's frames on; False when there is no host."""
        if self._writer is None or self._ended.is_set():
            return False
        for data in frames:
            self._write(data)
        with contextlib.suppress(OSError):
            await self._writer.drain()
        return True

    def _write(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(len(data).to_bytes(_HEADER_BYTES) + data)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                size = int.from_bytes(await reader.readexactly(_HEADER_BYTES))
                self._add(await reader.readexactly(size))
                await self._room.wait()
        self._end()

    def _end(self) -> None:
        self._released.set()
        self._ended.set()
        self._news.set()

    async def _look(self) -> None:
        """Leave when the driver is gone: no one would fetch anything."""
        key = key_of(self.errand, self._worker.address, 0)
        while self._patience:
            await asyncio.sleep(_LOOK_SECONDS)
            # The scheduler forgets a task when its client disconnects, however that happened.
            with contextlib.suppress(OSError):
                states = await self._worker.scheduler.get_task_status(keys=[key])
                self._patience = self._patience - 1 if states.get(key) is None else 1
        _forget(self._worker, self.errand.token)
        self._tasks.discard(asyncio.current_task())
        await self.close()

    async def close(self) -> None:
        """End the host and all that it runs, give the threads back, remove every file."""
        self._end()
        for task in self._tasks:
            if task is not None:
                task.cancel()
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            await asyncio.to_thread(_end, self._process)
        await asyncio.to_thread(shutil.rmtree, self._home, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a host whose socket has been closed; its reaper cleans up if it must be killed."""
    try:
        process.wait(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_shared(nonce: Path, content: str, duties: Duties) -> bool:
    """Whether the driver's folder is this machine's too, and trials can write there."""
    try:
        if nonce.read_text() != content:
            return False
        with duties.payload.open("rb"):
            pass
        probe = nonce.with_name(f"{nonce.name}.{os.getpid()}.{threading.get_ident()}")
        probe.write_text(content)
        probe.unlink()
    except OSError:
        return False
    return True
