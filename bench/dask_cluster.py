"""nbtune on a Dask cluster beside the cluster's own `client.map`, A against B in one run.

    python bench/dask_cluster.py trials       300 no-op trials on 2 workers of 1 thread
    python bench/dask_cluster.py decisions    one trial that waits for a decision at each report

The cluster is a `LocalCluster` of two processes under nannies; the systems take turns on it,
``--reps`` times over. "relayed" is nbtune on workers that cannot be dialled: all through the
scheduler. Machines are noisy: compare rows of one run, by their ratio.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import nbtune
from nbtune import report
from nbtune.decision import Continue
from nbtune.workers import Dask
from nbtune.workers.base import Assignment, Job, Reported, SlotReady
from nbtune.workers.dask import cluster as connection

TRIALS = 300
DECISIONS = 500
DIAL_SECONDS = connection._DIAL_SECONDS


def stamping(path):
    def noop(x):
        import time

        with open(path, "a") as file:  # noqa: PTH123 - the cheapest append
            file.write(f"{time.time():.6f}\n")
        return x * x

    return noop


def trials_map(cluster, folder):
    path = folder / "stamps"
    with cluster.get_client() as client:
        began = time.time()
        futures = client.map(stamping(path), range(TRIALS), pure=False)
        client.gather(futures)
        return path, began, time.time()


def trials_nbtune(cluster, folder):
    path = folder / "stamps"
    noop = stamping(path)

    def objective(x: nbtune.Real(0.0, 1.0) = 0.5):
        return noop(x)

    began = time.time()
    sweep = nbtune.Sweep(
        objective,
        minimize="value",
        trials=TRIALS,
        searcher="random",
        workers=cluster,
        store=folder,
    ).run()
    assert sweep.status == "completed"
    return path, began, time.time()


def trials(cluster, reps):
    rows = {}
    for _ in range(reps):
        for name, run in ("client.map", trials_map), ("nbtune", trials_nbtune):
            with tempfile.TemporaryDirectory() as folder:
                path, began, ended = run(cluster, Path(folder))
                stamps = sorted(map(float, path.read_text().split()))
            steady = (stamps[-1] - stamps[0]) / (len(stamps) - 1) * 1000
            rows.setdefault(name, []).append((steady, stamps[0] - began, ended - began))
    load = os.getloadavg()[0]
    print(f"| median of {reps} (load {load:.1f}) | steady ms/trial | first s | whole s |")
    print("|---|---|---|---|")
    for name, values in rows.items():
        medians = [statistics.median(column) for column in zip(*values, strict=True)]
        print(f"| {name} | {medians[0]:.2f} | {medians[1]:.2f} | {medians[2]:.2f} |")


def decide(cluster, straight):
    connection._DIAL_SECONDS = DIAL_SECONDS if straight else 0

    def train(params):
        for step in range(1, DECISIONS + 1):
            began = time.perf_counter()
            report(step, loss=0.0)
            waits.append(time.perf_counter() - began)
        ordered = sorted(waits)
        return {"p50": ordered[len(ordered) // 2], "p99": ordered[int(len(ordered) * 0.99)]}

    waits = []
    with tempfile.TemporaryDirectory() as folder:
        workers = Dask(cluster, 1)
        inbox = workers.inbox()
        job = Job(
            call=train,
            payload=None,
            step_name="epoch",
            result_metric="v",
            folder=Path(folder),
            seed=1,
        )
        workers.open(job, inbox)
        try:
            while True:
                event = inbox.get(30)
                match event:
                    case SlotReady(slot=slot):
                        workers.start(slot, Assignment(number=0, params={}, milestone=1))
                    case Reported(reports=reports, waiting=True):
                        workers.answer(0, Continue(reports[-1].step + 1))
                    case _ if hasattr(event, "result"):
                        return event.result
        finally:
            workers.close()


def decisions(cluster, reps):
    rows = {}
    for _ in range(reps):
        for name, straight in ("nbtune", True), ("nbtune, relayed", False):
            result = decide(cluster, straight)
            rows.setdefault(name, []).append((result["p50"] * 1000, result["p99"] * 1000))
    print(f"| median of {reps} (load {os.getloadavg()[0]:.1f}) | p50 ms | p99 ms |")
    print("|---|---|---|")
    for name, values in rows.items():
        medians = [statistics.median(column) for column in zip(*values, strict=True)]
        print(f"| {name} | {medians[0]:.2f} | {medians[1]:.2f} |")


if __name__ == "__main__":
    from distributed import LocalCluster

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["trials", "decisions"])
    parser.add_argument("--reps", type=int, default=3)
    options = parser.parse_args()
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        {"trials": trials, "decisions": decisions}[options.what](cluster, options.reps)
