"""Asynchronous Hyperband: at each rung, a trial that is not among the best so far is stopped."""

import bisect
import math
import operator
import warnings
from collections.abc import Sequence

import numpy as np

from nbtune.decision import Complete, Continue, Decision, Reject, Stop
from nbtune.exceptions import NbtuneWarning, SpecError, nearest
from nbtune.schedulers.base import Scheduler

__all__ = ["Hyperband", "bracket_weights", "cutoff", "rung_levels"]

_STREAM = 0x48B  # keeps the bracket's draw apart from a searcher's draw for the same trial


def rung_levels(grace_period: int, reduction_factor: int, max_t: int) -> list[int]:
    """Return the rungs ``grace_period * reduction_factor**k`` up to `max_t`, ascending.

    A power that equals `max_t` is among them, although a trial that gets there is complete and
    is compared with no other. Whole numbers throughout: a quotient of logarithms, as in the
    papers' formulas, loses the top rung of (1, 3, 243) and (1, 10, 1000).

    Parameters
    ----------
    grace_period : int >= 1
        The first rung, in steps.
    reduction_factor : int >= 2
        Each rung is this many times the one before it (eta in the papers).
    max_t : int >= 1
        The most steps that one trial may spend.
    """
    levels = []
    level = grace_period
    while level <= max_t:
        levels.append(level)
        level *= reduction_factor
    return levels


def bracket_weights(brackets: int, rungs: int, reduction_factor: int) -> list[float]:
    """Return the probability that a new trial joins each bracket, shape (min(brackets, rungs),).

    Bracket s leaves out the first s rungs, and is drawn in proportion to
    ``S / (S - s) * eta**(S - s - 1)`` with S rungs in bracket 0: the share of trials that the
    bracket has in synchronous Hyperband (Li et al. 2018, arXiv:1603.06560, Algorithm 1).
    """
    weights = [
        rungs / (rungs - s) * reduction_factor ** (rungs - s - 1)
        for s in range(min(brackets, rungs))
    ]
    total = sum(weights)
    return [weight / total for weight in weights]


def cutoff(scores: Sequence[float], *, reduction_factor: int) -> float | None:
    """Return the score that a trial must reach to get past a rung.

    A trial passes when its score is at least the ``1 - 1 / reduction_factor`` quantile, linearly
    interpolated, of the scores that the rung has seen before it: the stopping form of ASHA (Li et
    al. 2020, arXiv:1810.05934), as AutoGluon 0.0.15 has it. The quantile's position is computed
    in whole numbers, so that a tie with the score that it falls on passes.

    Parameters
    ----------
    scores : sequence of float, ascending, shape (n_trials,)
        The score of every trial that reached the rung; higher is better, ``-inf`` for NaN.
    reduction_factor : int >= 2
        Keep one trial in this many (eta in the paper).

    Returns
    -------
    float or None
        In the scores' own unit; None while the rung is empty, so that the first trial passes.
    """
    if not scores:
        return None
    below, rest = divmod((len(scores) - 1) * (reduction_factor - 1), reduction_factor)
    low = scores[below]
    if rest == 0 or math.isinf(low):  # from an infinity there is no interpolating
        return low
    return low + (scores[below + 1] - low) * (rest / reduction_factor)


