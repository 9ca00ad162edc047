"""What a suggestion costs: processor time, beside the peers'.

    python bench/suggest.py --peers FOLDER [--searchers ...] [--counts 10 30 100 300 1000]

FOLDER holds ``asktell.py``, the adapters. A searcher is told random configurations of a mixed
space of six params; then it suggests, and is told the result, a few times over. The median of these
counts, on one thread, without the first, which imports and warms up. Each searcher has a process
of its own. What takes more than the limit is not asked with more observations.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402 - after the number of threads is set
import quality  # noqa: E402

SEARCHERS = ["nbtune", "optuna-gp", "optuna-tpe", "skopt-gp", "skopt-rf", "hyperopt-tpe"]
PROBLEM = "mixed6"


def cost(asktell, name, count, reps):
    """Return the median of what a suggestion and its result take, in seconds of the processor."""
    space, function, _ = asktell.PROBLEMS[PROBLEM]
    rng = np.random.default_rng(count)
    searcher = asktell.SEARCHERS[name][0](space, 0)
    configs = [asktell.sample(space, rng) for _ in range(count)]
    results = [function(config) for config in configs]
    if hasattr(searcher, "tell_many"):
        searcher.tell_many(configs, results)
    else:
        for config, value in zip(configs, results, strict=True):
            searcher.tell(None, config, value)
    taken = []
    for _ in range(reps + 1):
        began = time.process_time()
        [(handle, config)] = searcher.ask()
        searcher.tell(handle, config, function(config))
        taken.append(time.process_time() - began)
    return statistics.median(taken[1:])


def child(options):
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(options.peers))
    import asktell

    asktell.SEARCHERS["nbtune"] = (quality.Nbtune, "nbtune")
    for count in options.counts:
        seconds = cost(asktell, options.child, count, options.reps)
        print(f"{seconds:.2g}", flush=True)
        if seconds > options.limit:
            break


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, type=Path, help="folder with asktell.py")
    parser.add_argument("--searchers", nargs="+", default=SEARCHERS)
    parser.add_argument("--counts", nargs="+", type=int, default=[10, 30, 100, 300, 1000])
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--limit", type=float, default=3.0, help="seconds")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    print(f"| seconds, at observations | {' | '.join(map(str, options.counts))} |")
    print("|" + "---|" * (len(options.counts) + 1))
    for name in options.searchers:
        command = [sys.executable, __file__, *sys.argv[1:], "--child", name]
        cells = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True
        ).stdout.split()
        cells += ["-"] * (len(options.counts) - len(cells))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
