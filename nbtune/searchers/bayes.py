"""Bayes: a model of the scores says which params are worth a trial.

Everything is modelled anew for each suggestion, so that a suggestion depends on the history, the
seed and the trial's number alone.
"""

import logging
import operator
from collections.abc import Hashable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nbtune.exceptions import SpecError, nearest
from nbtune.pareto import Scores
from nbtune.searchers.base import Searcher
from nbtune.searchers.columns import Columns
from nbtune.searchers.feasibility import Feasibility, Feasible
from nbtune.searchers.surrogate import Array, Regression, one_thread
from nbtune.searchers.untried import draw_untried, drawable, list_untried
from nbtune.searchers.utility import options_of_utility
from nbtune.searchers.warp import warped
from nbtune.space import Space
from nbtune.trial import Params

if TYPE_CHECKING:
    from nbtune.searchers.outlook import Outlook

__all__ = ["Bayes", "losses_of", "quasi_random", "succeeded", "worth_modelling"]

Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
Indices: TypeAlias = np.ndarray[Any, np.dtype[np.intp]]

_LOG = logging.getLogger(__name__)
_STREAM = 0xBA7E5  # keeps these draws apart from other families' draws for the same trial
_ACQUISITIONS = ("EI", "LCB", "PI")
_ESTIMATORS = ("GP", "ET", "RF")  # "GBRT" raises with scikit-learn 1.9
# What scikit-optimize, scikit-learn and a user's own regressor have been seen to raise.
_MODEL_ERRORS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_MOST_MODELLED = 200  # observations; a GP's time grows with the cube
_ALWAYS_REFITTED = 60  # observations; with more, the kernel is found anew at every tenth more
_MOST_SCORED = 2000  # points of a space, of which all are scored


