"""Where the trials of earlier processes stand when their sweep goes on."""

from contextlib import closing

import pytest

from nbtune.decision import Complete, Continue, Pause, Stop
from nbtune.ended_by import EndedBy, EndKind
from nbtune.engine.resuming import resumed
from nbtune.schedulers import Scheduler
from nbtune.store import Store
from nbtune.trial import Goal, Report, Status, Trial

GOAL = Goal(metric="score", direction="maximize")


class AtStep(Scheduler):
    """Gives every trial the same decision at step 2."""

    def __init__(self, decision):
        self.decision = decision
        self.told = []

    def start(self, number):
        self.told.append(("start", number))
        return Continue(2)

    def decide(self, number, step, score):
        self.told.append(("decide", number))
        return self.decision

    def end(self, number, step, score):
        self.told.append(("end", number))


class Alone(AtStep):
    judges_alone = True


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def take_up(store):
    row = store.create(
        "digits",
        goals=[GOAL],
        step_name="epoch",
        plan="",
        source="",
        seed=1,
        definition=b"",
    )

    def take_up(*trials, scheduler=None, window=None, status="running", reason=""):
        with closing(store.connect()) as connection:
            connection.execute("UPDATE sweeps SET status = ?, reason = ?", (status, reason))
        return resumed(
            [(trial, "suggested") for trial in trials],
            row=store.sweep(row.name),
            scheduler=scheduler or AtStep(Continue()),
            goal=GOAL,
            folder=store.folder(row.name),
            window=window,
        )

    return take_up


def trial(number=0, steps=1, status=Status.RUNNING, **given):
    reports = [Report(step, {"score": 1.0}, 10.0 * number + step) for step in range(1, steps + 1)]
    return Trial(
        number=number,
        params={"x": number},
        status=status,
        reports_so_far=reports,
        count=steps,
        started=10.0 * number,
        why="it was due",
        **given,
    )


def saved(store, number):
    """Let a trial have a checkpoint."""
    home = store.folder("digits") / str(number) / "checkpoints"
    home.mkdir(parents=True)
    (home / "000001-1.pickle").write_bytes(b"")


def test_what_had_ended_stays_as_it_was(take_up):
    before = take_up(trial(steps=3, status=Status.COMPLETED, ended=9.0))

    (run,) = before.runs
    assert (run.status, run.last_step, run.ended) == (Status.COMPLETED, 3, 9.0)
    assert not before.interrupted


def test_a_trial_that_was_running_starts_again_from_nothing(take_up):
    before = take_up(trial(steps=3))

    (run,) = before.runs
    assert (run.status, run.reports, run.started) == (Status.PENDING, [], None)
    assert (run.params, run.why, run.origin) == ({"x": 0}, "it was due", "suggested")
    assert before.interrupted == {0}


def test_with_a_checkpoint_it_keeps_what_it_has_reported(take_up, store):
    saved(store, 0)

    before = take_up(trial(steps=3))

    (run,) = before.runs
    assert (run.status, run.last_step, run.started) == (Status.PENDING, 3, 0.0)


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        (Stop("too low"), Status.STOPPED),
        (Complete("done"), Status.COMPLETED),
        (Pause("waits"), Status.PAUSED),
    ],
)
def test_what_the_scheduler_had_ended_before_the_process_died_does_not_run_again(
    take_up, decision, status
):
    before = take_up(trial(steps=2), scheduler=AtStep(decision))

    (run,) = before.runs
    assert (run.status, run.reason, run.ended) == (status, decision.reason, 2.0)
    assert before.interrupted == {0}


def test_trials_that_a_person_stopped_with_the_sweep_go_on(take_up):
    cut = trial(0, status=Status.STOPPED, ended_by=EndedBy(kind=EndKind.SWEEP), ended=5.0)
    killed = trial(1, status=Status.STOPPED, ended_by=EndedBy(kind=EndKind.USER), ended=15.0)

    before = take_up(cut, killed, status="stopped", reason="stopped by you")

    assert [run.status for run in before.runs] == [Status.PENDING, Status.STOPPED]
    assert before.told_until == 15.0


def test_a_paused_trial_no_longer_says_that_it_was_not_promoted(take_up):
    left = EndedBy(kind=EndKind.SCHEDULER, rung=2, rank=3, of=4, left_paused=True)

    before = take_up(
        trial(steps=2, status=Status.PAUSED, reason=left.reason, ended_by=left, ended=5.0)
    )

    assert before.runs[0].reason == "rung 2: 3 of 4"


def test_a_scheduler_hears_nothing_of_a_trial_that_is_to_come_out_as_if_uninterrupted(take_up):
    scheduler = Alone(Continue())

    before = take_up(
        trial(0, steps=3, status=Status.COMPLETED, ended=4.0),
        trial(1),
        scheduler=scheduler,
        window=3,
    )

    assert {number for _, number in scheduler.told} == {0}
    assert {told.number for told in before.story} == {0}


def test_without_a_window_the_scheduler_hears_of_it(take_up):
    scheduler = Alone(Continue())

    take_up(trial(0), scheduler=scheduler)

    assert scheduler.told == [("start", 0)]
