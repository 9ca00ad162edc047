"""The same seed gives the same sweep: what a suggestion sees depends on numbers, never on time."""

import os
import random
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from driving import PATIENCE
from hypothesis import given, settings
from hypothesis import strategies as st

import nbtune
from nbtune import Int, Real, Sweep, current_trial, report, schedulers
from nbtune.exceptions import SpecError
from nbtune.schedulers import FIFO, Hyperband, MedianRule, Patience, SyncHyperband
from nbtune.searchers import Bayes, Searcher
from nbtune.space import Space
from nbtune.trial import Status
from nbtune.workers import Local, Simulated

SPACE = Space({"x": Real(0, 1), "n": Int(1, 1000)})


class Sensitive(Searcher):
    """Suggests another point for the least difference in what it was told, and in what order."""

    def setup(self, space, *, seed):
        super().setup(space, seed=seed)
        self.told = []

    def suggest(self, number, pending):
        seen = zlib.crc32(repr((number, self.told, list(pending))).encode())
        self.why = f"{len(self.told)} told, {len(pending)} pending"
        return self.space.sample(np.random.default_rng((self.seed, seen)))

    def observe(self, params, score, *, step, ended):
        self.told.append((params, score, step, ended))


class Knife:
    """Stops a sweep in the middle of some trials, counted as they are begun."""

    def __init__(self):
        self.sweep, self.cuts, self.begun = None, [], 0

    def pass_by(self):
        self.begun += 1
        if self.cuts and self.begun > self.cuts[0]:
            self.cuts.pop(0)
            self.sweep.stop()


KNIFE = Knife()


def noise(*what):
    """Return a number in [0, 1) that is a function of `what`."""
    return zlib.crc32(repr(what).encode()) / 2**32


def train(x, n):
    """Report up to nine scores, a function of the params; one in ten fails on the way."""
    KNIFE.pass_by()
    for epoch in range(1, 10):
        if noise(x, n, epoch) > 0.99:
            raise ArithmeticError("it happens")
        report(epoch=epoch, score=x + noise(n, epoch))


def simulated(folder, *, slots, pace=0, cuts=(), scheduler="fifo", trials=16, **arguments):
    """Return all that must be the same about a sweep on virtual time, stopped at the `cuts`."""
    KNIFE.__init__()
    KNIFE.cuts = list(cuts)
    KNIFE.sweep = sweep = Sweep(
        train,
        SPACE,
        maximize="score",
        searcher=Sensitive(),
        scheduler=scheduler,
        workers=Simulated(slots, seconds=lambda params, step: 0.01 + noise(pace, params, step)),
        trials=trials,
        seed=3,
        store=folder,
        replace=True,
        name="sweep",
        **arguments,
    )
    sweep.enqueue({"x": 0.5})
    sweep.start().wait(PATIENCE)
    while sweep.status == "stopped":
        sweep.resume().wait(PATIENCE)
    return course(sweep)


def course(sweep):
    """Return each trial's params, end and scores, in order."""
    return [
        (trial.number, trial.params, trial.status, trial.curve("score"))
        for trial in sweep.snapshot().trials
    ]


ALONE = [FIFO(), Patience(2)]
ANY = [
    *ALONE,
    SyncHyperband(9),
    Hyperband(9),
    Hyperband(9, type="promotion"),
    MedianRule(min_samples=2),
]
cuts = st.lists(st.integers(0, 20), max_size=4).map(sorted)


@settings(max_examples=25, deadline=None)
@given(scheduler=st.sampled_from(ANY), cuts=cuts)
def test_one_slot_makes_the_same_sweep_after_any_stops(tmp_path_factory, scheduler, cuts):
    folder = tmp_path_factory.mktemp("store")

    whole = simulated(folder, slots=1, scheduler=scheduler)

    assert simulated(folder, slots=1, scheduler=scheduler, cuts=cuts) == whole


@settings(max_examples=25, deadline=None)
@given(
    slots=st.integers(2, 5),
    scheduler=st.sampled_from([*ALONE, SyncHyperband(9)]),
    pace=st.integers(1, 1000),
)
def test_several_slots_make_the_same_sweep_at_any_pace(tmp_path_factory, slots, scheduler, pace):
    folder = tmp_path_factory.mktemp("store")
    given = {"slots": slots, "scheduler": scheduler, "deterministic": True}

    once = simulated(folder, **given)

    assert simulated(folder, pace=pace, **given) == once


