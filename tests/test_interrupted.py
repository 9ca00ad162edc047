"""A sweep that is interrupted anywhere and resumed decides as one that was not."""

import dataclasses
import json
import threading

import pytest
from driving import PATIENCE

from nbtune import Real, Sweep, load_checkpoint, report, save_checkpoint
from nbtune.context import CurrentTrial, Reporter, reporting
from nbtune.engine import TrialEnded, TrialReported, TrialStarted
from nbtune.engine.history import replay
from nbtune.engine.ledger import Run
from nbtune.schedulers import Hyperband, MedianRule, SyncHyperband, registry
from nbtune.searchers import Bayes, Points, Random
from nbtune.store import Batch, Store, TrialRow
from nbtune.trial import Status, Trial
from nbtune.workers import Inline, Local, Simulated

# Every scheduler as its name makes it, and those whose arguments make another rule of it.
forms = {name: (lambda name=name: registry.build(name)) for name in registry.names()} | {
    "hyperband, brackets": lambda: Hyperband(brackets=2),
    "promotion": lambda: Hyperband(type="promotion"),
    "promotion, brackets": lambda: Hyperband(type="promotion", brackets=2, reduction_factor=2),
    "sync_hyperband, resume": lambda: SyncHyperband(resume=True, rounds=None),
}
each = pytest.mark.parametrize("name", forms)


def train(quality: Real(0, 1), epochs: int = 9):
    for epoch in range(1, epochs + 1):
        report(epoch=epoch, accuracy=quality * (1 - 0.7**epoch) + (0.1 if epoch % 4 else -0.1))
        if epoch == 4 and 0.4 < quality < 0.5:
            raise ValueError("some fail")


def sweep(name, store, slots=1, **options):
    given = {"searcher": "random", "trials": 24, "workers": Simulated(slots), "seed": 5}
    return Sweep(
        train,
        maximize="accuracy",
        scheduler=forms[name](),
        name="whole",
        store=store,
        **{**given, **options},
    )


def watched(made):
    """Run a sweep; return all its events, in order."""
    events, over = [], threading.Event()
    made.subscribe(events.append)
    made.subscribe(lambda event: over.set() if type(event).__name__ == "SweepEnded" else None)
    made.run()
    assert over.wait(PATIENCE)
    return events


def as_it_stood(events):
    """Return the trials after `events`, as the store then had them."""
    trials: dict[int, Trial] = {}
    reports = {}
    for event in events:
        match event:
            case TrialStarted(trial) | TrialEnded(trial):
                trials[trial.number] = trial
                reports.setdefault(trial.number, list(trial.reports))
            case TrialReported(number, new):
                reports[number].extend(new)
    return [
        dataclasses.replace(trial, reports_so_far=reports[number], count=len(reports[number]))
        for number, trial in sorted(trials.items())
    ]


def interrupted(sweep, trials, folder):
    """Return the sweep in a store of its own, with these trials and its process gone."""
    store, space = Store(folder), sweep.space
    stored = sweep._row
    row = store.create(
        stored.name,
        goals=stored.goals,
        step_name=stored.step_name,
        plan=stored.plan,
        source=stored.source,
        seed=stored.seed,
        definition=stored.definition,
    )
    rows = [
        TrialRow(
            trial=trial,
            params=json.dumps(space.to_json(trial.params)),
            origin=_origin(trial),
        )
        for trial in trials
    ]
    reports = [(trial.number, each) for trial in trials for each in trial.reports]
    with store.connect() as connection:
        store.write(connection, row.id, Batch(trials=rows, reports=reports, status="running"))
    (store.folder(stored.name) / "objective.bin").write_bytes(
        (sweep.path / "objective.bin").read_bytes()
    )
    return Sweep.stored(store, store.sweep(stored.name))


def _origin(trial):
    return "suggested" if trial.number else "default"


def what_became(trials):
    return [(trial.params, trial.status, trial.steps, trial.reason) for trial in trials]


