"""Whatever a searcher, scheduler, stop rule, tuner or callback does, the sweep ends in order.

What raised is told with its traceback, what was reported is on disk, memory and store say the same,
and the sweep can be read and resumed.
"""

import os
import threading
from dataclasses import asdict

import numpy as np
import pytest
from driving import wait_until

import nbtune
from nbtune import Choice, Int, Real, SpaceError, Sweep, SweepError, report
from nbtune.decision import Continue, Pause, Promote, Sample, Stop
from nbtune.engine import SweepStatus
from nbtune.schedulers import FIFO
from nbtune.schedulers.base import Scheduler
from nbtune.searchers import Iterative
from nbtune.searchers.base import Searcher
from nbtune.stopping import StopRule
from nbtune.store import Store
from nbtune.workers import Inline, Simulated

PATIENCE = 120  # seconds for what takes one: a busy machine makes it slow, not wrong


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


def train(x: Real(0, 1) = 0.5, n: Int(1, 9) = 3, kind: Choice("a", "b") = "a"):
    for epoch in range(1, 4):
        report(epoch=epoch, loss=x + n / epoch)


def ended(**options):
    """Run a sweep until it ends, however that is."""
    defaults = {"searcher": "random", "trials": 5, "workers": Inline(1), "seed": 1}
    sweep = Sweep(train, minimize="loss", name="digits", **{**defaults, **options})
    sweep.start()
    assert sweep._engine.done.wait(PATIENCE)
    return sweep


def elsewhere():
    """Return the sweep as another process would read it."""
    home = Store()
    return Sweep.stored(home, home.sweep("digits"))


def plain(trial):
    return {
        "status": trial.status,
        "reason": trial.reason,
        "params": trial.params,
        "reports": [(each.step, each.metrics) for each in trial.reports],
        "failure": trial.failure and asdict(trial.failure),
    }


def check_ended_in_order(sweep, *, match):
    """Check that it failed for that reason, and that memory and store say the same."""
    assert sweep.status is SweepStatus.FAILED
    assert match in sweep.reason
    with pytest.raises(SweepError, match="failed") as raised:
        sweep.wait()
    assert sweep.snapshot().failure.message in raised.value.traceback_text
    check_stored_as_in_memory(sweep)


def check_stored_as_in_memory(sweep):
    stored = elsewhere()
    assert (stored.status, stored.reason) == (sweep.status, sweep.reason)
    assert stored.snapshot().failure == sweep.snapshot().failure
    ours, theirs = sweep.snapshot().trials, stored.snapshot().trials
    assert [plain(trial) for trial in ours] == [plain(trial) for trial in theirs]
    assert len(nbtune.sweeps()) == 1
    assert len(stored.trials) == len(ours)
    assert len(stored.reports) == sum(trial.count for trial in ours)


# --- searchers


class Suggests(Searcher):
    """Suggests good params until trial 2, then what `bad` returns."""

    def __init__(self, bad, *, apart=False, quick=False):
        self.bad = bad
        self.apart = apart
        self.quick = quick

    def suggest(self, number, pending):
        if number < 2:
            return self.space.sample(number)
        return self.bad(self.space)

    def observe(self, params, score, *, step, ended):
        pass


def raises(space):
    raise ZeroDivisionError("in suggest")


def exits(space):
    raise SystemExit("enough")


BAD_SUGGESTIONS = {
    "raises": (raises, "ZeroDivisionError: in suggest"),
    "exits": (exits, "SystemExit: enough"),
    "out of its domain": (lambda space: {**space.defaults, "x": 5.0}, "x: got 5"),
    "of a wrong type": (lambda space: {**space.defaults, "n": "three"}, "n: got 'three'"),
    "NaN": (lambda space: {**space.defaults, "x": float("nan")}, "x: got nan"),
    "no option": (lambda space: {**space.defaults, "kind": "c"}, "kind: got 'c'"),
    "an unknown name": (lambda space: {**space.defaults, "y": 1}, "y: unknown name"),
    "a missing name": (lambda space: {"x": 0.5}, "n: missing"),
    "no dict": (lambda space: [1, 2, 3], "allowed is a dict"),
    "a number": (lambda space: 3, "allowed is a dict"),
    "a huge text": (lambda space: {**space.defaults, "kind": "c" * 10**6}, "kind: got 'ccc"),
    "no name but a number": (lambda space: {**space.defaults, 3: 1}, "3: unknown name"),
}


