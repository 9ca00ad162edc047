"""Asynchronous Hyperband: at each rung, only the best part of the trials so far goes on."""

import warnings
from dataclasses import replace

from nbtune.arguments import check_flag, check_integer
from nbtune.decision import Complete, Continue, Decision, Move, Promote, Reject, Sample, Wait
from nbtune.exceptions import NbtuneWarning, SpecError, nearest
from nbtune.schedulers.asha_promotion import PromotionRungs
from nbtune.schedulers.asha_stopping import StoppingRungs
from nbtune.schedulers.base import Explanation, RungRow, Scheduler
from nbtune.schedulers.rungs import bracket_weights, draw_bracket, rung_levels

__all__ = ["Hyperband"]


class Hyperband(Scheduler):
    """Compare trials at rungs, without waiting for any, and let only the best of each go on.

    Rungs lie at ``grace_period * reduction_factor**k`` steps; at ``max_t`` a trial is complete.

    With ``type="stopping"``, a trial that reports at a rung goes on when its score is at least
    the rung's `cutoff`, the first one always, and is stopped otherwise; its score is then kept in
    the rung, whatever was decided. With ``type="promotion"`` it goes on when it is among the best
    ``1 / reduction_factor`` of the rung, itself included, and is paused otherwise; a free slot
    goes to the best paused trial that has come to be among them, highest rung first, before it
    goes to a new one (Li et al. 2020, arXiv:1810.05934, both as AutoGluon 0.0.15 has them).

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
        within their group only. More than one helps where early scores mislead. With promotion,
        a free slot draws the group in which it looks for a paused trial.
    type : {"stopping", "promotion"}
        What happens to a trial that is not among the best.
    keep_size_ratios : bool
        With promotion: promote into a rung only while it has had at most
        ``1 / reduction_factor`` of the runs of the rung below.

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
        self.max_t = (
            None if max_t is None else check_integer("scheduler", "Hyperband", "max_t", max_t, 1)
        )
        self.grace_period = check_integer("scheduler", "Hyperband", "grace_period", grace_period, 1)
        self.reduction_factor = check_integer(
            "scheduler", "Hyperband", "reduction_factor", reduction_factor, 2
        )
        self.brackets = check_integer("scheduler", "Hyperband", "brackets", brackets, 1)
        self.type = _check_type(type)
        self.keep_size_ratios = check_flag(
            "scheduler", "Hyperband", "keep_size_ratios", keep_size_ratios
        )
        if keep_size_ratios and type == "stopping":
            warnings.warn(
                "Hyperband(keep_size_ratios=True): has no effect with type='stopping'",
                NbtuneWarning,
                stacklevel=2,
            )
        self._limit = self.max_t
        self._check_limit()

    def __repr__(self) -> str:
        promotion = ", type='promotion'" if self.type == "promotion" else ""
        ratios = ", keep_size_ratios=True" if self.keep_size_ratios else ""
        return (
            f"Hyperband(max_t={self.max_t}, grace_period={self.grace_period}, "
            f"reduction_factor={self.reduction_factor}, brackets={self.brackets}"
            f"{promotion}{ratios})"
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
        self._limit = self.longest = max_t if self.max_t is None else self.max_t
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
                f"Hyperband(max_t={self.max_t}): the objective's own limit, or trial_max_steps, is "
                f"{max_t}; "
                f"trials are complete at {step_name} {min(self.max_t, max_t)}",
                NbtuneWarning,
                stacklevel=2,
            )
        # How many rungs each trial has behind it. Kept when the trial ends: one that starts again
        # (after a restart, or retried) is not counted twice in a rung.
        self._passed: dict[int, int] = {}
        self._runs = 0  # new trials and promotions
        self._ends: set[int] = set()  # the steps at which trials ended that might have gone on
        self._weights = self._bracket_weights()
        self._rungs: StoppingRungs | PromotionRungs = (
            StoppingRungs(self.reduction_factor)
            if self.type == "stopping"
            else PromotionRungs(self.reduction_factor, self._limit, self.keep_size_ratios)
        )

    def start(self, number: int) -> Continue:
        """Admit trial `number` to its bracket, or promote it, and return its next rung."""
        if number not in self._passed:
            self._admit(number)
        elif isinstance(self._rungs, PromotionRungs) and self._rungs.is_paused(number):
            self._rungs.promote(number)
            self._runs += 1
        return self._next_rung(number)

    def decide(self, number: int, step: int, score: float) -> Decision:
        """Judge trial `number` at `step`, which is its next rung or lies past ``max_t``."""
        if self._limit is not None and step >= self._limit:
            return Complete(f"max_t={self._limit} reached")
        bracket, level = self._rung(number)
        if step < level:
            return Continue(level)
        if step > level:
            return Reject(self._skipped(step, level))
        self._passed[number] += 1
        ended = self._rungs.judge(number, bracket, level, score)
        if ended is None:
            return self._next_rung(number)
        if level in self._ends:  # so has this one, most likely: it is not cut short
            return replace(ended, reason=f"{ended.reason}; others ended at {level} as well")
        return ended

    def end(self, number: int, step: int, score: float | None) -> None:
        """Record the last score of trial `number` if it ended exactly at its next rung."""
        if isinstance(self._rungs, PromotionRungs) and self._rungs.is_paused(number):
            self._rungs.leave(number)
            return
        if score is None or (self._limit is not None and step >= self._limit):
            return
        self._ends.add(step)
        bracket, level = self._rung(number)
        if step == level:
            self._rungs.record(number, bracket, level, score)
            self._passed[number] += 1

    def next(self, *, new: bool = True) -> Move:
        """Promote a paused trial that is among the best of its rung, else sample a new one.

        Only a drawn bracket is searched; all of them, in order, when there are no new trials.
        """
        if isinstance(self._rungs, PromotionRungs):
            brackets = [self._draw(self._runs)] if new else range(len(self._weights))
            for bracket in brackets:
                number = self._rungs.candidate(bracket)
                if number is not None:
                    return Promote(number)
        return Sample() if new else Wait()

    def rungs(self) -> list[int]:
        """Return the rungs of bracket 0, ascending: up to ``max_t``, or those reached so far."""
        if self._limit is not None:
            return rung_levels(self.grace_period, self.reduction_factor, self._limit)
        return self._rungs.levels(bracket=0)

    def rungs_table(self) -> list[RungRow]:
        """Return every rung that a trial has reached, by bracket and level."""
        return self._rungs.table()

    def explain(self, number: int) -> Explanation | None:
        """Return how trial `number` stood when it was stopped, or how it stands while paused."""
        return self._rungs.explain(number)

    def _bracket_weights(self) -> list[float]:
        if self.brackets == 1:
            return [1.0]
        return bracket_weights(self.brackets, len(self.rungs()), self.reduction_factor)

    def _admit(self, number: int) -> None:
        self._passed[number] = 0
        self._runs += 1
        if isinstance(self._rungs, PromotionRungs):
            self._rungs.aim(*self._rung(number))

    def _draw(self, index: int) -> int:
        return draw_bracket(self._weights, seed=self.seed, index=index)

    def _rung(self, number: int) -> tuple[int, int]:
        """Return the bracket of a trial and the level of the next rung it has to pass."""
        bracket = self._draw(number)
        power = bracket + self._passed[number]
        return bracket, self.grace_period * self.reduction_factor**power

    def _next_rung(self, number: int) -> Continue:
        _, level = self._rung(number)
        return Continue(level if self._limit is None else min(level, self._limit))

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


def _check_type(value: str) -> str:
    if value not in ("stopping", "promotion"):
        hint = nearest(str(value), ["stopping", "promotion"])
        raise SpecError(f"Hyperband(type={value!r}): is not known. {hint}", "scheduler.type")
    return value
