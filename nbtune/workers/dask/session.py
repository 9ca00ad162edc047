"""One opening of `Dask`: the stations on the cluster's workers, and the trials that run there.

Its state belongs to the event loop of its client, which is nbtune's own. The engine's orders are
passed to that loop; events go back through `post`.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

from nbtune.exceptions import WorkerError
from nbtune.trial import Failure, Report
from nbtune.workers.base import Assignment, Ended, Event, Reported, SlotGone, SlotReady
from nbtune.workers.dask.agent import Errand
from nbtune.workers.dask.cargo import fields, unpack
from nbtune.workers.dask.cluster import Unreachable
from nbtune.workers.dask.host import Duties
from nbtune.workers.dask.station import Seat, Station
from nbtune.workers.outcome import plain

__all__ = ["Room", "Session"]

logger = logging.getLogger("nbtune")

_LOOK_SECONDS = 1.0
_ANSWER_SECONDS = 15.0
_CLOSE_SECONDS = 20.0
_TRIES = 3
_AGAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many slots there are place for; None is as many as the workers have threads."""

    slots: int | None = None
    slots_per_worker: int | None = None
    cpus: int = 1
    gpus: float = 0

    @property
    def resources(self) -> dict[str, float]:
        """What each slot takes of the resources that a Dask worker declares."""
        return {"GPU": self.gpus} if self.gpus else {}

    def on(self, worker: dict[str, Any]) -> int:
        """Return how many slots a worker with this identity has room for."""
        room = int(worker["nthreads"]) // self.cpus
        if self.slots_per_worker is not None:
            room = min(room, self.slots_per_worker)
        if self.gpus:
            declared = (worker.get("resources") or {}).get("GPU", 0)
            room = min(room, int(declared / self.gpus + 1e-9))
        return room

    def share(self, workers: dict[str, dict[str, Any]], taken: int = 0) -> dict[str, int]:
        """Return the slots of each of these workers; one without any is left out."""
        shares = {}
        for address, worker in workers.items():
            room = self.on(worker)
            if self.slots is not None:
                room = min(room, self.slots - taken)
            if room > 0:
                shares[address] = room
                taken += room
        return shares


