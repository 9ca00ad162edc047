"""Hyperband that pauses and promotes, against a table computed by hand, and by property."""

import math
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling import Play

from nbtune.decision import Complete, Continue, Pause, Promote, Reject, Sample, Wait
from nbtune.schedulers import Explanation, Hyperband, RungRow


def ready(max_t=None, *, seed=0, **kw) -> Hyperband:
    scheduler = Hyperband(max_t, type="promotion", **kw)
    scheduler.setup(seed=seed, step_name="epoch")
    return scheduler


def at_rung_1(scheduler, *values):
    """Let one trial for each score reach rung 1; return what was decided."""
    for number in range(len(values)):
        scheduler.start(number)
    return [scheduler.decide(number, 1, score) for number, score in enumerate(values)]


def test_trials_are_promoted_as_in_the_table_computed_by_hand():
    # FEATURES A5
    # eta 2: rungs 1 and 2, max_t 4; one slot. The comments give the best m // 2 of a rung.
    play = Play(ready(4, reduction_factor=2), [[score] * 4 for score in (1, 3, 2, 2.5, 0, 0.5)])

    assert [said[:3] for said in play.log if said.what != "end"] == [
        ("start", 0, 0),
        ("decide", 0, 1),  # rung 1: none of 1, so it is paused
        ("start", 1, 0),
        ("decide", 1, 1),  # rung 1: {1} of 2, promoted at once
        ("decide", 1, 2),  # rung 2: none of 1, paused
        ("start", 2, 0),
        ("decide", 2, 1),  # rung 1: {1} of 3, paused
        ("start", 3, 0),
        ("decide", 3, 1),  # rung 1: {1, 3} of 4, promoted at once
        ("decide", 3, 2),  # rung 2: {1} of 2, paused, and now 1 is among the best
        ("promote", 1, 2),
        ("decide", 1, 4),
        ("start", 4, 0),
        ("decide", 4, 1),  # rung 1: {1, 3} of 5, paused
        ("start", 5, 0),
        ("decide", 5, 1),  # rung 1: {1, 3, 2} of 6, paused, and now 2 is among the best
        ("promote", 2, 1),
        ("decide", 2, 2),  # rung 2: {1} of 3, paused
    ]
    assert play.paused == [(0, 1), (1, 2), (2, 1), (3, 2), (4, 1), (5, 1), (2, 2)]
    assert play.completed == [(1, 4)]


def test_the_highest_rung_is_served_first():
    # FEATURES A5
    scheduler = ready(8, reduction_factor=2)
    at_rung_1(scheduler, 3.0, 4.0, 1.0, 5.0)  # 0 paused; 1 and 3 go on; 2 paused
    scheduler.decide(1, 2, 4.0)
    scheduler.start(4)
    scheduler.decide(4, 1, 0.0)
    scheduler.start(5)
    scheduler.decide(5, 1, 0.0)  # the best three of six in rung 1 are 3, 1 and 0
    assert scheduler.next() == Promote(0)

    scheduler.decide(3, 2, 2.0)  # now 1 is the best of two in rung 2

    assert scheduler.next() == Promote(1)


