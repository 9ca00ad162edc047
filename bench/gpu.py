"""What slots see and do on real GPUs: PyTorch trials at half a GPU each, then at a whole one.

    python bench/gpu.py [--size 8192] [--seconds 5]

Each trial multiplies matrices for some seconds. Printed are the GPUs that NVML knows, the plan, and
for each trial what its slot was told and what PyTorch saw in it. Ends with status 1 where there is
no GPU, or where a slot saw anything but its share. Needs PyTorch with CUDA, and nvidia-ml-py.
"""

import argparse
import json
import tempfile
import time

import nbtune
from nbtune.exceptions import SpecError
from nbtune.searchers import Points
from nbtune.workers import Local
from nbtune.workers.nvml import survey


def train(turn: nbtune.Int(0, 99), size=8192, seconds=5.0):
    """Multiply matrices and say in the log what this process has."""
    import os

    import torch

    from nbtune import current_trial, report

    began = time.time()
    a = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    torch.cuda.synchronize()
    ready, rounds = time.time(), 0
    while time.time() - ready < seconds:
        for _ in range(10):
            a @ a
        torch.cuda.synchronize()
        rounds += 10
    ended = time.time()
    devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    free, total = torch.cuda.mem_get_info()
    saw = {
        "trial": current_trial().number,
        "told": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "order": os.environ.get("CUDA_DEVICE_ORDER"),
        "devices": torch.cuda.device_count(),
        "names": [device.name for device in devices],
        "uuids": [str(getattr(device, "uuid", "")) for device in devices],
        "peak MiB": round(torch.cuda.max_memory_allocated() / 2**20),
        "device MiB": f"{(total - free) / 2**20:.0f} of {total / 2**20:.0f} used",
        "CUDA up s": round(ready - began, 2),
        "began": began,
        "ended": ended,
    }
    print(json.dumps(saw))
    report(step=1, tflops=2 * size**3 * rounds / (ended - ready) / 1e12)


def run(gpus, slots, options):
    """Run two trials; return the rows of what their slots saw."""
    workers = Local(slots, gpus=gpus)
    print(f"\ngpus={gpus:g}: {workers.describe()}")
    with tempfile.TemporaryDirectory() as store:
        began = time.time()
        sweep = nbtune.Sweep(
            lambda turn: train(turn, options.size, options.seconds),
            {"turn": nbtune.Int(0, 99)},
            maximize="tflops",
            searcher=Points([{"turn": 0}, {"turn": 1}]),
            workers=workers,
            store=store,
            name="gpu",
        ).run()
        wall = time.time() - began
        trials = [sweep.trial(number) for number in range(len(sweep.trials))]
        table = sweep.trials
        for trial in trials:
            if trial.failure is not None:
                raise SystemExit(f"trial {trial.number} failed: {trial.failure.message}")
        rows = []
        for trial in trials:
            saw = json.loads(trial.log.splitlines()[-1])
            saw["slot"] = int(table.loc[trial.number, "slot"])
            saw["TFLOP/s"] = round(table.loc[trial.number, "metrics.tflops"], 1)
            rows.append(saw)
    first = min(row["began"] for row in rows)
    for row in rows:
        row["s"] = f"{row.pop('began') - first:.1f} to {row.pop('ended') - first:.1f}"
        print("  " + ", ".join(f"{name} {value}" for name, value in row.items()))
    print(f"  the whole sweep: {wall:.1f} s")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=8192, help="rows of the matrices")
    parser.add_argument("--seconds", type=float, default=5.0, help="of work, a trial")
    options = parser.parse_args()
    found = survey()
    for gpu in found.gpus or ():
        print(gpu)
    try:
        room = Local(gpus=1, cpus=1).slots
        import torch
    except SpecError as error:
        raise SystemExit(f"no GPU here: {error}") from None
    except ImportError:
        raise SystemExit("PyTorch is not installed here: pip install torch") from None
    # Asked without starting CUDA in this process: device_count reads the driver alone.
    if torch.cuda.device_count() == 0:
        raise SystemExit(f"no GPU here that PyTorch {torch.__version__} can use")
    halves = run(0.5, 2, options)
    wholes = run(1, min(2, room), options)
    odd = [row["trial"] for row in halves + wholes if row["devices"] != 1]
    shared = len({row["told"] for row in halves}) == 1 and len({row["slot"] for row in halves}) == 2
    if odd or not shared:
        raise SystemExit("\nNOT as planned: see above")
    print("\nas planned: one device a slot, and the halves on the same one")


if __name__ == "__main__":
    main()
