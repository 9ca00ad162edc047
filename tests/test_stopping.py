"""The rules that end a sweep, each by what it is told."""

import copy
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbtune.exceptions import SpecError
from nbtune.stopping import FailureRate, MetricThreshold, Plateau, StopRule
from nbtune.trial import Goal, Status, Trial

ACCURACY = Goal(metric="accuracy", direction="maximize")
LOSS = Goal(metric="loss", direction="minimize")


def ready(rule, *goals, trials=None):
    rule.setup(goals or (ACCURACY,), trials=trials)
    return rule


def over(number, status=Status.COMPLETED):
    return Trial(number=number, params={}, status=status)


def ends(rule, statuses):
    """Tell the ends of trials; return how many it took to end the sweep, None if it goes on."""
    for number, status in enumerate(statuses):
        if rule.ended(over(number, status), 0.0):
            return number + 1
    return None


# --- MetricThreshold


@pytest.mark.parametrize(
    ("goal", "value", "reached"),
    [
        (ACCURACY, 0.9, True),
        (ACCURACY, 0.91, True),
        (ACCURACY, 0.89, False),
        (LOSS, 0.9, True),
        (LOSS, 0.89, True),
        (LOSS, 0.91, False),
    ],
)
def test_a_threshold_is_reached_from_the_goals_side_inclusively(goal, value, reached):
    # FEATURES P4
    rule = ready(MetricThreshold(goal.metric, 0.9), goal)

    reason = rule.reported(3, {goal.metric: value}, 0.0)

    assert reason == (f"{goal.metric} reached 0.9 in trial 3" if reached else "")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("goal", [ACCURACY, LOSS])
def test_what_is_no_number_reaches_no_threshold(goal, value):
    rule = ready(MetricThreshold(goal.metric, 0.9), goal)

    assert not rule.reported(0, {goal.metric: value}, 0.0)


def test_a_report_without_the_metric_reaches_no_threshold():
    assert not ready(MetricThreshold("accuracy", 0.9)).reported(0, {"loss": 0.95}, 0.0)


def test_another_metric_needs_a_direction():
    with pytest.raises(SpecError, match=r"the sweep optimises accuracy, so say from which side"):
        ready(MetricThreshold("loss", 0.1))


@pytest.mark.parametrize(("direction", "reached"), [("minimize", True), ("maximize", False)])
def test_the_given_direction_counts(direction, reached):
    rule = ready(MetricThreshold("seconds", 10.0, direction=direction))

    assert bool(rule.reported(0, {"seconds": 9.0}, 0.0)) == reached


def test_one_of_several_goals_gives_its_direction():
    # FEATURES C7
    rule = ready(MetricThreshold("loss", 0.1), ACCURACY, LOSS)

    assert rule.reported(0, {"accuracy": 0.5, "loss": 0.05}, 0.0)


# --- FailureRate


def test_failures_are_a_share_of_all_trials_that_the_sweep_is_to_have():
    # FEATURES P4
    rule = ready(FailureRate(0.5), trials=20)

    assert ends(rule, [Status.FAILED] * 20) == 10


def test_where_their_number_is_open_failures_are_a_share_of_those_that_are_over():
    # FEATURES P4
    rule = ready(FailureRate(0.5, min_trials=4))

    assert ends(rule, [Status.FAILED] * 3 + [Status.COMPLETED] * 9) == 4


def test_a_few_failures_end_nothing():
    rule = ready(FailureRate(0.5), trials=10)

    assert ends(rule, [Status.FAILED, Status.STOPPED, Status.COMPLETED] * 3) is None


def test_no_failure_ends_nothing_however_small_the_share():
    assert ends(ready(FailureRate(0.001), trials=5), [Status.COMPLETED] * 5) is None


def test_a_share_that_is_no_binary_fraction_is_not_rounded_up():
    assert ends(ready(FailureRate(0.07), trials=100), [Status.FAILED] * 100) == 7


def test_the_reason_counts_the_failures():
    rule = ready(FailureRate(0.5), trials=2)

    assert rule.ended(over(0, Status.FAILED), 0.0) == "1 of 2 trials failed"


# --- Plateau


def tell(rule, values, *, seconds=1.0):
    """Run trials one by one, each of one report; return when and why the sweep ends."""
    for number, value in enumerate(values):
        now = seconds * (number + 1)
        reason = rule.reported(number, {"accuracy": value}, now) or rule.ended(over(number), now)
        if reason:
            return number, reason
    return None


def test_a_plateau_of_trials_is_counted_since_the_last_improvement():
    rule = ready(Plateau(trials=3))

    assert tell(rule, [0.5, 0.4, 0.5, 0.6, 0.1, 0.2, 0.3, 0.9]) == (
        6,
        "no better accuracy in 3 trials",
    )


def test_a_plateau_of_seconds_is_counted_since_the_last_improvement():
    rule = ready(Plateau(seconds=25))

    assert tell(rule, [0.5, 0.6, 0.1, 0.2, 0.9], seconds=10.0) is None
    assert rule.deadline() == 75.0
    assert rule.tick(74.9) == ""
    assert rule.tick(75.0) == "no better accuracy in 25 s"


def test_a_plateau_does_not_begin_before_the_first_value():
    rule = ready(Plateau(trials=1, seconds=1))

    assert not rule.tick(100.0)
    assert not rule.reported(0, {"accuracy": math.nan}, 100.0)
    assert not rule.ended(over(0), 100.0)
    assert rule.deadline() is None


def test_failed_trials_are_not_counted():
    rule = ready(Plateau(trials=2))
    tell(rule, [0.5])

    assert ends(rule, [Status.FAILED] * 5) is None


