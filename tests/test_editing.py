"""A space that is edited before, between and during a sweep's runs."""

import re
import sqlite3
import threading
from contextlib import closing

import pytest

import nbtune
from nbtune import Choice, Int, ObjectiveError, Real, Space, SpaceError, Sweep, SweepError, report
from nbtune.engine import SweepStatus
from nbtune.searchers import Bayes, Grid, Iterative, Points
from nbtune.store import MIGRATIONS, Store
from nbtune.trial import Status
from nbtune.widgets import content
from nbtune.workers import Inline, Simulated


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def valley(x: Real(-4, 4) = 3.0, kind: Choice("a", "b") = "a", n: int = 2):
    report(epoch=1, loss=(x - 1) ** 2 + (kind == "b") + n)


def edits_itself(x: Real(-4, 4) = 3.0, kind: Choice("a", "b") = "a"):
    # A trial holds its slot until it returns: what comes after it is of the new space.
    if nbtune.current_trial().number == 4:
        nbtune.load("live").edit(x=Real(0, 8), kind=Choice("b", "c"))
    report(epoch=1, loss=(x - 1) ** 2 + (kind == "b"))


def sweep(objective=valley, **options):
    defaults = {"minimize": "loss", "trials": 6, "workers": Inline(1), "seed": 0, "name": "swept"}
    return Sweep(objective, **{**defaults, **options})


def column(made, name):
    return made.trials[f"params.{name}"].tolist()


# --- before, between, during


def test_before_the_start_the_space_is_simply_another():
    made = sweep()
    made.edit(x=Real(5, 9))

    made.run()

    assert all(5 <= x <= 9 for x in column(made, "x"))
    assert made.edits.empty


def test_a_sweep_that_was_stopped_goes_on_in_the_new_space():
    made = sweep(trials=3).run()
    made.edit(x=Real(5, 9), kind="b")

    made.resume(trials=8).wait()

    assert all(-4 <= x <= 4 for x in column(made, "x")[:3])
    assert all(5 <= x <= 9 for x in column(made, "x")[3:])
    assert column(made, "kind")[3:] == ["b"] * 5


def test_a_running_sweep_goes_on_in_the_new_space_from_the_next_trial_on():
    made = sweep(edits_itself, trials=9, name="live", searcher="random").run()

    assert made.status is SweepStatus.COMPLETED
    assert all(-4 <= x <= 4 for x in column(made, "x")[:5])
    assert all(0 <= x <= 8 for x in column(made, "x")[5:])
    assert set(column(made, "kind")[5:]) == {"b", "c"}
    assert made.trial(4).status is Status.COMPLETED  # it ran on as it was


@pytest.mark.parametrize("searcher", ["random", "grid"])
def test_a_sweep_that_was_resumed_after_an_edit_is_as_one_that_ran_on(searcher, tmp_path):
    options = {"workers": Simulated(1), "name": "live", "searcher": searcher}
    whole = sweep(widens_itself, trials=9, **options).run()
    part = sweep(widens_itself, trials=6, **options, replace=True).run()

    again = nbtune.load("live").resume(trials=9)
    again.wait()

    tried = [[t.params for t in made.snapshot().trials] for made in (again, whole)]
    assert part.edits["trial"].tolist() == [5, 5]
    assert tried[0] == tried[1]


def widens_itself(n: Int(1, 7) = 1, kind: Choice("a", "b") = "a"):
    if nbtune.current_trial().number == 4 and nbtune.load("live").edits.empty:
        nbtune.load("live").edit(n=Int(1, 5), kind=Choice("b", "a", "c"))
    return {"loss": n}


def test_the_searcher_is_told_the_same_live_and_after_a_restart():
    told = []

    class Listening(Bayes):
        apart = False  # what it notes is read here

        def suggest(self, number, pending):
            told.append((number, list(self._courses.last.items())))
            return super().suggest(number, pending)

    made = sweep(edits_itself, trials=9, name="live", searcher=Listening(n_initial=3)).run()
    _, results = told[-1]
    told.clear()
    made.resume(trials=10).wait()
    number, results_again = told[0]

    assert number == 8  # trial 0 was of the defaults
    assert len(results) >= 2
    assert results_again[: len(results)] == results


