"""The rules that compare trials at the same step, against values computed by hand."""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduling import Play

from nbtune.decision import Continue, Stop
from nbtune.exceptions import SpecError
from nbtune.schedulers import (
    AverageRule,
    DiffRule,
    Explanation,
    MedianRule,
    Patience,
    TruncationRule,
)
from nbtune.schedulers.median import median

RULES = [MedianRule, AverageRule, DiffRule, TruncationRule]


def ready(scheduler):
    scheduler.setup(seed=0, step_name="epoch", max_t=None)
    return scheduler


def end_of(scheduler, number, curve):
    """Run one trial; return the step and the reason of its stop, None if it ran to its end."""
    milestone = scheduler.start(number).until
    for step, score in enumerate(curve, start=1):
        if step >= milestone:
            decision = scheduler.decide(number, step, score)
            if isinstance(decision, Stop):
                return step, decision.reason
            milestone = decision.until
    scheduler.end(number, len(curve), curve[-1])
    return None


def ends(scheduler, curves):
    return [end_of(scheduler, number, curve) for number, curve in enumerate(curves)]


# --- median


@pytest.mark.parametrize(
    ("ascending", "middle"),
    [
        ([4.0], 4.0),
        ([1.0, 2.0], 1.5),
        ([1.0, 2.0, 9.0], 2.0),
        ([-math.inf, 1.0], -math.inf),
        ([-math.inf, -math.inf], -math.inf),
    ],
)
def test_the_median_of_an_even_number_lies_in_the_middle_of_two(ascending, middle):
    assert median(ascending) == middle


def test_the_median_rule_compares_the_best_so_far_with_running_averages():
    # FEATURES P4
    scheduler = ready(MedianRule(min_samples=3))

    found = ends(
        scheduler,
        [
            [1.0, 3.0],  # averages 1, 2
            [2.0, 4.0],  # averages 2, 3
            [3.0, 5.0],  # averages 3, 4; judged by none: two others at each step
            [2.0, 2.9],  # step 1: 2 against median 2; step 2: best 2.9 against median of 2, 3, 4
            [3.0, 0.0],  # step 2: best 3 against median of 2, 2.45, 3, 4: 2.725
        ],
    )

    assert found == [None, None, None, (2, "epoch 2: below the median of 3 others"), None]


@pytest.mark.parametrize(("best", "stops"), [(1.99, True), (2.0, False)])
def test_a_best_at_the_median_goes_on(best, stops):
    scheduler = ready(MedianRule(min_samples=3))
    ends(scheduler, [[1.0], [2.0], [3.0]])

    assert (end_of(scheduler, 3, [best]) is not None) == stops


def test_a_stopped_trial_still_counts_among_the_others():
    scheduler = ready(MedianRule(min_samples=1))
    ends(scheduler, [[5.0], [1.0]])  # the second is stopped: the median is 3 now

    assert end_of(scheduler, 2, [3.0]) is None


def test_the_median_rule_explains_a_stop():
    scheduler = ready(MedianRule(min_samples=3))
    ends(scheduler, [[1.0], [2.0], [3.0], [1.5]])

    assert scheduler.explain(3) == Explanation(
        bracket=0, rung=1, rank=3, of=4, score=1.5, cutoff=2.0
    )
    assert scheduler.explain(0) is None


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.floats(-9, 9), min_size=6, max_size=6), min_size=1, max_size=12),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_the_median_rule_agrees_with_its_definition(table, slots, interval, min_samples):
    # FEATURES P4
    rule = ready(MedianRule(grace_period=2, interval=interval, min_samples=min_samples))
    heard = {}
    for said in Play(rule, table, slots=slots).log:
        if said.what != "decide":
            continue
        curve = heard.setdefault(said.number, [])
        curve.append(said.score)
        others = [
            statistics.fmean(other[: said.step])
            for number, other in heard.items()
            if number != said.number and len(other) >= said.step
        ]
        due = said.step >= 2 and said.step % interval == 0 and len(others) >= min_samples
        margin = max(curve) - statistics.median(others) if due else 0.0
        if abs(margin) > 1e-9 or not due:  # a rounding apart, either is right
            assert isinstance(said.answer, Stop) == (due and margin < 0)


# --- average, diff, truncation


@pytest.mark.parametrize(("score", "stops"), [(1.9, True), (2.0, False)])
def test_the_average_rule_stops_below_the_mean_of_the_others(score, stops):
    # FEATURES P4
    scheduler = ready(AverageRule())
    ends(scheduler, [[1.0], [2.0], [3.0]])

    assert (end_of(scheduler, 3, [score]) is not None) == stops


def test_the_mean_of_equal_scores_stops_no_equal():
    assert ends(ready(AverageRule(min_samples=1)), [[0.1]] * 30) == [None] * 30


