"""Bayes: a model of the scores says which params are worth a trial; scikit-optimize inside.

scikit-optimize (0.10.2) is told everything anew for each suggestion, so that a suggestion depends
on the history, the seed and the trial's number alone. What it cannot do is done around it: it
raises on NaN and infinity, knows no pending trials, repeats points of small spaces, returns NumPy
scalars, and measures its exploration in the metric's own unit.
"""

import logging
import operator
import warnings
from collections.abc import Hashable, Sequence, Set
from typing import Any, TypeAlias

import numpy as np

from nbtune.exceptions import SpecError, nearest
from nbtune.searchers.base import Searcher
from nbtune.searchers.untried import draw_untried, drawable, list_untried
from nbtune.space import Choice, Space
from nbtune.trial import Params

__all__ = ["Bayes", "losses_of", "quasi_random", "worth_modelling"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_LOG = logging.getLogger(__name__)
_STREAM = 0xBA7E5  # keeps these draws apart from other families' draws for the same trial
_ESTIMATORS = ("GP", "ET", "RF")  # "GBRT" raises with scikit-learn 1.9
_ACQUISITIONS = ("EI", "LCB", "PI", "gp_hedge")
_MOST_MODELLED = 200  # observations; a GP's time grows with the cube
_MOST_SCORED = 2000  # candidates
_AROUND = 5  # of the best observations, with ...
_NEIGHBOURS = 100  # ... candidates around each


class Bayes(Searcher):
    """Model the scores, and try what promises most.

    The first trials spread over the space (`quasi_random`). Then a Gaussian process, or a forest,
    is fitted to what was observed, each pending trial standing in with the mean score, and the
    untried point of best acquisition is suggested: among scikit-optimize's own proposals, the
    neighbours of the best trials, and points at random; of a space of up to 2,000 points, among
    them all. Failed trials and those without a finite score count as the worst one seen.

    Parameters
    ----------
    n_initial : int >= 1
        How many observations to have before the model is used.
    base_estimator : {"GP", "ET", "RF"} or scikit-learn regressor
        The model: a Gaussian process, extra trees, a random forest, or any regressor whose
        ``predict`` takes ``return_std=True``.
    acquisition : {"EI", "LCB", "PI", "gp_hedge"}
        What makes a point promising: expected improvement, the confidence bound, the probability
        of improvement; "gp_hedge" draws one of the three for each trial.
    xi : float
        The improvement that EI and PI look for, in standard deviations of the scores so far.
    kappa : float
        How much LCB makes of uncertainty, in standard deviations of the prediction.

    Raises
    ------
    SpecError
        When an argument is of the wrong type or not known.
    """

    def __init__(
        self,
        n_initial: int = 10,
        *,
        base_estimator: Any = "GP",
        acquisition: str = "EI",
        xi: float = 0.01,
        kappa: float = 1.96,
    ) -> None:
        self.n_initial = _count(n_initial)
        self.base_estimator = base_estimator
        self.acquisition = _known("acquisition", acquisition, _ACQUISITIONS)
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

    def __repr__(self) -> str:
        return (
            f"Bayes({self.n_initial}, base_estimator={self.base_estimator!r}, "
            f"acquisition={self.acquisition!r}, xi={self.xi}, kappa={self.kappa})"
        )

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and the seed."""
        super().setup(space, seed=seed)
        self.finite = space.size is not None
        self._observed: set[Hashable] = set()
        self._places: list[Array] = []  # in the unit cube, one an observation, oldest first
        self._scores: list[float | None] = []
        self._warned = False

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return a point that is neither observed nor `pending`; None when there is none."""
        tried = self._observed.union(map(self.space.key, pending))
        if len(self._scores) < self.n_initial or self._finite_scores() < 2:
            return self._start(number, tried)
        try:
            return self._model(number, pending, tried)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            if not self._warned:
                _LOG.warning("the model failed; such trials are drawn at random", exc_info=True)
            self._warned = True
            return draw_untried(self.space, tried, seed=self.seed, number=number)

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Learn the last score of a trial."""
        if ended:
            self._observed.add(self.space.key(params))
            self._places.append(self.space.to_unit(params))
            self._scores.append(score)

    def size(self) -> int | None:
        """Return the number of points of a finite space, that of the defaults included."""
        return self.space.size

    def _finite_scores(self) -> int:
        return sum(score is not None and np.isfinite(score) for score in self._scores)

    def _start(self, number: int, tried: Set[Hashable]) -> Params | None:
        """Return the point of trial `number` in a sequence that fills the space evenly."""
        params = self.space.from_unit(quasi_random(number, self.space.n_dims, seed=self.seed))
        if self.space.key(params) not in tried and drawable(self.space, params):
            return params
        return draw_untried(self.space, tried, seed=self.seed, number=number)

    def _model(self, number: int, pending: Sequence[Params], tried: Set[Hashable]) -> Params | None:
        """Return the untried point of best acquisition."""
        listed = self.space.size is not None and self.space.size <= _MOST_SCORED
        candidates = list_untried(self.space, tried) if listed else []
        if listed and len(candidates) < 2:
            return candidates[0] if candidates else None
        rng = np.random.default_rng((_STREAM, self.seed, number))
        places, losses = np.array(self._places), losses_of(self._scores)
        kept = worth_modelling(losses)
        places, losses = places[kept], losses[kept]
        surrogate = _Surrogate(self.space, self._options(rng))
        lies = np.full(len(pending), losses.mean())
        surrogate.fit(
            np.vstack([places, *map(self.space.to_unit, pending)]), np.append(losses, lies)
        )
        if not listed:
            best = places[np.argsort(losses, kind="stable")[:_AROUND]]
            near = [_neighbours(place, self.space, rng) for place in best]
            spread = rng.random((_MOST_SCORED // 4, self.space.n_dims))
            candidates = self._untried(np.vstack([surrogate.proposals(), *near, spread]), tried)
        if not candidates:
            return draw_untried(self.space, tried, seed=self.seed, number=number)
        values = surrogate.acquisition(np.array([self.space.to_unit(p) for p in candidates]))
        return candidates[int(np.argmin(values))]

    def _options(self, rng: np.random.Generator) -> dict[str, Any]:
        """Return scikit-optimize's arguments for one suggestion."""
        seed, drawn = int(rng.integers(2**31)), _ACQUISITIONS[int(rng.integers(3))]
        return {
            "base_estimator": _seeded(self.base_estimator, seed),
            "acq_func": drawn if self.acquisition == "gp_hedge" else self.acquisition,
            "acq_func_kwargs": {"xi": self.xi, "kappa": self.kappa},
            "random_state": seed,
        }

    def _untried(self, places: Array, tried: Set[Hashable]) -> list[Params]:
        """Return the points at `places`, shape (n, n_dims), without repeats and what is tried."""
        points: dict[Hashable, Params] = {}
        for place in places:
            params = self.space.from_unit(place)
            points.setdefault(self.space.key(params), params)
        return [
            params
            for key, params in points.items()
            if key not in tried and drawable(self.space, params)
        ]


class _Surrogate:
    """scikit-optimize's Optimizer for one suggestion, on the unit cube of a space.

    Numbers are ``Real(0, 1)`` to it, whatever their scale: it is told where an observation really
    is after rounding, which its own ``Integer`` is not. Options of a `Choice` have no order, so
    they are one-hot columns.
    """

    def __init__(self, space: Space, options: dict[str, Any]) -> None:
        from skopt import Optimizer  # noqa: PLC0415 - costs seconds and 170 MB
        from skopt.space import Categorical, Real  # noqa: PLC0415 - as above

        self._counts = [
            len(dim.domain.options) if isinstance(dim.domain, Choice) else 0 for dim in space.dims
        ]
        self._xi_kappa = options["acq_func_kwargs"]
        self._optimizer = Optimizer(
            [Categorical(range(count)) if count else Real(0.0, 1.0) for count in self._counts],
            n_initial_points=0,
            acq_optimizer_kwargs={"n_points": 1000, "n_restarts_optimizer": 5},
            **options,
        )

    def fit(self, places: Array, losses: Array) -> None:
        """Fit the model to losses, shape (n,), at places in the unit cube, shape (n, n_dims)."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # sklearn's ConvergenceWarning, for the most part
            self._optimizer.tell([self._point(place) for place in places], losses.tolist())
        self._best = float(losses.min())

    def proposals(self) -> Array:
        """Return the places that scikit-optimize would try next, shape (n, n_dims)."""
        found = self._optimizer.space.inverse_transform(np.vstack(self._optimizer.next_xs_))
        return np.array(
            [
                [
                    (x + 0.5) / count if count else x
                    for x, count in zip(point, self._counts, strict=True)
                ]
                for point in found
            ],
            dtype=np.float64,
        )

    def acquisition(self, places: Array) -> Array:
        """Return how little promise there is at places, shape (n, n_dims); less is better."""
        from skopt.acquisition import _gaussian_acquisition  # noqa: PLC0415 - as above

        optimizer = self._optimizer
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            values = _gaussian_acquisition(
                optimizer.space.transform([self._point(place) for place in places]),
                optimizer.models[-1],
                y_opt=self._best,
                acq_func=optimizer.acq_func,
                acq_func_kwargs=self._xi_kappa,
            )
        return np.nan_to_num(np.asarray(values, dtype=np.float64), nan=np.inf)

    def _point(self, place: Array) -> list[float | int]:
        return [
            min(int(u * count), count - 1) if count else float(u)
            for u, count in zip(place, self._counts, strict=True)
        ]


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


def worth_modelling(losses: Array) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the indices of what to model, ascending: all of few, else the best and the newest."""
    indices = np.arange(len(losses))
    if len(losses) <= _MOST_MODELLED:
        return indices
    best = np.argsort(losses, kind="stable")[: _MOST_MODELLED // 2]
    rest = np.setdiff1d(indices, best)
    return np.union1d(best, rest[-(_MOST_MODELLED - len(best)) :])


def _seeded(estimator: Any, seed: int) -> Any:
    """Return a copy of the user's estimator that does not draw from the global generator."""
    if isinstance(estimator, str) or not hasattr(estimator, "get_params"):
        return estimator
    from sklearn.base import clone  # noqa: PLC0415 - costs a second

    copy = clone(estimator)
    if copy.get_params().get("random_state", seed) is None:
        copy.set_params(random_state=seed)
    return copy


def _neighbours(place: Array, space: Space, rng: np.random.Generator) -> Array:
    """Return places near `place`, shape (_NEIGHBOURS, n_dims): few dimensions moved, or many."""
    shape = (_NEIGHBOURS, space.n_dims)
    share = np.maximum(rng.random((_NEIGHBOURS, 1)), 1.0 / space.n_dims)
    length = 10 ** rng.uniform(-3.0, -0.5, (_NEIGHBOURS, 1))
    moved = np.clip(place + length * rng.standard_normal(shape), 0.0, 1.0)
    options = np.array([isinstance(dim.domain, Choice) for dim in space.dims])
    moved = np.where(options, rng.random(shape), moved)
    chance = np.where(options, 0.2, share)
    return np.where(rng.random(shape) < chance, moved, place)


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
