"""What ended a trial or a sweep is data, and its sentence says what the data says."""

import sqlite3
from contextlib import closing

import pytest

from nbtune import Real, Sweep, load, report
from nbtune.ended_by import EndedBy, EndKind
from nbtune.schedulers import Hyperband
from nbtune.store import MIGRATIONS, Store
from nbtune.workers import Inline, Simulated


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


def train(x: Real(0, 1)):
    for epoch in range(1, 10):
        report(epoch=epoch, loss=x / epoch)


def run(**options):
    given = {"searcher": "random", "trials": 9, "workers": Inline(1), "seed": 1, "name": "digits"}
    return Sweep(train, minimize="loss", **{**given, **options}).run()


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"kind": EndKind.COMPLETED}, ""),
        ({"kind": EndKind.USER, "text": "killed by you"}, "killed by you"),
        ({"kind": EndKind.USER}, "stopped by you"),
        ({"kind": EndKind.SCHEDULER, "rung": 3, "rank": 7, "of": 9}, "rung 3: 7 of 9"),
        (
            {"kind": EndKind.SCHEDULER, "text": "waits", "left_paused": True},
            "waits; not promoted when the sweep ended",
        ),
        (
            {"kind": EndKind.LIMIT, "limit": "time_limit", "allowed": 60.0, "used": 61.5},
            "time limit of 60 s reached",
        ),
        (
            {"kind": EndKind.LIMIT, "limit": "trials", "allowed": 5, "used": 5},
            "5 of 5 trials",
        ),
        (
            {"kind": EndKind.SWEEP, "text": "stopped by you", "killed_after": 5.0},
            "stopped by you; killed, it did not report within 5 s",
        ),
    ],
)
def test_the_sentence_is_made_from_the_facts(facts, sentence):
    assert EndedBy(**facts).reason == sentence


def test_a_trial_that_its_scheduler_stopped_says_where_it_stood():
    done = run(scheduler=Hyperband(max_t=9))

    stopped = [trial for trial in done.snapshot().trials if trial.status == "stopped"]
    assert stopped
    for trial in stopped:
        assert trial.ended_by.kind is EndKind.SCHEDULER
        assert trial.ended_by.rung == trial.steps
        assert 1 <= trial.ended_by.rank <= trial.ended_by.of


def test_a_sweep_that_its_budget_ended_says_which_and_how_much():
    ended_by = run(trials=3).snapshot().ended_by

    assert (ended_by.kind, ended_by.limit) == (EndKind.LIMIT, "trials")
    assert (ended_by.allowed, ended_by.used) == (3, 3)


def test_what_ended_it_is_stored_and_goes_where_the_sweep_is_taken(tmp_path):
    done = run(scheduler=Hyperband(max_t=9))
    ours = [done.snapshot().ended_by, *(trial.ended_by for trial in done.snapshot().trials)]

    stored = Sweep.stored(Store(), Store().sweep("digits")).snapshot()
    taken = Sweep.from_state_dict(done.state_dict(), store=tmp_path / "other").snapshot()

    assert [stored.ended_by, *(trial.ended_by for trial in stored.trials)] == ours
    assert [taken.ended_by, *(trial.ended_by for trial in taken.trials)] == ours


def test_of_an_older_store_it_is_known_which_trials_the_stop_of_their_sweep_ended(store):
    before = next(n for n, script in enumerate(MIGRATIONS) if "COLUMN ended_by" in script)
    store.path.mkdir()
    with closing(sqlite3.connect(store.file)) as connection:
        for script in MIGRATIONS[:before]:
            connection.executescript(script)
        connection.execute(
            "INSERT INTO sweeps (name, status, reason, goals, step_name, plan, source, seed, "
            "created, definition) VALUES ('old', 'stopped', 'stopped by you', "
            '\'[{"metric": "loss", "direction": "minimize"}]\', '
            "'epoch', '', '', 1, 0.0, x'00')"
        )
        for number, (status, reason) in enumerate(
            [
                ("stopped", "stopped by you; killed"),
                ("stopped", "killed by you"),
                ("paused", "rung 3: 2 of 4; not promoted when the sweep ended"),
            ]
        ):
            connection.execute(
                "INSERT INTO trials (sweep, number, params, origin, status, reason) "
                "VALUES (1, ?, '{}', '', ?, ?)",
                (number, status, reason),
            )
        connection.execute(f"PRAGMA user_version={before}")
        connection.commit()
    store.file.chmod(0o600)

    trials = [trial for trial, _, _ in store.trials(store.sweep("old"))]

    assert [trial.ended_by and trial.ended_by.kind for trial in trials] == [
        EndKind.SWEEP,
        None,
        EndKind.SCHEDULER,
    ]
    assert trials[2].ended_by.reason == "rung 3: 2 of 4"


def test_what_the_progress_says_is_not_said_twice():
    done = run(searcher="random", trials=1_000, workers=Simulated(8))

    assert repr(done).count("trials") == 1
    assert repr(load("digits")).count("trials") == 1
