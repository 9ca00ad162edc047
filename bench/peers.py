"""nbtune's schedulers beside the peers' own, in one run, on tables of learning curves.

    python bench/peers.py --peers FOLDER --table A_curves.npz B_curves.npz --seeds 60
        [--python VENV/bin/python ...] [--draws shared|own] [--slots 4] [--only 'nbtune *;ray *']

FOLDER holds ``d_multifidelity.py``, which plays a table on a virtual clock and has an adapter for
each peer's scheduler; nbtune's are played by the same code. Each interpreter given with
``--python`` has the libraries of one or more peers; every peer's systems run there, nbtune's in the
interpreter that runs this script, all in turn, seed by seed.

With ``--draws shared`` the n-th new trial of every system is the same configuration, seed by seed,
whatever the system's own random searcher suggests: what differs is the scheduler alone, and the
differences are paired. With ``--draws own`` each system plays its own searcher's suggestions.

A share is that of the budget until within 0.5 % of the table's best, 1 when it never is. Intervals
hold 95 % of 10,000 bootstrap means over the seeds; a difference whose interval holds 0 is a tie.
"""

import argparse
import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

MARKS = (1, 2, 3)  # of the player's marks: regret at 25, 50 and 100 % of the budget
REFERENCE = {"shared": "the same suggestions for every system", "own": "each system's suggestions"}

# The rule, nbtune's system, and the peers' systems with the same rule.
RULES = [
    ("no rule", "nbtune fifo", ["random"]),
    (
        "stopping",
        "nbtune hyperband",
        [
            "ray asha",
            "syne-tune 0.16 asha",
            "syne-tune 0.13 asha",
            "optuna halving",
            "optuna hyperband",
        ],
    ),
    ("promotion", "nbtune promotion", ["syne-tune 0.13 promotion"]),
    ("synchronous", "nbtune sync hyperband", ["syne-tune 0.13 sync hyperband"]),
    ("median", "nbtune median", ["ray median", "syne-tune 0.16 median", "optuna median"]),
]
DEFAULT = "nbtune hyperband"


# --- in the interpreter that has a peer


class Nbtune:
    """An nbtune scheduler with the player's three methods; the peers' interpreters lack nbtune."""

    def __init__(self, scheduler, space, seed, max_t, sample):
        self._scheduler, self._space, self._sample = scheduler, space, sample
        self._rng = np.random.default_rng(seed)
        self._until, self._params = {}, {}
        scheduler.setup(seed=seed, step_name="epoch", max_t=max_t)

    def suggest(self):
        from nbtune.decision import Promote, Sample

        move = self._scheduler.next()
        if isinstance(move, Sample):
            number = len(self._params)
            self._params[number] = self._sample(self._space, self._rng)
        elif isinstance(move, Promote):
            number = move.number
        else:
            return None
        self._until[number] = self._scheduler.start(number).until
        return number, self._params[number]

    def result(self, number, step, score):
        from nbtune.decision import Continue, Pause

        if self._until[number] is None or step < self._until[number]:
            return "continue"
        decision = self._scheduler.decide(number, step, score)
        if isinstance(decision, Continue):
            self._until[number] = decision.until
            return "continue"
        return "pause" if isinstance(decision, Pause) else "stop"

    def complete(self, number, step, score):
        self._scheduler.end(number, step, score)


def nbtune_systems(player):
    from nbtune.schedulers import FIFO, Hyperband, MedianRule, SyncHyperband

    makers = {
        "fifo": FIFO,
        "hyperband": Hyperband,
        "promotion": lambda: Hyperband(type="promotion"),
        "sync hyperband": lambda: SyncHyperband(resume=True, rounds=None),
        "median": MedianRule,
    }

    def system(make):
        return lambda space, seed: Nbtune(make(), space, seed, player.R, player.sample)

    found = {f"nbtune {name}": system(make) for name, make in makers.items()}
    return {**found, "random": player.SYS["random"]}