def test_trials_of_the_old_space_stay_in_all_tables_and_views():
    made = sweep(edits_itself, trials=9, name="live").run()
    again = nbtune.load("live")

    for each in (made, again):
        assert list(each.trials["params.kind"][:5]) == column(made, "kind")[:5]
        snapshot = each.snapshot()
        axes = each.plot.parallel().data[0].dimensions
        by_label = {axis.label: axis for axis in axes}
        assert by_label["kind"].ticktext == ("a", "b", "c")
        low, high = by_label["x"].range
        assert low <= -4 < 8 <= high
        assert all(low <= value <= high for value in by_label["x"]["values"])
        listed = content.table(snapshot, range(len(snapshot.trials)))
        assert listed["names"] == ["x", "kind"]
        assert len(listed["rows"]) == 9
        assert content.panel(snapshot, snapshot.trials[0])["params"]
        each.plot.curves()


def test_a_param_that_is_fixed_keeps_its_axis_and_its_column():
    made = sweep(trials=4).run()
    made.edit(x=0.5)
    made.resume(trials=6).wait()

    assert column(made, "x")[4:] == [0.5, 0.5]
    assert [axis.label for axis in made.plot.parallel().data[0].dimensions][:2] == ["x", "kind"]
    assert content.table_columns(made.snapshot()) == ["x", "kind"]


def test_the_plan_says_what_was_edited():
    made = sweep(edits_itself, trials=7, name="live").run()

    assert made.snapshot().plan.endswith("space edited: x, kind at trial 5")
    assert nbtune.load("live").snapshot().plan.endswith("space edited: x, kind at trial 5")


def test_edits_are_listed_with_time_and_trial():
    made = sweep(edits_itself, trials=7, name="live").run()

    table = nbtune.load("live").edits

    assert table.equals(made.edits)
    assert list(table.columns) == ["time", "trial", "param", "before", "after"]
    assert table[["trial", "param", "before", "after"]].to_numpy().tolist() == [
        [5, "x", "Real(-4.0, 4.0).with_default(3.0)", "Real(0.0, 8.0).with_default(3.0)"],
        [5, "kind", "Choice('a', 'b').with_default('a')", "Choice('b', 'c')"],
    ]
    started = made.trials["started"]
    assert started[4] <= table["time"][0] <= started[5]


def test_an_edited_sweep_moves_with_its_edits(tmp_path):
    made = sweep(edits_itself, trials=7, name="live").run()

    moved = Sweep.from_state_dict(made.state_dict(), store=tmp_path / "there")

    assert moved.space == made.space
    assert moved.trials["params.kind"].equals(made.trials["params.kind"])
    assert moved.edits.equals(made.edits)


def test_the_best_of_a_former_space_is_still_the_best():
    made = sweep(trials=4).run()
    made.edit(x=Real(50, 60))
    made.resume(trials=6).wait()

    assert made.best.number < 4
    assert made.apply({}) == made.best_params


def test_enqueued_params_are_of_the_space_as_it_is():
    made = sweep(trials=3).run()
    made.edit(x=Real(5, 9))

    with pytest.raises(SpaceError, match=r"x: got 1.0"):
        made.enqueue({"x": 1.0})
    made.enqueue({"x": 8.0})
    made.resume(trials=4).wait()

    assert column(made, "x")[3] == 8.0


# --- what may change


def test_what_is_assigned_is_the_whole_space_and_what_it_lacks_is_fixed():
    made = sweep(trials=3).run()

    made.space = {"x": Real(-1, 1)}

    assert made.space == Space({"x": Real(-1, 1), "kind": "a"})


def test_a_domain_keeps_its_default_where_that_is_inside():
    made = sweep()

    made.edit(x=Real(0, 8))

    assert made.space.defaults["x"] == 3.0


def test_a_parameter_of_the_function_may_be_added():
    made = sweep(trials=4).run()
    made.edit(n=Int(1, 5))

    made.resume(trials=8).wait()

    assert made.space["n"].default == 2
    assert set(column(made, "n")[4:]) <= {1, 2, 3, 4, 5}
    assert made.trials["params.n"][:4].isna().all()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"y": Real(0, 1)}, ObjectiveError, "'y' is not a parameter of valley. Known: x, kind, n"),
        ({"x": "high"}, SpaceError, "x: got 'high'"),
        ({"x": Real}, SpaceError, "x: got the class Real. Call it"),
    ],
)
def test_what_the_objective_cannot_take_is_refused(changes, error, message):
    made = sweep(trials=3).run()

    with pytest.raises(error, match=message):
        made.edit(**changes)

    assert made.edits.empty


def test_a_number_may_be_fixed_outside_its_bounds():
    made = sweep()

    made.edit(x=100)

    assert made.space["x"].value == 100


def test_an_edit_that_changes_nothing_is_none():
    made = sweep(trials=3).run()

    made.edit(kind=Choice("a", "b"))

    assert made.edits.empty


