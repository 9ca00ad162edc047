"""Places in the unit cube as a model sees them: a column a number, one a category."""

import math
from typing import Any, TypeAlias

import numpy as np

from nbtune.space import Choice, Domain, Space

__all__ = ["Columns"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_MOST_LISTED = 2000
_COARSE = 16
_APART = math.sqrt(0.5)  # two options of a choice are then at distance 1


def _positions(domain: Domain) -> Array:
    if isinstance(domain, Choice):
        count = len(domain.options)
        drawn = np.ones(count) if domain.weights is None else np.array(domain.weights)
        return (np.flatnonzero(drawn) + 0.5) / count
    if domain.size is None or domain.size > _MOST_LISTED:
        return np.empty(0)
    return np.array([domain.to_unit(domain.at(index)) for index in range(domain.size)])


class Columns:
    """How the dimensions of a space become columns.

    Attributes
    ----------
    groups : list of integer arrays
        The columns of each dimension: one, or as many as a choice has options.
    positions : list of array
        The places of a dimension's values, shape (n_values,), ascending, without options of weight
        0; empty where there are more than 2,000.
    graded : integer array
        The dimensions along which a gradient leads somewhere: numbers with more than 16 values.
    options : boolean array
        Which dimensions are choices.
    """

    def __init__(self, space: Space) -> None:
        domains = [dim.domain for dim in space.dims]
        self.options = np.array([isinstance(domain, Choice) for domain in domains], dtype=bool)
        self._widths = [
            len(domain.options) if isinstance(domain, Choice) else 1 for domain in domains
        ]
        ends = np.cumsum(self._widths)
        self.groups = [
            np.arange(end - width, end) for end, width in zip(ends, self._widths, strict=True)
        ]
        self.positions = [_positions(domain) for domain in domains]
        coarse = np.array([0 < len(each) <= _COARSE for each in self.positions], dtype=bool)
        self.graded = np.flatnonzero(~coarse & ~self.options)

    def drawable(self, places: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return which places, shape (n, n_dims), stand for no option of weight 0."""
        fine = np.ones(len(places), dtype=bool)
        for dim in np.flatnonzero(self.options):
            chosen = np.clip((places[:, dim] * self._widths[dim]).astype(int), 0, None)
            drawn = (self.positions[dim] * self._widths[dim]).astype(int)
            fine &= np.isin(np.minimum(chosen, self._widths[dim] - 1), drawn)
        return fine

    def of(self, places: Array) -> Array:
        """Return places, shape (n, n_dims), as columns, shape (n, n_columns)."""
        columns = np.zeros((len(places), sum(self._widths)))
        rows = np.arange(len(places))
        for dim, (group, width) in enumerate(zip(self.groups, self._widths, strict=True)):
            if self.options[dim]:
                chosen = np.clip((places[:, dim] * width).astype(int), 0, width - 1)
                columns[rows, group[0] + chosen] = _APART
            else:
                columns[:, group[0]] = places[:, dim]
        return columns
