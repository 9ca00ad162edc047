"""Models of what trials have shown so far, of their last scores or of all results by step."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from nbtune.searchers.bayes.columns import Columns
from nbtune.searchers.bayes.courses import Courses, Row
from nbtune.searchers.bayes.fidelity import FullRuns, Table, shortness, tabulated
from nbtune.searchers.bayes.flat import Flats, flats_of
from nbtune.searchers.bayes.losses import losses_of, scores_again, succeeded
from nbtune.searchers.bayes.surrogate import Regression
from nbtune.searchers.bayes.warp import warped

__all__ = ["Fitted", "Models", "worth_modelling"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Indices: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]

_MOST_MODELLED = 200  # observations; a GP's time grows with the cube
_ALWAYS_REFITTED = 60  # observations; with more, the kernel is found anew at every tenth more


class Fitted(NamedTuple):
    """A model of full runs, and what it was made from.

    ``model`` takes what is pending for done as predicted, ``least`` is the least loss so far,
    ``best`` are places, the best first; ``losses`` and ``scores`` are results, as the model sees
    them and as they were told. ``flats`` are where another trial would show nothing new.
    """

    model: Any
    least: float
    best: Array
    losses: Array
    scores: Array
    flats: Flats | None = None


class Models:
    """Fits models to the results of a search; a kernel is kept until a tenth more are there.

    Parameters
    ----------
    columns : Columns
    courses : Courses
        The results, as they come.
    estimator : {"GP", "ET", "RF"} or scikit-learn regressor
        Which model.
    """

    def __init__(self, columns: Columns, courses: Courses, estimator: Any) -> None:
        self._columns = columns
        self._courses = courses
        self._estimator = estimator
        self._kernels: dict[tuple[str, int], Array] = {}  # the last one, by how many results

    def forget(self) -> None:
        """Drop what was kept: a result has changed."""
        self._kernels.clear()

    def of_last_scores(self, pending: Array, rng: np.random.Generator) -> Fitted:
        """Return a model of the trials' last scores; `pending` are places, shape (k, n_dims)."""
        scores = list(self._courses.last.values())
        kept, y = self._told(len(scores))
        x = self._modelled(kept)
        model: Any
        if self._is_process:
            model = self._process(x, y)
        else:
            model = Regression(self._estimator, x, y, seed=int(rng.integers(2**31)))
        least = float(y.min())
        if len(pending):
            there = self._columns.of(pending[-_MOST_MODELLED:])
            least = min(least, float(model.posterior(there)[0].min()))
            model = model.believing(there)
        places, losses = list(self._courses.last_places()), losses_of(scores)
        best = np.argsort(losses, kind="stable")[:_MOST_MODELLED]
        again = scores_again(losses[kept], scores)
        return Fitted(model, least, np.array([places[index] for index in best]), y, again)

    def of_steps(self, pending: Mapping[Hashable, Array], rng: np.random.Generator) -> Fitted:
        """Return a model of all results, by params and step; `pending` are places by key."""
        rows = _fine(self._courses.rows())
        table = self._table(rows)
        x = self._columns.of(table.places)
        model: Any
        if self._is_process:
            model = self._shortfall(x, table)
        else:
            seed, joint = int(rng.integers(2**31)), FullRuns.with_short(x, table.short)
            model = FullRuns(Regression(self._estimator, joint, table.losses, seed=seed))
        # Full runs are few, and at first there are none: the best is what the model makes of all.
        mean, _ = model.posterior(x)
        least = float(mean.min())
        if awaited := self._courses.pending(pending)[-_MOST_MODELLED:]:
            places = {**pending, **self._courses.places}
            there = self._columns.of(np.array([places[key] for key, _ in awaited]))
            steps = np.array([step for _, step in awaited])
            least = min(least, float(model.posterior(there)[0].min()))
            longest = self._courses.longest or self._courses.furthest
            model = model.believing(there, shortness(steps, longest))
        best = table.places[np.argsort(mean, kind="stable")]
        return Fitted(model, least, best, table.losses, table.scores, self._flats(rows, model))

    def _flats(self, rows: Sequence[Row], model: Any) -> Flats | None:
        results: dict[Hashable, dict[int, float]] = {}
        for row in rows:
            assert row.score is not None
            results.setdefault(row.key, {})[row.step] = row.score
        x = self._columns.of(np.array([self._courses.places[key] for key in results]))
        return flats_of(results, x, getattr(model, "lengths", np.ones(x.shape[1])))

    @property
    def _is_process(self) -> bool:
        return isinstance(self._estimator, str) and self._estimator == "GP"

    def _told(self, count: int) -> tuple[Indices, Array]:
        """Return which of the first `count` trials are modelled, and their losses, warped."""
        scores = list(self._courses.last.values())[:count]
        losses = losses_of(scores)
        kept = worth_modelling(losses)
        kept = kept[succeeded(scores)[kept]]
        return kept, warped(losses[kept])

    def _process(self, x: Array, y: Array) -> Any:
        from nbtune.searchers.bayes.gaussian import (  # noqa: PLC0415 - skopt takes seconds
            GaussianProcess,
        )

        return GaussianProcess(self._hyperparameters(), self._columns.groups).fit(x, y)

    def _hyperparameters(self) -> Array:
        """Return the kernel for the trials so far, found when there were up to a tenth fewer."""
        from nbtune.searchers.bayes.gaussian import most_probable  # noqa: PLC0415 - as above

        scores = list(self._courses.last.values())
        count = _refitted_at(len(scores))
        if succeeded(scores[:count]).sum() < 2:
            count = len(scores)
        if ("last", count) not in self._kernels:
            kept, y = self._told(count)
            found = most_probable(self._modelled(kept), y, self._columns.groups)
            self._kernels = {("last", count): found}
        return self._kernels["last", count]

    def _modelled(self, kept: Indices) -> Array:
        places = list(self._courses.last_places())
        return self._columns.of(np.array([places[index] for index in kept]))

    def _shortfall(self, x: Array, table: Table) -> Any:
        """Return a process of all results; its kernel is that of up to a tenth fewer."""
        from nbtune.searchers.bayes.shortfall import (  # noqa: PLC0415 - scipy takes half a second
            Shortfall,
            most_probable,
        )

        groups, count = self._columns.groups, _refitted_at(self._courses.count)
        if ("steps", count) not in self._kernels:
            rows = _fine(self._courses.rows(count))
            then = self._table(rows) if len(rows) > 1 else table
            columns = self._columns.of(then.places)
            found = most_probable(columns, then.short, then.losses, groups)
            self._kernels = {("steps", count): found}
        return Shortfall(self._kernels["steps", count], groups, x, table.short, table.losses)

    def _table(self, rows: Sequence[Row]) -> Table:
        places, longest = self._courses.places, self._courses.longest
        return tabulated(rows, places, longest, most=_MOST_MODELLED)


def _fine(rows: Sequence[Row]) -> list[Row]:
    """Return the results that are finite scores."""
    is_fine = succeeded([row.score for row in rows])
    return [row for row, fine in zip(rows, is_fine, strict=True) if fine]


def worth_modelling(losses: Array) -> Indices:
    """Return the indices of what to model, ascending: all of few, else the best and the newest."""
    indices = np.arange(len(losses))
    if len(losses) <= _MOST_MODELLED:
        return indices
    best = np.argsort(losses, kind="stable")[: _MOST_MODELLED // 2]
    rest = np.setdiff1d(indices, best)
    return np.union1d(best, rest[-(_MOST_MODELLED - len(best)) :])


def _refitted_at(count: int) -> int:
    """Return at how many observations, at most `count`, the kernel is found anew."""
    size = _ALWAYS_REFITTED
    if count <= size:
        return count
    while (following := size + max(1, size // 10)) <= count:
        size = following
    return size
