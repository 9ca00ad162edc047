"""Stands between the engine and a scheduler or stop rule, which may be the user's own code.

What they raise, or answer against their contract, is told once and ends the sweep in order; from
then on they are not asked again, and the engine gets answers that let it end.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from nbtune.decision import (
    Complete,
    Continue,
    Decision,
    Move,
    Pause,
    Promote,
    Reject,
    Sample,
    Stop,
    Wait,
)
from nbtune.schedulers.base import Explanation, RungRow, Scheduler
from nbtune.space.domains import short
from nbtune.stopping import StopRule
from nbtune.trial import Failure, Trial
from nbtune.workers.outcome import failure_of

__all__ = ["GuardedRule", "GuardedScheduler", "Tell"]

Tell: TypeAlias = Callable[[Failure, str], None]
"""Takes a failure, and who failed: "the scheduler MyScheduler"."""

_FAILED = "its scheduler failed"


class _Guard:
    """Calls one object's methods until the first that fails."""

    def __init__(self, kind: str, guarded: object, tell: Tell) -> None:
        self._name = f"the {kind} {type(guarded).__name__}"
        self._tell = tell
        self.broken = False

    def call(
        self,
        method: Callable[..., Any],
        *arguments: Any,
        allowed: Callable[[Any], bool],
        what: str,
        **keywords: Any,
    ) -> Any:
        """Return what `method` answers, None where it fails; `what` says which answers are allowed.

        `keywords` go to the method. None is also what a method of an object that has failed before
        answers.
        """
        if self.broken:
            return None
        # SystemExit is caught, too: it is not the engine that is to exit.
        try:
            answer = method(*arguments, **keywords)
            if not allowed(answer):
                given = ", ".join(map(short, (*arguments, *keywords.values())))
                raise TypeError(
                    f"{method.__name__}({given}) returned {short(answer)}; it must return {what}"
                )
        except BaseException as error:  # noqa: BLE001 - the border where the user's code is called
            self.broken = True
            self._tell(failure_of(error), self._name)
            return None
        return answer


class GuardedScheduler(Scheduler):
    """A scheduler whose failures end the sweep, never the engine's thread.

    Parameters
    ----------
    scheduler : Scheduler
        Set up.
    tell : callable
        Takes the first failure.
    may_go_on : callable
        Whether the trial of a number is one that can be promoted.
    """

    def __init__(self, scheduler: Scheduler, tell: Tell, may_go_on: Callable[[int], bool]) -> None:
        self._scheduler = scheduler
        self._may_go_on = may_go_on
        self._guard = _Guard("scheduler", scheduler, tell)
        self._rungs: list[int] = []
        self.resume = scheduler.resume
        self.judges_alone = scheduler.judges_alone
        self.synchronous = scheduler.synchronous
        self.longest = scheduler.longest

    def start(self, number: int) -> Continue:
        """Return the first milestone; none where the scheduler fails."""
        answer = self._guard.call(
            self._scheduler.start, number, allowed=_is_continue, what="Continue(until=...)"
        )
        return answer or Continue()

    def decide(self, number: int, step: int, score: float) -> Decision:
        """Return the decision; Stop where the scheduler fails."""
        answer = self._guard.call(
            self._scheduler.decide,
            number,
            step,
            score,
            allowed=_is_decision,
            what="Continue, Stop, Complete, Pause or Reject (nbtune.decision)",
        )
        return answer or Stop(_FAILED)

    def end(self, number: int, step: int, score: float | None) -> None:
        """Pass on that a trial ended."""
        self._guard.call(
            self._scheduler.end, number, step, score, allowed=lambda answer: True, what="nothing"
        )

    def next(self, *, new: bool = True) -> Move:
        """Return what is next; Wait where the scheduler fails."""
        answer = self._guard.call(
            self._scheduler.next,
            new=new,
            allowed=self._is_move,
            what="Sample(), Promote(number of a paused trial) or Wait() (nbtune.decision)",
        )
        if answer is None or (isinstance(answer, Sample) and not new):
            return Wait()  # there is nothing to sample: the sweep would never end
        return answer  # type: ignore[no-any-return]

    def _is_move(self, answer: object) -> bool:
        if isinstance(answer, Promote):
            return isinstance(answer.number, int) and self._may_go_on(answer.number)
        return isinstance(answer, Sample | Wait)

    def rungs(self) -> list[int]:
        """Return the rungs; those known last where the scheduler fails."""
        answer = self._guard.call(
            self._scheduler.rungs, allowed=_is_list_of_steps, what="a list of whole numbers"
        )
        if answer is not None:
            self._rungs = list(answer)
        return self._rungs

    def rungs_table(self) -> list[RungRow]:
        """Return every rung as it stands."""
        return self._scheduler.rungs_table()

    def explain(self, number: int) -> Explanation | None:
        """Return how a trial stood; None where the scheduler fails."""
        return self._guard.call(  # type: ignore[no-any-return]
            self._scheduler.explain, number, allowed=_is_explanation, what="an Explanation or None"
        )


def _is_continue(answer: object) -> bool:
    return isinstance(answer, Continue) and (
        answer.until is None
        or (isinstance(answer.until, int) and not isinstance(answer.until, bool))
    )


def _is_decision(answer: object) -> bool:
    match answer:
        case Continue():
            return _is_continue(answer)
        case Stop(text) | Complete(text) | Reject(text) | Pause(text):
            return isinstance(text, str)
        case _:
            return False


def _is_list_of_steps(answer: object) -> bool:
    return isinstance(answer, list | tuple) and all(isinstance(step, int) for step in answer)


def _is_explanation(answer: object) -> bool:
    return answer is None or isinstance(answer, Explanation)


class GuardedRule(StopRule):
    """A stop rule whose failures end the sweep, never the engine's thread.

    Parameters
    ----------
    rule : StopRule
        Set up.
    tell : callable
        Takes the first failure.
    """

    def __init__(self, rule: StopRule, tell: Tell) -> None:
        self._rule = rule
        self._guard = _Guard("stop rule", rule, tell)

    def _reason(self, method: Callable[..., Any], *arguments: Any) -> str:
        answer = self._guard.call(
            method,
            *arguments,
            allowed=lambda answer: answer is None or isinstance(answer, str),
            what="the reason as text, empty while the sweep is to go on",
        )
        return answer or ""

    def reported(self, number: int, metrics: Mapping[str, float], now: float) -> str:
        """Pass on a report."""
        return self._reason(self._rule.reported, number, metrics, now)

    def ended(self, trial: Trial, now: float) -> str:
        """Pass on that a trial is over."""
        return self._reason(self._rule.ended, trial, now)

    def tick(self, now: float) -> str:
        """Pass on that time has passed."""
        return self._reason(self._rule.tick, now)

    def deadline(self) -> float | None:
        """Return when the rule will end the sweep; None where it fails."""
        return self._guard.call(  # type: ignore[no-any-return]
            self._rule.deadline,
            allowed=lambda at: at is None or isinstance(at, int | float),
            what="seconds, or None",
        )
