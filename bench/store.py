"""What asking a large sweep takes, and what the driver keeps of trials that have ended.

    python bench/store.py ask            5,000 trials x 30 reports: each question, stored and live
    python bench/store.py grow           20,000 trials: the driver's memory as they end

Times are processor time, the least of five; "cold" asks a sweep that
was just loaded. Machines are noisy: the load is part of every line.
"""

import argparse
import gc
import os
import tempfile
import time
from contextlib import closing

import psutil

import nbtune
from nbtune import Real, Sweep, report
from nbtune.store import Batch, Store, TrialRow
from nbtune.trial import Report, Status, Trial
from nbtune.workers import Simulated

TRIALS, REPORTS = 5_000, 30

QUESTIONS = {
    "best": lambda sweep: sweep.best,
    "best_value": lambda sweep: sweep.best_value,
    "top(10)": lambda sweep: sweep.top(10),
    "trial(n)": lambda sweep: sweep.trial(4321),
    "trial(n).reports": lambda sweep: list(sweep.trial(1234).reports),
    "repr": repr,
    "status": lambda sweep: sweep.status,
    "counts": lambda sweep: sweep.counts,
    "trials": lambda sweep: sweep.trials,
    "reports": lambda sweep: sweep.reports,
    "replay": lambda sweep: sweep.replay(scheduler="hyperband"),
}


def train(x: Real(0, 1), y: Real(0, 1)):
    for epoch in range(1, REPORTS + 1):
        report(epoch=epoch, loss=x + 1 / epoch, accuracy=y)


def made(folder, *, trials=TRIALS, reports=REPORTS, by="last"):
    """Return a store that holds a sweep of so many trials, written as an engine does."""
    options = {"searcher": "random", "trials": 1, "workers": Simulated(2), "by": by}
    Sweep(train, minimize="loss", name="large", store=folder, **options).run()
    store = Store(folder)
    row = store.sweep("large")
    with closing(store.connect()) as connection:
        for start in range(0, trials, 500):
            numbers = range(start, min(trials, start + 500))
            rows = [
                TrialRow(
                    trial=ended(number), params=f'{{"x": {number / trials}, "y": 0.5}}', origin=""
                )
                for number in numbers
            ]
            told = [
                (number, Report(step, {"loss": number % 997 + 1 / step, "accuracy": 0.5}, 1.0))
                for number in numbers
                for step in range(1, reports + 1)
            ]
            batch = Batch(restarted=list(numbers), trials=rows, reports=told, status="completed")
            store.write(connection, row.id, batch)
    return store


def ended(number):
    """Return a trial that has completed."""
    return Trial(
        number=number, params={}, status=Status.COMPLETED, started=1.0, ended=31.0 + number, slot=0
    )


def timed(question, sweep):
    """Return the seconds of one answer."""
    gc.collect()
    began = time.process_time()
    question(sweep)
    return time.process_time() - began


def ask(arguments):
    """Time each question to a stored sweep, just loaded and again, and to one that ran here."""
    with tempfile.TemporaryDirectory() as folder:
        made(folder, by=arguments.by)
        live = nbtune.load("large", folder)
        live.resume(trials=TRIALS + 4).wait()
        for name, question in QUESTIONS.items():
            slow = name in ("replay",)
            cold = min(
                timed(question, nbtune.load("large", folder)) for _ in range(1 if slow else 5)
            )
            stored = nbtune.load("large", folder)
            question(stored)
            again = min(timed(question, stored) for _ in range(1 if slow else 5))
            here = min(timed(question, live) for _ in range(1 if slow else 5))
            row = {"cold": cold, "again": again, "live": here}
            yield name, {key: f"{1000 * value:.1f} ms" for key, value in row.items()}


def grow(arguments):
    """Give the driver's memory at each tenth of so many trials."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        options = {"searcher": "random", "trials": arguments.n, "workers": Simulated(4)}
        sweep = Sweep(train, minimize="loss", store=folder, **options)
        sweep.start()
        due = arguments.n // 10
        while not sweep.wait(0.2):
            count = len(sweep.snapshot().trials)
            if count >= due:
                due += arguments.n // 10
                yield count, f"{process.memory_info().rss / 1e6:.1f} MB"
        gc.collect()
        yield "end", f"{process.memory_info().rss / 1e6:.1f} MB"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = {each.__name__: each for each in (ask, grow)}
    parser.add_argument("what", choices=known)
    parser.add_argument("n", nargs="?", type=int, default=20_000, help="how many trials")
    parser.add_argument("--by", choices=("last", "best"), default="last", help="the goal's reading")
    arguments = parser.parse_args()
    for row in known[arguments.what](arguments):
        print(f"load {os.getloadavg()[0]:.1f}  {row}", flush=True)


if __name__ == "__main__":
    main()
