"""Rules that end a sweep, each from what the engine tells it; several are joined by "or".

A rule has no clock: `now` is the number of seconds that the sweep has been running. A sweep that
resumes tells a fresh rule its history again.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from nbtune.arguments import check_integer, finite
from nbtune.exceptions import SpecError
from nbtune.pareto import Scores, scores_of
from nbtune.registry import Registry
from nbtune.trial import Goal, Status, Trial

__all__ = ["FailureRate", "MetricThreshold", "Plateau", "StopRule", "registry"]


class StopRule:
    """Says when a sweep is to end; every answer is the reason, empty while there is none."""

    def setup(self, goals: Sequence[Goal], *, trials: int | None = None) -> None:
        """Take what is optimised, and how many trials the sweep is to have; forget the past.

        Raises
        ------
        SpecError
            When the rule does not fit the sweep.
        """
        self.goals = tuple(goals)
        self.planned = trials

    def reported(self, number: int, metrics: Mapping[str, float], now: float) -> str:
        """Learn one report of trial `number`; told for each, in order of time."""
        return ""

    def ended(self, trial: Trial, now: float) -> str:
        """Learn that a trial is over; a pause is no end."""
        return ""

    def tick(self, now: float) -> str:
        """Learn that time has passed."""
        return ""

    def deadline(self) -> float | None:
        """Return the `now` at which ``tick`` will end the sweep if nothing happens before."""
        return None


class MetricThreshold(StopRule):
    """End the sweep when any report of any trial reaches `value`, inclusive.

    Parameters
    ----------
    metric : str
        The metric to watch; it need not be the one that is optimised.
    value : float
        In the metric's own unit. NaN and infinity never reach it.
    direction : {"maximize", "minimize"}, optional
        Whether it is reached from below or from above. By default as the sweep optimises the
        metric; must be given for a metric that it does not optimise.

    Raises
    ------
    SpecError
        When `value` is no finite number, or the direction is not one of the two.
    """

    def __init__(
        self,
        metric: str,
        value: float,
        *,
        direction: Literal["maximize", "minimize"] | None = None,
    ) -> None:
        if not isinstance(metric, str) or not metric:
            raise SpecError(
                f"MetricThreshold({metric!r}, {value!r}): needs a metric's name",
                "stop_when.metric",
            )
        self.metric = metric
        self.value = _finite(f"MetricThreshold({metric!r}, {value!r})", value)
        if direction not in (None, "maximize", "minimize"):
            raise SpecError(
                f"MetricThreshold({metric!r}, direction={direction!r}): needs 'maximize' "
                "or 'minimize'",
                "stop_when.direction",
            )
        self.direction = direction
        self._side = direction

    def __repr__(self) -> str:
        direction = f", direction={self.direction!r}" if self.direction else ""
        return f"MetricThreshold({self.metric!r}, {self.value}{direction})"

    def setup(self, goals: Sequence[Goal], *, trials: int | None = None) -> None:
        """Find the direction.

        Raises
        ------
        SpecError
            When the sweep does not optimise the metric and no direction was given.
        """
        super().setup(goals, trials=trials)
        known = {goal.metric: goal.direction for goal in goals}
        self._side = self.direction or known.get(self.metric)
        if self._side is None:
            raise SpecError(
                f"MetricThreshold({self.metric!r}, {self.value}): the sweep optimises "
                f"{', '.join(known)}, so say from which side the value is reached: "
                "direction='maximize' (at least) or 'minimize' (at most)",
                "stop_when.direction",
            )

    def reported(self, number: int, metrics: Mapping[str, float], now: float) -> str:
        """Return the reason when this report reaches the value."""
        value = metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            return ""
        is_there = value <= self.value if self._side == "minimize" else value >= self.value
        return f"{self.metric} reached {self.value:g} in trial {number}" if is_there else ""


class FailureRate(StopRule):
    """End the sweep when too large a share of its trials has failed.

    The share is that of all the trials that the sweep is to have, where their number is fixed:
    ``FailureRate(0.5)`` allows 9 failures in 20 trials and ends at the 10th. Where it is open,
    the share is that of the trials that are over, once there are `min_trials` of them.

    Parameters
    ----------
    share : float in (0, 1]
        The share at which the sweep ends, inclusive; it takes at least one failure.
    min_trials : int >= 1
        How many trials must be over before the share is judged, where their number is open.

    Raises
    ------
    SpecError
        When an argument is out of range.
    """

    def __init__(self, share: float, *, min_trials: int = 10) -> None:
        self.share = _finite(f"FailureRate({share!r})", share)
        if not 0 < self.share <= 1:
            hint = f"; {share} % is {self.share / 100:g}" if 1 < self.share <= 100 else ""
            raise SpecError(
                f"FailureRate({share!r}): needs a share above 0 and up to 1{hint}",
                "stop_when.share",
            )
        self.min_trials = check_integer("stop_when", "FailureRate", "min_trials", min_trials, 1)
        self.setup(())

    def __repr__(self) -> str:
        return f"FailureRate({self.share:g}, min_trials={self.min_trials})"

    def setup(self, goals: Sequence[Goal], *, trials: int | None = None) -> None:
        """Take the number of trials that the sweep is to have; None when it is open."""
        super().setup(goals, trials=trials)
        self._over = 0
        self._failed = 0

    def ended(self, trial: Trial, now: float) -> str:
        """Return the reason when, with this trial, too many have failed."""
        self._over += 1
        self._failed += trial.status is Status.FAILED
        count = max(self.planned or 0, self._over)
        if not self._failed or (self.planned is None and count < self.min_trials):
            return ""
        # 0.07 * 100 is 7.000000000000001: a rounding must not ask for an eighth failure.
        enough = self._failed >= self.share * count - 1e-9
        return f"{self._failed} of {count} trials failed" if enough else ""


class Plateau(StopRule):
    """End the sweep when its best value has not improved for some trials, or for some time.

    Counting begins with the first value. A report improves when it is better than the best so
    far by more than `min_delta`. With several goals it improves when it enters the front of all
    that was reported: when no trial has come within `min_delta` of it in all of them. Trials that
    failed, and those that brought an improvement themselves, are not counted.

    Parameters
    ----------
    trials : int >= 1, optional
        End after this many trials in a row without an improvement.
    seconds : float > 0, optional
        End after this many seconds of running without an improvement.
    min_delta : float >= 0
        In the metric's own unit.

    Raises
    ------
    SpecError
        When neither of the two is given, or an argument is out of range.
    """

    def __init__(
        self, trials: int | None = None, seconds: float | None = None, *, min_delta: float = 0.0
    ) -> None:
        if trials is None and seconds is None:
            raise SpecError(
                "Plateau(): needs trials or seconds, for instance Plateau(trials=20)", "stop_when"
            )
        if seconds is not None and _finite(f"Plateau(seconds={seconds!r})", seconds) <= 0:
            raise SpecError(
                f"Plateau(seconds={seconds!r}): needs a number above 0", "stop_when.seconds"
            )
        if _finite(f"Plateau(min_delta={min_delta!r})", min_delta) < 0:
            raise SpecError(
                f"Plateau(min_delta={min_delta!r}): needs a number of at least 0",
                "stop_when.min_delta",
            )
        self.trials = (
            None if trials is None else check_integer("stop_when", "Plateau", "trials", trials, 1)
        )
        self.seconds = seconds
        self.min_delta = min_delta
        self.setup(())

    def __repr__(self) -> str:
        given = {"trials": self.trials, "seconds": self.seconds, "min_delta": self.min_delta}
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items() if value)
        return f"Plateau({shown})"

    def setup(self, goals: Sequence[Goal], *, trials: int | None = None) -> None:
        """Take what is optimised."""
        super().setup(goals, trials=trials)
        self._front: list[Scores] = []  # of all that was reported; with one goal the best
        self._last: dict[int, dict[str, float]] = {}  # what counts of trials that still run
        self._since: float | None = None  # when it improved last; None before the first value
        self._improvers: set[int] = set()  # trials that brought an improvement and still run
        self._idle = 0  # trials in a row that brought none

    def reported(self, number: int, metrics: Mapping[str, float], now: float) -> str:
        """Take in a report: an improvement starts the count anew."""
        last = self._last.setdefault(number, {})
        for goal in self.goals:
            if (value := metrics.get(goal.metric)) is not None:
                last[goal.metric] = goal.after(last.get(goal.metric), value)
        if self._improves(scores_of(self.goals, last.get)):
            self._since = now
            self._idle = 0
            self._improvers.add(number)
            return ""
        return self.tick(now)

    def ended(self, trial: Trial, now: float) -> str:
        """Return the reason when this was one trial too many without an improvement."""
        self._last.pop(trial.number, None)
        if trial.number in self._improvers:
            self._improvers.discard(trial.number)
        elif trial.status is not Status.FAILED and self._since is not None:
            self._idle += 1
        if self.trials is not None and self._idle >= self.trials:
            return f"no better {self._names()} in {self.trials} trials"
        return self.tick(now)

    def tick(self, now: float) -> str:
        """Return the reason when the time without an improvement is over."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return ""
        return f"no better {self._names()} in {self.seconds:g} s"

    def deadline(self) -> float | None:
        """Return the last improvement's time plus `seconds`."""
        if self.seconds is None or self._since is None:
            return None
        return self._since + self.seconds

    def _improves(self, scores: Scores | None) -> bool:
        """Whether these scores enter the front, by more than `min_delta` in one goal at least."""
        if scores is None or -math.inf in scores:
            return False
        if any(_reaches(other, scores, self.min_delta) for other in self._front):
            return False
        self._front = [other for other in self._front if not _reaches(scores, other, 0.0)]
        self._front.append(scores)
        return True

    def _names(self) -> str:
        return " or ".join(goal.metric for goal in self.goals)


def _reaches(one: Scores, other: Scores, margin: float) -> bool:
    """Whether `one` is at least as good as `other` in all, give or take `margin`."""
    return all(a + margin >= b for a, b in zip(one, other, strict=True))


registry: Registry[StopRule] = Registry(
    word="stop_when",
    base=StopRule,
    group="nbtune.stopping",
    builtin={
        "metric_threshold": "nbtune.stopping:MetricThreshold",
        "failure_rate": "nbtune.stopping:FailureRate",
        "plateau": "nbtune.stopping:Plateau",
    },
)


def _finite(call: str, value: object) -> float:
    """Return a finite float, or raise the error that begins with `call`."""
    number = finite(value)
    if number is None:
        raise SpecError(f"{call}: {value!r} is not a finite number", "stop_when")
    return number
