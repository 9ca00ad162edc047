"""What every registered scheduler must do."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbtune import schedulers
from nbtune.decision import Complete, Continue, Reject, Stop
from nbtune.schedulers import Scheduler

each = pytest.mark.parametrize("name", schedulers.registry.names())
tables = st.lists(
    st.lists(st.floats(-1, 1) | st.just(-math.inf), min_size=1, max_size=9), max_size=15
)


def ready(name: str, *, seed: int = 0) -> Scheduler:
    scheduler = schedulers.build(name)
    scheduler.setup(seed=seed, step_name="epoch", max_t=9)
    return scheduler


def run(scheduler: Scheduler, number: int, curve: list[float]) -> list:
    """Run one trial to its end; return all that was decided."""
    said = [scheduler.start(number)]
    for step, score in enumerate(curve, start=1):
        milestone = said[-1].until
        if milestone is not None and step >= milestone:
            said.append(scheduler.decide(number, step, score))
            if not isinstance(said[-1], Continue):
                return said
    scheduler.end(number, len(curve), curve[-1])
    return said


@each
def test_the_first_milestone_is_none_or_a_step(name):
    milestone = ready(name).start(0)

    assert isinstance(milestone, Continue)
    assert milestone.until is None or milestone.until >= 1


@each
@given(table=tables)
def test_every_decision_is_one_and_milestones_grow(name, table):
    scheduler = ready(name)

    for number, curve in enumerate(table):
        said = run(scheduler, number, curve)
        milestones = [decision.until for decision in said if isinstance(decision, Continue)]
        assert all(isinstance(decision, Continue | Stop | Complete | Reject) for decision in said)
        assert milestones == sorted(set(milestones), key=lambda until: until or math.inf)


@each
@given(table=tables)
def test_a_stop_says_why(name, table):
    scheduler = ready(name)

    said = [decision for n, curve in enumerate(table) for decision in run(scheduler, n, curve)]

    assert all(decision.reason for decision in said if isinstance(decision, Stop))


@each
@given(table=tables)
def test_a_replayed_history_decides_the_same(name, table):
    one, other = ready(name, seed=5), ready(name, seed=5)

    first = [run(one, number, curve) for number, curve in enumerate(table)]

    assert [run(other, number, curve) for number, curve in enumerate(table)] == first


@each
@given(table=tables)
def test_setup_forgets_an_earlier_sweep(name, table):
    used = ready(name)
    first = [run(used, number, curve) for number, curve in enumerate(table)]

    used.setup(seed=0, step_name="epoch", max_t=9)

    assert [run(used, number, curve) for number, curve in enumerate(table)] == first


@each
def test_it_pickles_between_start_and_decision(name):
    scheduler = ready(name)
    run(scheduler, 0, [0.5] * 9)
    milestone = scheduler.start(1)

    copy = pickle.loads(pickle.dumps(scheduler))

    if milestone.until is not None:
        step = milestone.until
        assert copy.decide(1, step, 0.1) == scheduler.decide(1, step, 0.1)
    assert copy.rungs() == scheduler.rungs()


@each
def test_a_trial_that_failed_leaves_no_trace_in_the_decisions_on_others(name):
    with_failure, without = ready(name), ready(name)
    with_failure.start(0)
    with_failure.end(0, 0, None)

    assert run(with_failure, 1, [0.1] * 9) == run(without, 1, [0.1] * 9)


@each
def test_rungs_ascend(name):
    scheduler = ready(name)
    run(scheduler, 0, [0.5] * 9)

    assert scheduler.rungs() == sorted(set(scheduler.rungs()))


@each
def test_it_shows_as_its_constructor_call(name):
    scheduler = schedulers.build(name)

    assert repr(scheduler).startswith(f"{type(scheduler).__name__}(")
