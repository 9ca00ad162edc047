"""How much of the true front's hypervolume a search finds: Bayes by random weights, and Random.

    python bench/several.py [--seeds 9] [--trials 40]
    python bench/several.py --sort           # how long it takes to order 10,000 trials

ZDT1 (Zitzler, Deb and Thiele 2000) in 3 params, reference (1.1, 1.1); Schaffer's first problem
(1985) on [-10, 10], reference (5, 5). Sweeps run in this process, one trial at a time.
"""

import argparse
import math
import statistics
import tempfile
import time

import numpy as np

from nbtune import Real, Space, Sweep, report
from nbtune.pareto import hypervolume, nsga_order
from nbtune.workers import Inline


def zdt1(params):
    first, *others = params.values()
    g = 1 + 9 * sum(others) / len(others)
    return first, g * (1 - math.sqrt(first / g))


def schaffer(params):
    return params["x"] ** 2, (params["x"] - 2) ** 2


_LINE = np.linspace(0, 1, 10_001)
PROBLEMS = {
    "ZDT1, 3 params": (
        zdt1,
        Space({name: Real(0.0, 1.0) for name in "xyz"}),
        np.column_stack([_LINE, 1 - np.sqrt(_LINE)]),
        1.1,
    ),
    "Schaffer 1": (
        schaffer,
        Space({"x": Real(-10.0, 10.0)}),
        np.column_stack([(2 * _LINE) ** 2, (2 * _LINE - 2) ** 2]),
        5.0,
    ),
}


def share(problem, searcher, seed, trials):
    """Return the share of the true front's hypervolume at the end of one sweep."""
    function, space, true_front, worst = PROBLEMS[problem]

    def objective(**params):
        first, second = function(params)
        report(step=1, first=first, second=second)

    with tempfile.TemporaryDirectory() as store:
        sweep = Sweep(
            objective,
            space,
            minimize=["first", "second"],
            searcher=searcher,
            trials=trials,
            seed=seed,
            workers=Inline(1),
            store=store,
        ).run()
        found = sweep.hypervolume({"first": worst, "second": worst})
    return found / hypervolume(-true_front, (-worst, -worst))


def sort():
    """Print the processor time of ordering 10,000 random trials, which is to be below a second."""
    print("| objectives | seconds, least of 3 |")
    print("|---|---|")
    for objectives in (2, 3):
        scores = np.random.default_rng(0).random((10_000, objectives))
        seconds = []
        for _ in range(3):
            began = time.process_time()
            nsga_order(scores)
            seconds.append(time.process_time() - began)
        print(f"| {objectives} | {min(seconds):.2f} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sort", action="store_true")
    parser.add_argument("--seeds", type=int, default=9)
    parser.add_argument("--trials", type=int, default=40)
    options = parser.parse_args()
    if options.sort:
        sort()
        return
    print("| problem | searcher | median | least | most | seconds a sweep |")
    print("|---|---|---|---|---|---|")
    for problem in PROBLEMS:
        for searcher in ("bayes", "random"):
            began = time.perf_counter()
            shares = [share(problem, searcher, n, options.trials) for n in range(options.seeds)]
            seconds = (time.perf_counter() - began) / options.seeds
            print(
                f"| {problem} | {searcher} | {statistics.median(shares):.3f} | {min(shares):.3f} "
                f"| {max(shares):.3f} | {seconds:.1f} |"
            )


if __name__ == "__main__":
    main()
