"""Searchers over schedulers with rungs: what learning from short runs is worth.

    python bench/fidelity.py --peers FOLDER [--table digits_mlp_curves.npz ...] [--systems ...]
        [--problems ...] [--seeds 20] [--first-seed 0] [--out fidelity.jsonl]
    python bench/fidelity.py --read fidelity.jsonl ...

FOLDER holds ``d_multifidelity.py`` and ``asktell.py``, the peers' adapters; run this script once in
each interpreter that has some of the libraries, all with seeds of the same numbers. Problems are
each table, played as the nearest row (plain) or as the nearest that has not been played ("fresh"),
and two functions whose loss after r of 27 steps has a bias, which differs from point to point, and
noise, which both shrink to nothing at the end.

Each problem is played on a virtual clock by 4 slots; a step costs the table's seconds, or 1; the
budget is 10 times the mean time of a full run of a table, and 6 times that of a function. Regret is
that of the trial that one would take then. Of a table that is the one with the best report so far,
and what it lacks to the best in it. Of a function, whose short runs mislead, it is the one with the
best report of those that came furthest, and what its last step would lack to the optimum. nbtune is
asked as its engine asks, one suggestion ahead.
"""

import argparse
import collections
import heapq
import itertools
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

import numpy as np  # noqa: E402 - after its number of threads is set

MARKS = (0.25, 0.5, 1.0)
SLOTS, STEPS = 4, 27


# --- problems: `place` gives a configuration a row, which has scores, seconds and regrets


class Rows:
    """A table of learning curves."""

    def __init__(self, player, path, *, fresh):
        player.DATA = str(path.resolve().parent)
        self._table = player.Table(path.name.removesuffix("_curves.npz"))
        self._fresh = fresh
        self.space, self.budget = self._table.space, self._table.T

    def play(self, seed):
        self._played = set()
        return self

    def place(self, config):
        row = self._table.row(config, self._played if self._fresh else ())
        self._played.add(row)
        return row

    def score(self, row, step):
        return float(self._table.score[row, step - 1])

    def seconds(self, row, step):
        return float(self._table.secs[row, step - 1])

    def worth(self, row, step):
        return self.score(row, step)

    def regret(self, row, step):
        return self._table.best - self.score(row, step)


class Function:
    """A loss that is known at the last step alone."""

    def __init__(self, asktell, name):
        self.space, self._loss, self._least = asktell.PROBLEMS[name]
        self._unit = lambda config: [
            _share(domain, config[key]) for key, domain in self.space.items()
        ]
        rng = np.random.default_rng(5)
        losses = [self._loss(asktell.sample(self.space, rng)) for _ in range(2000)]
        self._spread = float(np.std(losses))
        self._waves = rng.normal(size=(4, len(self.space))) * 1.5
        self._phases = rng.uniform(0, 2 * math.pi, 4)
        self.budget = 6.0 * STEPS

    def play(self, seed):
        self._rows, self._rng = [], np.random.default_rng((9, seed))
        return self

    def place(self, config):
        left = np.array([(s**-0.5 - STEPS**-0.5) / (1 - STEPS**-0.5) for s in range(1, STEPS + 1)])
        wave = np.sin(self._waves @ np.array(self._unit(config)) * 2 + self._phases).mean()
        bias = self._spread * (1.0 + 1.5 * wave) * left
        noise = 0.4 * self._spread * left * self._rng.standard_normal(STEPS)
        loss = self._loss(config)
        self._rows.append((-(loss + bias + noise), loss - self._least))
        return len(self._rows) - 1

    def score(self, row, step):
        return float(self._rows[row][0][step - 1])

    def seconds(self, row, step):
        return 1.0

    def worth(self, row, step):
        return step, self.score(row, step)

    def regret(self, row, step):
        return float(self._rows[row][1])


def _share(domain, value):
    kind, *bounds = domain
    if kind == "cat":
        return bounds[0].index(value) / (len(bounds[0]) - 1)
    if kind.startswith("log"):
        value, bounds = math.log(value), [math.log(bound) for bound in bounds]
    return (value - bounds[0]) / (bounds[1] - bounds[0])


