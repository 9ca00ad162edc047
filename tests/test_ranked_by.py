"""By which value a trial is ranked: its last, or the best of all its steps, the same everywhere."""

import math
import pickle

import pytest

import nbtune
from nbtune import Real, SpecError, Sweep, report
from nbtune.decision import Continue
from nbtune.engine.ledger import Run
from nbtune.plots.lines import CurveBook
from nbtune.schedulers import MedianRule, Scheduler
from nbtune.searchers import Points, Random
from nbtune.stopping import Plateau
from nbtune.trial import Goal, Report, Trial
from nbtune.widgets import content
from nbtune.workers import Inline

LAST = Goal(metric="loss", direction="minimize")
BEST = Goal(metric="loss", direction="minimize", by="best")
EARLY, LATE = [0.3, 0.1, 0.9], [0.5, 0.4, 0.2]  # the better of a step, the better at the end


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def curved(early: Real(0, 1) = 1.0):
    for epoch, loss in enumerate(EARLY if early > 0.5 else LATE, start=1):
        report(epoch=epoch, loss=loss)


def sweep(**options):
    given = {"minimize": "loss", "searcher": Points([{"early": 1.0}, {"early": 0.0}])}
    return Sweep(curved, **{**given, "workers": Inline(1), "seed": 1, "name": "curved", **options})


def reports(values):
    return [Report(step, {"loss": value}, step) for step, value in enumerate(values, start=1)]


def test_the_last_value_ranks_a_trial_unless_told_otherwise():
    done = sweep().run()

    assert (done.best.number, done.best_value) == (1, 0.2)


def test_by_best_ranks_a_trial_by_the_best_that_it_reached():
    done = sweep(by="best").run()

    assert (done.best.number, done.best_value) == (0, 0.1)
    assert [trial.number for trial in done.top()] == [0, 1]
    assert "best loss 0.1 in trial 0" in repr(done)


def test_a_stored_sweep_keeps_by_what_it_ranks():
    sweep(by="best").run()

    loaded = nbtune.load("curved")

    assert loaded.goal.by == "best"
    assert loaded.best_value == 0.1


def test_a_sweep_in_a_state_dict_keeps_by_what_it_ranks(tmp_path):
    state = sweep(by="best").run().state_dict()

    assert Sweep.from_state_dict(state, store=tmp_path / "other").best_value == 0.1


@pytest.mark.parametrize(("by", "told"), [("last", [0.3, 0.1, 0.9]), ("best", [0.3, 0.1, 0.1])])
def test_the_scheduler_is_told_what_counts(by, told):
    sweep(by=by, scheduler=Noting(), searcher=Points([{"early": 1.0}])).run()

    assert [-score for score in heard] == told


@pytest.mark.parametrize(("by", "told"), [("last", -0.9), ("best", -0.1)])
def test_the_searcher_is_told_what_counts(by, told):
    sweep(by=by, searcher=Learning(), trials=1).run()

    assert observed == [told]


def test_a_scheduler_that_is_told_its_history_again_is_told_what_counts():
    done = sweep(by="best", scheduler=MedianRule(min_samples=1)).run()

    first = done.explain(1)  # 0.5, where the other had 0.3

    assert (first.rung, first.score) == (1, -0.5)
    again = nbtune.load("curved")
    assert again.explain(1) == first


def test_of_several_goals_each_has_its_own_best():
    def two(x: Real(0, 1) = 0.5):
        report(epoch=1, loss=0.1, size=9.0)
        report(epoch=2, loss=0.7, size=3.0)

    done = Sweep(
        two, minimize=["loss", "size"], by="best", trials=1, searcher="random", workers=Inline(1)
    ).run()

    assert done.best_value == [{"loss": 0.1, "size": 3.0}]