@each
# FEATURES A8
def test_a_resumed_sweep_decides_as_one_that_was_not_interrupted(name, tmp_path):
    whole = sweep(name, tmp_path / "whole")
    events = watched(whole)

    for cut in range(3, len(events), max(1, len(events) // 12)):
        again = interrupted(whole, as_it_stood(events[:cut]), tmp_path / str(cut))
        again.resume()
        assert again.wait(PATIENCE)

        assert what_became(again.snapshot().trials) == what_became(whole.snapshot().trials), cut


def told_again(done):
    """Return a fresh scheduler that was told the history of a sweep."""
    runs = [Run.from_trial(trial, "") for trial in done.snapshot().trials]
    scheduler = done._definition.setup_scheduler()
    replay(scheduler, runs, done.goal)
    return scheduler


def standings(scheduler):
    return scheduler.rungs_table(), [scheduler.explain(number) for number in range(24)]


@each
def test_a_history_told_again_brings_a_scheduler_to_where_it_stood(name, tmp_path):
    done = sweep(name, tmp_path, slots=5).run()

    assert standings(told_again(done)) == standings(done._engine._scheduler)


@pytest.mark.parametrize("name", ["hyperband", "promotion", "sync_hyperband", "median"])
def test_so_does_what_processes_reported_at_once(name, tmp_path):
    done = sweep(name, tmp_path, workers=Local(2)).run()

    assert standings(told_again(done)) == standings(done._engine._scheduler)


def keeping(quality: Real(0, 1)):
    for epoch in range(load_checkpoint(0) + 1, 10):
        save_checkpoint(epoch)
        report(epoch=epoch, accuracy=quality - 1 / epoch)


def save_until(last, folder):
    """Save checkpoints as a trial that reported so many steps."""
    here = CurrentTrial(number=int(folder.name), params={}, dir=folder, seed=0)
    with reporting(Reporter(here, lambda *_: None)):
        for epoch in range(1, last + 1):
            save_checkpoint(epoch)
            report(epoch=epoch)


# FEATURES A8 C3
def test_steps_before_a_checkpoint_count_in_the_budget_of_steps(tmp_path):
    whole = Sweep(
        keeping,
        maximize="accuracy",
        searcher="random",
        max_total_steps=15,
        workers=Inline(1),
        name="whole",
        store=tmp_path / "whole",
    ).run()
    first, second = whole.snapshot().trials
    cut = dataclasses.replace(second, status=Status.RUNNING, reason="", ended=None, count=8)
    again = interrupted(whole, [first, cut], tmp_path / "cut")
    save_until(8, again.path / "1")

    again.resume()
    assert again.wait(PATIENCE)

    assert len(again.snapshot().trials) == 2
    assert again.reason == whole.reason


@pytest.mark.parametrize("scheduler", [Hyperband(), SyncHyperband(9), MedianRule()])
# FEATURES A8
def test_a_trial_goes_on_from_its_checkpoint_past_the_rungs_behind_it(scheduler, tmp_path):
    whole = Sweep(
        keeping,
        maximize="accuracy",
        searcher=Points([{"quality": 0.5}]),
        scheduler=scheduler,
        workers=Inline(1),
        name="whole",
        store=tmp_path / "whole",
    ).run()
    [trial] = whole.snapshot().trials
    cut = dataclasses.replace(trial, status=Status.RUNNING, reason="", ended=None, count=5)
    again = interrupted(whole, [cut], tmp_path / "cut")
    save_until(5, again.path / "0")

    again.resume()
    assert again.wait(PATIENCE)

    [after] = again.snapshot().trials
    assert [each.step for each in after.reports] == [each.step for each in trial.reports]
    assert (after.status, after.reason) == (trial.status, trial.reason)


class Listening(Random):
    """Writes down all that it is told."""

    follows = "reports"
    heard: list[tuple] = []  # of all copies: a sweep uses one

    def observe(self, params, score, *, step, ended):
        self.heard.append(("observe", params["quality"], score, step, ended))

    def follow(self, params, scores, *, step, until):
        self.heard.append(("follow", params["quality"], scores, step, until))


@each
# FEATURES A6, A8
def test_a_resumed_sweep_tells_the_searcher_the_same_history_again(name, tmp_path, monkeypatch):
    monkeypatch.setattr(Listening, "heard", [])
    whole = sweep(name, tmp_path / "whole", searcher=Listening())
    events = watched(whole)
    told = list(Listening.heard)
    ends = [place for place, event in enumerate(events, 1) if isinstance(event, TrialEnded)]

    for cut in ends[2 :: max(1, len(ends) // 4)]:
        Listening.heard.clear()
        again = interrupted(whole, as_it_stood(events[:cut]), tmp_path / str(cut))
        again.resume()
        assert again.wait(PATIENCE)

        assert Listening.heard == told, cut


class Silent(Bayes):
    """Learns, and keeps what it has learnt from what is tried."""

    used: list["Silent"] = []

    def setup(self, space, *, seed):
        super().setup(space, seed=seed)
        self.used.append(self)

    def suggest(self, number, pending):
        return self.space.sample(number)


# FEATURES A6, A8
@pytest.mark.parametrize("data", ["rungs", "all", "rungs_and_last"])
def test_bayes_knows_as_much_after_an_interruption(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Silent, "used", [])
    searcher = Silent(searcher_data=data, maxt_pending=True)
    whole = sweep("promotion", tmp_path / "whole", searcher=searcher, trials=16)
    events = watched(whole)
    ends = [place for place, event in enumerate(events, 1) if isinstance(event, TrialEnded)]
    again = interrupted(whole, as_it_stood(events[: ends[9]]), tmp_path / "again")
    again.resume()
    assert again.wait(PATIENCE)

    first, last = (each for each in Silent.used if each._courses.count)

    assert Bayes.suggest(last, 50, []) == Bayes.suggest(first, 50, [])
