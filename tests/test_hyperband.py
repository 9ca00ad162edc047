"""Hyperband against tables computed by hand, and by property."""

import math
import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbtune.decision import Complete, Continue, Decision, Reject, Stop
from nbtune.exceptions import NbtuneWarning, SpecError
from nbtune.schedulers import Hyperband, RungRow
from nbtune.schedulers.rungs import bracket_weights, cutoff, rung_levels

scores = st.floats(-10, 10) | st.just(-math.inf)


def ready(max_t: int | None = None, *, seed: int = 0, own: int | None = None, **kw) -> Hyperband:
    scheduler = Hyperband(max_t, **kw)
    scheduler.setup(seed=seed, step_name="epoch", max_t=own)
    return scheduler


def run(scheduler: Hyperband, number: int, curve: Sequence[float]) -> tuple[int, Decision]:
    """Run one trial whose score after step i is ``curve[i - 1]``; return its end."""
    milestone = scheduler.start(number).until
    for step, score in enumerate(curve, start=1):
        if step == milestone:
            decision = scheduler.decide(number, step, score)
            if not isinstance(decision, Continue):
                return step, decision
            milestone = decision.until
    scheduler.end(number, len(curve), curve[-1])
    return len(curve), Continue()


@pytest.mark.parametrize(
    ("grace_period", "reduction_factor", "max_t", "levels"),
    [
        (1, 3, 9, [1, 3, 9]),
        (1, 3, 81, [1, 3, 9, 27, 81]),
        (1, 3, 243, [1, 3, 9, 27, 81, 243]),  # int(log(243) / log(3)) is 4
        (1, 10, 1000, [1, 10, 100, 1000]),  # int(log(1000) / log(10)) is 2
        (1, 3, 242, [1, 3, 9, 27, 81]),
        (1, 3, 100, [1, 3, 9, 27, 81]),
        (2, 2, 9, [2, 4, 8]),
        (5, 4, 80, [5, 20, 80]),
        (7, 3, 7, [7]),
        (1, 5, 5**20, [5**k for k in range(21)]),
    ],
)
def test_rungs_are_exact_powers_up_to_max_t(grace_period, reduction_factor, max_t, levels):
    # FEATURES A4
    assert rung_levels(grace_period, reduction_factor, max_t) == levels


@pytest.mark.parametrize(
    ("brackets", "rungs", "reduction_factor", "weights"),
    [
        (1, 4, 3, [27]),
        (4, 4, 3, [27, 12, 6, 4]),  # 4/4 * 27, 4/3 * 9, 4/2 * 3, 4/1 * 1
        (2, 4, 3, [27, 12]),
        (9, 3, 2, [4, 3, 3]),  # 3/3 * 4, 3/2 * 2, 3/1 * 1; brackets without a rung are dropped
    ],
)
def test_a_bracket_is_drawn_by_its_share(brackets, rungs, reduction_factor, weights):
    # FEATURES A4
    shares = [weight / sum(weights) for weight in weights]

    assert bracket_weights(brackets, rungs, reduction_factor) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("ascending", "reduction_factor", "expected"),
    [
        ([], 3, None),
        ([5.0], 3, 5.0),
        ([1.0, 2.0], 3, 1 + 2 / 3),
        ([1.0, 2.0, 3.0], 3, 2 + 1 / 3),
        ([1.0, 2.0, 3.0, 4.0], 3, 3.0),
        ([1.0, 2.0, 3.0], 2, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 2, 2.5),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 4, 4.0),
        ([-math.inf, 1.0], 3, -math.inf),
        ([-math.inf, 1.0, 2.0], 3, 1 + 1 / 3),
        ([-math.inf, -math.inf], 2, -math.inf),
        ([1.0, math.inf], 2, math.inf),
        ([math.inf, math.inf], 2, math.inf),
    ],
)
def test_cutoff_is_the_interpolated_quantile(ascending, reduction_factor, expected):
    # FEATURES A4
    assert cutoff(ascending, reduction_factor=reduction_factor) == (
        None if expected is None else pytest.approx(expected)
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.integers(2, 9))
def test_cutoff_agrees_with_numpy(values, reduction_factor):
    expected = np.percentile(values, (1 - 1 / reduction_factor) * 100)

    found = cutoff(sorted(values), reduction_factor=reduction_factor)

    assert found == pytest.approx(float(expected), abs=1e-6)


