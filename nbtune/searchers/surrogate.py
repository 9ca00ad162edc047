"""The surrogate: a model of losses over the unit cube, scikit-optimize inside.

What scikit-optimize (0.10.2) cannot do is done around it: it knows no pending trials, repeats
points, returns NumPy scalars, and draws from the global generator where an estimator has no seed.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from nbtune.space import Choice, Space

__all__ = ["Array", "Surrogate", "one_thread"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class Surrogate:
    """scikit-optimize's Optimizer for one suggestion, on the unit cube of a space.

    Numbers are ``Real(0, 1)`` to it, whatever their scale: it is told where an observation really
    is after rounding, which its own ``Integer`` is not. Options of a `Choice` have no order, so
    they are one-hot columns.

    Parameters
    ----------
    space : Space
    base_estimator : str or scikit-learn regressor
    acquisition : {"EI", "LCB", "PI"}
    xi, kappa : float
        Of EI and PI, and of LCB; in the unit of the losses.
    seed : int, 0 to 2**31 - 1
    """

    def __init__(
        self,
        space: Space,
        *,
        base_estimator: Any,
        acquisition: str,
        xi: float,
        kappa: float,
        seed: int,
    ) -> None:
        from skopt import Optimizer  # noqa: PLC0415 - costs seconds and 170 MB
        from skopt.space import Categorical, Real  # noqa: PLC0415 - as above

        self._counts = [
            len(dim.domain.options) if isinstance(dim.domain, Choice) else 0 for dim in space.dims
        ]
        self._optimizer = Optimizer(
            [Categorical(range(count)) if count else Real(0.0, 1.0) for count in self._counts],
            base_estimator=_seeded(base_estimator, seed),
            n_initial_points=0,
            acq_func=acquisition,
            acq_func_kwargs={"xi": xi, "kappa": kappa},
            acq_optimizer_kwargs={"n_points": 1000, "n_restarts_optimizer": 5},
            random_state=seed,
        )

    def fit(self, places: Array, losses: Array) -> None:
        """Fit the model to losses, shape (n,), at places in the unit cube, shape (n, n_dims)."""
        with _quiet():
            self._optimizer.tell([self._point(place) for place in places], losses.tolist())
        self._model = self._optimizer.models[-1]
        self._places = self._transform(places)
        self._losses = losses

    def believe(self, places: Array) -> None:
        """Fit on as if trials at `places`, shape (n, n_dims), had ended as predicted.

        The kriging believer (Ginsbourger, Le Riche and Carraro 2010): no other trial seems worth
        it near by, and the prediction elsewhere stays. So do the kernel's parameters: it costs one
        Cholesky decomposition. A constant liar did worse with 4 pending on each problem tried.
        """
        from sklearn.base import clone  # noqa: PLC0415 - costs a second

        model, pending = self._model, self._transform(places)
        with _quiet():
            predicted = model.predict(pending)
            self._model = clone(model)
            if hasattr(model, "kernel_"):
                self._model.set_params(kernel=model.kernel_, optimizer=None)
            if getattr(model, "noise_", None):  # scikit-optimize takes it out of the kernel
                self._model.set_params(noise=None, alpha=model.noise_)
            self._places = np.vstack([self._places, pending])
            self._losses = np.append(self._losses, predicted)
            self._model.fit(self._places, self._losses)

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

        with _quiet():
            values = _gaussian_acquisition(
                self._transform(places),
                self._model,
                y_opt=float(self._losses.min()),
                acq_func=self._optimizer.acq_func,
                acq_func_kwargs=self._optimizer.acq_func_kwargs,
            )
        return np.nan_to_num(np.asarray(values, dtype=np.float64), nan=np.inf)

    def _transform(self, places: Array) -> Array:
        points = [self._point(place) for place in places]
        return np.asarray(self._optimizer.space.transform(points), dtype=np.float64)

    def _point(self, place: Array) -> list[float | int]:
        return [
            min(int(u * count), count - 1) if count else float(u)
            for u, count in zip(place, self._counts, strict=True)
        ]


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS and OpenMP to one thread.

    The matrices are small, and the trials have the cores: BLAS threads that wait for a core at
    each operation made a suggestion take 5 s instead of 0.3 s on two busy cores.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - comes with scikit-learn

    with threadpool_limits(limits=1):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep scikit-learn's ConvergenceWarning and NumPy's warnings from the user."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _seeded(estimator: Any, seed: int) -> Any:
    """Return a copy of the user's estimator that does not draw from the global generator."""
    if isinstance(estimator, str) or not hasattr(estimator, "get_params"):
        return estimator
    from sklearn.base import clone  # noqa: PLC0415 - costs a second

    copy = clone(estimator)
    if copy.get_params().get("random_state", seed) is None:
        copy.set_params(random_state=seed)
    return copy