def test_a_plateau_counts_what_ranks_the_trials():
    goals = [BEST, Goal(metric="size", direction="minimize", by="best")]
    rule = Plateau(seconds=10)
    rule.setup(goals)

    rule.reported(0, {"loss": 0.1, "size": 9.0}, 0.0)
    rule.reported(0, {"loss": 0.7, "size": 3.0}, 8.0)  # with the loss of before, better than before

    assert rule.deadline() == 18.0


def test_a_replay_ranks_as_it_is_told():
    curves = {"early": EARLY, "late": LATE}

    assert nbtune.replay(curves, minimize="loss", scheduler="fifo").best == 0.2
    assert nbtune.replay(curves, minimize="loss", scheduler="fifo", by="best").best == 0.1


def test_an_earlier_sweep_informs_one_that_ranks_otherwise():
    sweep().run()

    later = sweep(name="later", by="best", searcher=Learning(), warm_start="curved", trials=1)
    later.run()

    assert hinted[-2:] == [-0.1, -0.2]


def test_a_value_that_is_no_number_is_never_the_best():
    trial = Trial(number=0, params={}, reports_so_far=reports([math.nan, 0.2, -math.inf]), count=3)

    assert trial.point_for(BEST) == (2, 0.2)


def test_a_trial_of_nothing_but_nan_has_nan():
    trial = Trial(number=0, params={}, reports_so_far=reports([math.nan, math.nan]), count=2)

    assert math.isnan(trial.value_for(BEST))


def test_what_counts_is_known_after_each_report():
    run = Run(0, {}, "suggested")
    run.reports = reports([0.3, 0.1, 0.9])

    assert [run.value_for(BEST, count) for count in (0, 1, 2, 3)] == [None, 0.3, 0.1, 0.1]
    assert [run.value_for(LAST, count) for count in (1, 2, 3)] == [0.3, 0.1, 0.9]


def test_reports_that_are_taken_back_count_no_more():
    run = Run(0, {}, "suggested")
    run.reports = reports([0.3, 0.1])
    run.value_for(BEST)

    run.take_back(1)
    run.reports.extend([Report(2, {"loss": 0.2}, 2)])

    assert run.value_for(BEST) == 0.2


def test_the_dashboard_says_that_the_best_of_the_steps_counts():
    snapshot = sweep(by="best").run().snapshot()

    shown = content.best(snapshot)

    assert shown["value"] == "0.1"
    assert shown["line"] == "loss, best of epochs · trial 0 · epoch 2"


def test_the_table_ranks_and_shows_what_counts():
    snapshot = sweep(by="best").run().snapshot()
    book = CurveBook("loss")
    book.read(snapshot.trials)

    table = content.table(snapshot, content.ranked(snapshot, book))

    assert table["metrics"] == ["loss, best of epochs"]
    assert [(number, values) for number, values, *_ in table["rows"]] == [
        (0, ["0.1000"]),
        (1, ["0.2000"]),
    ]


def test_a_goal_that_was_pickled_without_a_reading_ranks_by_the_last_value():
    old = Goal.__new__(Goal)

    old.__setstate__(["loss", "minimize"])

    assert old == LAST
    assert pickle.loads(pickle.dumps(BEST)) == BEST


def test_any_other_reading_is_refused():
    with pytest.raises(SpecError, match=r"by='mean': give 'last'.*'best'"):
        sweep(by="mean")


heard: list[float] = []
observed: list[float] = []
hinted: list[float] = []


@pytest.fixture(autouse=True)
def _nothing_heard():
    heard.clear()
    observed.clear()
    hinted.clear()


class Noting(Scheduler):
    """Asks at each report and notes the scores."""

    def start(self, number):
        return Continue(1)

    def decide(self, number, step, score):
        heard.append(score)
        return Continue(step + 1)

    def end(self, number, step, score):
        pass


class Learning(Random):
    """Notes the scores that it is told."""

    learns = True

    def observe(self, params, score, *, step, ended):
        if ended:
            observed.append(score)

    def hint(self, params, scores, *, step):
        hinted.append(scores[0])
