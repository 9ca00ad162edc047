"""Synchronous Hyperband against tables computed by hand, and by property."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling import Play

from nbtune.decision import Complete, Continue, Pause, Promote, Reject, Sample, Stop, Wait
from nbtune.exceptions import SpecError
from nbtune.schedulers import Explanation, RungRow, SyncHyperband
from nbtune.schedulers.rungs import BracketPlan, bracket_plans


def ready(max_t=9, *, own=None, **kw) -> SyncHyperband:
    scheduler = SyncHyperband(max_t, **kw)
    scheduler.setup(seed=0, step_name="epoch", max_t=own)
    return scheduler


def flat(scores, steps=9):
    return [[float(score)] * steps for score in scores]


def test_brackets_of_81_and_3_are_those_of_the_paper():
    # FEATURES P2
    assert bracket_plans(81, 3) == [
        BracketPlan((81, 27, 9, 3, 1), (1, 3, 9, 27, 81)),
        BracketPlan((34, 11, 3, 1), (3, 9, 27, 81)),
        BracketPlan((15, 5, 1), (9, 27, 81)),
        BracketPlan((8, 2), (27, 81)),
        BracketPlan((5,), (81,)),
    ]


@pytest.mark.parametrize(
    ("max_t", "reduction_factor", "sizes"),
    [
        (243, 3, [243, 98, 41, 18, 9, 6]),  # int(log(243) / log(3)) is 4
        (1000, 10, [1000, 134, 20, 4]),  # int(log(1000) / log(10)) is 2
        (27, 3, [27, 12, 6, 4]),
        (9, 3, [9, 5, 3]),
        (16, 4, [16, 6, 3]),
        (1, 3, [1]),
    ],
)
def test_brackets_begin_with_as_many_trials_as_the_formula_says(max_t, reduction_factor, sizes):
    # FEATURES P2
    assert [plan.sizes[0] for plan in bracket_plans(max_t, reduction_factor)] == sizes


def test_levels_are_rounded_down_where_max_t_is_no_power():
    assert [plan.levels for plan in bracket_plans(100, 3)] == [
        (1, 3, 11, 33, 100),
        (3, 11, 33, 100),
        (11, 33, 100),
        (33, 100),
        (100,),
    ]


@given(st.integers(1, 5000), st.integers(2, 12))
def test_every_bracket_ends_at_max_t_and_shrinks_by_eta(max_t, eta):
    for plan in bracket_plans(max_t, eta):
        assert plan.levels[-1] == max_t
        assert plan.levels[0] >= 1
        assert all(high // eta == low for low, high in itertools.pairwise(plan.levels))
        assert all(more // eta == less for more, less in itertools.pairwise(plan.sizes))
        assert plan.sizes[-1] >= 1


def test_trials_go_on_as_in_the_table_computed_by_hand():
    # FEATURES P2
    # R 9, eta 3: brackets of 9, 3, 1 trials at 1, 3, 9; of 5, 1 at 3, 9; of 3 at 9. One slot.
    scores = [*[5, 1, 9, 2, 8, 3, 4, 0, 6], *[1, 2, 5, 4, 3], *[1, 2, 3]]

    play = Play(ready(), flat(scores))

    asked = [(said.number, said.step) for said in play.log if said.what == "decide"]
    assert asked == [
        *[(number, 1) for number in range(9)],
        (8, 3),  # 2, 4 and 8 are the best three; 8 came last and goes on at once
        (2, 3),
        (4, 3),
        (2, 9),
        *[(number, 3) for number in range(9, 14)],
        (11, 9),
        *[(number, 9) for number in range(14, 17)],
    ]
    assert play.promoted == [(2, 1), (4, 1), (2, 3), (11, 3)]
    assert play.completed == [(2, 9), (11, 9), (14, 9), (15, 9), (16, 9)]
    assert play.scheduler.next() == Wait()


def test_the_last_to_come_is_stopped_when_it_is_not_among_the_best():
    scheduler = ready()
    for number in range(9):
        scheduler.start(number)
        decision = scheduler.decide(number, 1, -float(number))

    assert decision == Stop("rung 1: 9 of 9, the best 3 go on")


def test_a_pause_says_how_many_are_there():
    scheduler = ready()
    scheduler.start(0)

    assert scheduler.decide(0, 1, 1.0) == Pause("rung 1: 1 of 9 trials are there")


def test_a_later_bracket_uses_the_slots_that_an_earlier_one_leaves_free():
    scheduler = ready()
    milestones = [scheduler.start(number).until for number in range(17)]

    assert milestones == [1] * 9 + [3] * 5 + [9] * 3
    assert scheduler.next() == Wait()


def test_an_earlier_bracket_goes_first():
    scheduler = ready()
    for number in range(9):
        scheduler.start(number)
    assert scheduler.next() == Sample()

    for number in range(9):
        scheduler.decide(number, 1, -float(number))

    assert scheduler.next() == Promote(0)


def test_rounds_repeat_all_brackets():
    scheduler = ready(rounds=2)

    milestones = [scheduler.start(number).until for number in range(34)]

    assert milestones == ([1] * 9 + [3] * 5 + [9] * 3) * 2
    assert scheduler.next() == Wait()


def test_without_a_number_of_rounds_there_is_always_another_bracket():
    scheduler = ready(rounds=None)
    for number in range(100):
        assert scheduler.next() == Sample()
        scheduler.start(number)


def test_a_trial_beyond_the_plan_runs_alone_to_max_t():
    scheduler = ready()
    for number in range(17):
        scheduler.start(number)

    assert scheduler.start(17) == Continue(9)
    assert scheduler.decide(17, 9, 0.0) == Complete("max_t=9 reached")
    assert scheduler.next() == Wait()


@pytest.mark.parametrize("score", [None, 1.0], ids=["failed", "stopped from outside"])
def test_a_trial_that_is_gone_is_not_waited_for(score):
    scheduler = ready()
    for number in range(9):
        scheduler.start(number)
    for number in range(8):
        scheduler.decide(number, 1, float(number))

    scheduler.end(8, 0, score)

    assert scheduler.next() == Promote(7)


def test_places_of_failed_trials_go_to_the_next_best():
    scheduler = ready()
    for number in range(9):
        scheduler.start(number)
    for number in range(6):
        scheduler.end(number, 0, None)
    scheduler.decide(6, 1, 6.0)
    scheduler.decide(7, 1, 7.0)

    assert scheduler.decide(8, 1, 8.0) == Continue(3)
    assert scheduler.next() == Promote(7)
    scheduler.start(7)
    assert scheduler.next() == Promote(6)


def test_a_bracket_whose_trials_all_failed_is_over():
    scheduler = ready(3)  # brackets of 3, 1 and of 2
    for number in range(3):
        scheduler.start(number)
        scheduler.end(number, 0, None)

    assert scheduler.next() == Sample()
    assert scheduler.start(3) == Continue(3)


def test_a_paused_trial_that_is_stopped_from_outside_does_not_go_on():
    scheduler = ready()
    for number in range(9):
        scheduler.start(number)
        scheduler.decide(number, 1, float(number))  # 8, 7 and 6 are to go on, 8 does

    scheduler.end(7, 1, 7.0)

    assert scheduler.next() == Promote(6)
    scheduler.start(6)
    scheduler.decide(8, 3, 8.0)
    assert scheduler.decide(6, 3, 9.0) == Continue(9)  # the rung waits for two, not for three


def test_a_score_that_is_no_number_does_not_go_on():
    scheduler = ready()
    for number in range(9):
        scheduler.start(number)
        scheduler.decide(number, 1, 1.0 if number == 4 else -math.inf)

    assert scheduler.next() == Promote(4)
    assert scheduler.start(4) == Continue(3)
    assert scheduler.decide(4, 3, 1.0) == Continue(9)


def test_without_new_trials_a_bracket_goes_on_with_those_that_it_has():
    # 7 of 9: the best floor(7 / 3) go on, then at least one.
    play = Play(ready(), flat([1, 5, 3, 7, 2, 6, 4]), slots=2)

    assert play.promoted == [(3, 1), (5, 1), (3, 3)]
    assert play.completed == [(3, 9)]


def test_a_history_that_tells_a_failure_late_keeps_what_was_decided():
    # FEATURES A8
    # Of 7 trials the first fails, and 6 and 5 go on as the best two of the bracket.
    scheduler = ready()
    for number in range(7):
        scheduler.start(number)
    for number in range(1, 7):
        scheduler.decide(number, 1, float(number))
    for number in (6, 5):
        scheduler.start(number)
        scheduler.decide(number, 3, float(number))

    scheduler.end(0, 0, None)

    assert scheduler.next(new=False) == Promote(6)
    assert scheduler.start(6) == Continue(9)
    assert scheduler.next(new=False) == Wait()


def test_a_failed_trial_that_is_retried_in_time_takes_its_place_again():
    scheduler = ready()
    for number in range(9):
        scheduler.start(number)
    scheduler.end(0, 0, None)
    assert scheduler.start(0) == Continue(1)
    for number in range(1, 9):
        scheduler.decide(number, 1, float(number))
    assert isinstance(scheduler.next(), Sample)

    assert scheduler.decide(0, 1, 99.0) == Continue(3)


def test_a_failed_trial_that_is_retried_too_late_runs_alone_to_max_t():
    scheduler = ready()
    for number in range(9):
        scheduler.start(number)
    scheduler.end(0, 0, None)
    for number in range(1, 9):
        scheduler.decide(number, 1, float(number))

    assert scheduler.start(0) == Continue(9)


def test_a_report_that_jumps_past_a_rung_is_rejected_and_not_waited_for():
    scheduler = ready(3)
    for number in range(3):
        scheduler.start(number)
    scheduler.decide(0, 1, 0.0)
    scheduler.decide(1, 1, 1.0)

    decision = scheduler.decide(2, 2, 5.0)

    assert isinstance(decision, Reject)
    assert "epoch 2 was reported without epoch 1" in decision.message
    assert scheduler.next() == Promote(1)


def test_the_objectives_own_epochs_count_where_max_t_is_not_given():
    assert ready(None, own=27).rungs() == [1, 3, 9, 27]


def test_max_t_must_be_known():
    with pytest.raises(SpecError, match=r"needs to know how long.*SyncHyperband\(max_t=81\)"):
        ready(None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_t": 0}, r"SyncHyperband\(max_t=0\): needs an integer of at least 1"),
        ({"max_t": 9, "reduction_factor": 1}, r"\(reduction_factor=1\): needs an integer of at le"),
        ({"max_t": 9, "rounds": 0}, r"\(rounds=0\): needs an integer of at least 1"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(arguments, message):
    with pytest.raises(SpecError, match=message):
        SyncHyperband(**arguments)


@pytest.mark.parametrize("resume", [True, False])
def test_resume_says_whether_checkpoints_are_used(resume):
    # FEATURES P2
    assert SyncHyperband(9, resume=resume).resume is resume


def test_an_explanation_has_the_cutoff_once_the_rung_is_decided():
    scheduler = ready(3)
    for number in range(3):
        scheduler.start(number)
    scheduler.decide(0, 1, 1.0)
    assert scheduler.explain(0) == Explanation(
        bracket=0, rung=1, rank=1, of=1, score=1.0, cutoff=None
    )

    scheduler.decide(1, 1, 3.0)
    scheduler.decide(2, 1, 2.0)

    assert scheduler.explain(0) == Explanation(
        bracket=0, rung=1, rank=3, of=3, score=1.0, cutoff=3.0
    )
    assert scheduler.rungs_table() == [RungRow(bracket=0, level=1, trials=3, passed=0, cutoff=3.0)]


scores = st.lists(st.integers(0, 10**6), min_size=17, max_size=17, unique=True)
plays = st.fixed_dictionaries(
    {"slots": st.integers(1, 20), "paces": st.lists(st.floats(0.1, 9), min_size=1, max_size=5)}
)


@settings(max_examples=60)
@given(scores, plays)
def test_in_every_bracket_exactly_the_best_go_on(values, play):
    # FEATURES P2
    played = Play(ready(), flat(values), **play)

    reached = {n: max(s.step for s in played.log if s.number == n) for n in range(17)}
    expected = {}
    for plan, numbers in zip(
        bracket_plans(9, 3), [range(9), range(9, 14), range(14, 17)], strict=True
    ):
        ranked = sorted(numbers, key=lambda n: -values[n])
        for size, level in zip(plan.sizes, plan.levels, strict=True):
            expected |= dict.fromkeys(ranked[:size], level)
    assert reached == expected


@settings(max_examples=60)
@given(scores, plays, st.dictionaries(st.integers(0, 16), st.integers(1, 9)))
def test_failures_never_hold_a_rung_up(values, play, fails):
    played = Play(ready(), flat(values), fails=fails, **play)

    assert len({said.number for said in played.log}) == 17
    assert played.scheduler.next() == Wait()
    last = {said.number: said for said in played.log}
    for number, said in last.items():
        if isinstance(said.answer, Pause):  # it waits for nobody: its rung is decided
            assert played.scheduler.explain(number).cutoff is not None


@settings(max_examples=60)
@given(st.lists(st.integers(0, 99), min_size=1, max_size=40), plays)
def test_a_sweep_of_any_length_trains_a_trial_in_full(values, play):
    assert Play(ready(rounds=None), flat(values), **play).completed