class Hyperband(Scheduler):
    """Stop a trial at a rung when it is worse than the best part of the trials before it.

    Rungs lie at ``grace_period * reduction_factor**k`` steps. A trial that reports at a rung goes
    on when its score is at least the rung's `cutoff`, the first one always; its score is then
    kept in the rung, whatever was decided. At ``max_t`` it is complete. Decisions wait for no
    other trial, so that no slot is ever idle (Li et al. 2020, arXiv:1810.05934).

    Parameters
    ----------
    max_t : int >= 1, optional
        The most steps that one trial may spend; it need not be a rung. By default the objective's
        own ``epochs`` or ``max_t``; where it has none, rungs go on without an end, and a trial
        completes by itself.
    grace_period : int >= 1
        The first rung: no trial is stopped before it.
    reduction_factor : int >= 2
        About one trial in this many gets past a rung.
    brackets : int >= 1
        Into how many groups trials are spread; group s starts at rung s, and trials are compared
        within their group only. More than one helps where early scores mislead.
    type : {"stopping"}
        "promotion", which pauses trials instead, is not implemented yet.
    keep_size_ratios : bool
        Belongs to ``type="promotion"``; no effect here.

    Raises
    ------
    SpecError
        When an argument is of the wrong type or out of range.
    """

    def __init__(
        self,
        max_t: int | None = None,
        grace_period: int = 1,
        reduction_factor: int = 3,
        brackets: int = 1,
        type: str = "stopping",  # noqa: A002 - the name that users know from AutoGluon
        keep_size_ratios: bool = False,
    ) -> None:
        self.max_t = None if max_t is None else _integer("max_t", max_t, 1)
        self.grace_period = _integer("grace_period", grace_period, 1)
        self.reduction_factor = _integer("reduction_factor", reduction_factor, 2)
        self.brackets = _integer("brackets", brackets, 1)
        self.type = _check_type(type)
        self.keep_size_ratios = keep_size_ratios
        if keep_size_ratios:
            warnings.warn(
                "Hyperband(keep_size_ratios=True): has no effect with type='stopping'",
                NbtuneWarning,
                stacklevel=2,
            )
        self._limit = self.max_t
        self._check_limit()

    def __repr__(self) -> str:
        return (
            f"Hyperband(max_t={self.max_t}, grace_period={self.grace_period}, "
            f"reduction_factor={self.reduction_factor}, brackets={self.brackets})"
        )

    def setup(self, *, seed: int, step_name: str = "epoch", max_t: int | None = None) -> None:
        """Take the seed, the step's name, and the objective's own ``epochs``, if any.

        Raises
        ------
        SpecError
            When several brackets are asked for and nobody knows ``max_t``, or the grace period
            is longer than it.
        """
        super().setup(seed=seed, step_name=step_name, max_t=max_t)
        self._limit = max_t if self.max_t is None else self.max_t
        self._check_limit()
        if self._limit is None and self.brackets > 1:
            raise SpecError(
                f"Hyperband(brackets={self.brackets}): several brackets need to know how long a "
                "trial can be; give max_t, for instance Hyperband(max_t=81, "
                f"brackets={self.brackets})",
                "scheduler.brackets",
            )
        if self.max_t is not None and max_t is not None and self.max_t != max_t:
            warnings.warn(
                f"Hyperband(max_t={self.max_t}): the objective's own limit is {max_t}; "
                f"trials are complete at {step_name} {self.max_t}",
                NbtuneWarning,
                stacklevel=2,
            )
        # Scores in each rung, ascending; by bracket and level. Brackets share no rung.
        self._scores: dict[tuple[int, int], list[float]] = {}
        # Each trial's bracket, and how many rungs it has behind it. Kept when the trial ends: one
        # that starts again (after a restart, or retried) is not counted twice in a rung.
        self._bracket: dict[int, int] = {}
        self._passed: dict[int, int] = {}

    def start(self, number: int) -> Continue:
        """Admit trial `number` to its bracket and return its first rung as milestone."""
        if number not in self._passed:
            self._bracket[number] = self._draw(number)
            self._passed[number] = 0
        return self._next(number)

    def decide(self, number: int, step: int, score: float) -> Decision:
        """Judge trial `number` at `step`, which is its next rung or lies past ``max_t``."""
        if self._limit is not None and step >= self._limit:
            return Complete(f"max_t={self._limit} reached")
        bracket, level = self._rung(number)
        if step < level:
            return Continue(level)
        if step > level:
            return Reject(self._skipped(step, level))
        threshold = cutoff(
            self._scores.get((bracket, level), ()), reduction_factor=self.reduction_factor
        )
        self._record(number, bracket, level, score)
        if threshold is not None and score < threshold:
            return Stop(f"rung {level}: below the best {_share(self.reduction_factor)}")
        return self._next(number)

    def end(self, number: int, step: int, score: float | None) -> None:
        """Record the last score of trial `number` if it ended exactly at its next rung."""
        if score is None or (self._limit is not None and step >= self._limit):
            return
        bracket, level = self._rung(number)
        if step == level:
            self._record(number, bracket, level, score)

    def rungs(self) -> list[int]:
        """Return the rungs of bracket 0, ascending: up to ``max_t``, or those reached so far."""
        if self._limit is not None:
            return rung_levels(self.grace_period, self.reduction_factor, self._limit)
        return sorted(level for bracket, level in self._scores if bracket == 0)

    def _draw(self, number: int) -> int:
        """Draw the bracket of a trial from the seed and its number alone."""
        if self.brackets == 1:
            return 0
        weights = bracket_weights(self.brackets, len(self.rungs()), self.reduction_factor)
        rng = np.random.default_rng((_STREAM, self.seed, number))
        return int(rng.choice(len(weights), p=weights))

    def _rung(self, number: int) -> tuple[int, int]:
        """Return the bracket of a trial and the level of the next rung it has to pass."""
        bracket = self._bracket[number]
        power = bracket + self._passed[number]
        return bracket, self.grace_period * self.reduction_factor**power

    def _next(self, number: int) -> Continue:
        _, level = self._rung(number)
        return Continue(level if self._limit is None else min(level, self._limit))

    def _record(self, number: int, bracket: int, level: int, score: float) -> None:
        bisect.insort(self._scores.setdefault((bracket, level), []), score)
        self._passed[number] += 1

    def _skipped(self, step: int, level: int) -> str:
        name = self.step_name
        return (
            f"{name} {step} was reported without {name} {level}, a rung at which trials are "
            f"compared. Report every {name}, or let the rungs fall on your reports, for instance "
            f"Hyperband(grace_period={step})"
        )

    def _check_limit(self) -> None:
        if self._limit is not None and self.grace_period > self._limit:
            raise SpecError(
                f"Hyperband(grace_period={self.grace_period}): longer than "
                f"max_t={self._limit}; give at most that",
                "scheduler.grace_period",
            )


def _integer(name: str, value: object, least: int) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least:
        raise SpecError(
            f"Hyperband({name}={value!r}): needs an integer of at least {least}",
            f"scheduler.{name}",
        ) from None
    return number


def _check_type(value: str) -> str:
    if value == "promotion":
        raise SpecError(
            "Hyperband(type='promotion'): not implemented yet; use type='stopping'",
            "scheduler.type",
        )
    if value != "stopping":
        hint = nearest(str(value), ["stopping", "promotion"])
        raise SpecError(f"Hyperband(type={value!r}): is not known. {hint}", "scheduler.type")
    return value


def _share(reduction_factor: int) -> str:
    return {2: "half", 3: "third", 4: "quarter"}.get(reduction_factor, f"1/{reduction_factor}")
