"""Search quality: simple regret of nbtune's Bayes and its peers, on the same problems in one run.

    python bench/quality.py --peers FOLDER [--searchers nbtune optuna-gp ...] [--problems ...]
        [--mode seq|par4] [--seeds 10] [--budget 60] [--out runs.jsonl]
    python bench/quality.py --peers FOLDER --held-out ...
    python bench/quality.py --peers FOLDER --categorical --searchers nbtune nbtune-et ...
    python bench/quality.py --table runs.jsonl ... [--plot docs/regret.svg]

FOLDER holds ``asktell.py``, the peers' adapters and six problems; nine more are here, so that
nothing is tuned to few, and twelve in ``held_out.py``, on which nothing is tuned at all; those of
``categorical.py`` compare models (``nbtune-et`` is Bayes on extra trees). Every problem is
minimised and its least value is known. Seeds are the outer loop, the searchers take turns: a run
that is cut short is still balanced. ``par4`` asks for four points at a time and tells their results
together.
"""

import argparse
import collections
import functools
import json
import math
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import categorical  # noqa: E402 - after the number of threads is set
import held_out  # noqa: E402
import numpy as np  # noqa: E402
from regret_plot import mean_ranks, picture  # noqa: E402

MARKS = (30, 60, 100)
FLOOR = 1e-6  # a regret below counts as this much
SHIFT = np.random.default_rng(3).uniform(-0.6, 0.6, 10)


def box(count, low, high):
    return {f"x{i}": ("float", low, high) for i in range(count)}


def values(config, count):
    return np.array([config[f"x{i}"] for i in range(count)])


def levy(config):
    w = 1 + (values(config, 5) - SHIFT[:5] * 5 - 1) / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(math.pi * w[:-1] + 1) ** 2)).sum()
    last = (w[-1] - 1) ** 2 * (1 + np.sin(2 * math.pi * w[-1]) ** 2)
    return float(np.sin(math.pi * w[0]) ** 2 + middle + last)


def rastrigin(config):
    x = values(config, 4) - SHIFT[:4] * 3
    return float(40 + (x * x - 10 * np.cos(2 * math.pi * x)).sum())


def styblinski_tang(config):
    x = values(config, 5)
    return float(0.5 * (x**4 - 16 * x * x + 5 * x).sum())


def ellipsoid(config):
    x = values(config, 6) - SHIFT[:6] * 4
    return float((10 ** (4 * np.arange(6) / 5) * x * x).sum())


def griewank(config):
    x = values(config, 6) - SHIFT[:6] * 300
    waves = np.cos(x / np.sqrt(np.arange(1, 7))).prod()
    return float((x * x).sum() / 4000 - waves + 1)


def michalewicz(config):
    x = values(config, 5)
    return float(-(np.sin(x) * np.sin(np.arange(1, 6) * x * x / math.pi) ** 20).sum())


def integers(config):
    x = values(config, 5) - np.array([3, 17, 9, 12, 6])
    return float((x * x * np.array([1, 2, 0.5, 1, 3])).sum() + 3 * abs(x[0] * x[1]) ** 0.5)


_RNG = np.random.default_rng(11)
_PAIRS, _TRIPLES = _RNG.random((6, 6)), _RNG.random((4, 6))


def categories(config):
    i, j = "abcdef".index(config["a"]), "uvwxyz".index(config["b"])
    k = config["c"] - 1
    pairs, triples = _PAIRS - _PAIRS.min(), _TRIPLES - _TRIPLES.min(axis=0)
    rate = 0.1 * (math.log10(config["lr"]) + 1 + i * 0.5) ** 2
    return float(pairs[i, j] + 0.5 * triples[k, i] + rate + 0.002 * (config["k"] - 7 - 2 * k) ** 2)


def network(config):
    rate, decay = math.log10(config["lr"]), math.log10(config["wd"])
    size = math.log2(config["width"])
    if rate > -0.7:
        return 0.88  # diverged
    loss = 0.05 * max(0, abs(rate + 2.7 - 0.15 * (size - 6)) - 0.2) ** 1.5
    loss += 0.01 * (decay + 4) ** 2 * (1 if decay > -4 else 0.2) + 0.004 * (size - 8) ** 2
    loss += 0.1 * (config["drop"] - 0.25) ** 2 + {"r": 0, "t": 0.01, "g": 0.004}[config["act"]]
    return float(loss)


