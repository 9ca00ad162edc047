"""Worker processes on this machine: one loky process a slot, each with its cores and GPUs."""

import os

from nbtune.arguments import check_count, finite
from nbtune.decision import Decision
from nbtune.exceptions import SpecError, WorkerError
from nbtune.workers.base import MOST_SLOTS, Assignment, Inbox, Job, Workers
from nbtune.workers.core_shares import CoreShare, process_cores
from nbtune.workers.cores import available_cores, share_out, thread_limits
from nbtune.workers.devices import in_words, visible_devices
from nbtune.workers.memory import bytes_of, machine_memory, shown
from nbtune.workers.pool import Pool
from nbtune.workers.slot import Slot
from nbtune.workers.spawner import Place
from nbtune.workers.switchboard import Switchboard

__all__ = ["Local"]


class Local(Workers):
    """Runs each trial in one of a few worker processes on this machine.

    A trial that crashes, is killed, uses more than `memory` or leaves by ``os._exit`` costs itself
    and nothing else: its slot is back in about half a second. What a trial has started ends with
    it, and nothing survives this process, however it ends. Linux only.

    Parameters
    ----------
    slots : int >= 1, optional
        How many trials run at once. By default as many as cores, GPUs and memory have room for: the
        quota of the control group, the affinity mask and ``LOKY_CPU_COUNT`` count. Sweeps that run
        in one process at once then share its cores evenly. A number that is given is kept to,
        whatever else runs.
    cpus : int >= 1
        Cores a slot: BLAS, OpenMP and nested loky are held to so many threads, unless the
        environment says otherwise (``OMP_NUM_THREADS`` and its like).
    gpus : float >= 0
        NVIDIA GPUs a slot: 1, 2, ... of its own, or a fraction, for slots that share one (0.5: two
        slots a GPU; its memory is theirs to divide). ``CUDA_VISIBLE_DEVICES`` tells each slot its
        own, before anything is imported; what it says in this process is the choice there is. A
        GPU in MIG mode counts as its instances. They are found by nvidia-ml-py (``pip install
        'nbtune[gpu]'``); without it MIG instances are not. With 0 the environment is left alone: a
        slot sees all GPUs.
    pin : bool, default False
        Pin each slot's processes to `cpus` cores of its own, second hyperthreads being the last
        choice. For a machine that this sweep has to itself: a pinned slot cannot get out of the
        way of a busy cell while another core is free, and a second sweep that pins picks the same
        cores.
    memory : int or str, optional
        How much memory a trial may use, in bytes or as text with a unit: "500 MB" and "2 GB" are
        decimal, "512 MiB" and "2 GiB" binary. A trial that is over it is killed, and fails with
        "used 3.1 GB of 2 GB"; it is looked at ten times a second. What counts is what the trial's
        process and all its children hold for themselves: the notebook's data, which all trials
        share, does not, until a trial writes to it.

    Raises
    ------
    SpecError
        When a number is out of its range, or there are fewer GPUs, or with `pin` fewer cores, than
        asked for.

    Notes
    -----
    The limit on memory is no ``RLIMIT_AS``: that counts what is mapped, not what is used. The
    shared data, CUDA (which maps terabytes) and each thread's arena would count in full.
    """

    _shares_cores = False  # of those that were stored before cores were shared
    _share: CoreShare | None = None

    def __init__(
        self,
        slots: int | None = None,
        *,
        cpus: int = 1,
        gpus: float = 0,
        memory: int | str | None = None,
        pin: bool = False,
    ) -> None:
        check_count("slots", slots if slots is not None else 1, MOST_SLOTS)
        check_count("cpus", cpus, MOST_SLOTS)
        if not isinstance(pin, bool):
            raise SpecError(f"pin={pin!r}: give True or False.", "pin")
        self._shares_cores = slots is None
        self.cpus = cpus
        self.gpus = gpus
        self.pin = pin
        self.memory = None if memory is None else bytes_of(memory)
        devices = None if finite(gpus) == 0 else visible_devices(gpus)
        if slots is None:
            slots = available_cores() // cpus
            if self.memory is not None:
                slots = min(slots, machine_memory() // self.memory)
            slots = max(1, slots)
            if devices is not None:
                slots = min(slots, len(devices))
        self.slots = slots
        self._gpu_words = in_words(gpus, self._own(devices)) if devices is not None else ""
        self._share_cores()
        self._pool: Pool | None = None
        self._switchboard: Switchboard | None = None
        self._share: CoreShare | None = None

    def _own(self, devices: list[dict[str, str]]) -> list[dict[str, str]]:
        if self.slots > len(devices):
            raise SpecError(
                f"slots={self.slots} with gpus={self.gpus:g} each: the GPUs here have room for "
                f"{len(devices)}. Use slots={len(devices)}, or a smaller gpus.",
                "slots",
            )
        return devices[: self.slots]

    def _share_cores(self) -> list[tuple[int, ...]]:
        if not self.pin:
            return [()] * self.slots
        allowed = os.sched_getaffinity(0)
        if self.slots * self.cpus > len(allowed):
            raise SpecError(
                f"pin=True: {self.slots} x {self.cpus} cores are needed, {len(allowed)} are "
                "allowed here. Use fewer slots or cpus, or leave pin out.",
                "pin",
            )
        return share_out(self.slots, self.cpus, allowed)

    def _places(self) -> list[Place]:
        """Return what each slot gets, looked up now: a stored sweep may go on elsewhere."""
        limits = thread_limits(self.cpus)
        devices = self._own(visible_devices(self.gpus)) if self.gpus else [{}] * self.slots
        return [
            Place(environment={**limits, **own}, cores=cores)
            for own, cores in zip(devices, self._share_cores(), strict=True)
        ]

    def inbox(self) -> Inbox:
        """Return an inbox that reads the processes' sockets itself."""
        return Switchboard()

    def prepare(self) -> None:
        """Import loky, which takes a quarter of a second."""
        import loky  # noqa: F401, PLC0415 - the package first, as in `Spawner`
        from loky.backend import popen_loky_posix  # noqa: F401, PLC0415 - that is the point

    def open(self, job: Job, inbox: Inbox) -> None:
        """Begin to bring up the processes.

        Raises
        ------
        WorkerError
            When these workers serve another sweep.
        ObjectiveError
            When the job has no payload file and its ``call`` cannot be pickled.
        SpecError
            When there are fewer GPUs or cores here than where the workers were made.
        """
        if self._pool is not None:
            raise WorkerError("these workers run another sweep; make a Local(...) for each sweep")
        self._switchboard = inbox if isinstance(inbox, Switchboard) else None
        self._pool = Pool(
            job,
            inbox.put,
            self._places(),
            memory=self.memory,
            switchboard=self._switchboard,
        )
        self._share = process_cores.join(self.cpus, fixed=not self._shares_cores)

    def start(self, slot: int, assignment: Assignment) -> None:
        """Run a trial on a slot that is ready."""
        if self._pool is not None:
            self._pool.slots[slot].start(assignment)
        if self._share is not None:
            self._share.started()

    def has_room(self, running: int) -> bool:
        """Return whether this sweep's share of the process's cores has room for another trial."""
        return self._share is None or self._share.has_room(running)

    @property
    def remark(self) -> str:
        """With how many other sweeps the cores are shared just now."""
        return "" if self._share is None else self._share.remark

    def answer(self, number: int, decision: Decision) -> None:
        """Send the decision that trial `number` waits for."""
        for slot in self._slots():
            slot.send("decide", number, decision)

    def stop(self, number: int, reason: str) -> None:
        """Ask a running trial to stop: it ends at its next report."""
        for slot in self._slots():
            slot.send("stop", number, reason)

    def kill(self, number: int) -> None:
        """Kill the trial's process and all that it started; the slot gets a new one."""
        for slot in self._slots():
            slot.kill(number)

    def _slots(self) -> list[Slot]:
        # Each of them knows whether a trial is its own.
        return self._pool.slots if self._pool is not None else []

    def close(self) -> None:
        """Kill what runs and free everything; idempotent, leaves nothing behind."""
        if self._share is not None:
            self._share.leave()
            self._share = None
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._switchboard is not None:
            self._switchboard.close()
            self._switchboard = None

    def describe(self) -> str:
        """Return the plan in a few words, "4 slots: 2 cores, half a GPU each"."""
        parts = [f"{self.cpus} {'pinned ' * self.pin}core{'s' * (self.cpus != 1)}"]
        if self._gpu_words:
            parts.append(self._gpu_words)
        if self.memory is not None:
            parts.append(shown(self.memory))
        return f"{super().describe()}{':' if len(parts) > 1 else ','} {', '.join(parts)} each"
