"""What faults cost, and whether they are contained every time.

    python bench/faults.py back          a slot's way back after a kill and after a crash
    python bench/faults.py together      16 trials that report at once: reports/s, decisions
    python bench/faults.py leaks         500 trials: the driver's memory, descriptors, threads
    python bench/faults.py watch         what supervising costs: CPU and memory of a supervisor
    python bench/faults.py rounds 20     the tests of faults so many times over: failures in all
    python bench/faults.py kills 200     SIGKILLs of the driver: what of its trials is lost
    python bench/faults.py environments  no descriptors, closed streams ...: what is said
    python bench/faults.py input         bad input over the public API and the magics: what is said

Machines are noisy: the load is part of every line.
"""

import argparse
import gc
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil
from driving import Driver, supervisors, worker_processes
from environments import ENVIRONMENTS, run
from kills import kill_again_and_again

import nbtune
from nbtune.decision import Continue
from nbtune.schedulers import FIFO
from nbtune.workers import Local


def spread(values, unit=1000.0):
    """Return median and 99th percentile, in milliseconds unless told otherwise."""
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "median": round(unit * statistics.median(ordered), 3),
        "p99": round(unit * ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 3),
    }


def back(arguments):
    """Time from a kill, or a crash, until the next trial's code runs on the slot."""

    def train(params):
        if params["how"] == "crash":
            os._exit(3)
        if params["how"] == "sleep":
            time.sleep(1000)
        return time.time()

    def after(how, driver):
        number = driver.start({"how": how})
        time.sleep(0.1)
        began = time.time()
        if how == "sleep":
            driver.workers.kill(number)
        else:
            began = driver.ended(number).time
        return driver.run({"how": ""}).result["value"] - began

    with tempfile.TemporaryDirectory() as folder, Driver(Local(1), train, Path(folder)) as driver:
        driver.run({"how": ""})
        for how, name in ("sleep", "kill"), ("crash", "crash"):
            yield {"after a": name, **spread([after(how, driver) for _ in range(arguments.n)])}


class AskAlways(FIFO):
    """Decides at every report."""

    def start(self, number):
        return Continue(1)

    def decide(self, number, step, score):
        return Continue(step + 1)


def together(arguments):
    """Report from 16 trials at once: below a milestone, and waiting for each decision."""
    for name, scheduler, pause, count in (
        ("reports, at once", FIFO(), 0.0, 20_000),
        ("decisions, at once", AskAlways(), 0.0, 500),
        ("decisions, 50 ms apart", AskAlways(), 0.05, 100),
    ):
        with tempfile.TemporaryDirectory() as folder:
            yield {"what": name, **_together(Path(folder), scheduler, pause, count)}


def _together(folder, scheduler, pause, count):
    slots = 16

    def train(x: nbtune.Int(1, 16)):
        (folder / f"ready-{x}").touch()
        while len(list(folder.glob("ready-*"))) < slots:
            time.sleep(0.01)
        times = []
        for step in range(1, count + 1):
            began = time.perf_counter()
            nbtune.report(step, value=0.5)
            times.append(time.perf_counter() - began)
            if pause:
                time.sleep(pause)
        (folder / f"times-{x}.json").write_text(json.dumps(times))

    sweep = nbtune.Sweep(
        train,
        maximize="value",
        searcher="grid",
        scheduler=scheduler,
        workers=Local(slots),
        store=folder / "store",
    ).run()
    trials = sweep.snapshot().trials
    first = min(trial.reports[0].time for trial in trials)
    took = max(trial.reports[-1].time for trial in trials) - first
    times = [t for file in folder.glob("times-*") for t in json.loads(file.read_text())]
    row = {"reports/s": round(slots * count / took)}
    return row if isinstance(scheduler, FIFO) and type(scheduler) is FIFO else row | spread(times)


def leaks(arguments):
    """Compare the driver before and after 500 trials, one in fifty of which dies."""

    def train(params):
        nbtune.report(1, value=1.0)
        if params["number"] % 50 == 49:
            os._exit(3)

    driver = psutil.Process()
    for trials in 100, 500:
        before = driver.num_fds(), threading.active_count(), driver.memory_info().rss
        with tempfile.TemporaryDirectory() as folder:
            with Driver(Local(2), train, Path(folder)) as runner:
                for number in range(trials):
                    runner.run({"number": number})
            del runner
        gc.collect()
        after = driver.num_fds(), threading.active_count(), driver.memory_info().rss
        yield {
            "trials": trials,
            "descriptors": after[0] - before[0],
            "threads": after[1] - before[1],
            "memory MB": round((after[2] - before[2]) / 1e6, 2),
        }


def watch(arguments):
    """Measure a supervisor while its worker is idle, without and with a limit on memory."""
    for memory in None, "2 GB":
        workers = Local(1, memory=memory)
        with (
            tempfile.TemporaryDirectory() as folder,
            Driver(workers, lambda params: 1, Path(folder)) as driver,
        ):
            driver.run()
            (supervisor,), (worker,) = supervisors(), worker_processes()
            spent = sum(supervisor.cpu_times()[:2])
            time.sleep(10)
            yield {
                "memory": memory,
                "% of a core": round(10 * (sum(supervisor.cpu_times()[:2]) - spent), 2),
                "supervisor MB (USS)": round(supervisor.memory_full_info().uss / 1e6, 1),
                "worker MB (USS)": round(worker.memory_full_info().uss / 1e6, 1),
            }


def rounds(arguments):
    """Run the tests of faults again and again, in random order."""
    for number in range(1, arguments.n + 1):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "tests/faults"],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        took = round(time.monotonic() - began)
        yield {"round": number, "s": took, "failures": len(failed), "summary": lines[-1:]}
        for line in failed:
            yield {"round": number, "failed": line}


def kills(arguments):
    """Kill drivers at random moments, resume their sweeps, and compare what the stores hold."""
    yield from kill_again_and_again(arguments.n)


def environments(arguments):
    """Run a sweep in each hostile environment; what does not say what is wrong is marked so."""
    for name, environment in ENVIRONMENTS.items():
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            seen = run(name, Path(folder))
        as_expected = re.search(environment.says, seen["said"]) is not None
        yield {"environment": name, **seen, "as expected": as_expected}


def input(arguments):  # noqa: A001 - the task's name
    """Give the whole API what it must refuse; every case is one error, and none takes 10 s."""
    from bad_inputs import World, cases, verdict

    def late(signum, frame):
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    world, counts = World(Path(tempfile.mkdtemp())), Counter(clear=0, unclear=0, silent=0, raw=0)
    try:
        for case in cases():
            signal.alarm(10)
            outcome, said = verdict(case, world)
            signal.alarm(0)
            counts["hang" if said.startswith("TimeoutError") else outcome] += 1
            if outcome != "clear":
                yield {"input": case.name, outcome: said}
    finally:
        world.close()
    yield {"inputs": counts.total(), **counts}


TASKS = back, together, leaks, watch, rounds, kills, environments, input


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = {each.__name__: each for each in TASKS}
    parser.add_argument("what", choices=known)
    parser.add_argument("n", nargs="?", type=int, default=50, help="how many times")
    arguments = parser.parse_args()
    for row in known[arguments.what](arguments):
        print(f"load {os.getloadavg()[0]:.1f}  {row}", flush=True)


if __name__ == "__main__":
    main()
