"""The trials of a snapshot: a sequence like any other, whether they are in memory or not."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest

import nbtune
from nbtune import Choice, Real, Sweep, report
from nbtune.catalog import delete
from nbtune.engine import TrialList
from nbtune.engine.archive import STATUSES, Archive
from nbtune.engine.trials import TrialBook
from nbtune.pareto import scores_table
from nbtune.space import Space, Timeline
from nbtune.trial import CompactReports, Failure, Goal, Report, Status, Trial
from nbtune.workers import Simulated

LOSS = Goal(metric="loss", direction="minimize")
SPEED = Goal(metric="speed", direction="maximize")
SPACE = Space({"x": Real(0, 50), "kind": Choice("a", "b")})
FAILURE = Failure(type="ValueError", message="no such file", traceback="Traceback ...")


@pytest.fixture(autouse=True)
def few_in_memory(monkeypatch):
    monkeypatch.setattr("nbtune.engine.trials.IN_MEMORY", 3)


def ended(number, *values, status=Status.COMPLETED, folder=None, **metrics):
    reports = [Report(step, {"loss": v, **metrics}, 1.0) for step, v in enumerate(values, 1)]
    return Trial(
        number=number,
        params={"x": float(number), "kind": "ab"[number % 2]},
        status=status,
        reports_so_far=CompactReports.of(reports, {}),
        count=len(reports),
        started=1.0,
        ended=2.0 + number,
        slot=0,
        failure=FAILURE if status is Status.FAILED else None,
        why="random draw",
        folder=folder,
    )


def book_of(trials, folder, goals=(LOSS,), archive=Archive):
    """A book that has been shown these trials, and told of all but the last that they are over."""
    book = TrialBook(archive(goals, Timeline(SPACE), folder))
    for trial in trials:
        book.show(trial)
    for trial in trials[:-1]:
        book.settle([trial.number])
    return book


def several(folder):
    made = [ended(n, 1 + n % 7, 0.5 + n % 5, folder=folder, speed=float(n)) for n in range(20)]
    made[3] = ended(3, 0.1, status=Status.FAILED, folder=folder)
    made[5] = ended(5, math.nan, folder=folder, speed=2.0)
    made[6] = ended(6, folder=folder)
    made[8] = ended(8, 9.0, status=Status.STOPPED, folder=folder)
    made[19] = dataclasses.replace(made[19], status=Status.RUNNING, ended=None)
    return made


def test_a_trial_out_of_memory_is_what_it_was(tmp_path):
    made = several(tmp_path)

    found = book_of(made, tmp_path).listed()

    assert len(found._kept) < 10
    for trial in (*range(5), *range(6, 20)):
        assert found[trial] == made[trial]
    assert str(found[5].reports) == str(made[5].reports)  # nan is not nan


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_copy_of_it_needs_no_file(tmp_path, copied):
    made = [each for each in several(tmp_path) if each.number != 5]
    found = book_of([dataclasses.replace(t, number=n) for n, t in enumerate(made)], tmp_path)

    again = copied(found.listed())

    assert isinstance(again, TrialList)
    assert list(again) == list(found.listed())


def test_it_is_a_sequence(tmp_path):
    made = [each for each in several(tmp_path) if each.number != 5]
    made = [dataclasses.replace(each, number=n) for n, each in enumerate(made)]
    found = book_of(made, tmp_path).listed()

    assert list(found) == made
    assert found == made
    assert found[-1] is made[-1]
    assert found[2:9:3] == made[2:9:3]
    with pytest.raises(IndexError):
        found[len(made)]


def test_statuses_counts_and_scores_are_those_of_the_trials(tmp_path):
    made = several(tmp_path)
    for goals in ((LOSS,), (LOSS, SPEED), (dataclasses.replace(LOSS, by="best"),)):
        found = book_of(made, tmp_path, goals).listed()

        compared, scores = scores_table(made, goals)
        numbers, own = found.scored(goals)
        assert numbers.tolist() == [trial.number for trial in compared]
        np.testing.assert_array_equal(own, scores)
    assert [STATUSES[code] for code in found.statuses()] == [trial.status for trial in made]
    assert found.counts()[Status.FAILED] == 1
    assert list(found.with_status(Status.STOPPED)) == [made[8]]


def test_other_goals_than_the_sweeps_are_answered_too(tmp_path):
    made = several(tmp_path)

    numbers, scores = book_of(made, tmp_path).listed().scored([SPEED])

    compared, expected = scores_table(made, [SPEED])
    assert numbers.tolist() == [trial.number for trial in compared]
    np.testing.assert_array_equal(scores, expected)


def test_a_list_stays_what_it_was(tmp_path):
    running = dataclasses.replace(ended(0, 1.0), status=Status.RUNNING, ended=None)
    book = TrialBook(Archive((LOSS,), Timeline(SPACE), tmp_path))
    book.show(running)
    before = book.listed()

    for trial in [ended(number, 0.5) for number in range(20)]:
        book.show(trial)
        book.settle([trial.number])

    assert list(before) == [running]
    assert before.counts()[Status.RUNNING] == 1
    assert before.scored((LOSS,))[1].tolist() == [[-1.0]]
    assert book.listed()[0].status is Status.COMPLETED


def test_what_changed_since_is_told_whether_it_is_in_memory_or_not(tmp_path):
    made = several(tmp_path)
    book = book_of(made[:4], tmp_path)  # number 3 is not over yet
    before = book.listed()
    for trial in made[4:]:
        book.show(trial)
    book.settle(range(3, 19))

    changed = {trial.number for trial in book.listed().changed(before)}

    assert changed == set(range(4, 20))
    assert {trial.number for trial in before.changed(None)} == set(range(4))
    assert not any(before.changed(before))


def test_a_trial_that_ran_and_has_left_memory_since_has_changed(tmp_path):
    made = several(tmp_path)
    book = TrialBook(Archive((LOSS,), Timeline(SPACE), tmp_path))
    book.show(dataclasses.replace(made[0], status=Status.RUNNING))
    before = book.listed()
    for trial in made:
        book.show(trial)
    book.settle(range(19))

    now = book.listed()

    assert 0 not in now._kept
    assert made[0] in list(now.changed(before))
    assert before != now


def test_the_best_are_read_once_and_shown_as_they_stand(tmp_path):
    made = several(tmp_path)
    book = TrialBook(Archive((LOSS,), Timeline(SPACE), tmp_path))
    book.show(dataclasses.replace(made[0], status=Status.RUNNING))
    running = book.best([0])
    for trial in made:
        book.show(trial)
    book.settle(range(19))

    ended = book.best([0, 19])

    assert running[0].status is Status.RUNNING
    assert ended == (made[0], made[19])
    assert book.best([0])[0] is ended[0]


class Full(Archive):
    """One on a full disk."""

    def _write(self, data):
        raise OSError(28, "No space left on device")


def test_what_cannot_be_written_stays_in_memory(tmp_path):
    made = several(tmp_path)

    found = book_of(made, tmp_path, archive=Full).listed()

    assert all(own is given for own, given in zip(found, made, strict=True))


def test_params_that_do_not_come_back_stay_in_memory(tmp_path):
    made = several(tmp_path)
    made[0] = dataclasses.replace(made[0], params={"x": 99.0, "kind": "a"})  # outside the space

    found = book_of(made, tmp_path).listed()

    assert found[0] is made[0]
    assert 1 not in found._kept


def test_the_file_has_no_name_and_needs_no_folder(tmp_path):
    made = several(tmp_path)
    book_of(made, tmp_path)
    assert list(tmp_path.iterdir()) == []

    assert book_of(made, tmp_path / "deleted").listed()[0].params == made[0].params


class Thing:
    """An option that is equal to itself alone, and that JSON does not know."""


THING = Thing()


def uses(x: Real(0, 1), option: Choice(THING, "b")):
    report(epoch=1, loss=x)
    report(epoch=2, loss=x, other=math.inf)


def swept(folder, **options):
    given = {"searcher": "random", "trials": 30, "workers": Simulated(2)} | options
    return Sweep(uses, minimize="loss", name="digits", store=folder, **given).run()


def test_options_are_the_same_objects(tmp_path):
    trials = swept(tmp_path).snapshot().trials

    assert len(trials._kept) < 10
    assert {trial.params["option"] for trial in trials} == {THING, "b"}


def test_a_sweep_answers_as_its_store_does(tmp_path):
    here = swept(tmp_path)

    stored = nbtune.load("digits", tmp_path)

    of_thing = {"option": "thing"}  # the stored one is a copy
    for number in range(30):
        one, other = here.trial(number), stored.trial(number)
        assert {**one.params, **of_thing} == {**other.params, **of_thing}
        assert dataclasses.replace(one, params={}) == dataclasses.replace(other, params={})
    assert here.counts == stored.counts
    assert [trial.number for trial in here.top(30)] == [trial.number for trial in stored.top(30)]


def test_a_sweep_that_was_deleted_still_answers(tmp_path):
    sweep = swept(tmp_path)
    first, frame = sweep.trial(0), sweep.trials

    delete("digits", tmp_path)

    assert sweep.trial(0) == first
    assert sweep.trials.equals(frame)
    assert sweep.reports["trial"].nunique() == 30


def test_a_snapshot_from_before_a_resume_stays_what_it_was(tmp_path):
    sweep = swept(tmp_path)
    before, kept = sweep.snapshot(), list(sweep.snapshot().trials)

    sweep.resume(trials=60).wait()

    assert list(before.trials) == kept
    assert list(sweep.snapshot().trials)[:30] == kept


def test_a_list_of_trials_in_memory_is_wrapped_once():
    wrapped = TrialList.of([ended(0, 1.0)])

    assert TrialList.of(wrapped) is wrapped