@given(st.lists(scores, min_size=1), st.integers(2, 9))
def test_the_best_score_of_a_rung_reaches_its_cutoff(values, reduction_factor):
    threshold = cutoff(sorted(values), reduction_factor=reduction_factor)

    assert threshold is not None
    assert max(values) >= threshold


def test_trials_are_stopped_as_in_the_table_computed_by_hand():
    # FEATURES A4
    # eta 2: rungs 1, 2, 4 and max_t 6. At each rung the cutoff is the median of what came before.
    scheduler = ready(6, reduction_factor=2)

    ends = [
        run(scheduler, 0, [5.0] * 6),  # first everywhere
        run(scheduler, 1, [4.0] * 6),  # rung 1: median of 5 is 5
        run(scheduler, 2, [4.5] * 6),  # rung 1: median of 4, 5 is 4.5, a tie; rung 2: below 5
        run(scheduler, 3, [4.4] * 6),  # rung 1: median of 4, 4.5, 5 is 4.5
        run(scheduler, 4, [4.5, 4.8, 5.0, 4.0, 9.0, 9.0]),  # rung 1: 4.45; 2: 4.75; 4: below 5
        run(scheduler, 5, [4.5, 4.8, 5.0, 4.5, 9.0, 9.0]),  # 1: 4.5, a tie; 2: 4.8, a tie; 4: 4.5
    ]

    steps_and_types = [(step, type(decision).__name__) for step, decision in ends]
    assert steps_and_types == [
        (6, "Complete"),
        (1, "Stop"),
        (2, "Stop"),
        (1, "Stop"),
        (4, "Stop"),
        (6, "Complete"),
    ]


def test_milestones_are_the_rungs_and_then_max_t():
    scheduler = ready(7, reduction_factor=2)

    milestones = [scheduler.start(0)]
    milestones += [scheduler.decide(0, step, 1.0) for step in (1, 2, 4)]

    assert milestones == [Continue(1), Continue(2), Continue(4), Continue(7)]


def test_a_trial_is_complete_at_max_t_even_past_unrecorded_rungs():
    scheduler = ready(9)
    scheduler.start(0)

    assert scheduler.decide(0, 10, -5.0) == Complete("max_t=9 reached")


def test_max_t_that_is_a_power_is_a_rung_where_nobody_is_stopped():
    scheduler = ready(3)
    run(scheduler, 0, [1.0, 1.0, 9.0])

    step, decision = run(scheduler, 1, [1.0, 1.0, 0.0])

    assert (step, decision) == (3, Complete("max_t=3 reached"))
    assert scheduler.rungs() == [1, 3]


def test_a_stopped_trial_is_recorded_too():
    scheduler = ready(9, reduction_factor=2)
    for number, score in enumerate([2.0, 1.0, 0.0]):
        run(scheduler, number, [score])

    # The median of 2, 1 and 0 is 1; of 2 alone it would be 2.
    assert scheduler.start(3) == Continue(1)
    assert scheduler.decide(3, 1, 1.0) == Continue(2)


@pytest.mark.parametrize(
    ("reduction_factor", "share"), [(2, "half"), (3, "third"), (4, "quarter"), (10, "1/10")]
)
def test_the_reason_names_the_rung_and_the_share(reduction_factor, share):
    scheduler = ready(100, grace_period=5, reduction_factor=reduction_factor)
    run(scheduler, 0, [1.0] * 6)

    _, decision = run(scheduler, 1, [0.0] * 5)

    assert decision == Stop(f"rung 5: below the best {share}")


def test_the_reason_says_so_where_others_ended_by_themselves():
    scheduler = ready()
    run(scheduler, 0, [1.0] * 3)

    *_, decision = run(scheduler, 1, [2.0, 2.0, 0.0])

    assert decision == Stop("rung 3: below the best third; others ended at 3 as well")


def test_an_explanation_keeps_how_a_stopped_trial_stood():
    scheduler = ready(9)
    for number, score in enumerate([1.0, 3.0, 2.0]):
        run(scheduler, number, [score])
    # 2.0 came third: the cutoff lay two thirds of the way from 1 to 3.
    run(scheduler, 3, [9.0])

    why = scheduler.explain(2)

    assert (why.bracket, why.rung, why.rank, why.of, why.score) == (0, 1, 2, 3, 2.0)
    assert why.cutoff == pytest.approx(1 + 4 / 3)
    assert scheduler.explain(4) is None