@pytest.mark.parametrize(
    ("share", "others", "score", "stops"),
    [
        (0.25, [4.0], 3.0, False),  # just a quarter below
        (0.25, [4.0], 2.99, True),
        (25, [4.0], 2.99, True),  # a percentage
        (0.25, [-4.0], -5.0, False),  # a loss: the best is 4, and 5 is a quarter worse
        (0.25, [-4.0], -5.01, True),
        (0.0, [4.0], 4.0, False),
        (0.0, [4.0], 3.999, True),  # no tolerance
        (0.0, [4.0], 5.0, False),  # is the best itself
        (0.5, [0.0], -0.1, True),  # far from a best of 0
        (0.5, [-math.inf], -math.inf, False),
        (0.5, [1.0], -math.inf, True),
    ],
)
def test_the_diff_rule_stops_further_from_the_best_than_the_share(share, others, score, stops):
    # FEATURES P4
    scheduler = ready(DiffRule(share, min_samples=1))
    ends(scheduler, [[other] for other in others])

    assert (end_of(scheduler, len(others), [score]) is not None) == stops


def at_step_1(scheduler, scores):
    """Let trials report their first score while all of them run; return who is stopped."""
    for number in range(len(scores)):
        scheduler.start(number)
    decisions = [scheduler.decide(number, 1, score) for number, score in enumerate(scores)]
    return [number for number, decision in enumerate(decisions) if isinstance(decision, Stop)]


def test_truncation_stops_the_worst_share_of_the_running_trials():
    # FEATURES P4
    # A quarter of 4 is one: trial 3 is the worst of four and leaves; 4 is the worst of four again,
    # 5 is not.
    scheduler = ready(TruncationRule(0.25))

    assert at_step_1(scheduler, [4.0, 3.0, 2.0, 1.0, 1.5, 2.5]) == [3, 4]


def test_truncation_rounds_the_number_down():
    scheduler = ready(TruncationRule(0.3, min_samples=1))

    assert at_step_1(scheduler, [3.0, 2.0, 1.0]) == []


def test_a_share_that_is_no_binary_fraction_is_not_rounded_down():
    # 0.29 * 100 is 28.999...: the 29th from below is to stop.
    scheduler = ready(TruncationRule(0.29, min_samples=99))

    assert at_step_1(scheduler, [*range(99, 0, -1), 28.5]) == [99]


def test_truncation_says_how_many_are_to_stop():
    scheduler = ready(TruncationRule(0.25))
    at_step_1(scheduler, [4.0, 3.0, 2.0])

    scheduler.start(3)

    assert scheduler.decide(3, 1, 1.0) == Stop("epoch 1: among the worst 1 of 4 running trials")


def test_a_tie_with_one_that_goes_on_goes_on():
    assert at_step_1(ready(TruncationRule(0.5, min_samples=1)), [1.0] * 8) == []


@pytest.mark.parametrize(("include_finished", "stops"), [(False, True), (True, False)])
def test_finished_trials_take_part_in_the_ranking_if_asked_to(include_finished, stops):
    # FEATURES P4
    # Half of the three that run is one; the finished trial takes its place in the ranking.
    scheduler = ready(TruncationRule(0.5, include_finished, min_samples=2))
    at_step_1(scheduler, [0.0, 5.0, 6.0])
    scheduler.end(0, 1, 0.0)
    scheduler.start(3)

    assert isinstance(scheduler.decide(3, 1, 1.0), Stop) == stops


def test_a_failed_trial_leaves_the_ranking():
    scheduler = ready(TruncationRule(0.34, include_finished=True, min_samples=2))
    at_step_1(scheduler, [0.0, 5.0, 6.0])
    scheduler.end(0, 1, None)
    scheduler.start(3)

    assert isinstance(scheduler.decide(3, 1, 1.0), Stop)


# --- when they judge


@pytest.mark.parametrize("rule", RULES)
def test_nobody_is_judged_in_the_grace_period(rule):
    # FEATURES P4
    scheduler = ready(rule(grace_period=3, min_samples=1))
    better = [[9.0] * 4, [8.0] * 4, [7.0] * 4, [6.0] * 4, [5.0] * 4]
    for number in range(len(better)):
        scheduler.start(number)
    found = {}
    for step in range(1, 5):
        for number, curve in enumerate(better):
            if number not in found:
                decision = scheduler.decide(number, step, curve[step - 1])
                if isinstance(decision, Stop):
                    found[number] = step

    assert set(found.values()) == {3}


@pytest.mark.parametrize("rule", RULES)
def test_trials_are_judged_at_multiples_of_the_interval(rule):
    # FEATURES P4
    scheduler = ready(rule(grace_period=3, interval=4, min_samples=1))
    scheduler.start(0)
    for step in range(1, 9):
        scheduler.decide(0, step, 9.0)
    scheduler.start(1)

    judged = []
    for step in range(1, 9):
        scheduler.decide(1, step, 9.0)
        if (why := scheduler.explain(1)) is not None and why.rung not in judged:
            judged.append(why.rung)

    assert judged == [4, 8]


