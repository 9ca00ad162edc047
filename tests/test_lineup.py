"""Which run starts next."""

import pytest

from nbtune.decision import Continue, Promote, Sample, Wait
from nbtune.engine.ledger import Budget, Ledger
from nbtune.engine.lineup import Lineup
from nbtune.engine.supply import Supply
from nbtune.engine.thinker import Suggested
from nbtune.engine.trials import TrialBook
from nbtune.engine.turns import Turns
from nbtune.schedulers import Scheduler
from nbtune.trial import Goal, Status


class Says(Scheduler):
    """Says one move; that of the base class when there is none."""

    move = None

    def start(self, number):
        return Continue()

    def decide(self, number, step, score):
        return Continue()

    def end(self, number, step, score):
        pass

    def next(self, *, new=True):
        return self.move or super().next(new=new)


class Listens:
    """Stands for thinker, teller and clerk: notes what it is told."""

    def __init__(self):
        self.asked, self.begun, self.marked = [], [], []

    def ask(self, index):
        self.asked.append(index)

    def begin(self, run, *, suggestion=None):
        self.begun.append((run.number, suggestion))

    def mark(self, run):
        self.marked.append(run.number)


class Scene:
    def __init__(self, folder, **budget):
        self.scheduler, self.hears = Says(), Listens()
        self.ledger = Ledger(
            [Goal(metric="score", direction="maximize")], Budget(**budget), TrialBook()
        )
        self.turns = Turns(None)
        self.supply = Supply(self.hears, 0)
        self.folder = folder
        self.lineup = Lineup(self.scheduler, self.ledger, self.turns, self.hears, folder)
        self.lineup.use(self.supply, self.hears)

    def suggest(self, value):
        self.lineup.ask_ahead(needed=True)
        self.supply.receive(Suggested(params={"x": value}, pending=1))

    def exhaust(self, reason=""):
        self.lineup.ask_ahead(needed=True)
        self.supply.receive(Suggested(params=None, pending=0, reason=reason))


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path, trials=3)


def test_what_waits_comes_before_a_suggestion(scene):
    scene.suggest(1)
    scene.lineup.enter({"x": 2}, "enqueued", why="enqueued by you")

    order = [scene.lineup.next(), scene.lineup.next(), scene.lineup.next()]

    assert [run and (run.params["x"], run.origin) for run in order] == [
        (2, "enqueued"),
        (1, "suggested"),
        None,
    ]
    assert scene.hears.begun == [(0, None), (1, 0)]
    assert scene.hears.marked == [0, 1]


def test_what_crashed_goes_before_all_others(scene):
    crashed = scene.ledger.add({"x": 0}, "default")
    scene.lineup.enter({"x": 1}, "enqueued", why="")

    scene.lineup.wait_first(crashed)

    assert scene.lineup.next() is crashed


def test_a_promoted_trial_says_so(scene):
    run = scene.ledger.add({"x": 0}, "default", "default")
    run.status = Status.PAUSED
    scene.scheduler.move = Promote(0)

    assert scene.lineup.next() is run
    assert run.why.startswith("default")
    assert run.why.endswith("promoted from rung 0")


@pytest.mark.parametrize("resume", [True, False])
def test_a_promotion_keeps_the_checkpoint_only_where_the_scheduler_resumes(scene, resume):
    scene.ledger.add({"x": 0}, "default").status = Status.PAUSED
    checkpoint = scene.folder / "0" / "checkpoints" / "000001-1.pickle"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"")
    scene.scheduler.resume, scene.scheduler.move = resume, Promote(0)

    scene.lineup.next()

    assert checkpoint.exists() is resume


def test_a_trial_whose_worker_is_still_on_its_way_out_is_not_promoted_yet(scene):
    run = scene.ledger.add({"x": 0}, "default")
    scene.ledger.start(run, 0, 1.0)
    scene.scheduler.move = Promote(0)

    assert scene.lineup.next() is None


def test_what_a_person_enqueued_is_not_held_up_by_the_schedule(scene):
    scene.scheduler.move = Wait()
    scene.lineup.enter({"x": 1}, "enqueued", why="")

    assert scene.lineup.next().params == {"x": 1}


def test_it_says_why_no_more_come(tmp_path):
    full = Scene(tmp_path, trials=1)
    full.ledger.add({"x": 0}, "default")
    done = Scene(tmp_path)
    done.exhaust("all 4 points were tried")
    scheduled = Scene(tmp_path, trials=3)
    scheduled.scheduler.move = Wait()

    assert full.lineup.spent_out() == "1 of 1 trials"
    assert done.lineup.spent_out() == "all 4 points were tried"
    assert scheduled.lineup.spent_out() == "the schedule is complete"


def test_while_a_trial_waits_it_is_not_spent_out(scene):
    for _ in range(3):
        scene.lineup.enter({"x": 1}, "enqueued", why="")

    assert scene.lineup.spent_out() == ""


def test_a_new_searcher_is_told_of_all_trials_and_counts_its_suggestions(scene):
    scene.suggest(1)
    scene.lineup.next()
    scene.lineup.enter({"x": 2}, "enqueued", why="")
    hears = Listens()

    scene.lineup.use(Supply(hears, 1), hears)
    scene.scheduler.move = Sample()
    scene.lineup.ask_ahead(needed=False)

    assert hears.begun == [(0, None), (1, None)]
    assert hears.asked == [1]
