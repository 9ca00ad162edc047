"""The process beside a Dask worker that keeps its slots: a `Pool`, told by frames what to run.

It has no Dask in it. It ends, with all its slots, when the worker's end of its socket closes or the
worker's process is dead.
"""

import contextlib
import logging
import os
import pickle
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbtune.exceptions import SpecError
from nbtune.trial import Params
from nbtune.workers.base import Ended, Event, Job, Reported, SlotReady
from nbtune.workers.channel import Link
from nbtune.workers.cores import thread_limits
from nbtune.workers.dask.cargo import Courier, fields, frame, unpack
from nbtune.workers.devices import visible_devices
from nbtune.workers.pool import Pool
from nbtune.workers.spawner import Place

__all__ = ["Duties", "main"]

logger = logging.getLogger("nbtune")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duties:
    """What a host is to do for one sweep.

    ``folder`` is the sweep's own when `shared`, else one on this machine, from which files are
    brought home. ``environment`` is what every slot gets on top of this process's own.
    """

    payload: Path
    step_name: str
    result_metric: str
    folder: Path
    seed: int
    slots: int
    cpus: int
    gpus: float
    shared: bool
    environment: dict[str, str]
    preparation: bytes = b""


def main(descriptor: int, worker: int) -> None:
    """Serve the Dask worker of process id `worker` at the other end of a socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = Link(socket.socket(fileno=descriptor))
    host = _Host(link)
    try:
        host.serve(_watched(link, worker))
    finally:
        link.wake()  # a slot's thread may wait for a worker that does not read any more
        host.close()


def _watched(link: Link, worker: int) -> Callable[[], list[bytes]]:
    """Return what waits for frames; it raises EOFError when the worker is gone."""
    poller = select.poll()
    poller.register(link.fileno(), select.POLLIN)
    # A child that the worker forked holds the socket open: only this tells the worker's death.
    poller.register(os.pidfd_open(worker), select.POLLIN)

    def receive() -> list[bytes]:
        ready = [descriptor for descriptor, _ in poller.poll()]
        if link.fileno() not in ready:
            raise EOFError
        return link.receive()

    return receive


class _Host:
    """Does what the driver orders; says what its slots say."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()  # of sending
        self._pool: Pool | None = None
        self._folder = Path()
        self._courier: Courier | None = None

    def serve(self, receive: Callable[[], list[bytes]]) -> None:
        """Obey until the worker is gone."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                for data in receive():
                    if self._pool is None:
                        self._open(pickle.loads(data))
                    else:
                        self._obey(data)

    def close(self) -> None:
        """End every process."""
        if self._pool is not None:
            self._pool.close()

    def _open(self, duties: Duties) -> None:
        self._folder = duties.folder
        if not duties.shared:
            self._courier = Courier(duties.folder)
        self._pool = Pool(
            Job(
                call=_nothing,
                payload=duties.payload,
                step_name=duties.step_name,
                result_metric=duties.result_metric,
                folder=duties.folder,
                seed=duties.seed,
                preparation=duties.preparation,
            ),
            self._post,
            _places(duties),
        )

    def _obey(self, data: bytes) -> None:
        assert self._pool is not None
        (kind, number, *rest), body = fields(data)
        slots = self._pool.slots
        if kind == "start":
            index, milestone, known_until = rest
            if self._courier is not None:
                self._courier.begin(number)
            slots[index].begin(number, milestone, known_until, body)
        elif kind in ("put", "move", "drop"):
            unpack(self._folder / str(number), kind, rest, body)
        elif kind == "kill":
            for slot in slots:
                slot.kill(number)
        else:
            for slot in slots:
                slot.send(kind, number, pickle.loads(body))

    def _post(self, event: Event) -> None:
        for data in self._told(event):
            try:
                with self._lock:
                    self._link.send(data)
            except OSError:
                return  # the worker is gone, and with it whoever wants to know

    def _told(self, event: Event) -> Any:
        courier = self._courier
        match event:
            case SlotReady(slot=index):
                yield frame("ready", index)
            case Reported(number=number, reports=reports, waiting=waiting):
                if courier is not None:  # first what the trial saved, then what it reported
                    yield from _as_far_as_they_come(courier.news(number))
                batch = [(report.step, report.time, report.metrics) for report in reports]
                yield frame("reports", number, waiting, batch)
            case Ended(number=number, failure=failure):
                if courier is not None:
                    yield from _as_far_as_they_come(courier.rest(number))
                told = failure and (failure.type, failure.message, failure.traceback)
                yield frame("ended", number, event.how, event.time, event.result, told)
            case Exception():
                yield frame("trouble", str(event))


def _as_far_as_they_come(frames: Iterator[bytes]) -> Iterator[bytes]:
    """Yield frames of files; what cannot be read must not keep a report or an end back."""
    try:
        yield from frames
    except OSError as error:
        logger.warning("a trial's files were not all brought to the notebook: %s", error)


def _nothing(_params: Params) -> None:
    """Stand for the objective, which only the slots' processes load."""


def _places(duties: Duties) -> list[Place]:
    # Dask's nanny sets OMP_NUM_THREADS=1: that is no decision of the user's about larger slots.
    limits = thread_limits(duties.cpus, {} if duties.cpus > 1 else None)
    devices: list[dict[str, str]] = []
    if duties.gpus:
        with contextlib.suppress(SpecError):  # the resource GPU is the cluster's word for it
            devices = visible_devices(duties.gpus)
    return [
        Place(
            environment={
                **duties.environment,
                **limits,
                **(devices[index % len(devices)] if devices else {}),
            }
        )
        for index in range(duties.slots)
    ]
