"""Optuna's pruners as schedulers."""

import copy
import importlib
import math
from typing import Any

from nbtune.arguments import check_integer
from nbtune.decision import Continue, Stop
from nbtune.optuna_parts import STUDY, create_storage, optuna_part, require_optuna, spelled
from nbtune.schedulers.base import Scheduler

__all__ = ["OptunaPruner"]

_DEFAULT = "MedianPruner"
_WORST = -1e300  # stands for -inf, of which the pruners' means and differences are no numbers


class OptunaPruner(Scheduler):
    """Stop a trial when one of Optuna's pruners would (extra ``optuna``).

    The pruner is asked at each report from the grace period on. It sees a study of all trials, in
    the order in which they started: those that ended are complete, those it stopped are pruned.
    Scores are oriented, so that the study is maximised: with ``minimize=`` they are the metric's
    negatives, which matters to the bounds of a `ThresholdPruner`. NaN and infinity count as lower
    than anything else.

    Parameters
    ----------
    pruner : optuna.pruners.BasePruner or str
        An instance, or the name of a class in ``optuna.pruners``; the default is "MedianPruner".
    grace_period : int >= 1
        The first step at which a trial may be stopped.
    **options
        Keyword arguments of the class named.

    Raises
    ------
    SpecError
        When Optuna is not installed, `pruner` is no pruner or refuses its options, or
        `grace_period` is no such number.
    """

    grace_period = 1  # of one that was stored without

    def __init__(self, pruner: Any = _DEFAULT, *, grace_period: int = 1, **options: Any) -> None:
        self.pruner = pruner
        self.grace_period = check_integer(
            "scheduler", "OptunaPruner", "grace_period", grace_period, 1
        )
        self.options = options
        if not (pruner == _DEFAULT and not options):  # else `setup` asks for Optuna
            optuna_part("OptunaPruner", "pruner", pruner, options)

    def __repr__(self) -> str:
        grace = "" if self.grace_period == 1 else f", grace_period={self.grace_period}"
        return f"OptunaPruner({spelled(self.pruner, self.options)}{grace})"

    def setup(self, *, seed: int, step_name: str = "epoch", max_t: int | None = None) -> None:
        """Take the step's name; forget every trial.

        Raises
        ------
        SpecError
            When Optuna is not installed.
        """
        super().setup(seed=seed, step_name=step_name, max_t=max_t)
        optuna = require_optuna("OptunaPruner", "scheduler")
        made = optuna_part("OptunaPruner", "pruner", self.pruner, self.options)
        self._study = optuna.Study(
            STUDY,
            create_storage(),
            sampler=optuna.samplers.RandomSampler(seed=0),  # never asked
            pruner=copy.deepcopy(made),  # some learn the longest trial
        )
        self._reason = f"pruned by {type(made).__name__}"
        self._last: dict[int, int] = {}  # the last step told, by trial
        self._running: dict[int, Any] = {}  # Optuna's trials

    def start(self, number: int) -> Continue:
        """Admit trial `number`; one that starts again is asked only past its old steps."""
        if number not in self._running:
            self._running[number] = self._study.ask()
        return Continue(self._last.setdefault(number, 0) + 1)

    def decide(self, number: int, step: int, score: float) -> Continue | Stop:
        """Report the score and ask the pruner."""
        if step <= self._last[number]:
            return Continue(self._last[number] + 1)
        self._report(number, step, score)
        if step < self.grace_period or not self._running[number].should_prune():
            return Continue(step + 1)
        self._tell(number, state=_state("PRUNED"))
        return Stop(f"{self.step_name} {step}: {self._reason}")

    def end(self, number: int, step: int, score: float | None) -> None:
        """Complete the trial in the study, or let it fail there."""
        if score is None:
            self._tell(number, state=_state("FAIL"))
            return
        if step > self._last[number]:
            self._report(number, step, score)
        self._tell(number, values=_finite(score))

    def _report(self, number: int, step: int, score: float) -> None:
        self._last[number] = step
        self._running[number].report(_finite(score), step)

    def _tell(self, number: int, **result: Any) -> None:
        self._study.tell(self._running.pop(number), **result)


def _finite(score: float) -> float:
    return score if math.isfinite(score) else _WORST


def _state(name: str) -> Any:
    return importlib.import_module("optuna").trial.TrialState[name]