def peer_systems(player):
    """Return the systems of the peers that this interpreter has."""
    names = {
        "ray asha": "ray-asha",
        "optuna halving": "optuna-random-sha",
        "optuna hyperband": "optuna-random-hb",
        "syne-tune 0.16 asha": "syne16-asha",
        "syne-tune 0.13 asha": "syne13-asha-stop",
        "syne-tune 0.13 promotion": "syne13-asha-promo",
        "syne-tune 0.13 sync hyperband": "syne13-synchb",
    }
    found = {name: player.SYS[key] for name, key in names.items() if player.needs(key)}
    if player.needs("ray-asha"):
        found["ray median"] = ray_median(player)
    if player.needs("optuna-random-hb"):
        found["optuna median"] = player._mk("random", "median")  # MedianPruner() as it is
    if player.needs("syne16-asha"):
        found["syne-tune 0.16 median"] = syne_tune_median(player)
    return found


def ray_median(player):
    """Return Ray's MedianStoppingRule from the first epoch on; its default begins at 60."""

    class RayMedian(player.RandomFull):
        def __init__(self, space, seed):
            super().__init__(space, seed)
            from ray.tune.schedulers import MedianStoppingRule

            self.rule = MedianStoppingRule("epoch", "score", "max", grace_period=1)
            self.trials = {}

        def get_live_trials(self):
            """Answer as its controller: none waits, for whom it would pause a trial early on."""
            return []

        def suggest(self):
            number, config = super().suggest()
            self.trials[number] = player.SYS["ray-asha"].T(number)
            self.rule.on_trial_add(None, self.trials[number])
            return number, config

        def result(self, number, step, score):
            report = {"epoch": step, "score": score}
            answer = self.rule.on_trial_result(self, self.trials[number], report)
            return "stop" if answer == "STOP" else "continue"

        def complete(self, number, step, score):
            pass  # its last result is known already

    return RayMedian


def syne_tune_median(player):
    """Return Syne Tune's MedianStoppingRule, with its defaults, over its random search."""

    class SyneTuneMedian(player._Syne16):
        def make(self, space, seed):
            from syne_tune.optimizer.baselines import RandomSearch
            from syne_tune.optimizer.schedulers.median_stopping_rule import MedianStoppingRule

            search = RandomSearch(space, metrics=["score"], do_minimize=False, random_seed=seed)
            return MedianStoppingRule(search, "epoch", metric="score", do_minimize=False)

    return SyneTuneMedian


def table_of(player, path, seed, draws):
    """Return the player's table; with shared draws its rows come in an order of the seed."""

    class Shared(player.Table):
        def row(self, config, used=()):
            return super().row(player.sample(self.space, rng), used)

    path, rng = Path(path).resolve(), np.random.default_rng(seed)
    player.DATA = str(path.parent)
    kind = Shared if draws == "shared" else player.Table
    table = kind(path.name.removesuffix("_curves.npz"))
    player.R = table.score.shape[1]
    return table


def serve(folder):
    """Answer one JSON line for each that comes; the first answer lists the systems."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a peer prints is no answer
    sys.path.insert(0, folder)
    import d_multifidelity as player

    is_ours = os.environ["BENCH_OURS"] == "1"
    systems = nbtune_systems(player) if is_ours else peer_systems(player)
    print(json.dumps(list(systems)), file=answers)
    for line in sys.stdin:
        task = json.loads(line)
        player.WORKERS = task["slots"]
        table = table_of(player, task["table"], task["seed"], task["draws"])
        system = systems[task["system"]](table.space, task["seed"])
        regret, within, _, counts = player.play(table, system)
        answer = {"regret": regret, "within": within, "trials": counts["trials"]}
        print(json.dumps(answer), file=answers)


# --- in the script


class Player:
    """A process that plays the systems of one interpreter."""

    def __init__(self, python, folder, *, is_ours):
        env = {**os.environ, "OMP_NUM_THREADS": "1", "BENCH_OURS": "1" if is_ours else "0"}
        self._child = subprocess.Popen(
            [python, __file__, "--serve", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=env,
        )
        self.systems = self._answer()

    def play(self, **task):
        self._child.stdin.write(json.dumps(task) + "\n")
        return self._answer()

    def close(self):
        self._child.stdin.close()
        self._child.wait()

    def _answer(self):
        line = self._child.stdout.readline()
        if not line:
            raise SystemExit(f"{self._child.args}: ended with {self._child.wait()}")
        return json.loads(line)


def interval(values):
    """Return the 95 % bootstrap interval of the mean of `values`, shape (n,)."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (10_000, len(values))).mean(axis=1)
    return np.percentile(means, [2.5, 97.5])


