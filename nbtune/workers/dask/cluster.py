"""The way to a Dask cluster: from whatever names one to a connection of nbtune's own."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from nbtune.exceptions import SpecError, WorkerError

__all__ = ["Cluster", "Unreachable", "Wire", "is_cluster"]

CONNECT_SECONDS = 10
_DIAL_SECONDS = 2.0
_ADDRESS = re.compile(r"[\w-]+://[^\s]+|[^\s/:]+:\d+")


class Unreachable(Exception):  # noqa: N818 - says where the trouble is, for `session` to judge
    """A Dask worker, or the scheduler on the way to it, does not answer."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where a scheduler listens, and what it takes to be let in.

    Pickled it is the address alone: another process connects anew.
    """

    address: str
    security: Any = None

    @classmethod
    def of(cls, given: object) -> "Cluster":
        """Return the cluster that an address, a ``distributed.Client`` or a cluster object names.

        Raises
        ------
        SpecError
            When it is none of these, an asynchronous client, or closed.
        """
        if isinstance(given, str):
            if not _ADDRESS.fullmatch(given):
                raise SpecError(
                    f"{given!r} is no address of a Dask scheduler. Give one such as "
                    "'tcp://10.0.0.1:8786'",
                    "workers",
                )
            return cls(given)
        if getattr(given, "asynchronous", False):
            raise SpecError(
                f"{given!r} is asynchronous: nbtune's own thread cannot wait for it. Give the "
                "scheduler's address, or a client made without asynchronous=True",
                "workers",
            )
        address = _address_of(given)
        if not address:
            raise SpecError(
                f"{given!r} is not connected to a Dask scheduler. Give an address such as "
                "'tcp://10.0.0.1:8786', a distributed.Client or a cluster that is running",
                "workers",
            )
        return cls(address, getattr(given, "security", None))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.address,)

    def connect(self) -> Any:
        """Return a client of nbtune's own, with an event loop of its own.

        What the user does with theirs (blocks its loop, closes it) does not reach it.

        Raises
        ------
        WorkerError
            When no scheduler answers.
        """
        try:
            from distributed import Client  # noqa: PLC0415 - only who has a cluster needs it
        except ModuleNotFoundError as error:
            raise WorkerError(
                "Dask workers need the package distributed here and on the workers: "
                "pip install nbtune[dask]"
            ) from error
        try:
            return Client(
                self.address,
                security=self.security,
                set_as_default=False,
                timeout=CONNECT_SECONDS,
                name="nbtune",
                connection_limit=4096,  # one a worker is always in use
            )
        except (OSError, ValueError, RuntimeError, TypeError, ImportError) as error:
            raise WorkerError(
                f"no Dask scheduler answers at {self.address} ({error or type(error).__name__}). "
                "Is the cluster running? Make the sweep with the address of one that is."
            ) from error


def is_cluster(given: object) -> bool:
    """Whether `given` looks like what `Cluster.of` takes, without importing distributed."""
    return isinstance(given, str) or any(
        hasattr(given, name) for name in ("scheduler_address", "get_client", "scheduler_info")
    )


def _address_of(given: object) -> str:
    """Return the address of the scheduler of a client or a cluster, empty when there is none."""
    if getattr(given, "status", "running") in ("closed", "closing"):
        return ""
    status = getattr(getattr(given, "status", None), "name", "running")
    if status in ("closed", "closing", "failed"):
        return ""
    found = getattr(given, "scheduler_address", None)  # clusters
    if found is None:
        found = getattr(getattr(given, "scheduler", None), "address", None)  # clients
    if found is None and hasattr(given, "get_client"):
        with given.get_client() as client:
            found = client.scheduler.address
    return found if isinstance(found, str) else ""


class Wire:
    """Calls the handler of `agent` on one Dask worker: straight, where it can be dialled.

    Through the scheduler each call costs a connection of its own; straight it takes a fifth.
    """

    def __init__(self, client: Any, address: str, token: str) -> None:
        self._client = client
        self._address = address
        self._token = token
        self._straight = False

    async def choose(self, *, straight: bool) -> bool:
        """Find out whether the worker can be dialled from here; return that."""
        self._straight = straight and await _can_dial(self._address)
        if self._straight:
            try:
                await self.call("ping")
            except Unreachable:
                self._straight = False
        return self._straight

    async def call(self, what: str, **arguments: Any) -> Any:
        """Return what the agent answers, None when there is no agent any more.

        Raises
        ------
        Unreachable
            When none comes.
        """
        try:
            message = {"token": self._token, "what": what, **arguments}
            if self._straight:
                return await self._client.rpc(self._address).nbtune(**message)
            message["op"] = "nbtune"
            return await self._client.scheduler.proxy(msg=message, worker=self._address)
        except (OSError, TimeoutError, KeyError, AttributeError, RuntimeError) as error:
            raise Unreachable(f"{type(error).__name__}: {error}") from error


async def _can_dial(address: str) -> bool:
    # A bare socket: where packets are dropped, Dask's own dial would go on long after the answer.
    scheme, _, place = address.partition("://")
    if scheme not in ("tcp", "tls"):
        return scheme == "inproc"
    host, _, port = place.rpartition(":")
    try:
        dial = asyncio.open_connection(host.strip("[]"), int(port))
        _, writer = await asyncio.wait_for(dial, _DIAL_SECONDS)
    except (OSError, TimeoutError, ValueError):
        return False
    writer.close()
    return True
