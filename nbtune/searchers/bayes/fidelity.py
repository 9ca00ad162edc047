"""Results of runs of several lengths, made ready for a model."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from nbtune.searchers.bayes.courses import Row
from nbtune.searchers.bayes.losses import losses_of, scores_again, succeeded
from nbtune.searchers.bayes.surrogate import Regression
from nbtune.searchers.bayes.warp import warped

__all__ = ["FullRuns", "Table", "levelled", "shortness", "tabulated", "thinned"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Indices: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]


class Table(NamedTuple):
    """Results, a row each.

    ``places`` has shape (n, n_dims); ``short`` says by how much each run was short, from 0 to 1;
    ``losses`` are `levelled` and warped, ``scores`` levelled in the unit in which they were told; a
    failure's are the worst of all.
    """

    places: Array
    short: Array
    losses: Array
    scores: Array


def tabulated(
    rows: Sequence[Row], places: Mapping[Hashable, Array], longest: int | None, *, most: int
) -> Table:
    """Return the results to model, at most `most`; one at least must have a finite score.

    `places` has each trial's, by key, the newest last; `longest` is what a full run spends, the
    longest that is there where nobody knows.
    """
    numbers = {key: number for number, key in enumerate(places)}
    trials = np.array([numbers[row.key] for row in rows])
    steps = np.array([row.step for row in rows])
    scores = [row.score for row in rows]
    losses = losses_of(scores)
    fine = succeeded(scores)
    losses[fine] = levelled(losses[fine], steps[fine], trials[fine])
    losses[~fine] = losses[fine].max()
    kept = thinned(losses, steps, trials, most)
    where = np.array([places[rows[index].key] for index in kept])
    short = shortness(steps[kept], longest or int(steps.max()))
    return Table(where, short, warped(losses[kept]), scores_again(losses[kept], scores))


def levelled(losses: Array, steps: Indices, trials: Indices) -> Array:
    """Return losses, shape (n,), moved to where they would be at the largest step.

    From the largest step down, the results at a step are moved by what the trials that also went
    further gained to their next result, in the median. Only those can tell what a step makes of a
    score: the others were stopped for theirs. Without it a first epoch's scores, far below all of
    the last one's, would leave the differences within either to the noise.
    """
    out = np.array(losses, dtype=np.float64)
    further: dict[int, int] = {}  # each trial's result at its next larger step
    for step in np.unique(steps)[::-1]:
        here = np.flatnonzero(steps == step)
        gains = [out[further[trials[row]]] - losses[row] for row in here if trials[row] in further]
        if gains:
            out[here] += np.median(gains)
        further |= {int(trials[row]): int(row) for row in here}
    return out


def shortness(steps: Indices, longest: int) -> Array:
    """Return by how much runs are short, shape (n,): 0 for full ones, 1 for those of one step.

    In between it goes by the step's logarithm: what a run gains from 1 step to 3 it gains about
    once more from 3 to 9.
    """
    spans = math.log(max(longest, 2))
    return np.asarray(np.clip(1.0 - np.log(np.maximum(steps, 1)) / spans, 0.0, 1.0))


def thinned(losses: Array, steps: Indices, trials: Indices, most: int) -> Indices:
    """Return the indices of at most `most` rows to model, ascending.

    The last result of each trial says most: those of the best trials and the newest, which have
    the largest numbers. What room is left goes to their other results, the largest steps first.
    """
    rows = np.arange(len(losses))
    if len(rows) <= most:
        return rows
    order = np.lexsort((steps, trials))
    is_last = np.append(trials[order][1:] != trials[order][:-1], True)
    last = order[is_last]
    if len(last) > most:
        best = last[np.argsort(losses[last], kind="stable")[: most // 2]]
        rest = np.setdiff1d(last, best)
        newest = rest[np.argsort(trials[rest], kind="stable")[len(rest) - (most - len(best)) :]]
        last = np.union1d(best, newest)
    others = np.setdiff1d(rows[np.isin(trials, trials[last])], last)
    others = others[np.lexsort((-trials[others], -steps[others]))]
    return np.union1d(last, others[: most - len(last)])


class FullRuns:
    """A regressor over columns and shortness, asked about full runs.

    Parameters
    ----------
    model : Regression
        Fitted to columns and shortness, as `with_short` joins them.
    """

    def __init__(self, model: Regression) -> None:
        self._model = model

    @staticmethod
    def with_short(x: Array, short: Array | None = None) -> Array:
        """Return x, shape (n, n_columns), with one more column; of full runs by default."""
        return np.column_stack([x, np.zeros(len(x)) if short is None else short])

    def posterior(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at x, shape (n, n_columns)."""
        return self._model.posterior(self.with_short(x))

    def believing(self, x: Array, short: Array | None = None) -> "FullRuns":
        """Return the model as if what it predicts had come true at x, of runs that are `short`."""
        return FullRuns(self._model.believing(self.with_short(x, short)))
