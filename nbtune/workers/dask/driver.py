"""`Dask`: the workers of a cluster as slots of a sweep."""

import pickle
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nbtune.arguments import check_count, finite
from nbtune.decision import Decision
from nbtune.exceptions import SpecError, WorkerError
from nbtune.objective import payload
from nbtune.workers.base import MOST_SLOTS, Assignment, Ended, Inbox, Job, SlotReady, Workers
from nbtune.workers.dask.cluster import Cluster
from nbtune.workers.dask.host import Duties
from nbtune.workers.dask.session import Room, Session, new_nonce
from nbtune.workers.outcome import failure_of
from nbtune.workers.slot import pickled

__all__ = ["Dask"]


class Dask(Workers):
    """Runs trials on the workers of a Dask cluster.

    Each slot holds one thread of a Dask worker, as a task that the scheduler knows of, while the
    sweep runs; the trial itself runs in a process of its own beside that worker, as with `Local`:
    one that crashes or is killed costs itself alone. Workers may join and leave at any time: a new
    one's threads become slots, the trials of one that is gone end with "WorkerLost".

    All goes over the cluster's own connections. A worker that does not share the sweep's folder
    gets the objective's data once, and each trial's log (its last 64 KiB), checkpoints and files
    (64 MiB) are brought back.

    Parameters
    ----------
    cluster : str, distributed.Client or cluster object
        A scheduler's address, a client, or what has a ``scheduler_address`` or a ``get_client()``.
        nbtune makes a connection of its own and leaves client and cluster alone. Stored with a
        sweep is the address, so that the sweep can be resumed from another process.
    slots : int >= 1, optional
        How many trials run at once at most, by default as many as the workers have room for.
    slots_per_worker : int >= 1, optional
        The same for each worker. A slot takes `cpus` of a worker's threads in any case.
    cpus : int >= 1
        Threads of the Dask worker a slot; BLAS and OpenMP are held to so many.
    gpus : float >= 0
        What a slot takes of the resource "GPU" that workers declare
        (``dask worker --resources "GPU=2"``).

    Raises
    ------
    SpecError
        When a number is out of its range, or `cluster` is none, is closed or asynchronous.
    WorkerError
        When no scheduler answers.
    """

    elastic = True

    def __init__(
        self,
        cluster: Any,
        slots: int | None = None,
        *,
        slots_per_worker: int | None = None,
        cpus: int = 1,
        gpus: float = 0,
    ) -> None:
        for name, value in ("slots", slots), ("slots_per_worker", slots_per_worker):
            check_count(name, 1 if value is None else value, MOST_SLOTS)
        check_count("cpus", cpus, MOST_SLOTS)
        if (number := finite(gpus)) is None or number < 0:
            raise SpecError(f"gpus={gpus!r}: a number from 0 is needed.", "gpus")
        self._room = Room(slots=slots, slots_per_worker=slots_per_worker, cpus=cpus, gpus=gpus)
        self._cluster = Cluster.of(cluster)
        self._session: Session | None = None
        self._own: list[Path] = []
        with self._cluster.connect() as client:
            shares = self._room.share(client.scheduler_info(n_workers=-1)["workers"])
        self._count(sum(shares.values()), len(shares))

    def _count(self, slots: int, hosts: int) -> None:
        self.slots = slots
        self._hosts = hosts

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None, "_own": []}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Dask":
        twin = object.__new__(type(self))  # pickled, the connection's keys would be left out
        twin.__dict__.update(self.__getstate__())
        return twin

    def upload(self, files: str | Path | Iterable[str | Path]) -> None:
        """Send files to all workers, also to those that join later.

        A trial can import a ``.py``, ``.zip`` or ``.egg``; other files lie in the folder that
        the trial's environment names ``NBTUNE_FILES``.

        Raises
        ------
        SpecError
            When there is no such file.
        """
        paths = [Path(files)] if isinstance(files, str | Path) else [Path(file) for file in files]
        for path in paths:
            if not path.is_file():
                raise SpecError(f"{str(path)!r} is no file; zip a folder first", "files")
        with self._cluster.connect() as client:
            for path in paths:
                client.upload_file(str(path), load=path.suffix in (".py", ".zip", ".egg"))

    def prepare(self) -> None:
        """Import distributed, which takes most of a second."""
        import distributed  # noqa: F401, PLC0415 - that is the point

    def open(self, job: Job, inbox: Inbox) -> None:
        """Connect, and begin to bring up the slots; a scheduler that does not answer is an event.

        Raises
        ------
        WorkerError
            When these workers serve another sweep.
        ObjectiveError
            When the job has no payload file and its ``call`` cannot be pickled.
        """
        if self._session is not None:
            raise WorkerError("these workers run another sweep; make a Dask(...) for each sweep")
        job.folder.mkdir(parents=True, exist_ok=True)
        try:
            client = self._cluster.connect()
        except WorkerError as error:
            inbox.put(error)
            return
        try:
            path, nonce = self._payload_of(job), new_nonce(job.folder.absolute())
            self._own.append(nonce)
            self._session = Session(
                client,
                self._duties(job, path),
                self._room,
                nonce=nonce,
                post=inbox.put,
                grown=self._count,
            )
        except BaseException:
            client.close()
            self._remove_own()
            raise
        self._post = inbox.put

    def _payload_of(self, job: Job) -> Path:
        """Return one file with all that the objective uses: other machines have not its packs."""
        if job.payload is None:
            self._own.append(Path(tempfile.mkdtemp(prefix="nbtune-")))
            path = self._own[-1] / "payload"
            payload.write(job.call, path)
            return path
        given = payload.Payload(job.payload.absolute(), job.data)
        if not given.packs():
            return given.path
        path = job.folder.absolute() / "payload.whole"  # where workers that share it can read it
        self._own.append(path)
        given.gather(path)
        return path

    def _duties(self, job: Job, path: Path) -> Duties:
        return Duties(
            payload=path,
            step_name=job.step_name,
            result_metric=job.result_metric,
            folder=job.folder.absolute(),
            seed=job.seed,
            slots=0,
            cpus=self._room.cpus,
            gpus=self._room.gpus,
            shared=True,
            environment={},
            preparation=job.preparation,
        )

    def start(self, slot: int, assignment: Assignment) -> None:
        """Run a trial on a slot that is ready."""
        if self._session is None:
            return
        try:
            params = pickled(assignment.params)
        except Exception as error:  # noqa: BLE001 - whatever a param's __reduce__ raises
            self._post(
                Ended(
                    number=assignment.number,
                    slot=slot,
                    how="raised",
                    time=time.time(),
                    failure=failure_of(error),
                )
            )
            self._post(SlotReady(slot=slot))
            return
        self._session.do(self._session.start, slot, assignment, params)

    def answer(self, number: int, decision: Decision) -> None:
        """Send the decision that trial `number` waits for."""
        self._order("decide", number, decision)

    def stop(self, number: int, reason: str) -> None:
        """Ask a running trial to stop: it ends at its next report."""
        self._order("stop", number, reason)

    def kill(self, number: int) -> None:
        """Kill the trial's process and all that it started; the slot gets a new one."""
        self._order("kill", number, None)

    def _order(self, kind: str, number: int, content: object) -> None:
        session = self._session
        if session is not None:
            session.do(session.order, kind, number, pickle.dumps(content))

    def close(self) -> None:
        """Kill what runs and free everything on the cluster; idempotent."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
        self._remove_own()

    def _remove_own(self) -> None:
        while self._own:
            path = self._own.pop()
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def describe(self) -> str:
        """Return the plan in a few words, "4 slots on 2 Dask workers at tcp://10.0.0.1:8786"."""
        workers = f"{self._hosts} Dask worker{'s' * (self._hosts != 1)}"
        gpus = f", {self._room.gpus:g} GPU each" if self._room.gpus else ""
        return f"{super().describe()} on {workers} at {self._cluster.address}{gpus}"