def test_the_table_of_rungs_counts_who_came_and_who_passed():
    scheduler = ready(9, reduction_factor=2)
    for number, score in enumerate([2.0, 1.0, 3.0, 0.0]):
        run(scheduler, number, [score, score])

    assert scheduler.rungs_table() == [
        RungRow(bracket=0, level=1, trials=4, passed=2, cutoff=1.5),
        RungRow(bracket=0, level=2, trials=2, passed=2, cutoff=2.5),
    ]


def test_a_report_that_jumps_past_a_rung_is_rejected_with_what_to_do():
    scheduler = ready(27)
    scheduler.start(0)
    scheduler.decide(0, 1, 0.5)

    decision = scheduler.decide(0, 5, 0.5)

    assert isinstance(decision, Reject)
    assert decision.message == (
        "epoch 5 was reported without epoch 3, a rung at which trials are compared. "
        "Report every epoch, or let the rungs fall on your reports, for instance "
        "Hyperband(grace_period=5)"
    )


def test_a_trial_asked_early_goes_on_to_its_rung():
    scheduler = ready(27, grace_period=3)
    scheduler.start(0)

    assert scheduler.decide(0, 2, 0.5) == Continue(3)


def test_a_trial_that_ends_by_itself_on_a_rung_is_recorded_there():
    scheduler = ready(27, reduction_factor=2)
    scheduler.start(0)
    scheduler.end(0, 1, 3.0)

    _, decision = run(scheduler, 1, [2.0])

    assert isinstance(decision, Stop)


@pytest.mark.parametrize(("step", "score"), [(1, None), (2, 3.0), (27, 3.0)])
def test_a_trial_that_ends_elsewhere_or_without_a_score_is_not_recorded(step, score):
    scheduler = ready(27, grace_period=9)
    scheduler.start(0)
    scheduler.end(0, step, score)

    _, decision = run(scheduler, 1, [2.0] * 9)

    assert decision == Continue()


def test_a_trial_that_starts_again_is_not_counted_twice():
    scheduler = ready(27, reduction_factor=2)
    run(scheduler, 0, [1.0])  # recorded at rung 1, then its worker was lost

    assert scheduler.start(0) == Continue(2)


def test_trials_are_compared_within_their_bracket_only():
    # FEATURES A4
    scheduler = ready(27, brackets=2, reduction_factor=3)
    firsts = {number: scheduler.start(number).until for number in range(50)}

    decisions = [scheduler.decide(n, first, -n) for n, first in firsts.items()]

    assert set(firsts.values()) == {1, 3}
    first_of_each = [list(firsts.values()).index(first) for first in (1, 3)]
    assert [n for n, d in enumerate(decisions) if isinstance(d, Continue)] == sorted(first_of_each)


def test_brackets_are_drawn_about_as_often_as_their_weights():
    # FEATURES A4
    scheduler = ready(27, brackets=4)

    firsts = [scheduler.start(number).until for number in range(4900)]

    counts = [firsts.count(level) for level in (1, 3, 9, 27)]
    assert counts == pytest.approx([2700, 1200, 600, 400], abs=120)


def test_a_bracket_depends_on_the_seed_and_the_number_alone():
    one, other = ready(81, brackets=4, seed=3), ready(81, brackets=4, seed=3)
    forward = [one.start(number).until for number in range(30)]

    backward = [other.start(number).until for number in reversed(range(30))]

    assert forward == backward[::-1]


def test_without_max_t_the_objectives_own_epochs_count():
    # FEATURES A4
    scheduler = ready(own=27)

    assert scheduler.rungs() == [1, 3, 9, 27]
    assert isinstance(scheduler.decide(0, 27, 1.0), Complete)


def test_the_argument_wins_over_the_objectives_own_epochs_with_a_warning():
    # FEATURES A4
    scheduler = Hyperband(max_t=9)

    with pytest.warns(NbtuneWarning, match="own limit.* is 27; trials are complete at epoch 9"):
        scheduler.setup(seed=0, step_name="epoch", max_t=27)

    assert scheduler.rungs() == [1, 3, 9]