def test_a_trial_among_the_best_goes_on_at_once_to_the_next_rung_and_at_last_to_max_t():
    # FEATURES A5
    scheduler = ready(5, reduction_factor=2)
    for number, step in [(0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (2, 4)]:
        scheduler.start(number)
        scheduler.decide(number, step, float(number))

    answers = [scheduler.start(3)] + [scheduler.decide(3, step, 3.0) for step in (1, 2, 4, 5)]

    assert answers[:4] == [Continue(1), Continue(2), Continue(4), Continue(5)]
    assert answers[4] == Complete("max_t=5 reached")


def test_a_pause_says_how_the_trial_stands():
    decisions = at_rung_1(ready(9), 1.0, 2.0, 0.0)

    assert decisions[1] == Pause("rung 1: 1 of 2, too few so far to promote one")
    assert decisions[2] == Pause("rung 1: 3 of 3, not among the best third so far")


@pytest.mark.parametrize("count", range(1, 10))
def test_a_third_of_a_rung_rounded_down_is_promoted(count):
    # FEATURES A5
    scheduler = ready(9)
    at_rung_1(scheduler, *range(count, 0, -1))

    promoted = []
    while isinstance(move := scheduler.next(), Promote):
        promoted.append(move.number)
        scheduler.start(move.number)

    assert promoted == list(range(count // 3))


def test_of_equal_scores_the_first_to_come_is_promoted():
    scheduler = ready(9)

    decisions = at_rung_1(scheduler, 1.0, 1.0, 1.0)

    assert all(isinstance(decision, Pause) for decision in decisions)
    assert scheduler.next() == Promote(0)


def test_a_trial_without_a_number_as_score_is_never_promoted():
    scheduler = ready(9, reduction_factor=2)
    at_rung_1(scheduler, *[-math.inf] * 4)

    assert scheduler.next() == Sample()
    assert scheduler.next(new=False) == Wait()


def test_a_paused_trial_that_is_stopped_from_outside_is_not_promoted():
    scheduler = ready(9)
    at_rung_1(scheduler, 1.0, 1.0, 1.0)

    scheduler.end(0, 1, 1.0)

    assert scheduler.next() == Sample()


def test_a_trial_that_ended_by_itself_at_a_rung_counts_there_and_is_not_promoted():
    # FEATURES A5
    scheduler = ready(9)
    for number in range(3):
        scheduler.start(number)
    scheduler.end(0, 1, 5.0)
    scheduler.decide(1, 1, 1.0)
    scheduler.decide(2, 1, 0.0)

    assert scheduler.next() == Sample()


def test_a_paused_trial_that_starts_counts_as_promoted():
    # FEATURES A8
    scheduler = ready(9)
    at_rung_1(scheduler, 1.0, 1.0, 1.0)

    assert scheduler.start(0) == Continue(3)
    assert scheduler.next() == Sample()


def test_a_promoted_trial_that_failed_and_is_retried_keeps_its_milestone():
    scheduler = ready(9)
    at_rung_1(scheduler, 1.0, 1.0, 1.0)
    scheduler.start(0)
    scheduler.end(0, 2, None)

    assert scheduler.start(0) == Continue(3)


def test_a_report_that_jumps_past_a_rung_is_rejected():
    scheduler = ready(9)
    scheduler.start(0)

    assert isinstance(scheduler.decide(0, 2, 1.0), Reject)


@pytest.mark.parametrize(
    ("keep_size_ratios", "decided"),
    [
        (False, [Pause, Continue, Continue, Continue, Continue, Continue]),
        # With k runs at rung 2 and n at rung 1: 0 <= 2, 2 <= 3, 4 <= 4, but 6 > 5, then 6 <= 6.
        (True, [Pause, Continue, Continue, Continue, Pause, Continue]),
    ],
)
def test_size_ratios_hold_a_promotion_back(keep_size_ratios, decided):
    # FEATURES A5
    scheduler = ready(9, reduction_factor=2, keep_size_ratios=keep_size_ratios)

    answers = []
    for number in range(6):  # each is the best so far
        scheduler.start(number)
        answers.append(scheduler.decide(number, 1, float(number)))

    assert [type(answer) for answer in answers] == decided
    if keep_size_ratios:
        assert answers[4] == Pause("rung 1: 1 of 5, the rung above has had its share so far")


def test_with_promotion_size_ratios_are_no_reason_to_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Hyperband(type="promotion", keep_size_ratios=True)


def test_the_form_shows_in_the_constructor_call():
    scheduler = Hyperband(27, type="promotion", keep_size_ratios=True)

    assert eval(repr(scheduler)).__dict__ == scheduler.__dict__


def test_an_explanation_says_how_a_paused_trial_stands_by_now():
    scheduler = ready(9)
    at_rung_1(scheduler, 1.0, 2.0)
    assert scheduler.explain(0) == Explanation(
        bracket=0, rung=1, rank=2, of=2, score=1.0, cutoff=None
    )

    scheduler.start(2)
    scheduler.decide(2, 1, 3.0)

    assert scheduler.explain(0) == Explanation(
        bracket=0, rung=1, rank=3, of=3, score=1.0, cutoff=3.0
    )
    assert scheduler.explain(7) is None


def test_the_table_of_rungs_counts_who_came_and_who_passed():
    scheduler = ready(9)
    at_rung_1(scheduler, 1.0, 2.0, 3.0)
    scheduler.decide(2, 3, 3.5)

    assert scheduler.rungs_table() == [
        RungRow(bracket=0, level=1, trials=3, passed=1, cutoff=3.0),
        RungRow(bracket=0, level=3, trials=1, passed=0, cutoff=None),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_without_new_trials_every_bracket_is_searched(seed):
    # FEATURES A5
    scheduler = ready(9, brackets=3, seed=seed)
    firsts = {n: scheduler.start(n).until for n in range(60)}
    for number, first in firsts.items():
        scheduler.decide(number, first, -number)

    while isinstance(move := scheduler.next(new=False), Promote):
        scheduler.start(move.number)

    rows = scheduler.rungs_table()
    assert {row.bracket for row in rows} == {0, 1}  # bracket 2 begins at max_t
    assert all(row.passed == row.trials // 3 for row in rows)


curves = st.lists(
    st.lists(st.floats(-9, 9) | st.just(-math.inf), min_size=12, max_size=12),
    min_size=1,
    max_size=25,
)
plays = st.fixed_dictionaries(
    {"slots": st.integers(1, 5), "paces": st.lists(st.floats(0.1, 9), min_size=1, max_size=5)}
)
eta = st.integers(2, 4)


@settings(max_examples=60)
@given(curves, plays, eta)
def test_whoever_is_promoted_is_among_the_best_of_its_rung(table, play, factor):
    # FEATURES A5
    recorded = {}
    for said in Play(ready(12, reduction_factor=factor), table, **play).log:
        if said.what == "decide" and not isinstance(said.answer, Complete):
            rung = recorded.setdefault(said.step, {})
            rung[said.number] = said.score
        if said.what == "promote" or (said.what == "decide" and isinstance(said.answer, Continue)):
            rung = recorded[said.step]
            better = sum(score > rung[said.number] for score in rung.values())
            assert better < len(rung) // factor


@settings(max_examples=60)
@given(curves, plays, eta)
def test_nobody_who_could_be_promoted_is_left_waiting_at_the_end(table, play, factor):
    played = Play(ready(12, reduction_factor=factor), table, **play)

    assert played.scheduler.next(new=False) == Wait()
    for row in played.scheduler.rungs_table():
        scores = [s.score for s in played.log if s.what == "decide" and s.step == row.level]
        top = sorted(scores, reverse=True)[: row.trials // factor]
        assert row.passed >= sum(score > -math.inf for score in top)


@settings(max_examples=60)
@given(curves, plays, eta)
def test_no_trial_is_ever_stopped(table, play, factor):
    assert not Play(ready(12, reduction_factor=factor), table, **play).stopped


@settings(max_examples=60)
@given(curves, plays, eta)
def test_size_ratios_are_respected(table, play, factor):
    # FEATURES A5
    scheduler = ready(12, reduction_factor=factor, keep_size_ratios=True)
    levels = [*scheduler.rungs(), 12] if 12 not in scheduler.rungs() else scheduler.rungs()
    started = dict.fromkeys(levels, 0)
    for said in Play(scheduler, table, **play).log:
        if isinstance(said.answer, Continue):
            until = said.answer.until
            if until != levels[0]:
                below = levels[levels.index(until) - 1]
                assert started[until] * factor <= started[below]
            started[until] += 1
