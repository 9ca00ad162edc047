"""Schedulers on a table of learning curves, on a virtual clock, over random suggestions.

    python bench/schedulers.py --table PATH.npz [--seeds 20] [--slots 4] [--only 'hyperband;median']

The table holds ``score`` and ``seconds``, shape (configurations, steps), and ``space`` and
``configs`` as JSON. A suggestion is drawn from the space and played as its nearest configuration;
each step costs the table's seconds. A paused trial goes on where it stood, unless the scheduler
says that it starts over. Suggestions and decisions cost nothing. The budget T is 10 times the mean
time of a full training, on all slots.

Regret is the table's best score less the best score reported so far; "within" is the share of T
until that is within 0.5 % of the best. Every scheduler sees the same suggestions, seed by seed.
"""

import argparse
import heapq
import itertools
import json
import statistics
from collections import defaultdict

import numpy as np

from nbtune.decision import Continue, Pause, Promote, Sample
from nbtune.schedulers import FIFO, Hyperband, MedianRule, SyncHyperband

MARKS = (0.25, 0.5, 1.0)  # shares of T at which regret is read
CLOSE = 0.995

SYSTEMS = {
    "fifo": FIFO,
    "hyperband": Hyperband,
    "hyperband, 2 brackets": lambda: Hyperband(brackets=2),
    "hyperband, eta 4": lambda: Hyperband(reduction_factor=4),
    "promotion": lambda: Hyperband(type="promotion"),
    "promotion, size ratios": lambda: Hyperband(type="promotion", keep_size_ratios=True),
    "promotion, eta 4": lambda: Hyperband(type="promotion", reduction_factor=4),
    "sync hyperband, one round": lambda: SyncHyperband(resume=True),
    "sync hyperband": lambda: SyncHyperband(resume=True, rounds=None),
    "sync hyperband, starts over": lambda: SyncHyperband(rounds=None),
    "median": MedianRule,
}


class Table:
    """Learning curves of many configurations of one space."""

    def __init__(self, path):
        with np.load(path) as file:
            self.score, self.seconds = file["score"].astype(float), file["seconds"].astype(float)
            self.space = json.loads(str(file["space"]))
            configs = json.loads(str(file["configs"]))
        self.steps = self.score.shape[1]
        self.best = float(self.score.max())
        self.budget = 10 * float(self.seconds.sum(axis=1).mean())
        self._points = np.array([self._point(config) for config in configs])

    def rows(self, seed):
        """Yield the rows that random suggestions fall on."""
        rng = np.random.default_rng(seed)
        while True:
            point = self._point({name: draw(domain, rng) for name, domain in self.space.items()})
            yield int(((self._points - point) ** 2).sum(axis=1).argmin())

    def _point(self, config):
        return np.array(
            [x for name, domain in self.space.items() for x in unit(domain, config[name])]
        )


def draw(domain, rng):
    kind, *values = domain
    match kind:
        case "cat":
            return values[0][int(rng.integers(len(values[0])))]
        case "float":
            return rng.uniform(*values)
        case "int":
            return int(rng.integers(values[0], values[1] + 1))
        case "logfloat":
            return np.exp(rng.uniform(*np.log(values)))
    low, high = np.log([values[0] - 0.499, values[1] + 0.499])
    return round(float(np.exp(rng.uniform(low, high))))


def unit(domain, value):
    """Return the value's coordinates in a unit box; two categories are at distance 1."""
    kind, *values = domain
    if kind == "cat":
        return [0.7071 * (value == option) for option in values[0]]
    scale = np.log if kind.startswith("log") else float
    low, high = scale(values[0]), scale(values[1])
    return [(scale(value) - low) / (high - low)]


class Run:
    """One sweep on virtual time, up to the budget or to where the schedule is complete."""

    def __init__(self, table, scheduler, seed, slots):
        self.table, self.scheduler, self.slots = table, scheduler, slots
        scheduler.setup(seed=seed, step_name="epoch", max_t=table.steps)
        self.rows, self.suggestions = [], table.rows(seed)
        self.steps, self.milestones = {}, {}
        self.heap, self.order = [], itertools.count()
        self.best, self.within, self.full = -np.inf, None, 0
        self.regret = []
        self._play()

    def _play(self):
        marks = [share * self.table.budget for share in MARKS]
        self._launch(0.0)
        while self.heap and marks:
            now, _, number = heapq.heappop(self.heap)
            while marks and now > marks[0]:
                self.regret.append(self.table.best - self.best)
                marks.pop(0)
            if marks:
                self._advance(now, number)
        self.regret += [self.table.best - self.best] * len(marks)

    def _advance(self, now, number):
        self.steps[number] += 1
        step = self.steps[number]
        score = float(self.table.score[self.rows[number], step - 1])
        self.best = max(self.best, score)
        if self.within is None and self.best >= CLOSE * self.table.best:
            self.within = now / self.table.budget
        if self._goes_on(number, step, score):
            self._push(now, number)
        else:
            self._launch(now)

    def _goes_on(self, number, step, score):
        until = self.milestones[number]
        self.full += step == self.table.steps
        if until is not None and step >= until:
            decision = self.scheduler.decide(number, step, score)
            if not isinstance(decision, Continue):
                if isinstance(decision, Pause) and not self.scheduler.resume:
                    self.steps[number] = 0
                return False
            self.milestones[number] = decision.until
        if step == self.table.steps:
            self.scheduler.end(number, step, score)
            return False
        return True

    def _launch(self, now):
        while len(self.heap) < self.slots:
            match self.scheduler.next():
                case Sample():
                    number = len(self.rows)
                    self.rows.append(next(self.suggestions))
                    self.steps[number] = 0
                case Promote(number):
                    pass
                case _:
                    return
            self.milestones[number] = self.scheduler.start(number).until
            self._push(now, number)

    def _push(self, now, number):
        seconds = self.table.seconds[self.rows[number], self.steps[number]]
        heapq.heappush(self.heap, (now + seconds, next(self.order), number))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", required=True, help="npz file of learning curves")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--only", help="names of schedulers, separated by ';'")
    options = parser.parse_args()
    table = Table(options.table)
    names = options.only.split(";") if options.only else list(SYSTEMS)
    runs = defaultdict(list)
    for seed in range(options.seeds):
        for name in names:
            runs[name].append(Run(table, SYSTEMS[name](), seed, options.slots))
    columns = " | ".join(f"regret @{share:.0%}" for share in MARKS)
    print(
        f"| {options.seeds} seeds | {columns} | within, median | mean | reached | trials | full |"
    )
    print("|" + "---|" * 9)
    for name in names:
        print(row(name, runs[name]))


def row(name, runs):
    regret = [statistics.median(run.regret[i] for run in runs) for i in range(len(MARKS))]
    within = [1.0 if run.within is None else run.within for run in runs]
    reached = sum(run.within is not None for run in runs)
    cells = [
        *(f"{value:.4f}" for value in regret),
        f"{statistics.median(within):.2f}",
        f"{statistics.mean(within):.2f}",
        f"{reached}/{len(runs)}",
        f"{statistics.median(len(run.rows) for run in runs):.0f}",
        f"{statistics.median(run.full for run in runs):.0f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
