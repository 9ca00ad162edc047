"""A searcher in a process of its own."""

import os
import signal
import threading

import psutil
import pytest
from driving import PATIENCE, wait_until

from nbtune import Real, Space, Sweep, report
from nbtune.engine.apart import DistantMind, SearcherRaised
from nbtune.engine.mind import Mind
from nbtune.searchers import Bayes, Searcher
from nbtune.space import Choice
from nbtune.workers import Inline


class Marker:
    """An option that means something by being itself."""


MARKER = Marker()
SPACE = Space({"x": Real(0, 1), "kind": Choice("a", MARKER, None)})


class Counting(Searcher):
    """Suggests how often it was asked and told, and says where."""

    def setup(self, space, *, seed):
        super().setup(space, seed=seed)
        self.asked = self.told = 0

    def suggest(self, number, pending):
        self.asked += 1
        if number == 13:
            raise LookupError("no thirteen")
        if number == 14:
            os.kill(os.getpid(), signal.SIGKILL)
        print("chatter")  # must not reach the parent as an answer
        kind = self.space["kind"].options[self.told]
        return {"x": (10 * self.told + self.asked) / 1000, "kind": kind}

    def observe(self, params, score, *, step, ended):
        self.told += 1


class Remembering(Searcher):
    """Suggests the mean of what it was told, in that order."""

    def setup(self, space, *, seed):
        super().setup(space, seed=seed)
        self.seen, self.kinds = [], set()

    def suggest(self, number, pending):
        return {"x": sum(self.seen) / max(1, len(self.seen)), "kind": "a"}

    def observe(self, params, score, *, step, ended):
        self.seen.append(params["x"])
        self.kinds.add(params["kind"])


class Parent(Searcher):
    """Suggests nothing but in the process that is not its maker's."""

    def setup(self, space, *, seed):
        super().setup(space, seed=seed)
        self.home = os.getpid()

    def suggest(self, number, pending):
        return {"x": float(os.getpid() != self.home), "kind": "a"}

    def observe(self, params, score, *, step, ended):
        pass


@pytest.fixture
def distant():
    minds = []

    def make(searcher):
        searcher.setup(SPACE, seed=0)
        minds.append(DistantMind(searcher))
        return minds[-1]

    yield make
    for mind in minds:
        mind.close()


def test_it_thinks_in_another_process(distant):
    params, *_ = distant(Parent()).suggest(0)

    assert params == {"x": 1.0, "kind": "a"}


def test_it_is_told_and_asked_as_a_mind_here_is(distant):
    here = Counting()
    here.setup(SPACE, seed=0)

    answers = []
    for mind in (Mind(here), distant(Counting())):
        first = mind.suggest(0)
        mind.begin(1, first[0], 0)
        mind.begin(2, {"x": 0.5, "kind": "a"}, None)
        second = mind.suggest(1)
        mind.observe(1, first[0], (0.5,), 3, True)
        answers.append([first, second, mind.suggest(2)])

    assert answers[0] == answers[1]
    assert answers[1][2][0]["kind"] is MARKER


def test_what_a_searcher_raises_comes_back_as_text(distant):
    with pytest.raises(SearcherRaised, match="no thirteen") as caught:
        distant(Counting()).suggest(13)

    assert caught.value.failure.type == "LookupError"
    assert "in suggest" in caught.value.failure.traceback


def test_a_mind_whose_process_dies_goes_on_here_with_all_it_was_told(distant):
    mind = distant(Counting())
    first, *_ = mind.suggest(0)
    mind.begin(1, first, 0)
    mind.observe(1, first, (0.5,), 1, True)
    mind.suggest(1)
    os.kill(mind._child.pid, signal.SIGKILL)

    params, pending, _, [(code, _)] = mind.suggest(2)

    assert params["x"] == 0.011  # told once, asked anew
    assert pending == 1  # the suggestion that has not begun
    assert code == "searcher-in-kernel"


def test_a_process_that_is_dead_before_it_is_asked_is_replaced_too(distant):
    mind = distant(Counting())
    mind.suggest(0)
    os.kill(mind._child.pid, signal.SIGKILL)
    mind._child.wait()

    assert mind.suggest(1).warnings[0][0] == "searcher-in-kernel"


def test_a_mind_whose_process_dies_has_kept_a_long_story_in_little_memory(distant):
    mind = distant(Remembering())
    points = [{"x": number / 5_000, "kind": MARKER} for number in range(5_000)]
    mind.suggest(0)

    for number, params in enumerate(points):
        mind.begin(number, params, None)
        mind.observe(number, params, (0.5,), 1, True)
        if number % 100 == 0:
            mind.suggest(number + 1)

    assert len(mind._told) < 2_000
    assert sum(map(len, mind._put_away)) < 40 * 5_000
    os.kill(mind._child.pid, signal.SIGKILL)
    params, *_ = mind.suggest(9_999)
    assert params["x"] == sum(point["x"] for point in points) / 5_000
    assert mind._searcher.kinds == {MARKER}


def test_closing_ends_the_process_and_a_suggestion_under_way(distant):
    class Slow(Parent):
        def suggest(self, number, pending):
            if number:
                threading.Event().wait()
            return super().suggest(number, pending)

    mind = distant(Slow())
    mind.suggest(0)
    child = psutil.Process(mind._child.pid)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(mind.suggest(1)))
    thread.start()
    wait_until(lambda: child.status() == psutil.STATUS_SLEEPING)

    mind.close()
    thread.join(PATIENCE)

    [thought] = answers
    assert (thought.params, thought.pending) == (None, 0)
    assert not child.is_running()


def test_the_process_dies_with_the_thread_that_began_it(distant):
    mind = distant(Parent())
    thread = threading.Thread(target=mind.suggest, args=(0,))
    thread.start()
    thread.join(PATIENCE)

    wait_until(lambda: mind._child.poll() is not None)


def test_a_sweep_with_bayes_leaves_no_process(tmp_path):
    def objective(x: Real(0, 1)):
        report(epoch=1, loss=(x - 0.3) ** 2)

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    sweep = Sweep(
        objective,
        minimize="loss",
        trials=14,
        searcher=Bayes(4),
        workers=Inline(1),
        store=tmp_path,
        seed=0,
    ).run()

    assert sweep.best_value < 0.01
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_a_hint_counts_there_as_here(distant):
    def asked(mind):
        for number in range(3):
            params = {"x": number / 4, "kind": "a"}
            mind.begin(number, params, None)
            mind.observe(number, params, (float(number),), 1, True)
        mind.hint(3, {"x": 0.875, "kind": MARKER}, (9.0,), 1)
        return mind.suggest(4)

    here = Bayes(n_initial=4)
    here.setup(SPACE, seed=0)

    assert asked(distant(Bayes(n_initial=4))) == asked(Mind(here))


class Following(Counting):
    """Suggests by how often it was told how far a trial is."""

    follows = "milestones"

    def follow(self, params, scores, *, step, until):
        self.told += step == 3 and until == 9 and scores is None


def test_how_far_a_trial_is_reaches_the_searcher(distant):
    mind = distant(Following())
    first = mind.suggest(0).params
    mind.follow(0, first, None, 3, 9)

    assert mind.suggest(1).params["x"] == 0.012  # told once, asked twice
