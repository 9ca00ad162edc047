"""Which GPUs there are, and which of them each slot sees.

NVIDIA's alone: neither AMD's (``HIP_VISIBLE_DEVICES``) nor Apple's GPUs are looked for.
"""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nbtune.exceptions import SpecError
from nbtune.workers.nvml import Gpu, Survey, survey

__all__ = ["in_words", "pack", "usable", "visible_devices"]

_VARIABLE = "CUDA_VISIBLE_DEVICES"
_ORDER = "CUDA_DEVICE_ORDER"
_MOST = 1024
_LEAST = 0.01  # of a GPU; a CUDA context alone takes some hundred megabytes


def visible_devices(
    gpus: float,
    *,
    environment: Mapping[str, str] | None = None,
    find: Callable[[], Survey] = survey,
    nodes: Path = Path("/dev"),
) -> list[dict[str, str]]:
    """Return the variables of each slot that the GPUs have room for.

    GPUs are named by UUID, as NVML tells them. Without nvidia-ml-py, or where a container lacks
    NVML, they are taken as ``CUDA_VISIBLE_DEVICES`` lists them, else counted by their device
    files; MIG instances are not found then.

    Parameters
    ----------
    gpus : float, 0.01 to 1 or a whole number
        GPUs a slot: so many of its own, or a fraction for slots that share one.
    environment : mapping, optional
        By default this process's own.
    find : callable
        Returns the `Survey` of the GPUs.
    nodes : Path
        The folder of the device files.

    Raises
    ------
    SpecError
        When there are fewer GPUs than one slot needs, or `gpus` is neither.
    """
    _check(gpus)
    known = os.environ if environment is None else environment
    found = find()
    order: dict[str, str] = {}
    if found.gpus is not None:
        by_bus = known.get(_ORDER) == "PCI_BUS_ID"
        devices = usable(found.gpus, known.get(_VARIABLE), by_bus=by_bus)
    elif _VARIABLE in known:
        devices = _until_hidden(known[_VARIABLE])
    else:
        devices = _counted(nodes)
        order = {_ORDER: "PCI_BUS_ID"}
    slots = pack(devices, gpus)
    if not slots:
        raise SpecError(_shortage(gpus, devices, known.get(_VARIABLE), found), "gpus")
    return [{**order, _VARIABLE: ",".join(slot)} for slot in slots]


def _check(gpus: object) -> None:
    fits = (
        isinstance(gpus, int | float)
        and not isinstance(gpus, bool)
        and (_LEAST <= gpus < 1 or (1 <= gpus <= _MOST and gpus == int(gpus)))
    )
    if not fits:
        raise SpecError(
            f"gpus={gpus!r}: a slot gets whole GPUs, or a fraction of one. "
            f"Use gpus=1, 2, ... or a number from {_LEAST} to 1.",
            "gpus",
        )


def usable(gpus: Sequence[Gpu], chosen: str | None, *, by_bus: bool) -> list[str]:
    """Return the devices that CUDA would let this process use, in its order, by UUID.

    Parameters
    ----------
    gpus : sequence of Gpu
        Those of the machine.
    chosen : str or None
        ``CUDA_VISIBLE_DEVICES``, read as CUDA does (the CUDA programming guide, "Environment
        variables", and what PyTorch found of the driver's parser): indices, or UUIDs or unique
        beginnings of them, or MIG instances, up to the first entry that names none; one that is
        named twice hides all. Unlike CUDA, which shows a process one MIG instance, all are
        returned: each slot is a process.
    by_bus : bool
        Whether ``CUDA_DEVICE_ORDER`` is "PCI_BUS_ID". If not, CUDA puts the fastest GPU first:
        among GPUs of several models only CUDA knows which one an index means, and indices are
        returned as they are.
    """
    if chosen is None:
        return [device for gpu in gpus for device in gpu.devices]
    kind = chosen.strip()[:4]
    if not by_bus and kind not in ("GPU-", "MIG-") and len({gpu.model for gpu in gpus}) > 1:
        gpus = [Gpu(index=gpu.index, uuid=str(gpu.index)) for gpu in gpus]
    devices: list[str] = []
    for entry in chosen.split(","):
        matches = _matches(entry.strip(), kind, gpus)
        if len(matches) != 1:
            break
        if set(matches[0]) & set(devices):
            return []
        devices += matches[0]
    return devices


