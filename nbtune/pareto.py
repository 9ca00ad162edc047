"""Several objectives: who is on the Pareto front, who comes next, how much space they dominate.

Scores are arrays of shape (n_trials, n_objectives); higher is better in every column. One row
dominates another when it is at least as good in all objectives and better in one, so that equal
rows do not dominate each other. With one objective all this is what comparing numbers gives.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbtune.trial import Goal, Status

__all__ = [
    "Scores",
    "crowding_distances",
    "front",
    "front_mask",
    "front_numbers",
    "front_order",
    "hypervolume",
    "nsga_order",
    "ranked",
    "scores_by",
    "scores_of",
    "scores_of_values",
    "scores_table",
]

Scores: TypeAlias = tuple[float, ...]
"""One score an objective, in the order of the goals; higher is better."""


# --- of trials


class _Scored(Protocol):
    """What `Trial` and the engine's own record of a trial have in common."""

    @property
    def number(self) -> int: ...
    @property
    def status(self) -> Status: ...
    def value_for(self, goal: Goal) -> float | None: ...


_T = TypeVar("_T", bound=_Scored)


def scores_of(goals: Iterable[Goal], value: Callable[[str], float | None]) -> Scores | None:
    """Return the scores of one value a metric, as `scores_by`."""
    return scores_by(goals, lambda goal: value(goal.metric))


def scores_by(goals: Iterable[Goal], value: Callable[[Goal], float | None]) -> Scores | None:
    """Return the scores of a trial, by one value a goal; None when one of them is missing.

    A trial of which one value is NaN or infinite gets ``-inf`` in all: it ranks last.
    """
    scores: list[float] = []
    for goal in goals:
        score = goal.score(value(goal))
        if score is None:
            return None
        scores.append(score)
    return tuple(scores) if -math.inf not in scores else (-math.inf,) * len(scores)


def scores_of_values(values: NDArray[np.float64], goals: Sequence[Goal]) -> NDArray[np.float64]:
    """Return the scores of values, shape (n_trials, n_objectives), row by row as `scores_by`."""
    signs = [1.0 if goal.direction == "maximize" else -1.0 for goal in goals]
    scores: NDArray[np.float64] = values * np.array(signs)
    scores[~np.isfinite(scores).all(axis=1)] = -math.inf
    return scores


def scores_table(
    trials: Iterable[_T], goals: Sequence[Goal]
) -> tuple[list[_T], NDArray[np.float64]]:
    """Return the trials that can be compared and their scores, shape (n_trials, n_objectives).

    Those that failed, and those without a value for each objective, are left out.
    """
    found = [
        (trial, scores)
        for trial in trials
        if trial.status is not Status.FAILED
        and (scores := scores_by(goals, trial.value_for)) is not None
    ]
    table = np.array([scores for _, scores in found], dtype=np.float64)
    return [trial for trial, _ in found], table.reshape(len(found), len(goals))


def front(trials: Iterable[_T], goals: Sequence[Goal]) -> list[_T]:
    """Return the trials on the Pareto front, best in the first objective first.

    Equals are all on it, the earlier first; with one objective it is the earliest best alone. A
    trial with a value that is NaN or infinite is never on the front.
    """
    compared, scores = scores_table(sorted(trials, key=lambda trial: trial.number), goals)
    return [compared[index] for index in front_order(scores)]


def front_order(scores: ArrayLike) -> list[int]:
    """Return the rows on the Pareto front, the highest in the first column first, as `front`."""
    table = np.asarray(scores, dtype=np.float64)
    on_front = front_mask(table) & np.isfinite(table).all(axis=1)
    chosen: list[int] = np.flatnonzero(on_front).tolist()
    chosen.sort(key=lambda index: (-table[index, 0], index))
    return chosen if table.shape[1] > 1 else chosen[:1]


def ranked(trials: Iterable[_T], goals: Sequence[Goal]) -> list[_T]:
    """Return the trials that have a value for each objective, best first, as `nsga_order`.

    NaN and infinity rank last; failed trials are left out. With one objective this is the order of
    its values, the earlier of equals first.
    """
    compared, scores = scores_table(trials, goals)
    return [compared[index] for index in nsga_order(scores)]


# --- of arrays


def front_mask(scores: ArrayLike) -> NDArray[np.bool_]:
    """Return which rows no other row dominates, shape (n_trials,); equal rows all stay.

    O(n log n) for one and two objectives, O(n log n + n times the size of the front) for more.
    """
    losses, places = _distinct(scores)
    on_front = np.ones(len(losses), dtype=bool)
    if losses.shape[1] <= 2:
        # In order of the first objective, whoever betters the second of all before is undominated.
        second = losses[:, -1]
        on_front[1:] = second[1:] < np.minimum.accumulate(second)[:-1]
        return on_front[places]
    columns = np.ascontiguousarray(losses.T[1:])  # the first is no better later: rows are in order
    for index in range(len(losses)):
        if on_front[index]:
            better = columns[:, index + 1 :] < columns[:, index, None]
            on_front[index + 1 :] &= better.any(axis=0)
    return on_front[places]


