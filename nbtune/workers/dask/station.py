"""One Dask worker, seen from the driver: installed there, told and heard over one `Wire`."""

import asyncio
import contextlib
import logging
import platform
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbtune.exceptions import WorkerError
from nbtune.workers.dask.agent import Errand, install, key_of, occupy, version
from nbtune.workers.dask.cargo import frame, pack
from nbtune.workers.dask.cluster import Unreachable, Wire

__all__ = ["Seat", "Station"]

logger = logging.getLogger("nbtune")

_PAYLOAD_PIECE = 16 * 1024 * 1024
_INSTALL_SECONDS = 60
_INSTALLED_SECONDS = 5
_LEAVE_SECONDS = 10
_SKEW_SECONDS = 0.5  # a clock that is less apart is taken for the same


@dataclass(eq=False, slots=True)
class Seat:
    """A slot of the engine: one of a station's, taken by a trial or free."""

    index: int
    station: "Station"
    place: int  # of the station's slots
    up: bool = False  # its process waits for a trial
    held: bool = False  # it has a thread of the Dask worker
    number: int | None = None


@dataclass(eq=False)
class Station:
    """What a session has on one Dask worker. All of it runs on the loop of the session's client.

    Parameters
    ----------
    client : distributed.Client
    address : str
        The Dask worker's.
    errand : Errand
        What its agent is to do.
    hear : callable
        Called with the station and each frame, in order.
    lost : callable
        Called with the station and why, once, when it does not answer any more.
    """

    client: Any
    address: str
    errand: Errand
    hear: Callable[["Station", bytes], None]
    lost: Callable[["Station", str], None]
    seats: list[Seat] = field(default_factory=list)
    shared: bool = True
    ahead: float = 0.0
    """Seconds by which the worker's clock is ahead of this one."""

    def __post_init__(self) -> None:
        self._wire = Wire(self.client, self.address, self.errand.token)
        self._orders: deque[bytes | Path] = deque()  # frames, and folders of trials to bring
        self._ordered = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._futures: list[Any] = []
        self._threads: list[asyncio.Future[Any]] = []
        self._gone = False

    async def install(self, *, straight: bool) -> bool:
        """Put an agent into the worker; return whether the worker can be dialled from here.

        Raises
        ------
        WorkerError
            When nbtune there is missing or another one.
        Unreachable
            When the worker does not answer.
        """
        began = time.time()
        try:
            call = self._aside(self.client.run, install, self.errand, workers=[self.address])
            facts = (await asyncio.wait_for(call, _INSTALL_SECONDS))[self.address]
        except (OSError, TimeoutError, KeyError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        except Exception as error:
            raise WorkerError(_why_not(f"{type(error).__name__}: {error}", self.address)) from error
        _compare(facts, self.address)
        ahead = facts["time"] - (began + time.time()) / 2
        self.ahead = ahead if abs(ahead) > _SKEW_SECONDS else 0.0
        self.shared = facts["shared"]
        return await self._wire.choose(straight=straight)

    async def begin(self, resources: dict[str, float]) -> None:
        """Bring the payload where it is not, start the slots, ask for their threads."""
        if not self.shared:
            for piece in _pieces(self.errand.duties.payload):
                await self._wire.call("store", data=piece)
        if not await self._wire.call("begin"):
            raise Unreachable("it was set up anew meanwhile")
        await self._aside(self._occupy, resources)
        self._tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._tell())]

    def _aside(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Do a thing of Dask's that blocks on a thread; `close` waits for it."""
        thread = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
        self._threads.append(thread)
        return asyncio.shield(thread)

    def _occupy(self, resources: dict[str, float]) -> None:
        # Tasks, so that the scheduler knows that the threads are taken, and an adaptive cluster
        # does not take the worker for idle. They end by themselves when the agent leaves.
        self._futures = [
            self.client.submit(
                occupy,
                self.errand.token,
                self.errand.attempt,
                seat.place,
                key=key_of(self.errand, self.address, seat.place),
                workers=[self.address],
                allow_other_workers=False,
                resources=resources or None,
                retries=0,
                pure=False,
            )
            for seat in self.seats
        ]

    def start(
        self, place: int, number: int, milestone: int | None, known_until: int, params: bytes
    ) -> None:
        """Run a trial on one of the slots, from the checkpoints that are here."""
        if not self.shared:
            self._orders.append(self.errand.nonce[0].parent / str(number))
        self.order("start", number, place, milestone, known_until, body=params)

    def order(self, kind: str, number: int, *words: Any, body: bytes = b"") -> None:
        """Send an order after those before."""
        self._orders.append(frame(kind, number, *words, body=body))
        self._ordered.set()

    async def _tell(self) -> None:
        try:
            while True:
                await self._ordered.wait()
                self._ordered.clear()
                frames: list[bytes] = []
                while self._orders:
                    order = self._orders.popleft()
                    if isinstance(order, bytes):
                        frames.append(order)
                    else:
                        await self._send(frames)
                        await self._bring(order)
                        frames = []
                await self._send(frames)
        except Unreachable as error:
            self._lose(str(error))

    async def _bring(self, folder: Path) -> None:
        """Carry a trial's checkpoints to the worker, in place of those that it may have."""
        number = int(folder.name)
        await self._send([frame("drop", number, "checkpoints")])
        if (folder / "checkpoints").is_dir():
            for data in pack(folder, number, "checkpoints"):
                await self._send([data])

    async def _send(self, frames: list[bytes]) -> None:
        if frames and not await self._wire.call("tell", frames=frames):
            raise Unreachable("its slots ended")

    async def _listen(self) -> None:
        try:
            while (frames := await self._wire.call("hear")) is not None:
                for data in frames:
                    self.hear(self, data)
            self._lose("its slots ended")
        except Unreachable as error:
            self._lose(str(error))
        except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
            logger.debug("a frame of %s", self.address, exc_info=True)
            self._lose(f"it sent what no nbtune sends: {error}")

    def _lose(self, why: str) -> None:
        if not self._gone:
            self.leave()
            self.lost(self, why)

    def leave(self) -> None:
        """Hear and tell no more."""
        self._gone = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        for future in self._futures:
            future.release()

    async def close(self) -> None:
        """Free all that is on the worker, as far as it answers."""
        self._gone = True
        for task in self._tasks:
            task.cancel()
        pending: set[Any] = set()
        if self._threads:  # what is being installed could not be removed yet
            _, pending = await asyncio.wait(self._threads, timeout=_INSTALLED_SECONDS)
        if not pending:  # else the worker does not answer; an agent without a driver leaves
            with contextlib.suppress(Unreachable, TimeoutError):
                await asyncio.wait_for(self._wire.call("leave"), _LEAVE_SECONDS)
        for future in self._futures:
            future.release()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PAYLOAD_PIECE):
            yield piece


