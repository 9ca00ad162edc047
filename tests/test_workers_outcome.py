"""What a trial's end is told as."""

import fractions
import linecache

import numpy as np
import pytest

from nbtune import report
from nbtune.context import Reporter
from nbtune.decision import Complete, Continue, Reject, Stop
from nbtune.workers.outcome import Course, failure_of, fresh, perform, plain, seed_of, trial_of


@pytest.fixture
def run(tmp_path):
    """Run a call as a trial whose reports meet `decision`."""

    def perform_call(call, decision=None):
        course = Course(None)

        def send(step, metrics):
            course.enforce()
            if decision is not None:
                course.follow(decision)

        reporter = Reporter(trial_of(0, {}, tmp_path, 0), send)
        return perform(lambda: call, reporter, course, result_metric="score")

    return perform_call


@pytest.mark.parametrize(
    "value",
    [2, 2.0, np.float32(2), np.int64(2), np.array(2.0), fractions.Fraction(2)],
    ids=lambda value: type(value).__name__,
)
def test_any_kind_of_number_is_a_result(run, value):
    result = run(lambda params: value).result

    assert result == {"score": 2.0}
    assert type(result["score"]) is float


@pytest.mark.parametrize(
    "value",
    [None, "text", [1, 2], object(), {}, {1: 2}, np.zeros(3)],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_number_is_nothing(run, value):
    outcome = run(lambda params: value)

    assert (outcome.how, outcome.result) == ("returned", {})


def test_a_verdict_counts_for_more_than_what_cleaning_up_raises(run):
    def train(params):
        try:
            report(1, loss=0.0)
        finally:
            raise OSError("disk full")

    assert run(train, Stop("rung")).how == "stopped"
    assert run(train, Complete()).how == "completed"


def test_a_rejection_that_is_swallowed_still_fails_the_trial(run):
    def train(params):
        try:
            report(1, loss=0.0)
        except ValueError:
            return 1

    failure = run(train, Reject("no metric 'accuracy'")).failure

    assert (failure.type, failure.message) == ("ReportError", "no metric 'accuracy'")


def test_going_on_is_no_verdict(run):
    assert run(lambda params: report(1, loss=0.0), Continue(until=5)).how == "returned"


def test_the_last_line_of_a_broken_reports_traceback_is_the_report(run):
    def train(params):
        report(0, loss=1.0)

    failure = run(train).failure

    assert failure.traceback.splitlines()[-2].strip().startswith("report(0, loss=1.0)") or (
        "report(0" in failure.traceback.splitlines()[-2]
    )
    assert "context.py" not in failure.traceback


def test_the_source_of_a_cell_is_shown(run):
    source = "def train(params):\n    return [][3]\n"
    linecache.cache["<cell>"] = (len(source), None, source.splitlines(True), "<cell>")
    namespace = {}
    exec(compile(source, "<cell>", "exec"), namespace)

    traceback = run(namespace["train"]).failure.traceback

    assert 'File "<cell>", line 2, in train\n    return [][3]' in traceback


def test_the_cause_of_an_error_is_shown_too(run):
    def train(params):
        try:
            {}["lr"]
        except KeyError as error:
            raise RuntimeError("no rate") from error

    traceback = run(train).failure.traceback

    assert "KeyError: 'lr'" in traceback
    assert traceback.rstrip().endswith("RuntimeError: no rate")


def test_an_error_that_cannot_be_shown_is_told_all_the_same():
    class BrokenError(Exception):
        def __str__(self):
            raise RuntimeError

    failure = failure_of(BrokenError())

    assert failure.type == "BrokenError"
    assert "__str__ raised RuntimeError" in failure.message


def test_a_long_text_loses_its_middle():
    text = plain("a" * 600 + "b" * 600, 100)

    assert text == "a" * 50 + "\n[...]\n" + "b" * 50


def test_text_that_no_file_would_take_is_escaped():
    assert plain("\udcff", 10) == "\\udcff"


def test_every_trial_has_a_seed_of_its_own_and_always_the_same():
    seeds = [seed_of(1, number) for number in range(1000)]

    assert len(set(seeds)) == 1000
    assert seeds == [seed_of(1, number) for number in range(1000)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_of(2, 0) != seed_of(1, 0)


def test_nested_params_are_the_trials_own():
    option = object()
    params = {"model": {"kernel": option}, "lr": 0.1}

    own = fresh(params)
    own["model"]["kernel"] = None

    assert params["model"]["kernel"] is option