class Session:
    """Runs trials on a cluster until closed.

    Parameters
    ----------
    client : distributed.Client
        Used by nothing else; closed at the end.
    duties : Duties
        The paths are this machine's.
    room : Room
    post : callable
        Takes the events.
    grown : callable
        Called with the numbers of slots and Dask workers, whenever they change.
    """

    def __init__(
        self,
        client: Any,
        duties: Duties,
        room: Room,
        *,
        nonce: Path,
        post: Callable[[Event], None],
        grown: Callable[[int, int], None],
    ) -> None:
        self._client = client
        self._room = room
        self._post_open = post
        self._grown = grown
        self._closed = False
        self._address: str = client.scheduler.address
        self._errand = Errand(
            token=nonce.name.rpartition("-")[2],
            attempt=0,
            nonce=(nonce, nonce.read_text()),
            duties=duties,
        )
        self._stations: dict[str, Station] = {}
        self._seats: dict[int, Seat] = {}
        self._indices = count()
        self._attempts = count()
        self._running: dict[int, Seat] = {}  # by the trial's number
        self._parked: dict[int, tuple[Assignment, bytes]] = {}  # their slots went away meanwhile
        self._failures: dict[str, int] = {}
        self._not_before: dict[str, float] = {}  # when a lost worker may be tried again
        self._straight = True
        self._look = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop = client.loop.asyncio_loop
        self._watching = asyncio.run_coroutine_threadsafe(self._watch(), self._loop)

    # --- from the engine's thread

    def do(self, act: Callable[..., None], *arguments: Any) -> None:
        """Call one of the methods below on the loop, after those before."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(act, *arguments)

    def close(self) -> None:
        """Kill what runs and free everything on the cluster; post nothing from now on."""
        self._closed = True
        with contextlib.suppress(Late, RuntimeError):
            shutdown = asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop)
            shutdown.result(_CLOSE_SECONDS)
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            self._client.close(timeout=5)

    def _post(self, event: Event) -> None:
        if not self._closed:
            self._post_open(event)

    # --- orders, on the loop

    def start(self, slot: int, assignment: Assignment, params: bytes) -> None:
        """Run a trial on a slot, or on the next one when that is gone."""
        seat = self._seats.get(slot)
        if seat is None:
            self._parked[assignment.number] = assignment, params
        else:
            self._give(seat, assignment, params)

    def _give(self, seat: Seat, assignment: Assignment, params: bytes) -> None:
        number = assignment.number
        seat.up, seat.number = False, number
        self._running[number] = seat
        seat.station.start(seat.place, number, assignment.milestone, assignment.known_until, params)

    def order(self, kind: Literal["decide", "stop", "kill"], number: int, body: bytes) -> None:
        """Pass an order on to the trial's worker; nothing when the trial is over."""
        seat = self._running.get(number)
        if seat is not None:
            seat.station.order(kind, number, body=body)
        elif kind != "decide" and number in self._parked:
            del self._parked[number]
            how: Literal["stopped", "killed"] = "stopped" if kind == "stop" else "killed"
            self._post(Ended(number=number, slot=-1, how=how, time=time.time()))

    # --- what the workers say, on the loop

    def _hear(self, station: Station, data: bytes) -> None:
        (kind, *rest), body = fields(data)
        match kind:
            case "ready" | "held":
                self._prepare(station.seats[rest[0]], kind)
            case "reports":
                self._hear_reports(station, *rest)
            case "ended":
                self._hear_end(station, *rest)
            case "put" | "move" | "drop":
                number, *names = rest
                if self._is_there(station, number):
                    folder = self._errand.duties.folder / str(int(number))
                    unpack(folder, kind, names, body)
            case "trouble":
                self._post(WorkerError(f"Dask worker {station.address}, {plain(rest[0], 10_000)}"))
            case _:
                raise ValueError(f"a frame of kind {kind!r}")

    def _is_there(self, station: Station, number: int) -> bool:
        seat = self._running.get(number)
        return seat is not None and seat.station is station

    def _prepare(self, seat: Seat, kind: Literal["ready", "held"]) -> None:
        if kind == "ready":
            seat.up = True
        else:
            seat.held = True
        if not (seat.up and seat.held):
            return
        if self._parked:
            self._give(seat, *self._parked.pop(next(iter(self._parked))))
        else:
            self._post(SlotReady(slot=seat.index))

    def _hear_reports(self, station: Station, number: int, waiting: bool, batch: Any) -> None:
        if self._is_there(station, number):
            reports = [
                Report(step, metrics, moment - station.ahead) for step, moment, metrics in batch
            ]
            self._post(Reported(number=number, reports=reports, waiting=waiting))

    def _hear_end(
        self,
        station: Station,
        number: int,
        how: Any,
        moment: float,
        result: dict[str, float] | None,
        failure: list[str] | None,
    ) -> None:
        if not self._is_there(station, number):
            return
        seat = self._running.pop(number)
        seat.number = None
        told = failure and Failure(
            type=plain(failure[0], 200), message=failure[1], traceback=failure[2]
        )
        self._post(
            Ended(
                number=number,
                slot=seat.index,
                how=how,
                time=moment - station.ahead,
                result=result,
                failure=told or None,
            )
        )

    # --- workers that come and go, on the loop

    async def _watch(self) -> None:
        try:
            await self._take_in(await self._workers(), first=True)
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), _LOOK_SECONDS)
                self._look.clear()
                workers = await self._workers()
                for address, station in list(self._stations.items()):
                    if address not in workers:
                        station.leave()
                        self._lose(station, "it left the cluster")
                await self._take_in(workers, first=False)
        except Unreachable as error:
            self._give_up(
                f"the Dask scheduler at {self._address} went away ({error}). Start the cluster "
                "again and resume the sweep."
            )
        except WorkerError as error:
            self._give_up(str(error))
        except Exception as error:
            logger.exception("the thread that watches the Dask cluster failed")
            self._give_up(f"{type(error).__name__}: {error}")

    async def _workers(self) -> dict[str, dict[str, Any]]:
        """Return the identities of the workers that take tasks."""
        if self._client.status != "running":  # the scheduler has forgotten all that was ours
            raise Unreachable("its connection broke")
        try:
            call = self._client.scheduler.identity()
            workers = (await asyncio.wait_for(call, _ANSWER_SECONDS))["workers"]
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        return {address: one for address, one in workers.items() if one["status"] != "closing"}

    async def _take_in(self, workers: dict[str, dict[str, Any]], *, first: bool) -> None:
        new = {
            address: one
            for address, one in workers.items()
            if address not in self._stations
            and one["status"] == "running"
            and self._failures.get(address, 0) < _TRIES
            and self._not_before.get(address, 0.0) <= time.monotonic()
        }
        if first:
            self._check_room(new)
        shares = self._room.share(new, taken=len(self._seats))
        stations = [self._station(address, share) for address, share in shares.items()]
        self._stations.update({station.address: station for station in stations})
        outcomes = await asyncio.gather(
            *(self._install(station) for station in stations), return_exceptions=True
        )
        ready = [s for s, outcome in zip(stations, outcomes, strict=True) if outcome is None]
        for station, outcome in zip(stations, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._refuse(station, outcome, first=first)
        outcomes = await asyncio.gather(
            *(self._begin(station) for station in ready), return_exceptions=True
        )
        for station, outcome in zip(ready, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._refuse(station, outcome, first=False)

    def _check_room(self, workers: dict[str, dict[str, Any]]) -> None:
        if workers and not self._room.share(workers):
            needed = " and ".join(
                [f"{self._room.cpus} threads"] * (self._room.cpus > 1)
                + [f"the resource GPU={self._room.gpus:g}"] * bool(self._room.gpus)
            )
            raise WorkerError(
                f"none of the {len(workers)} Dask workers at {self._address} has {needed}, which "
                "one slot takes. Start workers that do (dask worker --nthreads, "
                "--resources GPU=1), or ask for less."
            )
        if not workers:
            logger.warning("no Dask worker at %s yet; waiting for the first", self._address)

    def _station(self, address: str, share: int) -> Station:
        duties = replace(self._errand.duties, slots=share)
        errand = replace(self._errand, duties=duties, attempt=next(self._attempts))
        station = Station(self._client, address, errand, self._hear, self._lose)
        station.seats = [Seat(next(self._indices), station, place) for place in range(share)]
        return station

    async def _install(self, station: Station) -> None:
        self._straight = await station.install(straight=self._straight)

    async def _begin(self, station: Station) -> None:
        self._seats.update({seat.index: seat for seat in station.seats})
        await station.begin(self._room.resources)
        self._count()

    def _refuse(self, station: Station, error: BaseException, *, first: bool) -> None:
        """Go on without a worker; not when the sweep has only begun and it can be put right."""
        if (first and isinstance(error, WorkerError)) or not isinstance(error, Exception):
            raise error
        address = station.address
        tries = _TRIES if isinstance(error, WorkerError) else self._failures.get(address, 0) + 1
        self._failures[address] = tries
        if self._stations.get(address) is station:
            station.leave()
            self._lose(station, str(error))
        level = logging.WARNING if tries == _TRIES else logging.DEBUG
        logger.log(level, "Dask worker %s gets no trials: %s", address, error)

    def _lose(self, station: Station, why: str) -> None:
        """Tell of a worker that is gone, and of its trials."""
        if self._stations.get(station.address) is station:
            del self._stations[station.address]
            # A dead one is listed a moment longer, and to dial it takes half a minute.
            self._not_before[station.address] = time.monotonic() + _AGAIN_SECONDS
        for seat in station.seats:
            self._seats.pop(seat.index, None)
        self._count()  # before anybody hears of it
        for seat in station.seats:
            if seat.number is not None:
                self._end_lost(
                    seat.number, seat.index, f"Dask worker {station.address} was lost: {why}"
                )
            elif seat.up and seat.held:
                self._post(SlotGone(slot=seat.index))
        self._look.set()

    def _end_lost(self, number: int, slot: int, message: str) -> None:
        self._running.pop(number, None)
        failure = Failure(type="WorkerLost", message=plain(message, 2000))
        self._post(Ended(number=number, slot=slot, how="died", time=time.time(), failure=failure))

    def _give_up(self, reason: str) -> None:
        """End everything for one reason."""
        self._post(WorkerError(reason))
        for station in self._stations.values():
            station.leave()
        for number in self._parked:
            self._end_lost(number, -1, reason)
        for number, seat in list(self._running.items()):
            self._end_lost(number, seat.index, reason)
        self._parked.clear()

    def _count(self) -> None:
        if not self._closed:
            hosts = {seat.station.address for seat in self._seats.values()}
            self._grown(len(self._seats), len(hosts))

    async def _shut_down(self) -> None:
        self._watching.cancel()
        await asyncio.sleep(0)  # from now on nothing is added
        stations = [*self._stations.values()]
        await asyncio.gather(*(each.close() for each in stations), return_exceptions=True)


def new_nonce(folder: Path) -> Path:
    """Write a file of a name and content that no other machine can know."""
    path = folder / f".nbtune-{secrets.token_hex(8)}"
    path.write_text(secrets.token_hex(16))
    return path
