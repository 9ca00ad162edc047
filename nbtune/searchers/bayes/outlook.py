"""What a model makes of places in the unit cube: how much each promises."""

from typing import Any, Protocol, TypeAlias

import numpy as np

from nbtune.searchers.bayes.acquisition import promise, promise_slope
from nbtune.searchers.bayes.columns import Columns

__all__ = ["Model", "Outlook"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


class Model(Protocol):
    """A model of losses over columns; one with ``posterior_slope`` too can be climbed."""

    def posterior(self, x: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation at x, shape (n, n_columns)."""


class Outlook:
    """An acquisition function on a model.

    Parameters
    ----------
    columns : Columns
    model : Model
    best : float
        The least loss so far.
    kind, xi, kappa
        As `acquisition.promise` takes them.
    """

    def __init__(
        self, columns: Columns, model: Any, best: float, *, kind: str, xi: float, kappa: float
    ) -> None:
        self._columns = columns
        self._first = [group[0] for group in columns.groups]
        self._model = model
        self._best = best
        self._kind = kind
        self._shape = {"xi": xi, "kappa": kappa}

    def foreseen(self, place: Array) -> tuple[float, float, float]:
        """Return mean and standard deviation at one place, (1, n_dims), and the least loss."""
        mean, std = self._model.posterior(self._columns.of(place))
        return float(mean[0]), float(std[0]), self._best

    @property
    def has_slope(self) -> bool:
        """Whether `slope` can be asked."""
        return hasattr(self._model, "posterior_slope")

    def promise(self, places: Array) -> Array:
        """Return the promise of places, shape (n, n_dims)."""
        mean, std = self._model.posterior(self._columns.of(places))
        values = promise(self._kind, mean, std, self._best, **self._shape)
        return np.nan_to_num(values, nan=-np.inf)

    def slope(self, place: Array) -> tuple[float, Array]:
        """Return the promise of one place, shape (n_dims,), and its gradient.

        The gradient is 0 along dimensions that are choices.
        """
        x = self._columns.of(place[None])[0]
        mean, std, mean_slope, std_slope = self._model.posterior_slope(x)
        value, by_mean, by_std = promise_slope(self._kind, mean, std, self._best, **self._shape)
        by_column = by_mean * mean_slope + by_std * std_slope
        return value, np.where(self._columns.options, 0.0, by_column[self._first])
