"""What earlier sweeps found, as hints to the searcher of a new one.

Their results are told as they are. Where the data has changed since, all of them may lie higher or
lower than those to come; only what is told of one sweep can be compared.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nbtune.exceptions import NbtuneWarning, SpecError
from nbtune.pareto import Scores, scores_by
from nbtune.results import Results
from nbtune.space import Space, recast
from nbtune.trial import Goal, Params, Status

__all__ = ["Earlier", "Hint", "all_earlier", "earlier_of", "warn_of_strangers"]


@dataclass(frozen=True, slots=True)
class Hint:
    """A result that is no trial; of its ``scores`` higher is better."""

    params: Params
    scores: Scores
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The results of one earlier sweep, in the order in which its trials ended.

    They are kept in its own space, so that a space that is edited later may hold more of them.
    """

    name: str
    space: Space = field(repr=False)
    results: tuple[Hint, ...] = field(repr=False)

    def within(self, space: Space) -> Iterator[Hint]:
        """Yield the results that can be expressed in `space`, in its terms."""
        for hint in self.results:
            found = recast(hint.params, self.space, space)
            if found is not None:
                yield Hint(found.params, hint.scores, hint.step)

    def told(self, space: Space) -> str:
        """Return in a few words how many results can be told in `space`."""
        count = sum(1 for _ in self.within(space))
        of = "" if count == len(self.results) else f" of {len(self.results)}"
        return f"{count}{of} results of {self.name}"


def all_earlier(
    warm_start: object, goals: Sequence[Goal], find: Callable[[str], Results]
) -> tuple[Earlier, ...]:
    """Return what all sweeps to start from have found.

    Parameters
    ----------
    warm_start : Results, str, list or tuple of these, or None
    goals : sequence of Goal
        The new sweep's.
    find : callable
        Returns the stored sweep of a name.

    Raises
    ------
    SpecError
        When one of them is no sweep, or as `earlier_of` says.
    SweepError
        When there is none of that name.
    """
    given = [] if warm_start is None else warm_start
    found = []
    for each in given if isinstance(given, list | tuple) else [given]:
        sweep = find(each) if isinstance(each, str) else each
        if not isinstance(sweep, Results):
            raise SpecError(
                f"warm_start={each!r}: give a sweep, the name of one in the store, or a list of "
                "these",
                "warm_start",
            )
        found.append(earlier_of(sweep, goals))
    return tuple(found)


def warn_of_strangers(earlier: Sequence[Earlier], space: Space) -> None:
    """Warn of sweeps of which nothing can be told in `space`."""
    for each in earlier:
        if next(each.within(space), None) is None:
            count = len(each.results)
            why = (
                f"none of its {count} results can be told in this space"
                if count
                else ("it has no results")
            )
            warnings.warn(
                f"warm_start={each.name!r}: {why}; the search starts without",
                NbtuneWarning,
                stacklevel=3,
            )


def earlier_of(sweep: Results, goals: Sequence[Goal]) -> Earlier:
    """Return what a sweep has found so far in terms of these goals.

    Trials that ended or are paused count, with the values that these goals rank by; those that
    failed, or lack a metric, say nothing.

    Raises
    ------
    SpecError
        When the sweep has not optimised one of the goals, in the same direction.
    """
    known = {(goal.metric, goal.direction) for goal in sweep.goals}
    if any((goal.metric, goal.direction) not in known for goal in goals):
        raise SpecError(
            f"warm_start={sweep.name!r}: that sweep has {_spelt(sweep.goals)}, this one has "
            f"{_spelt(goals)}. Start from a sweep of the same metric and direction, or without",
            "warm_start",
        )
    snapshot = sweep.snapshot()
    over = [t for t in snapshot.trials if t.status.ended or t.status is Status.PAUSED]
    results = []
    for trial in sorted(over, key=lambda trial: trial.ended or 0.0):
        scores = None if trial.status is Status.FAILED else scores_by(goals, trial.value_for)
        if scores is not None:
            results.append(Hint(trial.params, scores, trial.steps))
    return Earlier(name=sweep.name, space=snapshot.space, results=tuple(results))


def _spelt(goals: Sequence[Goal]) -> str:
    return ", ".join(f"{goal.direction}={goal.metric!r}" for goal in goals)