@pytest.mark.parametrize("where", ["thread", "process", "engine"])
@pytest.mark.parametrize("bad", BAD_SUGGESTIONS)
def test_a_bad_suggestion_ends_the_sweep_in_order(bad, where):
    suggest, match = BAD_SUGGESTIONS[bad]
    searcher = Suggests(suggest, apart=where == "process", quick=where == "engine")

    sweep = ended(searcher=searcher)

    check_ended_in_order(sweep, match=match)
    assert "the searcher Suggests failed with" in sweep.reason
    assert [trial.status for trial in sweep.snapshot().trials] == ["completed"] * 3


@pytest.mark.parametrize("where", ["thread", "process"])
def test_numpy_scalars_become_plain_values(where):
    def of_numpy(space):
        return {"x": np.float32(0.5), "n": np.int64(4), "kind": np.str_("b")}

    sweep = ended(searcher=Suggests(of_numpy, apart=where == "process"))

    assert sweep.status is SweepStatus.COMPLETED
    assert sweep.trial(4).params == {"x": 0.5, "n": 4, "kind": "b"}
    assert [type(value) for value in sweep.trial(4).params.values()] == [float, int, str]
    check_stored_as_in_memory(sweep)


def test_the_same_suggestion_over_and_over_runs_over_and_over():
    sweep = ended(searcher=Suggests(lambda space: dict(space.defaults)))

    assert sweep.status is SweepStatus.COMPLETED
    assert len(sweep.snapshot().trials) == 5


class RaisesIn(Suggests):
    """Raises in one of its methods."""

    def __init__(self, name, *, apart=False):
        super().__init__(lambda space: dict(space.defaults), apart=apart)
        self.name = name

    def observe(self, params, score, *, step, ended):
        if self.name == "observe":
            raise ZeroDivisionError("in observe")

    def setup(self, space, *, seed):
        super().setup(space, seed=seed)
        if self.name == "setup":
            raise ZeroDivisionError("in setup")


@pytest.mark.parametrize("where", ["thread", "process"])
def test_a_searcher_that_raises_when_it_is_told_ends_the_sweep_in_order(where):
    sweep = ended(searcher=RaisesIn("observe", apart=where == "process"))

    check_ended_in_order(sweep, match="ZeroDivisionError: in observe")


def test_a_searcher_that_raises_in_its_setup_is_refused_before_anything_is_stored(store):
    with pytest.raises(ZeroDivisionError, match="in setup"):
        Sweep(train, minimize="loss", searcher=RaisesIn("setup"), trials=3)

    assert not store.file.exists()


_go_on = threading.Event()


def hangs(space):
    _go_on.wait()


@pytest.mark.parametrize("where", ["thread", "engine", "virtual time"])
def test_a_searcher_that_hangs_is_warned_of_and_does_not_hold_the_sweep(where, monkeypatch):
    monkeypatch.setattr("nbtune.engine.loop.SEARCHER_SECONDS", 0.1)
    _go_on.clear()
    searcher = Suggests(hangs, quick=where == "engine")
    workers = Simulated(1) if where == "virtual time" else Inline(1)
    sweep = Sweep(train, minimize="loss", searcher=searcher, trials=5, workers=workers)

    try:
        sweep.start()
        wait_until(lambda: sweep.warnings)
        sweep.stop()

        assert sweep.wait(PATIENCE)
    finally:
        _go_on.set()
    assert sweep.status is SweepStatus.STOPPED
    assert [warning.code for warning in sweep.warnings] == ["searcher-slow"]
    assert "the searcher Suggests has not answered for 0.1 s" in sweep.warnings[0].text


def test_a_process_of_a_searcher_that_dies_is_a_warning_and_the_search_goes_on(tmp_path):
    sweep = ended(searcher=DiesOnce(tmp_path / "died"))

    assert sweep.status is SweepStatus.COMPLETED
    assert [warning.code for warning in sweep.warnings] == ["searcher-in-kernel"]


class DiesOnce(Suggests):
    """Ends its process at its first suggestion."""

    def __init__(self, mark):
        super().__init__(lambda space: dict(space.defaults), apart=True)
        self.mark = mark

    def suggest(self, number, pending):
        if not self.mark.exists():
            self.mark.touch()
            os._exit(1)
        return super().suggest(number, pending)


# --- schedulers