PROBLEMS = {
    "levy5": (box(5, -10.0, 10.0), levy, 0.0),
    "rastrigin4": (box(4, -5.12, 5.12), rastrigin, 0.0),
    "stybtang5": (box(5, -5.0, 5.0), styblinski_tang, -39.16616570377142 * 5),
    "ellipsoid6": (box(6, -5.0, 5.0), ellipsoid, 0.0),
    "griewank6": (box(6, -600.0, 600.0), griewank, 0.0),
    "michalewicz5": (box(5, 0.0, math.pi), michalewicz, -4.687658),
    "integers5": ({f"x{i}": ("int", 0, 20) for i in range(5)}, integers, 0.0),
    "categories5": (
        {
            "a": ("cat", list("abcdef")),
            "b": ("cat", list("uvwxyz")),
            "c": ("cat", [1, 2, 3, 4]),
            "lr": ("logfloat", 1e-5, 1.0),
            "k": ("int", 1, 30),
        },
        categories,
        0.0,
    ),
    "network5": (
        {
            "lr": ("logfloat", 1e-5, 1.0),
            "wd": ("logfloat", 1e-7, 1e-1),
            "width": ("logint", 8, 1024),
            "drop": ("float", 0.0, 0.7),
            "act": ("cat", ["r", "t", "g"]),
        },
        network,
        0.0,
    ),
}


def domain(kind, *bounds):
    from nbtune import Choice, Int, Real

    if kind == "cat":
        return Choice(*bounds[0])
    return (Real if "float" in kind else Int)(*bounds, log=kind.startswith("log"))


class Nbtune:
    """nbtune's Bayes as one of the adapters."""

    model = "GP"

    def __init__(self, space, seed, parallel=1):
        from nbtune import Space
        from nbtune.searchers import Bayes

        self.searcher = Bayes(base_estimator=self.model)
        self.searcher.setup(Space(self.named(space)), seed=seed)
        self.number, self.pending = 0, []

    def named(self, space):
        return {key: domain(*bounds) for key, bounds in space.items()}

    def flat(self, params):
        return params

    def ask(self, count=1):
        asked = []
        for _ in range(count):
            params = self.searcher.suggest(self.number, list(self.pending))
            self.number += 1
            self.pending.append(params)
            asked.append((params, self.flat(params)))
        return asked

    def tell(self, params, config, value):
        if params is None:  # nobody asked for it
            params = config
        else:
            self.pending.remove(params)
        score = -value if math.isfinite(value) else None
        self.searcher.observe(params, score, step=1, ended=True)


class ExtraTrees(Nbtune):
    model = "ET"


class Branching(Nbtune):
    """The same for a problem of which one param says which others matter."""

    def __init__(self, chooser, branches, space, seed, parallel=1):
        self.chooser, self.branches = chooser, branches
        super().__init__(space, seed, parallel)

    def named(self, space):
        from nbtune import Choice, Space

        flat = super().named(space)
        parts = [Space({n: flat[n] for n in names}) for names in self.branches.values()]
        return {self.chooser: Choice(*parts)}

    def flat(self, params):
        inner = params[self.chooser]
        [chosen] = [option for option, names in self.branches.items() if set(names) == set(inner)]
        return {self.chooser: chosen} | inner


def adapter(asktell, name, problem):
    if name == "nbtune" and problem in held_out.BRANCHES:
        return functools.partial(Branching, *held_out.BRANCHES[problem])
    return asktell.SEARCHERS[name][0]


def run(asktell, name, problem, mode, seed, budget):
    space, function, least = asktell.PROBLEMS[problem]
    least = asktell.fstar(problem) if least is None else least
    noise, rng = held_out.NOISE.get(problem, 0.0), np.random.default_rng((7, seed))
    width = 4 if mode == "par4" else 1
    began = time.process_time()
    searcher = adapter(asktell, name, problem)(space, seed, width)
    found, told = [], []
    while len(found) < budget:
        batch = searcher.ask(width)
        values = [function(config) for _, config in batch]
        found += [value if math.isfinite(value) else math.inf for value in values]
        told += [value + noise * rng.standard_normal() for value in values]
        results = told[-width:]
        if not name.startswith(("nbtune", "optuna")):  # these take no failure
            worst = max((value for value in told if math.isfinite(value)), default=0.0)
            results = [value if math.isfinite(value) else worst for value in results]
        if width > 1 and hasattr(searcher, "tell_many"):
            searcher.tell_many([config for _, config in batch], results)
        else:
            for (handle, config), value in zip(batch, results, strict=True):
                searcher.tell(handle, config, value)
    row = {"searcher": name, "problem": problem, "mode": mode, "seed": seed}
    best = np.maximum(np.minimum.accumulate(found) - least, FLOOR)
    row |= {f"regret{m}": float(best[m - 1]) for m in MARKS if m <= budget}
    row["curve"] = [float(f"{x:.3g}") if math.isfinite(x) else None for x in best]
    return row | {"cpu_s": round(time.process_time() - began, 2)}


