"""Orchestration overhead of nbtune beside bare loky slots and joblib, A against B in one run.

    python bench/overhead.py trials      200 no-op trials on 2 slots
    python bench/overhead.py reports     reports below a milestone, and decisions at milestones
    python bench/overhead.py data        20 trials over an array of --mb 500 on 2 slots, and again
    python bench/overhead.py load        what `%load_ext nbtune` adds to a bare IPython

Each measurement runs in a fresh process and the systems take turns, ``--reps`` times over; the
table gives medians. Machines are noisy: compare rows of one run, by their ratio.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

SLOTS = 2


# --- trials: no-op trials; each stamps its start into a file


def stamp(path):
    with open(path, "a") as file:  # noqa: PTH123 - the cheapest append
        file.write(f"{time.time():.6f}\n")


def noop(path, x):
    stamp(path)
    return x * x


def started(path):
    return sorted(float(line) for line in Path(path).read_text().split())


def trials_joblib(n, path):
    from joblib import Parallel, delayed

    yield
    Parallel(n_jobs=SLOTS, batch_size=1)(delayed(noop)(path, i / n) for i in range(n))


def trials_loky(n, path):
    """Bare loky slots: one executor of one process each, the next task when the last is done."""
    from loky import ProcessPoolExecutor

    yield
    slots = [ProcessPoolExecutor(max_workers=1) for _ in range(SLOTS)]
    left = iter(range(n))
    lock = threading.Lock()

    def feed(slot):
        while True:
            with lock:
                i = next(left, None)
            if i is None:
                return
            slot.submit(noop, path, i / n).result()

    threads = [threading.Thread(target=feed, args=(slot,)) for slot in slots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for slot in slots:
        slot.shutdown(kill_workers=True)


def trials_nbtune(n, path):
    import nbtune
    from nbtune.workers import Local

    def train(x: nbtune.Real(0, 1)):
        stamp_here(path)
        return x * x

    def stamp_here(path):
        with open(path, "a") as file:  # noqa: PTH123
            file.write(f"{time.time():.6f}\n")

    yield
    nbtune.Sweep(
        train, minimize="y", searcher="random", trials=n, workers=Local(SLOTS), name="noop"
    ).run()


def run_trials(system, n):
    path = tempfile.mkstemp()[1]
    steps = globals()[f"trials_{system}"](n, path)
    next(steps)
    begin = time.time()
    for _ in steps:
        pass
    wall = time.time() - begin
    starts = started(path)
    return {
        "trials": len(starts),
        "steady ms/trial": 1000 * (starts[-1] - starts[0]) / (len(starts) - 1),
        "first trial s": starts[0] - begin,
        "whole s": wall,
    }


# --- reports


def echo(connection, n):
    times = []
    for step in range(n):
        begin = time.perf_counter()
        connection.send((0, step, 0.5))
        connection.recv()
        times.append(time.perf_counter() - begin)
    connection.send(times)


def run_reports(system, n):
    if system == "pipe":
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=echo, args=(there, n))
        process.start()
        for _ in range(n):
            here.recv()
            here.send(True)
        times = here.recv()
        process.join()
        return {"decision us": 1e6 * statistics.median(times)}

    import nbtune
    from nbtune.decision import Continue
    from nbtune.schedulers import FIFO, Scheduler
    from nbtune.workers import Local

    class AskAlways(Scheduler):
        def start(self, number):
            return Continue(1)

        def decide(self, number, step, score):
            return Continue(step + 1)

        def end(self, number, step, score):
            pass

    out = tempfile.mkstemp()[1]

    def train(x: nbtune.Real(0, 1), steps=n):
        from nbtune import report

        times = []
        for step in range(1, steps + 1):
            begin = time.perf_counter()
            report(step, loss=0.5)
            times.append(time.perf_counter() - begin)
        with open(out, "w") as file:  # noqa: PTH123
            json.dump(times, file)

    waits = system == "nbtune decision"
    steps = n if waits else 20 * n
    nbtune.Sweep(
        lambda x, steps=steps: train(x, steps),
        {"x": nbtune.Real(0, 1)},
        minimize="loss",
        searcher="random",
        scheduler=AskAlways() if waits else FIFO(),
        trials=1,
        workers=Local(1),
        name="reports",
    ).run()
    times = json.loads(Path(out).read_text())
    if waits:
        return {"decision us": 1e6 * statistics.median(times)}
    return {"reports/s": len(times) / sum(times)}


# --- data


def tree_pss():
    import psutil

    me = psutil.Process()
    total, count = 0, 0
    for process in [me, *me.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
            count += 1
        except psutil.Error:
            continue
    return total / 2**20, count


def run_data(system, n, size):
    import numpy as np

    data = np.random.default_rng(0).random(size * 2**20 // 8)
    peak = [0.0, 0.0]
    over = threading.Event()

    def watch():
        while not over.wait(0.1):
            total, count = tree_pss()
            if total > peak[0]:
                peak[:] = total, count

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    run = globals()[f"data_{system}"]
    found = {}
    for what in "first", "again":
        path = tempfile.mkstemp()[1]
        begin = time.time()
        run(data, n, path, what)
        wall = time.time() - begin
        trials = sorted(
            tuple(map(float, line.split())) for line in Path(path).read_text().splitlines()
        )
        found |= {
            f"{what} run s": wall,
            f"{what} run: first trial s": trials[0][0] - begin,
            f"{what} run: 10th trial ms after its slot is free": 1000 * waited(trials)[9],
        }
    over.set()
    watcher.join()
    return found | {"peak PSS MB": peak[0], "processes": peak[1]}


def waited(trials):
    """Return, by order of start, how long the slot of each trial had been free, 0 for the first."""
    free = {}
    gaps = []
    for start, end, slot in trials:
        gaps.append(start - free.get(slot, start))
        free[slot] = end
    return gaps


def data_joblib(data, n, path, _what):
    from joblib import Parallel, delayed

    Parallel(n_jobs=SLOTS, batch_size=1)(delayed(work)(data, i, path) for i in range(n))


def data_nbtune(data, n, path, what):
    import nbtune
    from nbtune.workers import Local

    def train(i: nbtune.Int(0, 10_000)):
        return work(data, i, path)

    nbtune.Sweep(
        train, maximize="y", searcher="random", trials=n, workers=Local(SLOTS), name=what
    ).run()


def work(data, i, path):
    begin = time.time()
    time.sleep(0.1)
    total = float(data[i % 7 :: 257].sum())
    with open(path, "a") as file:  # noqa: PTH123 - the cheapest append
        file.write(f"{begin:.6f} {time.time():.6f} {os.getpid()}\n")
    return total


# --- load


def run_load(system, n):
    lines = "%load_ext nbtune" if system == "nbtune" else "pass"
    code = (
        "import time; from IPython.core.interactiveshell import InteractiveShell as S; "
        f"s = S.instance(); b = time.perf_counter(); s.run_cell({lines!r}); "
        "print(time.perf_counter() - b)"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    return {"ms": 1000 * float(seen.split()[-1])}


SYSTEMS = {
    "trials": (["nbtune", "loky", "joblib"], 200),
    "reports": (["nbtune", "nbtune decision", "pipe"], 10_000),
    "data": (["nbtune", "joblib"], 20),
    "load": (["nbtune", "bare"], 1),
}


def measure(what, system, n, size):
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, what, "--child", system, "--n", str(n)]
        command += ["--mb", str(size)]
        environment = os.environ | {"NBTUNE_STORE": folder}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=300, check=False
        )
    if done.returncode:
        raise SystemExit(f"{system}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=SYSTEMS)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--n", type=int)
    parser.add_argument("--mb", type=int, default=500, help="size of the array of `data`")
    parser.add_argument("--child")
    options = parser.parse_args()
    systems, n = SYSTEMS[options.what]
    n = options.n or n
    if options.child:
        sizes = (options.mb,) if options.what == "data" else ()
        print(json.dumps(globals()[f"run_{options.what}"](options.child, n, *sizes)))
        return
    rows = {system: [] for system in systems}
    for _ in range(options.reps):
        for system in systems:
            rows[system].append(measure(options.what, system, n, options.mb))
    names = list(dict.fromkeys(name for row in rows.values() for name in row[0]))
    print(
        f"| {options.what}, median of {options.reps} (load {os.getloadavg()[0]:.1f}) | "
        + " | ".join(names)
        + " |"
    )
    print("|---" * (len(names) + 1) + "|")
    for system, results in rows.items():
        cells = [
            f"{statistics.median(result[name] for result in results):.4g}"
            if name in results[0]
            else ""
            for name in names
        ]
        print(f"| {system} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