def _why_not(error: str, address: str) -> str:
    """Say what is missing on a worker that could not take the errand up.

    Dask sends the error of what it cannot unpickle as text.
    """
    wanted = f"nbtune {version()} there: pip install nbtune[dask]"
    if re.search(r"No module named \W*nbtune", error):
        return f"nbtune is not installed on Dask worker {address} ({error}). Install {wanted}"
    if "ModuleNotFoundError" in error or "ImportError" in error:
        return (
            f"nbtune cannot be loaded on Dask worker {address}: {error}. Install {wanted}, with "
            "all that it depends on."
        )
    return f"Dask worker {address} could not be set up: {error}"


def _compare(facts: dict[str, Any], address: str) -> None:
    """Refuse a worker that would not understand what is sent to it."""
    here = {"nbtune": version(), "python": platform.python_version()}
    there = {name: facts[name] for name in here}
    # Bytecode, of which pickled functions consist, is the same within a minor version.
    same_python = there["python"].split(".")[:2] == here["python"].split(".")[:2]
    if not same_python or there["nbtune"] != here["nbtune"]:
        raise WorkerError(
            f"Dask worker {address} has nbtune {there['nbtune']} on Python {there['python']}, here "
            f"it is nbtune {here['nbtune']} on Python {here['python']}. Install the same versions "
            "on both."
        )