def front_numbers(scores: ArrayLike) -> NDArray[np.intp]:
    """Return the front of each row, shape (n_trials,): 0 for the Pareto front.

    Front k is that of what remains without the fronts before it: the non-dominated sort of Deb
    et al. 2002 (NSGA-II, doi 10.1109/4235.996017), section III-A. A row's number is one more than
    the highest of those that dominate it, so that one pass in the order of the first objective
    finds all (Zhang et al. 2015, ENS, doi 10.1109/TEVC.2014.2308305). O(n log n) for one and two
    objectives, O(n**2) for more: 10,000 rows take some tenths of a second.
    """
    losses, places = _distinct(scores)
    numbers = np.zeros(len(losses), dtype=np.intp)
    if losses.shape[1] <= 2:
        _sweep_fronts(losses[:, -1], numbers)
        return numbers[places]
    columns = np.ascontiguousarray(losses.T[1:])  # the first is no worse before: rows are in order
    for index in range(1, len(losses)):
        dominates = (columns[:, :index] <= columns[:, index, None]).all(axis=0)
        numbers[index] = 1 + np.max(numbers[:index], where=dominates, initial=-1)
    return numbers[places]


def _sweep_fronts(second: NDArray[np.float64], numbers: NDArray[np.intp]) -> None:
    """Write into `numbers` the fronts of distinct rows, which are in the order of their first loss.

    A row is dominated by a front when the least second loss in it so far is no more than its own;
    these least ones ascend from front to front.
    """
    least: list[float] = []
    for index, loss in enumerate(second.tolist()):
        number = bisect_right(least, loss)
        least[number : number + 1] = [loss]
        numbers[index] = number


def crowding_distances(scores: ArrayLike) -> NDArray[np.float64]:
    """Return how far apart the neighbours of each row are, shape (n_trials,).

    The sum over objectives, in units of each one's range: infinite at both ends of one, 0 where
    all are equal (Deb et al. 2002, section III-B). Meant for the rows of one front.
    """
    table = np.asarray(scores, dtype=np.float64)
    distances = np.zeros(len(table))
    for column in table.T:
        order = np.argsort(column, kind="stable")
        placed = column[order]
        if len(placed) and placed[-1] > placed[0]:
            with np.errstate(over="ignore", invalid="ignore"):  # values near the largest float
                gaps = (placed[2:] - placed[:-2]) / (placed[-1] - placed[0])
            distances[order[1:-1]] += np.nan_to_num(gaps)
            distances[order[[0, -1]]] = np.inf
    return distances


def nsga_order(scores: ArrayLike) -> list[int]:
    """Return the indices of the rows, best first: by front, then the less crowded first.

    The crowded comparison of Deb et al. 2002 (NSGA-II); the earlier of equals first.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.shape[1] == 1:
        return np.argsort(-table[:, 0], kind="stable").tolist()  # type: ignore[no-any-return]
    numbers = front_numbers(table)
    crowding = np.zeros(len(table))
    order = np.argsort(numbers, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        crowding[members] = crowding_distances(table[members])
    return [int(index) for index in np.lexsort((-crowding, numbers))]  # stable


def hypervolume(scores: ArrayLike, reference: ArrayLike) -> float:
    """Return the volume of what lies between `reference` and the rows' front, 0 for no row.

    Exact, in the product of the objectives' units (Zitzler and Thiele 1998, the "size of the space
    covered"). One objective: the best row's gain; two: a sweep along the front; more: the WFG
    algorithm (While, Bradstreet and Barone 2012, doi 10.1109/TEVC.2010.2077298), exponential in the
    number of objectives in the worst case.

    Parameters
    ----------
    scores : array of float, shape (n_trials, n_objectives)
        Higher is better.
    reference : array of float, shape (n_objectives,)
        Rows that are not better than it in every objective add nothing.
    """
    gains = np.asarray(scores, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    gains = gains[(gains > 0).all(axis=1)]
    return _volume(gains[front_mask(gains)])


def _volume(gains: NDArray[np.float64]) -> float:
    """Return the volume below the rows, none of which dominates another, above 0."""
    if gains.shape[1] == 1:
        return float(gains.max(initial=0.0))
    gains = gains[np.argsort(gains[:, -1])]
    if gains.shape[1] == 2:
        # Steps along the front: the last gain grows while the first falls.
        return float(np.sum(gains[:, 0] * np.diff(gains[:, 1], prepend=0.0)))
    volume = 0.0
    for index, row in enumerate(gains):
        # What this row alone adds to those after it, all at least as good in the last objective,
        # in which the limited ones are therefore all equal: one dimension less.
        limited = np.minimum(gains[index + 1 :, :-1], row[:-1])
        shared = _volume(limited[front_mask(limited)])
        volume += float(row[-1]) * (float(np.prod(row[:-1])) - shared)
    return volume


def _distinct(scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the distinct rows as losses in lexicographic order, and the place of each row there.

    In that order no row is dominated by a later one.
    """
    losses = -np.asarray(scores, dtype=np.float64)
    order = np.lexsort(losses.T[::-1])
    ordered = losses[order]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    places = np.empty(len(ordered), dtype=np.intp)
    places[order] = np.cumsum(new) - 1
    return ordered[new], places
