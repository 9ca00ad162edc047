"""What REINFORCE learns: simple regret of `Reinforce` beside `Random`, on problems of quality.py.

    python bench/reinforce.py --peers FOLDER [--problems mixed6 ...] [--seeds 10] [--trials 300]
        [--options '{"batch": 8}' ...]

FOLDER holds ``asktell.py`` and its tables. Every problem is minimised and its least value is known;
trials run one after another. "ahead" is how often a run of Reinforce is ahead of one of Random,
ties half; "mean of the last 50" is of what the controller suggests at the end, not of the best.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402 - after its number of threads is set
from quality import PROBLEMS, domain  # noqa: E402

from nbtune import Space  # noqa: E402
from nbtune.searchers import Random, Reinforce  # noqa: E402

MARKS = (100, 300)
LAST = 50


def play(searcher, space, function, trials, seed):
    """Return the value of each trial."""
    searcher.setup(space, seed=seed)
    values = []
    for number in range(trials):
        params = searcher.suggest(number, [])
        values.append(function(params))
        searcher.observe(params, -values[-1], step=1, ended=True)
    return values


def ahead(ours, theirs):
    ours, theirs = np.array(ours)[:, None], np.array(theirs)
    return float((ours < theirs).mean() + 0.5 * (ours == theirs).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", required=True, type=Path, help="folder with asktell.py")
    parser.add_argument("--problems", nargs="+", default=["svc_bc", "mixed6", "categories5"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--options", nargs="+", type=json.loads, default=[{}])
    options = parser.parse_args()
    sys.path.insert(0, str(options.peers))
    import asktell

    asktell.PROBLEMS.update(PROBLEMS)
    marks = [mark for mark in MARKS if mark <= options.trials]
    shown = " | ".join(f"at {mark}, ahead" for mark in marks)
    print(f"| problem | searcher | {shown} | mean of the last {LAST}, ahead | s |")
    print("|" + "---|" * (len(marks) + 4))
    for problem in options.problems:
        dims, function, least = asktell.PROBLEMS[problem]
        least = asktell.fstar(problem) if least is None else least
        space = Space({key: domain(*d) for key, d in dims.items()})
        random = [
            play(Random(), space, function, options.trials, seed)
            for seed in range(4 * options.seeds)
        ]
        row(problem, "Random", random, random, marks, least, 0.0)
        for each in options.options:
            began = time.process_time()
            runs = [
                play(Reinforce(**each), space, function, options.trials, seed)
                for seed in range(options.seeds)
            ]
            seconds = (time.process_time() - began) / options.seeds
            given = ", ".join(f"{key}={value}" for key, value in each.items())
            row(problem, f"Reinforce({given})", runs, random, marks, least, seconds)


def row(problem, name, runs, random, marks, least, seconds):
    cells = []
    for mark in marks:
        best, their = ([min(run[:mark]) - least for run in each] for each in (runs, random))
        cells.append(f"{statistics.median(best):.2g}, {ahead(best, their):.2f}")
    late, their = (
        [statistics.mean(run[-LAST:]) - least for run in each] for each in (runs, random)
    )
    cells.append(f"{statistics.median(late):.2g}, {ahead(late, their):.2f}")
    print(f"| {problem} | {name} | {' | '.join(cells)} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