@pytest.mark.parametrize("rule", [AverageRule, DiffRule, TruncationRule])
def test_milestones_are_the_steps_at_which_a_trial_is_judged(rule):
    scheduler = ready(rule(grace_period=5, interval=3))

    assert scheduler.start(0) == Continue(6)
    assert scheduler.decide(0, 7, 1.0) == Continue(9)  # it reports 7, 14, ...


def test_the_median_rule_hears_every_report():
    scheduler = ready(MedianRule(grace_period=5, interval=3))

    assert scheduler.start(0) == Continue(1)
    assert scheduler.decide(0, 2, 1.0) == Continue(3)


@pytest.mark.parametrize("rule", RULES)
def test_nobody_is_judged_by_too_few(rule):
    scheduler = ready(rule(min_samples=4))

    assert ends(scheduler, [[9.0], [8.0], [7.0], [-9.0]]) == [None] * 4


@pytest.mark.parametrize("rule", RULES)
def test_a_trial_that_starts_again_is_not_told_twice(rule):
    scheduler = ready(rule())
    scheduler.start(0)
    for step in (1, 2, 3):
        scheduler.decide(0, step, 1.0)

    assert scheduler.start(0) == Continue(4)
    assert scheduler.decide(0, 3, 1.0) == Continue(4)


@pytest.mark.parametrize("rule", RULES)
def test_the_best_is_never_stopped(rule):
    scheduler = ready(rule(min_samples=1))
    ends(scheduler, [[float(n % 5)] * 3 for n in range(20)])

    assert end_of(scheduler, 20, [4.0, 4.0, 4.0]) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MedianRule(grace_period=0), r"MedianRule\(grace_period=0\): needs an integer"),
        (lambda: MedianRule(interval=1.5), r"MedianRule\(interval=1\.5\): needs an integer"),
        (lambda: AverageRule(min_samples=0), r"AverageRule\(min_samples=0\): needs an integer"),
        (lambda: DiffRule(-0.1), r"DiffRule\(share=-0\.1\): needs a share from 0 to 1"),
        (lambda: DiffRule("5%"), r"DiffRule\(share='5%'\): needs a share from 0 to 1"),
        (lambda: TruncationRule(100), r"TruncationRule\(share=100\): needs a share"),
        (lambda: TruncationRule(math.nan), r"TruncationRule\(share=nan\): needs a share"),
        (lambda: Patience(0), r"Patience\(steps=0\): needs an integer of at least 1"),
        (lambda: Patience(min_delta=-1), r"Patience\(min_delta=-1\): needs a number of at least"),
        (lambda: Patience(min_delta=True), r"Patience\(min_delta=True\): needs a number"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(make, message):
    with pytest.raises(SpecError, match=message):
        make()


@pytest.mark.parametrize("rule", [*RULES, Patience])
def test_it_shows_as_its_constructor_call(rule):
    scheduler = rule(grace_period=2)

    assert eval(repr(scheduler)).__dict__ == scheduler.__dict__


# --- patience


def test_patience_ends_when_the_best_is_old():
    scheduler = ready(Patience(steps=2))

    assert ends(
        scheduler,
        [
            [1.0, 2.0, 3.0, 4.0],
            [3.0, 1.0, 2.0, 9.0],
            [1.0, 1.0, 1.0, 9.0],  # as good is not better
            [1.0, 0.0, 2.0, 1.0, 1.9, 9.0],
        ],
    ) == [
        None,
        (3, "not better since epoch 1"),
        (3, "not better since epoch 1"),
        (5, "not better since epoch 3"),
    ]


def test_patience_asks_for_more_than_min_delta():
    scheduler = ready(Patience(steps=2, min_delta=0.5))

    assert end_of(scheduler, 0, [1.0, 1.5, 1.5, 9.0]) == (3, "not better since epoch 1")


def test_patience_waits_for_the_grace_period():
    scheduler = ready(Patience(steps=1, grace_period=4))

    assert end_of(scheduler, 0, [5.0, 4.0, 3.0, 2.0]) == (4, "not better since epoch 1")


def test_patience_counts_steps_where_reports_are_rare():
    scheduler = ready(Patience(steps=10))
    scheduler.start(0)
    scheduler.decide(0, 10, 1.0)

    assert isinstance(scheduler.decide(0, 20, 1.0), Stop)


def test_patience_ends_a_trial_that_is_no_number_from_the_start():
    scheduler = ready(Patience(steps=2))

    assert end_of(scheduler, 0, [-math.inf] * 5) == (3, "not better since epoch 1")


def test_patience_goes_on_where_a_restarted_trial_was():
    scheduler = ready(Patience(steps=3))
    scheduler.start(0)
    for step, score in ((1, 5.0), (2, 4.0), (3, 4.0)):
        scheduler.decide(0, step, score)

    assert scheduler.start(0) == Continue(4)
    assert isinstance(scheduler.decide(0, 4, 4.0), Stop)