def test_without_any_max_t_rungs_go_on_without_end():
    scheduler = ready(reduction_factor=10)
    milestone, passed = scheduler.start(0), []
    for _ in range(7):
        passed.append(milestone.until)
        milestone = scheduler.decide(0, milestone.until, 1.0)

    assert passed == [10**k for k in range(7)]
    assert scheduler.rungs() == passed


def test_several_brackets_need_max_t():
    with pytest.raises(SpecError, match=r"brackets=3\).*give max_t"):
        ready(brackets=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_t": 0}, r"Hyperband\(max_t=0\): needs an integer of at least 1"),
        ({"max_t": 9.5}, r"Hyperband\(max_t=9\.5\): needs an integer of at least 1"),
        ({"max_t": True}, r"Hyperband\(max_t=True\): needs an integer"),
        ({"grace_period": 0}, r"Hyperband\(grace_period=0\): needs an integer of at least 1"),
        ({"reduction_factor": 1}, r"Hyperband\(reduction_factor=1\): .* at least 2"),
        ({"reduction_factor": "3"}, r"Hyperband\(reduction_factor='3'\): .* at least 2"),
        ({"brackets": -1}, r"Hyperband\(brackets=-1\): needs an integer of at least 1"),
        ({"type": "stoping"}, r"type='stoping'\): is not known\. Did you mean 'stopping'\?"),
        ({"max_t": 9, "grace_period": 10}, r"grace_period=10\): longer than max_t=9"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(arguments, message):
    with pytest.raises(SpecError, match=message):
        Hyperband(**arguments)


def test_a_grace_period_longer_than_the_objectives_epochs_is_refused():
    with pytest.raises(SpecError, match=r"grace_period=10\): longer than max_t=9"):
        ready(own=9, grace_period=10)


def test_keep_size_ratios_warns_that_it_has_no_effect():
    with pytest.warns(NbtuneWarning, match="no effect with type='stopping'"):
        Hyperband(keep_size_ratios=True)


def test_a_numpy_integer_is_an_integer():
    assert Hyperband(max_t=np.int64(27)).max_t == 27


curves = st.lists(st.lists(scores, min_size=9, max_size=9), min_size=1, max_size=25)
settings = st.fixed_dictionaries(
    {
        "max_t": st.integers(1, 12),
        "reduction_factor": st.integers(2, 4),
        "brackets": st.integers(1, 3),
        "seed": st.integers(0, 2**32),
    }
)


@given(settings, curves)
def test_the_first_to_reach_a_rung_goes_on(setting, table):
    scheduler = ready(**setting)
    reached = set()

    for number, curve in enumerate(table):
        first = scheduler.start(number).until
        step, decision = run(scheduler, number, curve)
        if isinstance(decision, Stop):
            assert (first, step) in reached
        reached |= {(first, rung) for rung in scheduler.rungs() if first <= rung <= step}


@given(settings, st.integers(1, 20), scores)
def test_equal_trials_all_go_on(setting, count, score):
    scheduler = ready(**setting)

    ends = [run(scheduler, number, [score] * 12) for number in range(count)]

    assert all(isinstance(decision, Complete) for _, decision in ends)


@given(settings, curves)
def test_the_best_trial_so_far_is_never_stopped(setting, table):
    scheduler = ready(**setting)
    for number, curve in enumerate(table):
        run(scheduler, number, curve)

    _, decision = run(scheduler, len(table), [11.0] * 12)

    assert isinstance(decision, Complete)


@given(st.integers(1, 200), st.integers(2, 9))
def test_one_in_eta_of_distinct_scores_reaches_the_cutoff(count, reduction_factor):
    bar = cutoff([float(score) for score in range(count)], reduction_factor=reduction_factor)

    assert bar is not None
    assert sum(score >= bar for score in range(count)) == -(-count // reduction_factor)


@given(settings, curves, st.integers(0, 25))
def test_a_pickle_in_the_middle_decides_the_same(setting, table, split):
    whole = ready(**setting)
    expected = [run(whole, number, curve) for number, curve in enumerate(table)]
    scheduler = ready(**setting)

    ends = []
    for number, curve in enumerate(table):
        if number == split:
            scheduler = pickle.loads(pickle.dumps(scheduler))
        ends.append(run(scheduler, number, curve))

    assert ends == expected