class Hostile(Scheduler):
    """Compares at each step; what it does in one method is its user's."""

    def __init__(self, name, act):
        self.name = name
        self.act = act

    def __repr__(self):
        return "Hostile()"

    def _do(self, name, otherwise):
        return self.act() if name == self.name else otherwise

    def start(self, number):
        return self._do("start", Continue(1))

    def decide(self, number, step, score):
        return self._do("decide", Continue(step + 1))

    def end(self, number, step, score):
        return self._do("end", None)

    def next(self, *, new=True):
        return self._do("next", super().next(new=new))


def divide():
    return 1 / 0


BAD_ANSWERS = {
    "raises in start": ("start", divide, "ZeroDivisionError"),
    "raises in decide": ("decide", divide, "ZeroDivisionError"),
    "raises in end": ("end", divide, "ZeroDivisionError"),
    "raises in next": ("next", divide, "ZeroDivisionError"),
    "exits in decide": ("decide", lambda: exits(None), "SystemExit"),
    "None from start": ("start", lambda: None, "start(0) returned None"),
    "a number from start": ("start", lambda: 3, "returned 3"),
    "nonsense in a milestone": ("start", lambda: Continue("soon"), "until='soon'"),
    "None from decide": ("decide", lambda: None, "returned None"),
    "text from decide": ("decide", lambda: "stop", "returned 'stop'"),
    "a reason that is no text": ("decide", lambda: Stop(3), "returned Stop(reason=3)"),
    "None from next": ("next", lambda: None, "returned None"),
    "a promotion of nobody": ("next", lambda: Promote(99), "returned Promote(number=99)"),
    "a class for an answer": ("next", lambda: Sample, "returned Sample"),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS)
def test_a_scheduler_that_breaks_its_contract_ends_the_sweep_in_order(bad):
    name, act, match = BAD_ANSWERS[bad]

    sweep = ended(scheduler=Hostile(name, act))

    check_ended_in_order(sweep, match=match)
    assert "the scheduler Hostile failed with" in sweep.reason


def test_a_scheduler_that_always_wants_more_ends_with_the_budget():
    sweep = ended(scheduler=Hostile("next", Sample))

    assert sweep.status is SweepStatus.COMPLETED
    assert len(sweep.snapshot().trials) == 5


def test_a_scheduler_that_pauses_all_and_promotes_none_ends():
    sweep = ended(scheduler=Hostile("decide", lambda: Pause("for ever")))

    assert sweep.status is SweepStatus.COMPLETED
    check_stored_as_in_memory(sweep)


def test_a_scheduler_that_raises_keeps_what_was_reported_of_the_running_trial():
    ended(scheduler=Hostile("decide", divide))

    assert [report.step for report in elsewhere().trial(0).reports] == [1]


class RaisesInRungs(FIFO):
    """Raises where only views ask."""

    def rungs(self):
        raise ZeroDivisionError("in rungs")


def test_a_stored_sweep_whose_scheduler_raises_can_be_read(monkeypatch):
    done = ended(scheduler=RaisesLater())
    monkeypatch.setattr(RaisesLater, "rungs", RaisesInRungs.rungs)

    assert elsewhere().status is done.status
    assert len(nbtune.load("digits").trials) == 5


class RaisesLater(FIFO):
    """A scheduler that is broken by an edit between two processes."""


def test_a_resumed_sweep_goes_on_with_a_mended_scheduler(monkeypatch):
    ended(scheduler=Mendable())
    monkeypatch.setattr(Mendable, "is_mended", True)

    again = elsewhere().resume()

    assert again.wait(PATIENCE)
    assert again.status is SweepStatus.COMPLETED
    assert [trial.status for trial in again.snapshot().trials] == ["completed"] * 5


class Mendable(FIFO):
    """Raises until it is mended."""

    is_mended = False

    def start(self, number):
        return Continue(2)

    def decide(self, number, step, score):
        if not self.is_mended and number == 2:
            raise ZeroDivisionError("not yet mended")
        return Continue(None)


def test_a_resumed_sweep_fails_as_before_where_nothing_was_mended():
    ended(scheduler=Mendable())

    with pytest.raises(SweepError, match=r"Mendable, told .* ZeroDivisionError: not yet mended"):
        elsewhere().resume()

    assert elsewhere().status is SweepStatus.FAILED


# --- stop rules