# --- nbtune as one of the systems


class Nbtune:
    """A searcher of nbtune over Hyperband, told what the engine would tell it."""

    def __init__(self, searcher, scheduler, space, seed):
        from nbtune import Space

        self.searcher, self.scheduler = searcher, scheduler
        self.space = Space({key: domain(*d) for key, d in space.items()})
        searcher.setup(self.space, seed=seed)
        scheduler.setup(seed=seed, step_name="epoch", max_t=STEPS)
        searcher.longest = scheduler.longest
        self.params, self.until, self.pending, self.asked = [], {}, {}, 0
        self.ahead = self.space.defaults if searcher.starts_with_defaults else self._ask()

    def _ask(self):
        self.asked += 1
        return self.searcher.suggest(self.asked - 1, list(self.pending.values()))

    def suggest(self):
        from nbtune.decision import Promote, Sample

        move = self.scheduler.next()
        if isinstance(move, Promote):
            number = move.number
        elif isinstance(move, Sample):
            number = len(self.params)
            self.params.append(self.ahead)
            self.pending[number] = self.ahead
        else:
            return None
        self._follow(number, self.until.get(number, 0))
        if isinstance(move, Sample):
            self.ahead = self._ask()
            self.pending["ahead"] = self.ahead
        return number, self.params[number]

    def _follow(self, number, step, until=None):
        self.until[number] = until or self.scheduler.start(number).until
        if self.searcher.follows:
            params, until = self.params[number], self.until[number]
            self.searcher.follow(params, None, step=step, until=until)

    def result(self, number, step, score):
        from nbtune.decision import Continue, Pause

        params, until = self.params[number], self.until[number]
        if until is None or step < until:
            if until is not None and self.searcher.follows == "reports":
                self.searcher.follow(params, (score,), step=step, until=until)
            return "continue"
        decision = self.scheduler.decide(number, step, score)
        if isinstance(decision, Continue):
            self.searcher.observe(params, score, step=step, ended=False)
            self._follow(number, step, decision.until)
            return "continue"
        self._end(number, step, score)
        return "pause" if isinstance(decision, Pause) else "stop"

    def complete(self, number, step, score):
        self.scheduler.end(number, step, score)
        self._end(number, step, score)

    def _end(self, number, step, score):
        self.pending.pop(number, None)
        self.searcher.observe(self.params[number], score, step=step, ended=True)


class LastScores:
    """A searcher that is told each trial's last score alone, as without a model of steps."""

    follows = ""

    def __init__(self, searcher):
        self._searcher = searcher

    def __getattr__(self, name):
        return getattr(self._searcher, name)

    def observe(self, params, score, *, step, ended):
        if ended:
            self._searcher.observe(params, score, step=step, ended=True)


def domain(kind, *bounds):
    from nbtune import Choice, Int, Real

    if kind == "cat":
        return Choice(*bounds[0])
    return (Real if "float" in kind else Int)(*bounds, log=kind.startswith("log"))


def nbtune_systems():
    try:
        from nbtune.schedulers import Hyperband
        from nbtune.searchers import Bayes, Random
    except ImportError:
        return {}

    def system(searcher, **options):
        return lambda space, seed: Nbtune(searcher(), Hyperband(**options), space, seed)

    return {
        "bayes + hyperband": system(Bayes),
        "random + hyperband": system(Random),
        "bayes + promotion": system(Bayes, type="promotion"),
        "random + promotion": system(Random, type="promotion"),
        "bayes, all + hyperband": system(lambda: Bayes(searcher_data="all")),
        "bayes, and last + hyperband": system(lambda: Bayes(searcher_data="rungs_and_last")),
        "bayes, last scores + hyperband": system(lambda: LastScores(Bayes())),
        "bayes, maxt + hyperband": system(lambda: Bayes(maxt_pending=True)),
    }