def _matches(entry: str, kind: str, gpus: Sequence[Gpu]) -> list[tuple[str, ...]]:
    """Return the devices of all that an entry may mean; the first entry's kind is that of all."""
    if kind == "GPU-":
        return [gpu.devices for gpu in gpus if entry[:4] == kind and gpu.uuid.startswith(entry)]
    if kind == "MIG-":
        return [
            (instance.uuid,)
            for gpu in gpus
            for instance in gpu.instances or ()
            if entry[:4] == kind
            and (
                instance.uuid.startswith(entry) or _is_older_name(entry, gpu.uuid, instance.number)
            )
        ]
    number = re.match(r"[+-]?\d+", entry)  # what follows the digits is ignored
    return [gpu.devices for gpu in gpus if number and gpu.index == int(number[0])]


def _is_older_name(entry: str, gpu: str, number: str) -> bool:
    """Whether an entry names a MIG instance as "MIG-GPU-<uuid>/1/0" does, the uuid cut or not."""
    parent, _, rest = entry.removeprefix("MIG-").partition("/")
    return parent.startswith("GPU-") and gpu.startswith(parent) and rest == number


def _until_hidden(chosen: str) -> list[str]:
    """Return the listed ids up to one that hides the rest; none when one is there twice."""
    ids = [device.strip() for device in chosen.split(",")]
    stop = next((i for i, device in enumerate(ids) if device in ("", "-1")), len(ids))
    return ids[:stop] if len(set(ids[:stop])) == stop else []


def _counted(nodes: Path) -> list[str]:
    """Return an index for each device file."""
    # CUDA counts from 0 whatever the nodes are called, as in a container that has only nvidia3.
    return [str(index) for index, _ in enumerate(nodes.glob("nvidia[0-9]*"))]


def pack(devices: Sequence[str], gpus: float) -> list[tuple[str, ...]]:
    """Return the devices of each slot that there is room for.

    Parameters
    ----------
    devices : sequence of str
        Distinct ids, in order.
    gpus : float
        Devices a slot: a whole number, or a fraction. One device takes ``floor(1 / gpus)`` slots
        before the next takes any. Of several, a slot gets neighbours, and no MIG instances: CUDA
        shows a process one of those alone.
    """
    if gpus < 1:
        sharing = math.floor(1 / gpus + 1e-9)  # 1 / (1 / 49) is a little less than 49
        return [(device,) for device in devices for _ in range(sharing)]
    each = int(gpus)
    if each > 1:
        devices = [device for device in devices if not _is_mig(device)]
    return [
        tuple(devices[start : start + each]) for start in range(0, len(devices) - each + 1, each)
    ]


def _is_mig(device: str) -> bool:
    return device.startswith("MIG-")


def _shortage(gpus: float, devices: Sequence[str], chosen: str | None, found: Survey) -> str:
    """Say why not even one slot has room, and what to do."""
    if not devices:
        why = found.note
        if chosen is not None and found.gpus != ():
            why = f"{_VARIABLE}={chosen!r} shows none"
        elif found.gpus:
            why = "MIG mode is on and there is no instance"
        return f"gpus={gpus:g}: no GPU found ({why}). Leave gpus out to run on the CPU."
    if any(map(_is_mig, devices)):
        return (
            f"gpus={gpus:g}: CUDA shows a process one MIG instance alone, and there are "
            f"{sum(not _is_mig(device) for device in devices)} other GPUs. Use gpus=1."
        )
    return f"gpus={gpus:g}: only {len(devices)} found. Use gpus={len(devices)}."


def in_words(gpus: float, slots: Sequence[Mapping[str, str]]) -> str:
    """Return what each of the slots has, such as "half a GPU"."""
    noun = "MIG instance" if all(_is_mig(slot[_VARIABLE]) for slot in slots) else "GPU"
    if gpus >= 1:
        return f"{gpus:g} {noun}{'s' * (gpus > 1)}"
    names = {1 / 2: "half a", 1 / 3: "a third of a", 1 / 4: "a quarter of a"}
    return f"{names.get(gpus, f'{gpus:g} of a')} {noun}"