class HostileRule(StopRule):
    """Does what its user says in one method."""

    def __init__(self, name, act):
        self.name = name
        self.act = act

    def _do(self, name, otherwise):
        return self.act() if name == self.name else otherwise

    def reported(self, number, metrics, now):
        return self._do("reported", "")

    def ended(self, trial, now):
        return self._do("ended", "")

    def tick(self, now):
        return self._do("tick", "")

    def deadline(self):
        return self._do("deadline", None)


@pytest.mark.parametrize("act", [divide, lambda: exits(None), lambda: 3, object])
@pytest.mark.parametrize("name", ["reported", "ended", "tick"])
def test_a_stop_rule_that_breaks_its_contract_ends_the_sweep_in_order(name, act):
    sweep = ended(stop_when=HostileRule(name, act))

    check_ended_in_order(sweep, match="the stop rule HostileRule failed with")


@pytest.mark.parametrize("act", [divide, lambda: "soon"])
def test_a_stop_rule_with_a_bad_deadline_ends_the_sweep_in_order(act):
    sweep = ended(stop_when=HostileRule("deadline", act))

    check_ended_in_order(sweep, match="the stop rule HostileRule failed with")


# --- tuners


def raising_tuner(params, iteration):
    if iteration:
        raise ZeroDivisionError("in the tuner")
    return [params.defaults] * 2


def nonsense_tuner(params, iteration):
    return "abc" if iteration else [params.defaults] * 2


def endless_tuner(params, iteration):
    return [{"x": float(iteration)}] if iteration < 2 else [{"x": 2.0}]


@pytest.mark.parametrize(
    ("tuner", "match"),
    [
        (raising_tuner, "ZeroDivisionError: in the tuner"),
        (nonsense_tuner, "the tuner returned 'abc'"),
        (endless_tuner, "x: got 2"),
    ],
)
def test_a_tuner_that_fails_ends_the_sweep_in_order(tuner, match):
    sweep = ended(searcher=Iterative(tuner, 4), trials=None)

    check_ended_in_order(sweep, match=match)
    assert len(sweep.snapshot().trials) == 2


def test_a_tuner_that_raises_shows_its_own_line():
    sweep = ended(searcher=Iterative(raising_tuner, 4), trials=None)

    with pytest.raises(SweepError) as raised:
        sweep.wait()

    assert 'raise ZeroDivisionError("in the tuner")' in raised.value.traceback_text
    assert "twice, in round 2 of 4" in raised.value.traceback_text


# --- callbacks


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit, KeyboardInterrupt])
def test_a_callback_that_raises_is_a_warning_and_no_more(error):
    def callback(event):
        raise error

    sweep = ended(callbacks=[callback])

    assert sweep.status is SweepStatus.COMPLETED
    assert "callback-failed" in [warning.code for warning in sweep.warnings]


def test_a_callback_that_hangs_holds_up_nothing():
    release = threading.Event()

    sweep = ended(callbacks=[lambda event: release.wait()])
    release.set()

    assert sweep.status is SweepStatus.COMPLETED


# --- the engine itself


def test_whatever_ends_the_engines_thread_is_told_and_all_reported_is_on_disk(monkeypatch):
    class Broken(Inline):
        def answer(self, number, decision):
            raise MemoryError("no more")

    sweep = ended(workers=Broken(1), scheduler=Hostile("", divide))

    assert (sweep.status, sweep.reason) == ("failed", "MemoryError: no more")
    assert [report.step for report in elsewhere().trial(0).reports] == [1]
    check_stored_as_in_memory(sweep)


def test_a_bad_suggestion_names_what_is_allowed():
    sweep = ended(searcher=Suggests(lambda space: {**space.defaults, "x": 5.0}))

    assert SpaceError.__name__ in sweep.reason
    assert "Real(0.0, 1.0)" in sweep.reason


def test_a_sweep_whose_thread_cannot_be_started_ends_and_says_why(monkeypatch):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == "nbtune-digits":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)

    sweep = ended()

    assert sweep.reason == "RuntimeError: can't start new thread"
    check_stored_as_in_memory(sweep)


def test_a_searcher_has_no_thread_before_the_sweep_begins(monkeypatch):
    def refuse(self, *arguments):
        raise OSError("no room")

    monkeypatch.setattr("nbtune.objective.cargo.Cargo.keep", refuse)
    before = {thread.name for thread in threading.enumerate()}

    with pytest.raises(OSError, match="no room"):
        ended(searcher=Suggests(raises))

    assert "nbtune-thinker" not in {t.name for t in threading.enumerate()} - before
