"""What every registered scheduler must do."""

import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling import Play

from nbtune import schedulers
from nbtune.decision import Complete, Continue, Pause, Reject, Stop, Wait
from nbtune.schedulers import (
    Hyperband,
    MedianRule,
    OptunaPruner,
    Scheduler,
    StepCap,
    SyncHyperband,
)

# Every scheduler as its name makes it, and those whose arguments make another rule of it.
forms = {name: lambda name=name: schedulers.build(name) for name in schedulers.registry.names()} | {
    "hyperband, brackets": lambda: Hyperband(brackets=2),
    "promotion": lambda: Hyperband(type="promotion"),
    "promotion, brackets": lambda: Hyperband(type="promotion", brackets=3, reduction_factor=2),
    "promotion, ratios": lambda: Hyperband(type="promotion", keep_size_ratios=True),
    "sync_hyperband, rounds": lambda: SyncHyperband(reduction_factor=2, rounds=None),
    "sync_hyperband, grace period": lambda: SyncHyperband(reduction_factor=2, grace_period=2),
    "hyperband, capped": lambda: StepCap(Hyperband(), 5),
    "promotion, capped": lambda: StepCap(Hyperband(type="promotion"), 3),
    "sync_hyperband, capped": lambda: StepCap(SyncHyperband(max_t=9), 4),
    "median, capped": lambda: StepCap(MedianRule(), 4),
    "optuna_pruner, hyperband": lambda: OptunaPruner("HyperbandPruner", max_resource=9),
}
each = pytest.mark.parametrize("name", forms)
few = settings(max_examples=25)  # of every form
slots = st.integers(1, 5)
fails = st.dictionaries(st.integers(0, 15), st.integers(1, 9), max_size=4)
tables = st.lists(
    st.lists(st.floats(-1, 1) | st.just(-math.inf), min_size=1, max_size=9), max_size=15
)


def ready(name: str, *, seed: int = 0) -> Scheduler:
    scheduler = forms[name]()
    scheduler.setup(seed=seed, step_name="epoch", max_t=9)
    return scheduler


def run(scheduler: Scheduler, number: int, curve: list[float]) -> list:
    """Run one trial to its end or pause; return all that was decided."""
    said = [scheduler.start(number)]
    for step, score in enumerate(curve, start=1):
        milestone = said[-1].until
        if milestone is not None and step >= milestone:
            said.append(scheduler.decide(number, step, score))
            if not isinstance(said[-1], Continue):
                return said
    scheduler.end(number, len(curve), curve[-1])
    return said


def without_reasons(said: list) -> list:
    return [(type(decision), getattr(decision, "until", None)) for decision in said]


def copy(scheduler: Scheduler) -> Scheduler:
    return pickle.loads(pickle.dumps(scheduler))


@each
def test_the_first_milestone_is_none_or_a_step(name):
    milestone = ready(name).start(0)

    assert isinstance(milestone, Continue)
    assert milestone.until is None or milestone.until >= 1


@each
@few
@given(table=tables)
def test_every_decision_is_one_and_milestones_grow(name, table):
    scheduler = ready(name)

    for number, curve in enumerate(table):
        said = run(scheduler, number, curve)
        milestones = [decision.until for decision in said if isinstance(decision, Continue)]
        assert all(isinstance(d, Continue | Stop | Complete | Reject | Pause) for d in said)
        assert milestones == sorted(set(milestones), key=lambda until: until or math.inf)


@each
@few
@given(table=tables, slots=slots)
def test_a_stop_or_a_pause_says_why(name, table, slots):
    play = Play(ready(name), table, slots=slots)

    assert all(s.answer.reason for s in play.log if isinstance(s.answer, Stop | Pause))


@each
@few
@given(table=tables, slots=slots, fails=fails)
def test_only_a_paused_trial_is_promoted(name, table, slots, fails):
    play = Play(ready(name), table, slots=slots, fails=fails)

    waiting = set()
    for said in play.log:
        if said.what == "promote":
            assert said.number in waiting
        waiting.discard(said.number)
        if isinstance(said.answer, Pause):
            waiting.add(said.number)


@each
@few
@given(table=tables, slots=slots, fails=fails)
def test_no_trial_is_asked_after_its_end(name, table, slots, fails):
    play = Play(ready(name), table, slots=slots, fails=fails)

    ended = set()
    for said in play.log:
        assert said.number not in ended
        if said.what == "end" or isinstance(said.answer, Stop | Complete | Reject):
            ended.add(said.number)


