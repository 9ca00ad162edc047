"""Several objectives for searchers of one score: random weights for each suggestion."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nbtune.exceptions import SpecError
from nbtune.pareto import Scores
from nbtune.searchers.base import Searcher
from nbtune.space import Space
from nbtune.trial import Goal, Params

__all__ = ["Scalarised", "augmented_tchebycheff", "draw_weights", "searcher_for"]

RHO = 0.05
_STREAM = 0x9A4E60  # keeps these draws apart from other families' draws for the same trial


def searcher_for(goals: Sequence[Goal], searcher: Searcher) -> Searcher:
    """Return the searcher to use for these goals: `searcher` itself, unless scores must be joined.

    Joined they must be for a searcher that learns from scores, one at a time.
    """
    if len(goals) == 1 or not searcher.learns or searcher.several:
        return searcher
    return Scalarised(searcher)


@dataclass(frozen=True, slots=True)
class _Told:
    """A call of `learn`, of `hint`, or of `follow` where `ended` is None."""

    params: Params
    scores: Scores | None
    step: int
    ended: bool | None
    until: int = 0
    is_hint: bool = False


class Scalarised(Searcher):
    """Ask a searcher of one score about several objectives.

    For each suggestion a fresh copy of it is told the whole history under weights drawn for that
    trial: the scores, normalised to [0, 1] over all that was told, are joined by the augmented
    Tchebycheff function (ParEGO: Knowles 2006, doi 10.1109/TEVC.2005.851274, section II). Every
    point of the front is best under some weights, so that the suggestions spread along it.

    Parameters
    ----------
    searcher : Searcher
        Not set up yet; it is copied, never changed.
    """

    def __init__(self, searcher: Searcher) -> None:
        if not isinstance(searcher, Searcher):
            raise SpecError(f"Scalarised({searcher!r}): give a searcher as Bayes()", "searcher")
        self.searcher = searcher
        self.starts_with_defaults = searcher.starts_with_defaults
        self.apart = searcher.apart
        self._goals: tuple[Goal, ...] = ()
        self.editable = searcher.editable
        self.keeps_to_listed = searcher.keeps_to_listed
        self.follows = searcher.follows
        self.prefetch = searcher.prefetch

    def __repr__(self) -> str:
        return f"Scalarised({self.searcher!r})"

    def set_goals(self, goals: Sequence[Goal]) -> None:
        """Take the goals' names, for `why`: the searcher within sees one score and no goal."""
        self._goals = tuple(goals)

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and the seed; let the searcher refuse them."""
        super().setup(space, seed=seed)
        self._history: list[_Told] = []
        inner = self._fresh()
        self.finite, self._size = inner.finite, inner.size()

    def _fresh(self) -> Searcher:
        inner = copy.deepcopy(self.searcher)
        inner.setup(self.space, seed=self.seed)
        inner.longest = self.longest
        return inner

    def warm_up(self) -> None:
        """Import what the searcher needs."""
        self.searcher.warm_up()

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return what the searcher suggests under the weights of trial `number`."""
        inner = self._fresh()
        for told, score in zip(self._history, self._joined(number), strict=True):
            joined = None if score is None else (score,)
            if told.ended is None:
                inner.follow(told.params, joined, step=told.step, until=told.until)
            elif not told.is_hint:
                inner.observe(told.params, score, step=told.step, ended=told.ended)
            elif joined is not None:
                inner.hint(told.params, joined, step=told.step)
        params = inner.suggest(number, pending)
        for code, text in inner.take_warnings():
            self.warn(code, text)
        self.why = f"{self._weighted(number)}: {inner.why}" if inner.why else ""
        return params

    def _weighted(self, number: int) -> str:
        """Return the weights of trial `number` in words: "0.3 accuracy + 0.7 latency"."""
        if not self._goals:
            return "random weights"
        weights = draw_weights(len(self._goals), seed=self.seed, number=number)
        parts = [f"{w:.2g} {goal.metric}" for w, goal in zip(weights, self._goals, strict=True)]
        return " + ".join(parts)

    def _joined(self, number: int) -> list[float | None]:
        """Return the score of each result under the weights of trial `number`."""
        known = [told.scores for told in self._history if told.scores is not None]
        if not known:
            return [None] * len(self._history)
        weights = draw_weights(len(known[0]), seed=self.seed, number=number)
        joined = iter(augmented_tchebycheff(known, weights).tolist())
        return [None if told.scores is None else next(joined) for told in self._history]

    def learn(self, params: Params, scores: Scores | None, *, step: int, ended: bool) -> None:
        """Keep a result in every objective; a trial that goes on and lacks one says nothing yet."""
        if ended or scores is not None:
            self._history.append(_Told(params, scores, step, ended))

    def follow(self, params: Params, scores: Scores | None, *, step: int, until: int) -> None:
        """Keep how far a trial is, for a searcher that follows."""
        self._history.append(_Told(params, scores, step, None, until))

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Keep a result in one objective."""
        self.learn(params, None if score is None else (score,), step=step, ended=ended)

    def hint(self, params: Params, scores: Scores, *, step: int) -> None:
        """Keep a hint in every objective."""
        self._history.append(_Told(params, scores, step, ended=True, is_hint=True))

    @property
    def takes_hints(self) -> bool:
        """Whether the searcher makes use of hints."""
        return self.searcher.takes_hints

    def size(self) -> int | None:
        """Return how many trials the searcher will suggest in all."""
        return self._size


def draw_weights(count: int, *, seed: int, number: int) -> NDArray[np.float64]:
    """Return the weights of trial `number`, shape (count,): uniform among those with sum 1."""
    rng = np.random.default_rng((_STREAM, seed, number))
    return rng.dirichlet(np.ones(count))


def augmented_tchebycheff(scores: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Return one score a row, shape (n,): higher is better, 0 is best in everything.

    The negative of the augmented Tchebycheff function, equation 2 of Knowles 2006, of the losses
    normalised to [0, 1]: the largest weighted one, plus `RHO` times their sum.

    Parameters
    ----------
    scores : array of float, shape (n, n_objectives)
        Higher is better; a row with ``-inf`` is ``-inf`` in the result.
    weights : array of float >= 0, shape (n_objectives,)
        Their sum is 1.
    """
    table = np.asarray(scores, dtype=np.float64)
    joined = np.full(len(table), -np.inf)
    is_finite = np.isfinite(table).all(axis=1)
    finite = table[is_finite]
    if finite.size:
        best = finite.max(axis=0)
        span = best / 2 - finite.min(axis=0) / 2  # halved: the range of floats is no float
        losses = (best / 2 - finite / 2) / np.where(span > 0, span, 1.0)
        weighted = np.asarray(weights) * losses
        joined[is_finite] = -(weighted.max(axis=1) + RHO * weighted.sum(axis=1))
    return joined