class Bayes(Searcher):
    """Model the scores, and try what promises most.

    The first trials spread over the space (`quasi_random`). Then a Gaussian process (`gaussian`),
    or a forest, is fitted to what was observed, pending trials with the score that it predicts for
    them, and the untried point of best acquisition that is found is suggested (`ascent`); of a
    space of up to 2,000 points, the best of them all. Trials that failed, or whose score is not
    finite, are no part of that model: they say how likely other trials are to fail, and what is
    likely to fail promises less (`feasibility`). Of more than 200 trials the best and the newest
    are modelled. Hints, such as the results of an earlier sweep, are modelled as they are.

    Parameters
    ----------
    n_initial : int >= 1
        How many observations to have before the model is used.
    base_estimator : {"GP", "ET", "RF"} or scikit-learn regressor
        The model: a Gaussian process, extra trees, a random forest, or any regressor whose
        ``predict`` takes ``return_std=True``.
    acquisition : {"EI", "LCB", "PI", "gp_hedge"}
        What makes a point promising: the expected improvement (its logarithm, which does not
        vanish), the confidence bound, the probability of improvement; "gp_hedge" draws one of the
        three for each trial.
    xi : float
        The improvement that EI and PI look for, in standard deviations of the warped scores.
    kappa : float
        How much LCB makes of uncertainty, in standard deviations of the prediction.

    Raises
    ------
    SpecError
        When an argument is of the wrong type or not known.
    """

    apart = True

    def __init__(
        self,
        n_initial: int = 10,
        *,
        base_estimator: Any = "GP",
        acquisition: str = "EI",
        xi: float = 0.0,
        kappa: float = 1.96,
    ) -> None:
        self.n_initial = _count(n_initial)
        self.base_estimator = base_estimator
        self.acquisition = _known("acquisition", acquisition, (*_ACQUISITIONS, "gp_hedge"))
        self.xi = xi
        self.kappa = kappa
        if isinstance(base_estimator, str):
            _known("base_estimator", base_estimator, _ESTIMATORS)
        elif not hasattr(base_estimator, "predict"):
            raise SpecError(
                f"Bayes(base_estimator={base_estimator!r}): needs a scikit-learn regressor or one "
                f"of {', '.join(_ESTIMATORS)}",
                "searcher.base_estimator",
            )

    @classmethod
    def from_utility(cls, utility: Mapping[str, Any], n_initial: int = 10) -> "Bayes":
        """Return what Polyaxon's ``utilityFunction`` asks for; `options_of_utility` says how.

        ``n_initial`` is the matrix's ``numInitialRuns``.
        """
        return cls(n_initial, **options_of_utility(utility))

    def __repr__(self) -> str:
        return (
            f"Bayes({self.n_initial}, base_estimator={self.base_estimator!r}, "
            f"acquisition={self.acquisition!r}, xi={self.xi}, kappa={self.kappa})"
        )

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and the seed."""
        super().setup(space, seed=seed)
        self.finite = space.size is not None
        self._observed: dict[Hashable, int] = {}  # the key of each observation, its position
        self._places: list[Array] = []  # in the unit cube, one an observation, oldest first
        self._scores: list[float | None] = []
        self._columns = Columns(space)
        self._kernels: dict[int, Array] = {}  # the last one found, by how many observations
        self._feasibility = Feasibility(self._columns)
        self._warned = False

    def warm_up(self) -> None:
        """Import scikit-optimize and SciPy, which takes seconds."""
        from nbtune.searchers import ascent, gaussian, outlook  # noqa: F401, PLC0415 - that is it

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return a point that is neither observed nor `pending`; None when there is none."""
        tried = {*self._observed, *map(self.space.key, pending)}
        if len(self._scores) < self.n_initial or self._finite_scores() < 2:
            return self._start(number, tried)
        try:
            with one_thread():
                return self._model(number, pending, tried)
        except _MODEL_ERRORS as error:
            level = logging.DEBUG if self._warned else logging.WARNING
            self._warned = True
            _LOG.log(level, "the model failed, params are drawn at random: %r", error)
            return draw_untried(self.space, tried, seed=self.seed, number=number)

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Learn the last score of a trial; a later one of the same params takes its place."""
        if not ended:
            return
        key = self.space.key(params)
        if key in self._observed:  # it was paused, and went on
            self._scores[self._observed[key]] = score
            self._kernels.clear()
            self._feasibility = Feasibility(self._columns)
            return
        self._observed[key] = len(self._scores)
        self._places.append(self.space.to_unit(params))
        self._scores.append(score)

    def hint(self, params: Params, scores: Scores, *, step: int) -> None:
        """Model a result that is no trial of this search; its point is as good as untried."""
        key = self.space.key(params)
        if key in self._observed:  # tried here: that says more
            return
        self.observe(params, scores[0], step=step, ended=True)
        del self._observed[key]

    def size(self) -> int | None:
        """Return the number of points of a finite space, that of the defaults included."""
        return self.space.size

    def _finite_scores(self) -> int:
        return int(succeeded(self._scores).sum())

    def _start(self, number: int, tried: Set[Hashable]) -> Params | None:
        """Return the point of trial `number` in a sequence that fills the space evenly."""
        params = self.space.from_unit(quasi_random(number, self.space.n_dims, seed=self.seed))
        if self.space.key(params) not in tried and drawable(self.space, params):
            return params
        return draw_untried(self.space, tried, seed=self.seed, number=number)

    def _model(self, number: int, pending: Sequence[Params], tried: Set[Hashable]) -> Params | None:
        """Return the untried point of best acquisition."""
        from nbtune.searchers.ascent import climb  # noqa: PLC0415 - scipy takes half a second

        listed = self.space.size is not None and self.space.size <= _MOST_SCORED
        left = list_untried(self.space, tried) if listed else []
        if listed and len(left) < 2:
            return left[0] if left else None
        rng = np.random.default_rng((_STREAM, self.seed, number))
        outlook = self._outlook(rng)
        if pending:
            outlook = outlook.believing(self._to_units(pending[-_MOST_MODELLED:]))
        if listed:
            return left[int(np.argmax(outlook.promise(self._to_units(left))))]
        best = np.argsort(losses_of(self._scores), kind="stable")
        found = climb(
            self.space,
            self._columns,
            outlook.promise,
            outlook.slope if outlook.has_slope else None,
            np.array([self._places[index] for index in best[:_MOST_MODELLED]]),
            tried,
            rng,
        )
        return found or draw_untried(self.space, tried, seed=self.seed, number=number)

    def _outlook(self, rng: np.random.Generator) -> "Outlook | Feasible":
        """Return what a model of the trials so far makes of other places."""
        from nbtune.searchers.outlook import Outlook  # noqa: PLC0415 - as above

        drawn = _ACQUISITIONS[int(rng.integers(len(_ACQUISITIONS)))]
        kept, y = self._told(len(self._scores))
        model: Any
        if self.base_estimator == "GP":
            model = self._process(kept, y)
        else:
            x, seed = self._modelled(kept), int(rng.integers(2**31))
            model = Regression(self.base_estimator, x, y, seed=seed)
        kind = drawn if self.acquisition == "gp_hedge" else self.acquisition
        outlook = Outlook(
            self._columns, model, float(y.min()), kind=kind, xi=self.xi, kappa=self.kappa
        )
        return self._feasibility.of(outlook, np.array(self._places), succeeded(self._scores))

    def _told(self, count: int) -> tuple[Indices, Array]:
        """Return which of the first `count` trials are modelled, and their losses, warped."""
        losses = losses_of(self._scores[:count])
        kept = worth_modelling(losses)
        kept = kept[succeeded(self._scores)[kept]]
        return kept, warped(losses[kept])

    def _process(self, kept: Indices, y: Array) -> Any:
        from nbtune.searchers.gaussian import GaussianProcess  # noqa: PLC0415 - skopt takes seconds

        process = GaussianProcess(self._hyperparameters(), self._columns.groups)
        return process.fit(self._modelled(kept), y)

    def _hyperparameters(self) -> Array:
        """Return the kernel for the trials so far, found when there were up to a tenth fewer."""
        from nbtune.searchers.gaussian import most_probable  # noqa: PLC0415 - as above

        count = _refitted_at(len(self._scores))
        if succeeded(self._scores[:count]).sum() < 2:
            count = len(self._scores)
        if count not in self._kernels:
            kept, y = self._told(count)
            found = most_probable(self._modelled(kept), y, self._columns.groups)
            self._kernels = {count: found}
        return self._kernels[count]

    def _modelled(self, kept: Indices) -> Array:
        return self._columns.of(np.array([self._places[index] for index in kept]))

    def _to_units(self, points: Sequence[Params]) -> Array:
        return np.array([self.space.to_unit(params) for params in points]).reshape(
            len(points), self.space.n_dims
        )


def quasi_random(number: int, n_dims: int, *, seed: int) -> Array:
    """Return point `number` of a sequence that fills the unit cube evenly, shape (n_dims,).

    An additive recurrence: multiples of powers of the generalised golden ratio, modulo 1, from an
    origin drawn from `seed` (Roberts 2018, "The unreasonable effectiveness of quasirandom
    sequences"). Any point is had at once, without those before it.
    """
    ratio = 2.0
    for _ in range(64):  # to the root of ratio**(n_dims + 1) == ratio + 1
        ratio = (1.0 + ratio) ** (1.0 / (n_dims + 1))
    origin = np.random.default_rng((_STREAM, seed)).random(n_dims)
    powers = ratio ** -np.arange(1.0, n_dims + 1)
    return np.asarray((origin + (number + 1) * powers) % 1.0, dtype=np.float64)


def succeeded(scores: Sequence[float | None]) -> Flags:
    """Return which scores, shape (n,), are numbers, and finite."""
    numbers = [np.nan if score is None else score for score in scores]
    return np.asarray(np.isfinite(np.array(numbers, dtype=np.float64)))


def losses_of(scores: Sequence[float | None]) -> Array:
    """Return scores as losses with mean 0 and standard deviation 1, shape (n,).

    Scores that are None or not finite become the worst that is; at least one must be finite.
    """
    losses = -np.array([np.nan if score is None else score for score in scores], dtype=np.float64)
    finite = np.isfinite(losses)
    losses[~finite] = losses[finite].max()
    losses /= max(float(np.abs(losses).max()), 1e-300)  # the squares of 1e300 would overflow
    losses -= losses.mean()
    return losses / max(float(losses.std()), 1e-12)


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


def _count(value: object) -> int:
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1:
        raise SpecError(
            f"Bayes(n_initial={value!r}): needs an integer of at least 1", "searcher.n_initial"
        )
    return number


def _known(name: str, value: object, known: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise SpecError(
            f"Bayes({name}={value!r}): is not known. {nearest(str(value), known)}",
            f"searcher.{name}",
        )
    return value
