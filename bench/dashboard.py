"""What the live dashboard costs the kernel: 1,000 curves of 27 points, redrawn at 4 Hz.

    python bench/dashboard.py [--curves 1000] [--points 27] [--seconds 20]

Runs in a real kernel with a real connection. 990 trials have ended; ten run, report at each tick
and are replaced when they reach the last point, as in a quick sweep. Prints the share of one core
that the process used with the dashboard's ticker, and without it.
"""

import argparse
import tempfile

from jupyter_client.manager import start_new_kernel

PREPARE = """
import os, tempfile, time
from dataclasses import replace
import numpy as np
import nbtune
from nbtune import Choice, Int, Real, report
from nbtune.engine import SweepStatus
from nbtune.trial import Status
from nbtune.widgets.dashboard import Dashboard
from nbtune.workers import Simulated

def train(lr: Real(1e-4, 1e-1, log=True), width: Int(16, 256, log=True), alpha: Real(0, 1),
          momentum: Real(0, 1), kind: Choice("relu", "tanh"), epochs={points}):
    for epoch in range(1, epochs + 1):
        report(epoch=epoch, accuracy=1 - alpha / epoch ** momentum)

sweep = nbtune.Sweep(train, maximize="accuracy", searcher="random", trials={curves},
                     workers=Simulated(10), name="drawn", seed=0).run()
whole = sweep.snapshot()
tick = 0

def moving():
    global tick
    tick += 1
    step = 1 + tick % {points}
    trials = list(whole.trials)
    for i in range(len(trials) - 10, len(trials)):
        trials[i] = replace(trials[i], status=Status.RUNNING, count=step, ended=None, reason="")
    return replace(whole, status=SweepStatus.RUNNING, trials=tuple(trials), version=tick,
                   elapsed=tick / 4)

sweep.snapshot = moving
"""

MEASURE = """
def used(seconds):
    cpu, wall = time.process_time(), time.monotonic()
    time.sleep(seconds)
    return 100 * (time.process_time() - cpu) / (time.monotonic() - wall)

idle = used({seconds} / 2)
from IPython.display import display
dashboard = Dashboard(sweep)
display(dashboard.box)
dashboard.start()
used(3)
ticks = tick
shown = used({seconds})
dashboard.close()
print(f"{{(tick - ticks) / {seconds}:.1f}} Hz, {{shown:.1f}} % of one core (idle {{idle:.1f}} %)")
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--curves", type=int, default=1000)
    parser.add_argument("--points", type=int, default=27)
    parser.add_argument("--seconds", type=float, default=20)
    options = vars(parser.parse_args())
    manager, client = start_new_kernel()
    try:
        with tempfile.TemporaryDirectory() as store:
            for code in (f"import os; os.environ['NBTUNE_STORE'] = {store!r}", PREPARE, MEASURE):
                text = code.format(**options) if code in (PREPARE, MEASURE) else code
                reply = client.execute_interactive(text, timeout=300, output_hook=say)
                if reply["content"]["status"] != "ok":
                    raise SystemExit("\n".join(reply["content"]["traceback"]))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def say(message):
    if message["msg_type"] == "stream":
        print(message["content"]["text"], end="")


if __name__ == "__main__":
    main()
