"""Which GPUs there are, and which of them each slot sees."""

import math
import os
from pathlib import Path

from nbtune.exceptions import SpecError

__all__ = ["visible_devices"]

_VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_devices(gpus: float) -> list[dict[str, str]]:
    """Return the variables of each slot that the GPUs have room for.

    Parameters
    ----------
    gpus : float > 0
        GPUs a slot: a whole number, or a fraction for slots that share one.

    Raises
    ------
    SpecError
        When there are fewer GPUs than one slot needs, or `gpus` is neither.
    """
    ids = _gpu_ids()
    if not ids:
        raise SpecError(
            f"gpus={gpus:g}: no GPU found ({_VARIABLE} lists none and there is no /dev/nvidia0). "
            "Leave gpus out to run on the CPU.",
            "gpus",
        )
    if 0 < gpus < 1:
        sharing = math.floor(1 / gpus + 1e-9)
        return [{_VARIABLE: device} for device in ids for _ in range(sharing)]
    if gpus <= 0 or gpus != int(gpus):
        raise SpecError(
            f"gpus={gpus!r}: a slot gets whole GPUs, or a fraction of one. "
            "Use gpus=1, 2, ... or a number between 0 and 1.",
            "gpus",
        )
    each = int(gpus)
    if each > len(ids):
        raise SpecError(f"gpus={each}: only {len(ids)} found. Use gpus={len(ids)}.", "gpus")
    return [
        {_VARIABLE: ",".join(ids[start : start + each])}
        for start in range(0, len(ids) - each + 1, each)
    ]


def _gpu_ids() -> list[str]:
    """Return the ids that CUDA would take, those the user chose where there is a choice."""
    chosen = os.environ.get(_VARIABLE)
    if chosen is not None:
        ids = [device.strip() for device in chosen.split(",")]
        # CUDA reads the list up to its first unusable entry; "-1" and "" hide all.
        stop = next((i for i, device in enumerate(ids) if device in ("", "-1")), len(ids))
        return ids[:stop]
    nodes = sorted(
        int(path.name.removeprefix("nvidia")) for path in Path("/dev").glob("nvidia[0-9]*")
    )
    # CUDA counts from 0 whatever the nodes are called, as in a container that has only nvidia3.
    return [str(index) for index in range(len(nodes))]