@settings(max_examples=25, deadline=None)
@given(
    slots=st.integers(2, 5),
    scheduler=st.sampled_from(ALONE),
    pace=st.integers(1, 1000),
    cuts=cuts,
)
def test_several_slots_make_the_same_sweep_after_any_stops(
    tmp_path_factory, slots, scheduler, pace, cuts
):
    folder = tmp_path_factory.mktemp("store")
    given = {"slots": slots, "scheduler": scheduler, "deterministic": True}

    once = simulated(folder, **given)

    assert simulated(folder, pace=pace, cuts=cuts, **given) == once


@pytest.mark.parametrize("name", [n for n in schedulers.registry.names() if n != "optuna_pruner"])
def test_several_slots_take_only_schedulers_that_no_race_decides(name, tmp_path):
    scheduler = schedulers.build(name)
    if name == "sync_hyperband":
        scheduler = SyncHyperband(9)

    def sweep():
        return Sweep(
            train,
            SPACE,
            maximize="score",
            scheduler=scheduler,
            trials=3,
            workers=2,
            deterministic=True,
            store=tmp_path,
        )

    if name in ("fifo", "patience", "sync_hyperband"):
        assert sweep().name
    else:
        with pytest.raises(SpecError, match=f"what {type(scheduler).__name__} decides depends on"):
            sweep()


@pytest.mark.parametrize("value", [2, "yes", None])
def test_deterministic_is_true_or_false(value, tmp_path):
    with pytest.raises(SpecError, match="give True or False"):
        Sweep(train, SPACE, maximize="score", trials=3, deterministic=value, store=tmp_path)


# --- on real workers, in real time


def sleepy(x: Real(0, 1), n: Int(1, 1000)):
    """Take a random time; report a function of the params, and the trial's own seed."""
    time.sleep(random.SystemRandom().uniform(0, 0.12))
    report(epoch=1, score=noise(x, n) + x, seed=current_trial().seed)


def seen(sweep):
    """Return each trial's params and metrics, its own seed among them."""
    assert sweep.counts[Status.COMPLETED] == len(sweep.snapshot().trials)
    return [(trial.params, trial.metrics) for trial in sweep.snapshot().trials]


def test_real_slots_in_a_race_make_the_same_sweep(tmp_path):
    def run(name):
        sweep = Sweep(
            sleepy,
            maximize="score",
            searcher=Bayes(4),
            workers=Local(3),
            trials=14,
            seed=1,
            deterministic=True,
            name=name,
            store=tmp_path,
        )
        sweep.enqueue({"x": 0.25})
        sweep.start()
        assert sweep.wait(120)
        return seen(sweep)

    assert run("one") == run("two")


KILLED = """
import os, sys, time
from pathlib import Path
import nbtune
from nbtune import Int, Real, Sweep, current_trial, report
from nbtune.searchers import Bayes

FOLDER = Path(os.environ["NBTUNE_STORE"]).parent

def train(x: Real(0, 1), n: Int(1, 1000)):
    report(epoch=1, score=x * n)
    fatal = FOLDER / f"kill-{current_trial().number}"
    if fatal.exists():
        fatal.unlink()
        os.kill(int((FOLDER / "pid").read_text()), 9)
        time.sleep(60)
    report(epoch=2, score=(x * n) % 7 + x, seed=current_trial().seed)

if __name__ == "__main__":
    (FOLDER / "pid").write_text(str(os.getpid()))
    try:
        nbtune.load("killed").resume().wait()
    except nbtune.SweepError:
        Sweep(
            train, maximize="score", searcher=Bayes(3), workers=int(sys.argv[1]), trials=10, seed=4,
            deterministic=True, name="killed",
        ).run()
"""


@pytest.mark.parametrize("slots", [1, 2])
def test_a_killed_sweep_comes_out_as_if_it_had_not_been(slots, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(KILLED)

    def run(folder, *fatal):
        folder.mkdir()
        for number in fatal:
            (folder / f"kill-{number}").touch()
        command = [sys.executable, str(script), str(slots)]
        environment = {**os.environ, "NBTUNE_STORE": str(folder / "store")}
        codes = [
            subprocess.run(command, env=environment, check=False).returncode for _ in (*fatal, 0)
        ]
        assert codes == [-9] * len(fatal) + [0]
        return seen(nbtune.load("killed", folder / "store"))

    whole = run(tmp_path / "whole")

    assert run(tmp_path / "cut", 1, 7) == whole
    assert len(whole) == 10
