"""Models of losses besides the Gaussian process: scikit-optimize's forests, or a user's own."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

__all__ = ["Array", "Regression", "one_thread", "quiet"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class Regression:
    """A regressor that tells its own standard deviation, fitted to losses.

    Parameters
    ----------
    estimator : {"ET", "RF"} or scikit-learn regressor
        Extra trees or a random forest with scikit-optimize's settings, or a regressor whose
        ``predict`` takes ``return_std=True``.
    x : array, shape (n, n_columns)
    y : array, shape (n,)
    seed : int, 0 to 2**31 - 1
    """

    def __init__(self, estimator: Any, x: Array, y: Array, *, seed: int) -> None:
        self._estimator, self._seed = estimator, seed
        self._x, self._y = x, y
        self._model = _unfitted(estimator, seed)
        with quiet():
            self._model.fit(x, y)

    def posterior(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at x, shape (n, n_columns), each of shape (n,)."""
        with quiet():
            mean, std = self._model.predict(x, return_std=True)
        return np.asarray(mean, dtype=np.float64), np.maximum(std, 1e-9)

    def believing(self, x: Array) -> "Regression":
        """Return the model as if what it predicts at x, shape (n, n_columns), had come true."""
        mean, _ = self.posterior(x)
        return Regression(
            self._estimator, np.vstack([self._x, x]), np.append(self._y, mean), seed=self._seed
        )


def _unfitted(estimator: Any, seed: int) -> Any:
    """Return a model that does not draw from the global generator."""
    from sklearn.base import clone  # noqa: PLC0415 - costs a second

    if isinstance(estimator, str):
        from skopt.utils import cook_estimator  # noqa: PLC0415 - costs seconds

        return cook_estimator(estimator, random_state=seed)
    if not hasattr(estimator, "get_params"):
        return estimator
    copy = clone(estimator)
    if copy.get_params().get("random_state", seed) is None:
        copy.set_params(random_state=seed)
    return copy


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
def quiet() -> Iterator[None]:
    """Keep scikit-learn's ConvergenceWarning and NumPy's warnings from the user."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