def peer_systems(player):
    """Return the systems of the peers that this interpreter has."""
    names = {"optuna tpe + halving": "optuna-tpe-sha", "syne-tune asha": "syne13-asha-stop"}
    return {name: player.SYS[key] for name, key in names.items() if player.needs(key)}


def play(problem, system):
    """Return the regret at each mark, and how many trials were started."""
    heap, order, rows, steps = [], itertools.count(), {}, collections.Counter()
    marks, regrets, best, regret, waiting = list(MARKS), [], None, math.inf, SLOTS
    now = 0.0
    while True:
        while waiting and (given := system.suggest()) is not None:
            number, config = given
            if number not in rows:
                rows[number] = problem.place(config)
            waiting -= 1
            seconds = problem.seconds(rows[number], steps[number] + 1)
            heapq.heappush(heap, (now + seconds, next(order), number))
        now, _, number = heapq.heappop(heap)
        while marks and now > marks[0] * problem.budget:
            regrets.append(regret)
            marks.pop(0)
        if not marks:
            return regrets, len(rows)
        steps[number] += 1
        row, step = rows[number], steps[number]
        score = problem.score(row, step)
        worth = problem.worth(row, step)
        if best is None or worth > best:
            best, regret = worth, problem.regret(row, step)
        answer = system.result(number, step, score)
        if answer == "continue" and step < STEPS:
            heapq.heappush(heap, (now + problem.seconds(row, step + 1), next(order), number))
            continue
        if answer == "continue":
            system.complete(number, step, score)
        waiting += 1


# --- the table


def print_table(rows):
    systems = list(dict.fromkeys(row["system"] for row in rows))
    found = collections.defaultdict(list)
    for row in rows:
        found[row["problem"], row["system"]].append(row)
    for problem in dict.fromkeys(row["problem"] for row in rows):
        print(f"\n| {problem} | seeds | regret at 25/50/100 %, median | mean | trials | CPU s |")
        print("|---|---|---|---|---|---|")
        for name in systems:
            if runs := found[problem, name]:
                print(table_row(name, runs))


def table_row(name, runs):
    marks = list(zip(*(run["regret"] for run in runs), strict=True))
    medians = " / ".join(f"{statistics.median(mark):.4f}" for mark in marks)
    means = " / ".join(f"{statistics.mean(mark):.4f}" for mark in marks)
    trials = statistics.median(run["trials"] for run in runs)
    seconds = statistics.median(run["cpu_s"] for run in runs)
    return f"| {name} | {len(runs)} | {medians} | {means} | {trials:.0f} | {seconds:.1f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, help="folder of the peers' adapters")
    parser.add_argument("--table", nargs="*", type=Path, default=[], help="learning curves")
    parser.add_argument("--systems", nargs="+")
    parser.add_argument("--problems", nargs="+")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fidelity.jsonl"))
    parser.add_argument("--read", nargs="+", type=Path)
    options = parser.parse_args()
    if not options.read:
        run(options)
    files = options.read or [options.out]
    print_table([json.loads(line) for path in files for line in path.read_text().splitlines()])


def run(options):
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(options.peers))
    import asktell
    import d_multifidelity as player

    player.R = STEPS
    problems = {name: Function(asktell, name) for name in ("hartmann6", "mixed6")}
    for path in options.table:
        for label, fresh in (("plain", False), ("fresh", True)):
            problems[f"{path.name.removesuffix('_curves.npz')}, {label}"] = Rows(
                player, path, fresh=fresh
            )
    systems = nbtune_systems() | peer_systems(player)
    with options.out.open("a") as file:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            for label in options.problems or problems:
                for name in options.systems or systems:
                    began = time.process_time()
                    problem = problems[label].play(seed)
                    regret, trials = play(problem, systems[name](problem.space, seed))
                    row = {"problem": label, "system": name, "seed": seed, "trials": trials}
                    row |= {"regret": regret, "cpu_s": round(time.process_time() - began, 2)}
                    print(json.dumps(row), file=file, flush=True)


if __name__ == "__main__":
    main()