PAIR = ("optuna-gp", "skopt-gp")  # the better of these two, problem by problem


def table(rows, mode):
    """Print the medians at each mark, the mean ranks, and nbtune's regret over the peers'."""
    rows = [row for row in rows if row["mode"] == mode]
    names = list(dict.fromkeys(row["searcher"] for row in rows))
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    for mark in [m for m in MARKS if any(f"regret{m}" in row for row in rows)]:
        told = [row for row in rows if f"regret{mark}" in row]
        found = collections.defaultdict(dict)
        for row in told:
            found[row["problem"], row["searcher"]][row["seed"]] = row[f"regret{mark}"]
        print(f"\n| {mode}, {mark} evaluations | {' | '.join(names)} |")
        print("|" + "---|" * (len(names) + 1))
        for problem in problems:
            cells = [cell(found.get((problem, name))) for name in names]
            print(f"| {problem} | {' | '.join(cells)} |")
        ranks, count = mean_ranks([row | {"curve": [row[f"regret{mark}"]]} for row in told])
        cells = [f"{ranks[name][0]:.2f}" if name in ranks and count else "-" for name in names]
        print(f"| mean rank over {count} | {' | '.join(cells)} |")
        if "nbtune" in names:
            over = [ratio(found, problems, (name,)) for name in names]
            print(f"| nbtune over it, geometric mean | {' | '.join(over)} |")
            print(f"\nnbtune over the better of {' and '.join(PAIR)}: ", end="")
            print(ratio(found, problems, PAIR))


def cell(regrets):
    return f"{statistics.median(regrets.values()):.2g} ({len(regrets)})" if regrets else "-"


def ratio(found, problems, names):
    """Return the geometric mean of nbtune's median over the best of those of `names`.

    On the problems, and from the seeds, that all of them ran.
    """
    logs = []
    for problem in problems:
        runs = [found.get((problem, name), {}) for name in ("nbtune", *names)]
        seeds = set.intersection(*map(set, runs))
        if seeds:
            ours, *theirs = (statistics.median(run[seed] for seed in seeds) for run in runs)
            logs.append(math.log(ours / min(theirs)))
    return f"{math.exp(statistics.mean(logs)):.2f} (of {len(logs)})" if logs else "-"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, help="folder with asktell.py")
    parser.add_argument("--searchers", nargs="+", help="nbtune optuna-gp optuna-tpe")
    parser.add_argument("--problems", nargs="+")
    parser.add_argument("--held-out", action="store_true", help="the problems of held_out.py")
    parser.add_argument("--categorical", action="store_true", help="those of categorical.py")
    parser.add_argument("--mode", choices=["seq", "par4"], default="seq")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("quality.jsonl"))
    parser.add_argument("--table", nargs="+", type=Path, help="runs to read instead")
    parser.add_argument("--plot", type=Path, help="where an SVG of the runs goes")
    options = parser.parse_args()
    if not (options.table or options.peers):
        parser.error("needs --peers FOLDER to run, or --table FILES to read")
    if not options.table:
        warnings.simplefilter("ignore")
        sys.path.insert(0, str(options.peers))
        import asktell

        asktell.PROBLEMS.update(PROBLEMS)
        problems = list(asktell.PROBLEMS)
        for wanted, others in (
            (options.held_out, held_out.PROBLEMS),
            (options.categorical, categorical.PROBLEMS),
        ):
            asktell.PROBLEMS.update(others)
            problems = list(others) if wanted else problems
        problems = options.problems or problems
        asktell.SEARCHERS["nbtune"] = (Nbtune, "nbtune")
        asktell.SEARCHERS["nbtune-et"] = (ExtraTrees, "nbtune")
        with options.out.open("a") as file:
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                for problem in problems:
                    for name in options.searchers or ["nbtune", "optuna-gp", "optuna-tpe"]:
                        row = run(asktell, name, problem, options.mode, seed, options.budget)
                        print(json.dumps(row), file=file, flush=True)
    files = options.table or [options.out]
    rows = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    rows = [row for row in rows if row["searcher"] in (options.searchers or [row["searcher"]])]
    for mode in dict.fromkeys(row["mode"] for row in rows):
        table(rows, mode)
    if options.plot:
        options.plot.write_text(picture([row for row in rows if row["mode"] == options.mode]))


if __name__ == "__main__":
    main()
