"""What `bench/faults.py kills` runs: drivers that are killed, and what their stores then hold.

As a script (``python bench/kills.py FOLDER KIND``) it is such a driver: it starts the sweep, or
goes on with it where the store has it already.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

import nbtune
from nbtune.schedulers import Hyperband
from nbtune.workers import Local

MARK = "NBTUNE_KILLS"  # what a driver and all that it starts carries in its environment
TRIALS = 40
KINDS = {
    "stopping": lambda: Hyperband(max_t=9, grace_period=1),
    "promotion": lambda: Hyperband(max_t=9, grace_period=1, type="promotion"),
    "fifo": lambda: "fifo",
}
ENDED = ("completed", "stopped", "failed")


def value(x, step):
    """Return what a trial reports."""
    return x * (1.0 + 1.0 / step)


def drive(folder, kind):
    """Run or resume a sweep with 3 MB of data."""
    import numpy as np

    data = np.arange(400_000.0)

    def train(x: nbtune.Real(0, 1)):
        assert data[-1] == 399_999.0
        for step in range(1, 10):
            time.sleep(0.01)
            nbtune.report(step, loss=value(x, step))

    try:
        sweep = nbtune.load("kills", store=folder)
    except nbtune.exceptions.SweepError:
        sweep = nbtune.Sweep(
            train,
            minimize="loss",
            searcher="random",
            scheduler=KINDS[kind](),
            trials=TRIALS,
            workers=Local(2),
            store=folder,
            name="kills",
        ).start()
    else:
        sweep.resume()
    sweep.wait()


def stored(folder):
    """Return the trials that the store holds, by number; None where there is no sweep yet."""
    try:
        return {
            trial.number: trial for trial in nbtune.load("kills", store=folder).snapshot().trials
        }
    except nbtune.NbtuneError:
        return None


def facts(trial):
    """Return what of an ended trial must never change."""
    reports = [(report.step, dict(report.metrics)) for report in trial.reports]
    return trial.params, str(trial.status), reports


def compare(before, after):
    """Count what a kill has done to the trials that had been stored before."""
    found = Counter()
    for number, trial in (before or {}).items():
        if number not in (after or {}):
            found["lost"] += 1
        elif trial.status in ENDED and facts(trial) != facts(after[number]):
            found["changed"] += 1
    seen = Counter(str(trial.params) for trial in (after or {}).values())
    found["doubled"] += sum(count - 1 for count in seen.values())
    for trial in (after or {}).values():
        steps = [report.step for report in trial.reports]
        found["doubled"] += len(steps) != len(set(steps))
        right = all(
            report.metrics["loss"] == value(trial.params["x"], report.step)
            for report in trial.reports
        )
        found["changed"] += not right or sorted(set(steps)) != list(range(1, len(steps) + 1))
    return found


def _marked(mark):
    """Return the processes that carry the mark and have not ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline())[:100])
        except psutil.Error:
            continue
    return found


def _wait_for_the_end(mark, seconds=3.0):
    until = time.monotonic() + seconds
    while (left := _marked(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def kill_again_and_again(count, seed=0):
    """Kill drivers at random moments; yield the running totals now and then."""
    chance = random.Random(seed)
    total, kinds = Counter(lost=0, changed=0, doubled=0), list(KINDS)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        while total["kills"] < count:
            kind = kinds[total["sweeps"] % len(kinds)]
            folder = Path(place) / f"store-{total['sweeps']}"
            temporary = Path(place) / "temp"
            temporary.mkdir(exist_ok=True)
            total["sweeps"] += 1
            rounds = 0
            while _kill_once(folder, temporary, kind, chance, total, rounds):
                rounds += 1
                if total["kills"] % 20 == 0:
                    yield dict(total)
            trials = stored(folder)
            total["sweeps not whole"] += sorted(trials) != list(range(TRIALS))
            total["trials"] += len(trials)
    yield dict(total)


def _kill_once(folder, temporary, kind, chance, total, rounds):
    """Return False once the sweep has come to its end before it was killed."""
    mark = f"{os.getpid()}-{total['kills']}-{total['sweeps']}"
    environment = {**os.environ, MARK: mark, "TMPDIR": str(temporary)}
    driver = subprocess.Popen(
        [sys.executable, __file__, str(folder), kind], env=environment, start_new_session=True
    )
    moment = chance.uniform(0.3, 3.0 + rounds / 2)  # so that it comes to its end on a busy machine
    try:
        driver.wait(max(0.0, moment - 0.1))
        before = None
    except subprocess.TimeoutExpired:
        before = stored(folder)
        time.sleep(chance.uniform(0.0, 0.1))
    if driver.poll() is not None:
        total["drivers that failed"] += driver.returncode != 0
        return False
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    total["kills"] += 1
    total["kills of a resume"] += rounds > 0
    left = _wait_for_the_end(mark)
    total["processes after 3 s"] += len(left)
    if left:
        print(left, file=sys.stderr, flush=True)
    total["files after 3 s"] += len(list(temporary.glob("nbtune-*")))
    for name, number in compare(before, stored(folder)).items():
        total[name] += number
    return True


if __name__ == "__main__":
    drive(Path(sys.argv[1]), sys.argv[2])