@each
@few
@given(table=tables)
def test_a_milestone_after_a_promotion_lies_ahead(name, table):
    play = Play(ready(name), table, slots=2)

    assert all(s.answer.until > s.step for s in play.log if s.what == "promote")


@each
@few
@given(table=tables, slots=slots)
def test_a_question_changes_nothing(name, table, slots):
    def ask(scheduler):
        before = pickle.dumps(scheduler)
        assert scheduler.next() == scheduler.next()
        scheduler.next(new=False)
        scheduler.rungs_table()
        scheduler.explain(0)
        assert pickle.dumps(scheduler) == before
        return scheduler

    Play(ready(name), table, slots=slots, between=ask)


@each
@few
@given(table=tables)
def test_without_new_trials_nothing_is_sampled(name, table):
    scheduler = Play(ready(name), table, slots=2).scheduler

    assert scheduler.next(new=False) == Wait()


@each
@few
@given(table=tables, slots=slots, fails=fails)
def test_pickles_at_every_turn_change_nothing(name, table, slots, fails):
    plain = Play(ready(name), table, slots=slots, fails=fails)

    copied = Play(ready(name), table, slots=slots, fails=fails, between=copy)

    assert copied.log == plain.log


@each
@few
@given(table=tables, slots=slots, fails=fails)
def test_a_history_told_again_by_its_starts_gets_the_same_answers(name, table, slots, fails):
    told = ready(name)

    for said in Play(ready(name), table, slots=slots, fails=fails).log:
        if said.what in ("start", "promote"):
            assert told.start(said.number) == said.answer
        elif said.what == "decide":
            assert told.decide(said.number, said.step, said.score) == said.answer
        else:
            told.end(said.number, said.step, said.score)


@each
@few
@given(table=tables, slots=slots)
def test_a_trial_that_starts_again_while_it_runs_keeps_its_milestone(name, table, slots):
    def start_again(scheduler):
        for number, until in milestones.items():
            assert scheduler.start(number).until == until
        return scheduler

    milestones = {}
    scheduler = ready(name)
    for said in Play(ready(name), table, slots=slots).log:
        if said.what in ("start", "promote"):
            milestones[said.number] = scheduler.start(said.number).until
        elif said.what == "decide":
            answer = scheduler.decide(said.number, said.step, said.score)
            milestones.pop(said.number)
            if isinstance(answer, Continue):
                milestones[said.number] = answer.until
        else:
            scheduler.end(said.number, said.step, said.score)
            milestones.pop(said.number)
        start_again(scheduler)


@each
@few
@given(table=tables, slots=slots)
def test_an_explanation_agrees_with_the_stop(name, table, slots):
    play = Play(ready(name), table, slots=slots)

    for number, step in play.stopped:
        why = play.scheduler.explain(number)
        if why is not None:  # a rule that compares a trial with itself only has none
            assert why.rung == step
            assert 1 <= why.rank <= why.of
            assert why.cutoff is None or why.score <= why.cutoff


@each
@few
@given(table=tables, slots=slots)
def test_rows_of_rungs_ascend_and_more_come_than_pass(name, table, slots):
    rows = Play(ready(name), table, slots=slots).scheduler.rungs_table()

    places = [(row.bracket, row.level) for row in rows]
    assert places == sorted(set(places))
    assert all(0 <= row.passed <= row.trials for row in rows)


@each
@few
@given(table=tables)
def test_a_replayed_history_decides_the_same(name, table):
    one, other = ready(name, seed=5), ready(name, seed=5)

    first = [run(one, number, curve) for number, curve in enumerate(table)]

    assert [run(other, number, curve) for number, curve in enumerate(table)] == first


@each
@few
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

    other = copy(scheduler)

    if milestone.until is not None:
        step = milestone.until
        assert other.decide(1, step, 0.1) == scheduler.decide(1, step, 0.1)
    assert other.rungs() == scheduler.rungs()


@each
def test_a_trial_that_failed_leaves_no_trace_in_the_decisions_on_others(name):
    with_failure, without = ready(name), ready(name)
    with_failure.start(0)
    with_failure.end(0, 0, None)

    # Where a rung is waited for, its reason counts the failed one too.
    after_failure = without_reasons(run(with_failure, 1, [0.1] * 9))
    assert after_failure == without_reasons(run(without, 1, [0.1] * 9))


@each
def test_rungs_ascend(name):
    scheduler = ready(name)
    run(scheduler, 0, [0.5] * 9)

    assert scheduler.rungs() == sorted(set(scheduler.rungs()))


@each
def test_it_shows_as_its_constructor_call(name):
    scheduler = forms[name]()

    assert repr(scheduler).startswith(f"{type(scheduler).__name__}(")