def test_params_that_wait_must_be_in_the_new_space():
    made = sweep()
    made.enqueue({"x": 4.0})

    with pytest.raises(SpaceError, match=r"x: got 4.0"):
        made.edit(x=Real(0, 1))


# --- searchers


def two(k: Choice("a", "b"), n: Choice(1, 2)):
    if (k, n) == ("a", 2) and nbtune.load("live").edits.empty:
        nbtune.load("live").edit(n=Choice(1, 2, 3), k=Choice("a", "c"))
    return {"loss": n}


def test_a_grid_walks_what_is_untried_of_the_new_product():
    made = sweep(two, searcher=Grid(), trials=None, name="live").run()

    assert [(t.params["k"], t.params["n"]) for t in made.snapshot().trials] == [
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("c", 1),
        ("c", 2),
        ("c", 3),
    ]
    assert made.reason == "every suggestion tried"


def test_a_grid_that_is_done_goes_on_when_it_is_widened():
    def one(n: Choice(1, 2)):
        return {"loss": n}

    made = sweep(one, searcher=Grid(), trials=None).run()
    made.edit(n=Choice(1, 2, 3)).resume().wait()

    assert column(made, "n") == [1, 2, 3]


def test_a_grid_refuses_what_it_cannot_walk():
    made = sweep(two, searcher=Grid(), trials=1).run()

    with pytest.raises(SpaceError, match="infinitely many values"):
        made.edit(n=Real(0, 1))

    assert made.space["n"] == Choice(1, 2)


def test_rounds_keep_to_their_space():
    def tuner(iteration):
        return [{"x": float(iteration)}]

    made = sweep(searcher=Iterative(tuner, 2), trials=None).run()

    with pytest.raises(SweepError, match="Iterative keeps to the space in which it started"):
        made.edit(x=Real(0, 1))


def test_listed_points_must_be_in_the_new_space():
    made = sweep(searcher=Points([{"x": 1.0}, {"x": -2.0}]), trials=1).run()

    with pytest.raises(SpaceError, match=r"params\[1\]: x: got -2.0"):
        made.edit(x=Real(0, 1))


def test_several_objectives_go_on_too():
    def both(x: Real(-4, 4), y: Real(0, 1)):
        return {"loss": x * x, "size": x + y}

    made = sweep(both, minimize=["loss", "size"], trials=12).run()
    made.edit(x=Real(-1, 1), y=0.5).resume(trials=16).wait()

    assert all(-1 <= x <= 1 for x in column(made, "x")[12:])
    assert column(made, "y")[12:] == [0.5] * 4


def test_on_a_virtual_clock_too():
    made = sweep(workers=Simulated(2), trials=5).run()

    made.edit(x=Real(5, 9)).resume(trials=9).wait()

    assert all(5 <= x <= 9 for x in column(made, "x")[5:])


# --- resumed code, old stores


def test_new_code_may_declare_the_first_space_or_the_present_one():
    made = sweep(trials=3).run()
    made.edit(x=Real(5, 9))

    made.resume(objective=valley, trials=4).wait()
    with pytest.raises(SpaceError, match=r"change it by .edit"):
        made.resume(objective=two, trials=5)

    assert column(made, "x")[3] >= 5


def test_a_store_from_before_there_were_edits_is_migrated(store):
    made = sweep(trials=2).run()
    with closing(sqlite3.connect(store / "nbtune.sqlite")) as connection:
        before = next(n for n, script in enumerate(MIGRATIONS) if "CREATE TABLE edits" in script)
        later = "".join(MIGRATIONS[before:])
        for table in re.findall(r"CREATE TABLE (\w+)", later):
            connection.execute(f"DROP TABLE {table}")
        for table, column in re.findall(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", later):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute(f"PRAGMA user_version={before}")

    again = nbtune.load("swept")

    assert again.edits.empty
    assert len(again.trials) == 2
    assert Store().edits(1) == []
    assert made.name == "swept"


def test_a_sweep_from_before_there_were_edits_and_warm_starts_is_loaded():
    made = sweep(trials=2)._definition
    old = object.__new__(type(made))

    old.__setstate__(made.__getstate__()[:-2])

    assert (old.earlier, old.edits) == ((), ())
    assert old.timeline.now == made.space


def test_an_option_that_cannot_be_stored_is_refused():
    made = sweep(trials=2).run()

    with pytest.raises(SpaceError, match="cannot be stored"):
        made.edit(kind=Choice("a", threading.Lock()))

    assert made.edits.empty
