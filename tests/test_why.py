"""Why each trial was tried: said by the searcher, kept with the trial, shown."""

import sqlite3
from contextlib import closing

import pytest

import nbtune
from nbtune import Choice, Real, Sweep, report
from nbtune.engine.apart import DistantMind
from nbtune.engine.mind import Mind
from nbtune.schedulers import Hyperband
from nbtune.searchers import (
    Bayes,
    Chain,
    Grid,
    Iterative,
    OptunaSearcher,
    Points,
    Random,
    Searcher,
)
from nbtune.searchers.scalarised import Scalarised, draw_weights
from nbtune.space import Space
from nbtune.trial import Goal, noted, shortened_why
from nbtune.workers import Inline, Simulated

SPACE = Space({"lr": Choice(1, 2, 3), "kind": Choice("a", "b")})


class Wordy(Searcher):
    """Gives long reasons."""

    def suggest(self, number, pending):
        self.why = "because\n" * 100
        return {"lr": 1, "kind": "a"}

    def observe(self, params, score, *, step, ended):
        pass


class Silent(Wordy):
    """Gives none."""

    def suggest(self, number, pending):
        return {"lr": 1, "kind": "a"}


def reasons(searcher, count=3, space=SPACE):
    searcher.setup(space, seed=0)
    pending, said = [], []
    for number in range(count):
        pending.append(searcher.suggest(number, list(pending)))
        said.append(searcher.why)
    return said


def rounds(iteration):
    return [{"lr": 1}, {"lr": 2}]


@pytest.mark.parametrize(
    ("searcher", "expected"),
    [
        (Random(), ["random draw"] * 3),
        (Grid(), ["point 1 of 6", "point 2 of 6", "point 3 of 6"]),
        (Grid(repeat=2), ["point 1 of 12", "point 2 of 12", "point 3 of 12"]),
        (Points([{"lr": 2}, {"lr": 1}, {"lr": 2}]), ["row 1 of 3", "row 2 of 3", "row 3 of 3"]),
        (Chain(), ["lr in turn, the others at their best so far"] * 3),
        (
            Chain(use_best=False),
            [
                *["lr in turn, the others at their defaults"] * 3,
                "kind in turn, the others at their defaults",
            ],
        ),
        (Iterative(rounds, 4), ["round 1 of 4"] * 2),
        (OptunaSearcher("RandomSampler"), ["RandomSampler"] * 3),
        (OptunaSearcher(), ["TPESampler"] * 3),
    ],
)
def test_searchers_give_their_reason(searcher, expected):
    assert reasons(searcher, len(expected)) == expected


def test_joined_scores_say_their_weights():
    searcher = Scalarised(OptunaSearcher("RandomSampler"))
    searcher.set_goals([Goal(metric=m, direction="maximize") for m in ("accuracy", "size")])

    [why] = reasons(searcher, 1)

    accuracy, size = draw_weights(2, seed=0, number=0)
    assert why == f"{accuracy:.2g} accuracy + {size:.2g} size: RandomSampler"


@pytest.mark.parametrize("make", [Mind, DistantMind])
def test_a_reason_is_one_line_of_at_most_200_characters(make):
    mind = make(ready(Wordy()))

    why = mind.suggest(0).why
    mind.close()

    assert why.startswith("because because")
    assert why.endswith("…")
    assert len(why) <= 200


def ready(searcher):
    searcher.setup(SPACE, seed=0)
    return searcher


def test_a_searcher_of_ones_own_need_not_give_any():
    assert Mind(ready(Silent())).suggest(0).why == ""


def test_a_note_is_kept_where_the_reason_is_too_long():
    why = noted("x" * 300, "promoted from rung 3")

    assert why.endswith("…; promoted from rung 3")
    assert len(why) == 200
    assert noted("", "promoted") == "promoted"
    assert shortened_why("a\n b") == "a b"


def objective(lr: Real(0, 1)):
    for epoch in range(1, 10):
        report(epoch=epoch, score=lr * epoch)


def run(folder, **arguments):
    sweep = Sweep(
        objective,
        **{
            "maximize": "score",
            "searcher": "random",
            "workers": Simulated(1),
            "trials": 6,
            "seed": 0,
            "store": folder,
            **arguments,
        },
    )
    sweep.enqueue({"lr": 0.25})
    return sweep.run()


def test_reasons_are_kept_with_the_trials(tmp_path):
    sweep = run(tmp_path)

    whys = ["default", "enqueued by you", *["random draw"] * 4]
    assert [trial.why for trial in sweep.snapshot().trials] == whys
    assert list(nbtune.load("objective", tmp_path).trials["why"]) == whys
    assert sweep.trials.columns[-1] == "why"
    moved = Sweep.from_state_dict(sweep.state_dict(), name="moved", store=tmp_path / "b")
    assert list(moved.trials["why"]) == whys


def test_a_promoted_trial_says_from_where(tmp_path):
    sweep = run(tmp_path, scheduler=Hyperband(9, type="promotion"), trials=12)

    whys = list(nbtune.load(sweep.name, tmp_path).trials["why"])
    assert "random draw; promoted from rung 3" in whys


def test_a_reason_from_the_searchers_own_process_arrives(tmp_path):
    class Sayer(Bayes):
        def suggest(self, number, pending):
            params = super().suggest(number, pending)
            self.why = f"thought {number}"
            return params

    sweep = run(tmp_path, searcher=Sayer(3), workers=Inline(1), trials=4)

    assert list(sweep.trials["why"])[2:] == ["thought 0", "thought 1"]


def test_a_store_from_before_reasons_is_brought_up_to_date(tmp_path):
    run(tmp_path)
    with closing(sqlite3.connect(tmp_path / "nbtune.sqlite")) as connection:
        connection.execute("ALTER TABLE trials DROP COLUMN why")
        for table in ("edits", "warnings", "requests"):
            connection.execute(f"DROP TABLE {table}")
        for table in ("sweeps", "trials"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN ended_by")
            connection.execute(f"ALTER TABLE {table} DROP COLUMN ended_facts")
        connection.execute("PRAGMA user_version=2")

    assert list(nbtune.load("objective", tmp_path).trials["why"]) == [""] * 6