def within(runs):
    return np.array([1.0 if run["within"] is None else run["within"] for run in runs])


def print_systems(title, runs):
    print(f"\n{title}\n")
    print("| system | regret at 25/50/100 % | share, median | mean [95 %] | reached | trials |")
    print("|---|---|---|---|---|---|")
    for name in sorted(runs, key=lambda name: within(runs[name]).mean()):
        regret = [np.median([run["regret"][i] for run in runs[name]]) for i in MARKS]
        shares = within(runs[name])
        low, high = interval(shares)
        reached = sum(run["within"] is not None for run in runs[name])
        trials = np.median([run["trials"] for run in runs[name]])
        print(
            f"| {name} | {'/'.join(f'{x:.4f}'.lstrip('0') for x in regret)} "
            f"| {np.median(shares):.3f} | {shares.mean():.3f} [{low:.3f}, {high:.3f}] "
            f"| {reached}/{len(shares)} | {trials:.0f} |"
        )


def print_pairs(title, tables):
    """Print each rule of ours less its peers, and the default less every peer, over `tables`."""
    print(f"\n{title}\n")
    print("| rule | nbtune less | mean share [95 %] | earlier/same/later | verdict |")
    print("|---|---|---|---|---|")
    peers = [peer for _, _, theirs in RULES[1:] for peer in theirs]
    for rule, ours, theirs in [*RULES, ("default", DEFAULT, peers)]:
        for peer in theirs:
            if all(ours in runs and peer in runs for runs in tables):
                print(pair_row(rule, peer, [within(r[ours]) - within(r[peer]) for r in tables]))


def pair_row(rule, peer, differences):
    by_seed = np.mean(differences, axis=0)
    low, high = interval(by_seed)
    verdict = "ahead" if high < 0 else "behind" if low > 0 else "tie"
    every = np.concatenate(differences)
    counts = f"{(every < 0).sum()}/{(every == 0).sum()}/{(every > 0).sum()}"
    mean = f"{by_seed.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"| {rule} | {peer} | {mean} | {counts} | {verdict} |"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--peers", help="folder of the peers' adapters")
    parser.add_argument("--table", nargs="+", help="NAME_curves.npz files of learning curves")
    parser.add_argument("--python", nargs="*", default=[], help="interpreters with the peers")
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--draws", choices=list(REFERENCE), default="shared")
    parser.add_argument("--only", default="*", help="patterns of systems, separated by ';'")
    options = parser.parse_args()
    if not options.serve and not (options.peers and options.table):
        parser.error("--peers and --table are needed")
    return options


def compare(options):
    players = [Player(sys.executable, options.peers, is_ours=True)]
    players += [Player(python, options.peers, is_ours=False) for python in options.python]
    patterns = options.only.split(";")
    where = {
        name: player
        for player in players
        for name in player.systems
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
    }
    tables = {path: {name: [] for name in where} for path in options.table}
    for seed in range(options.seeds):
        for path, runs in tables.items():
            for name, player in where.items():
                task = {"seed": seed, "slots": options.slots, "draws": options.draws}
                runs[name].append(player.play(system=name, table=path, **task))
    for player in players:
        player.close()
    words = f"{options.seeds} seeds, {options.slots} slots, {REFERENCE[options.draws]}"
    for path, runs in tables.items():
        print_systems(f"{Path(path).name}: {words}", runs)
        print_pairs(f"{Path(path).name}: nbtune less the peers, seed by seed", [runs])
    if len(tables) > 1:
        print_pairs(f"All {len(tables)} tables", list(tables.values()))


def main():
    options = arguments()
    if options.serve:
        serve(options.serve)
    else:
        compare(options)


if __name__ == "__main__":
    main()