def test_a_trial_that_improved_is_not_counted_at_its_end():
    rule = ready(Plateau(trials=1))
    rule.reported(0, {"accuracy": 0.5}, 0.0)
    rule.reported(0, {"accuracy": 0.4}, 1.0)

    assert not rule.ended(over(0), 2.0)
    assert rule.ended(over(1), 3.0)


@pytest.mark.parametrize(("value", "goes_on"), [(0.55, False), (0.61, True)])
def test_an_improvement_is_more_than_min_delta(value, goes_on):
    rule = ready(Plateau(trials=1, min_delta=0.1))

    assert (tell(rule, [0.5, value]) is None) == goes_on


def test_of_several_goals_what_enters_the_front_improves():
    # FEATURES C7
    rule = ready(Plateau(trials=1), ACCURACY, LOSS)
    rule.reported(0, {"accuracy": 0.5, "loss": 0.5}, 0.0)
    rule.reported(1, {"accuracy": 0.4, "loss": 0.4}, 0.0)

    assert not rule.ended(over(1), 0.0)
    assert rule.ended(over(2), 0.0) == "no better accuracy or loss in 1 trials"


@pytest.mark.parametrize(
    ("accuracy", "loss", "goes_on"),
    [(0.5, 0.5, False), (0.45, 0.45, True), (0.45, 0.5, False), (0.5, math.nan, False)],
)
def test_of_several_goals_what_the_front_dominates_or_equals_is_no_improvement(
    accuracy, loss, goes_on
):
    # Between the two of the front lies what neither of them is as good as.
    rule = ready(Plateau(trials=1), ACCURACY, LOSS)
    rule.reported(0, {"accuracy": 0.5, "loss": 0.5}, 0.0)
    rule.reported(1, {"accuracy": 0.4, "loss": 0.4}, 0.0)
    rule.reported(2, {"accuracy": accuracy, "loss": loss}, 0.0)

    assert (not rule.ended(over(2), 0.0)) == goes_on


def test_of_several_goals_a_trial_may_report_one_at_a_time():
    rule = ready(Plateau(trials=1), ACCURACY, LOSS)
    rule.reported(0, {"accuracy": 0.5, "loss": 0.5}, 0.0)
    rule.reported(1, {"loss": 0.4}, 0.0)
    rule.reported(1, {"accuracy": 0.4}, 0.0)

    assert not rule.ended(over(1), 0.0)


def test_a_loss_improves_downwards():
    rule = ready(Plateau(trials=1), LOSS)
    rule.reported(0, {"loss": 0.5}, 0.0)
    rule.reported(1, {"loss": 0.4}, 0.0)

    assert not rule.ended(over(1), 0.0)


# --- all

RULES = [
    MetricThreshold("accuracy", 0.9),
    MetricThreshold("loss", 0.1, direction="minimize"),
    FailureRate(0.25, min_trials=2),
    Plateau(trials=2),
    Plateau(seconds=3.0, min_delta=0.01),
]
each = pytest.mark.parametrize("rule", RULES, ids=repr)
events = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.floats(0, 1) | st.just(math.nan),
        st.sampled_from([None, *(status for status in Status if status.ended)]),
    ),
    max_size=20,
)


def told(rule, history):
    said = []
    for now, (number, value, status) in enumerate(history):
        if status is None:
            said.append(rule.reported(number, {"accuracy": value, "loss": value}, float(now)))
        else:
            said.append(rule.ended(over(number, status), float(now)))
        said.append(rule.tick(now + 0.5))
    return said


@each
@given(history=events)
def test_a_history_told_again_gives_the_same_answers(rule, history):
    rule = ready(copy.deepcopy(rule))
    first = told(rule, history)

    assert told(ready(rule), history) == first


@each
@given(history=events, rest=events)
def test_it_pickles_on_the_way(rule, history, rest):
    rule = ready(copy.deepcopy(rule))
    told(rule, history)

    assert told(pickle.loads(pickle.dumps(rule)), rest) == told(rule, rest)


@each
def test_it_shows_as_its_constructor_call(rule):
    assert repr(eval(repr(rule))) == repr(rule)


def test_a_rule_of_ones_own_needs_only_what_concerns_it():
    class TenReports(StopRule):
        def setup(self, goals, *, trials=None):
            self.count = 0

        def reported(self, number, metrics, now):
            self.count += 1
            return "ten reports" if self.count == 10 else ""

    rule = ready(TenReports())

    assert not rule.ended(over(0), 0.0)
    assert [rule.reported(0, {}, 0.0) for _ in range(10)][-1] == "ten reports"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MetricThreshold("a", math.nan), r"'a', nan\): nan is not a finite number"),
        (lambda: MetricThreshold("a", "0.9"), r"'a', '0\.9'\): '0\.9' is not a finite number"),
        (lambda: MetricThreshold("a", 1, direction="up"), r"direction='up'\): needs 'maximize'"),
        (lambda: FailureRate(0), r"FailureRate\(0\): needs a share above 0 and up to 1"),
        (lambda: FailureRate(50), r"FailureRate\(50\): .* up to 1; 50 % is 0\.5"),
        (lambda: FailureRate(0.5, min_trials=0), r"min_trials=0\): needs an integer"),
        (Plateau, r"Plateau\(\): needs trials or seconds"),
        (lambda: Plateau(trials=0), r"Plateau\(trials=0\): needs an integer of at least 1"),
        (lambda: Plateau(seconds=0), r"Plateau\(seconds=0\): needs a number above 0"),
        (lambda: Plateau(2, min_delta=-1), r"min_delta=-1\): needs a number of at least 0"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(make, message):
    with pytest.raises(SpecError, match=message):
        make()
