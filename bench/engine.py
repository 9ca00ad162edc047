"""The engine at scale: simulated trials on a virtual clock, everything else real (store included).

    python bench/engine.py [--slots 100 1000 10000] [--trials 12000] [--steps 9] [--scheduler fifo]

Each number of slots runs in a fresh process. An event is one report or one trial's end; the cost is
the processor time of the whole process for each, and memory its largest resident size, less what it
had before the sweep. The number of trials is the same for all, so that only concurrency differs.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time


def measure(slots, trials, steps, scheduler):
    from nbtune import Real, Sweep, report
    from nbtune.workers import Simulated

    def objective(x: Real(0, 1)):
        for epoch in range(1, steps + 1):
            report(epoch=epoch, loss=x / epoch)

    with tempfile.TemporaryDirectory() as store:
        sweep = Sweep(
            objective,
            minimize="loss",
            searcher="random",
            scheduler=scheduler,
            trials=trials,
            workers=Simulated(slots),
            seed=1,
            store=store,
            name="scale",
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began, spent = time.perf_counter(), time.process_time()
        sweep.run()
        wall, cpu = time.perf_counter() - began, time.process_time() - spent
    snapshot = sweep.snapshot()
    events = sum(trial.count for trial in snapshot.trials) + len(snapshot.trials)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"events": events, "wall": wall, "cpu": cpu, "memory_mb": memory / 1024}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--trials", type=int, default=12_000)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--scheduler", default="fifo")
    parser.add_argument("--here", action="store_true", help="measure in this process, print JSON")
    options = parser.parse_args()
    if options.here:
        (slots,) = options.slots
        print(json.dumps(measure(slots, options.trials, options.steps, options.scheduler)))
        return
    print("| slots | events | us/event | events/s | memory MB | bytes/event |")
    print("|---|---|---|---|---|---|")
    for slots in options.slots:
        command = [sys.executable, __file__, "--here", "--slots", str(slots)]
        for name in ("trials", "steps", "scheduler"):
            command += [f"--{name}", str(getattr(options, name))]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        run = json.loads(told)
        print(
            f"| {slots:,} | {run['events']:,} | {run['cpu'] / run['events'] * 1e6:.0f} | "
            f"{run['events'] / run['wall']:,.0f} | {run['memory_mb']:.0f} | "
            f"{run['memory_mb'] * 2**20 / run['events']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
