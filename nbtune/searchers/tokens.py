"""A space as a sequence of tokens: one a dimension, of the few that it has."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from nbtune.space import Choice, Dimension, Domain, LogNormal, Normal, Space
from nbtune.space.unit import bin_at, exact
from nbtune.trial import Params

__all__ = ["INACTIVE", "Axis", "Tokens"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Sequence: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

INACTIVE = -1
_MOST_LISTED = 2000  # values of a dimension; more are as good as a continuum


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """How one dimension of a space is cut.

    Attributes
    ----------
    count : int >= 1
        How many tokens it has.
    ordered : bool
        Whether neighbouring tokens stand for neighbouring values.
    weights : array, shape (count,)
        How likely each is before anything is known; all above 0, their sum 1.
    parent : pair of int, optional
        The axis, before this one, and its token on which this one depends.
    places, groups : array, shape (n_values,)
        The place of each value in [0, 1], ascending, and its token; empty for a continuum.
    masses : array, shape (n_values,)
        How likely a draw gives each value; empty for a continuum.
    """

    count: int
    ordered: bool
    weights: Array
    parent: tuple[int, int] | None
    places: Array
    groups: Sequence
    masses: Array

    def token(self, place: float) -> int | None:
        """Return the token of a place in [0, 1]; None for an option of weight 0."""
        if not len(self.places):
            return bin_at(place, self.count)
        nearest = int(np.abs(self.places - place).argmin())
        if not self.ordered and abs(self.places[nearest] - place) > 1e-9:
            return None
        return int(self.groups[nearest])

    def place(self, token: int, share: float) -> float:
        """Return a place that belongs to a token; `share` in [0, 1) says which of them."""
        if not len(self.places):
            return (token + share) / self.count
        members = np.flatnonzero(self.groups == token)
        upto = np.cumsum(self.masses[members])
        chosen = np.searchsorted(upto, share * upto[-1], side="right")
        return float(self.places[members[min(int(chosen), len(members) - 1)]])


class Tokens:
    """Translates params into a sequence of tokens, and back.

    An option of a choice is a token, unless its weight is 0; so is a value of any other dimension
    with at most twice as many values as there are quantiles. All others are cut into quantiles of
    what a draw gives: equal parts of the range, of its logarithm for a log domain, of the
    probability for a normal one. A dimension of a branch that is not chosen has the token
    `INACTIVE`.

    Parameters
    ----------
    space : Space
    quantiles : int >= 2
        How many parts a dimension is cut into.
    """

    def __init__(self, space: Space, quantiles: int) -> None:
        self._space = space
        self.axes: list[Axis] = []
        found: dict[tuple[Any, Any], int] = {}
        for index, dim in enumerate(space.dims):
            found[dim.keys, dim.condition] = index
            self.axes.append(_axis(dim, quantiles, self._parent(dim, found)))

    def _parent(self, dim: Dimension, found: dict[tuple[Any, Any], int]) -> tuple[int, int] | None:
        """Return the axis and the token that must be chosen there; -2 where none can be."""
        if not dim.condition:
            return None
        keys, option = dim.condition[-1]
        parent = found[keys, dim.condition[:-1]]
        choice = self._space.dims[parent].domain
        token = self.axes[parent].token(choice.to_unit(_option(choice, option)))
        return parent, -2 if token is None else token

    def of(self, params: Params) -> Sequence | None:
        """Return the tokens of params, shape (n_dims,); None when one is never drawn."""
        tokens = np.full(len(self.axes), INACTIVE, dtype=np.int64)
        for index, (axis, place) in enumerate(
            zip(self.axes, self._space.to_unit(params).tolist(), strict=True)
        ):
            if self._active(axis, tokens):
                token = axis.token(place)
                if token is None:
                    return None
                tokens[index] = token
        return tokens

    def params(self, tokens: Sequence, shares: Array) -> Params:
        """Return params with these tokens.

        Parameters
        ----------
        tokens : integer array, shape (n_dims,)
        shares : array, shape (n_dims,)
            In [0, 1): where in its quantile each value lies.
        """
        places = np.full(len(self.axes), 0.5)
        for index, (axis, token) in enumerate(zip(self.axes, tokens.tolist(), strict=True)):
            if token != INACTIVE:
                places[index] = axis.place(token, shares[index])
        return self._space.from_unit(places)

    def _active(self, axis: Axis, tokens: Sequence) -> bool:
        return axis.parent is None or tokens[axis.parent[0]] == axis.parent[1]


def _option(choice: Domain, index: int) -> Any:
    assert isinstance(choice, Choice)
    return choice.pick(index)


def _axis(dim: Dimension, quantiles: int, parent: tuple[int, int] | None) -> Axis:
    domain = dim.domain
    if isinstance(domain, Choice):
        given = np.ones(len(domain.options)) if domain.weights is None else domain.weights
        drawn = np.flatnonzero(given)
        places = (drawn + 0.5) / len(domain.options)
        groups = np.arange(len(drawn))
        masses = np.asarray(given, dtype=np.float64)[drawn]
    else:
        places = np.sort([domain.to_unit(value) for value in _values(domain)])
        groups, masses = _cut(places, quantiles), _masses(places)
    weights = np.bincount(groups, masses) if len(places) else np.ones(quantiles)
    return Axis(
        count=len(weights),
        ordered=not isinstance(domain, Choice),
        weights=weights / weights.sum(),
        parent=parent,
        places=places,
        groups=groups,
        masses=masses,
    )


def _values(domain: Domain) -> list[Any]:
    """Return the values that draws give; none when they are too many to be listed."""
    if isinstance(domain, Normal | LogNormal):
        if domain.lattice is None:
            return []
        first, last = (domain.lattice.nearest(exact(domain.from_unit(end))) for end in (0.0, 1.0))
        indices = range(first, last + 1) if last - first < _MOST_LISTED else range(0)
        return [float(domain.lattice.value(index)) for index in indices]
    if domain.size is None or domain.size > _MOST_LISTED:
        return []
    return [domain.at(index) for index in range(domain.size)]


def _cut(places: Array, quantiles: int) -> Sequence:
    """Return the token of each place: one each where they are few, else one a quantile."""
    if len(places) <= 2 * quantiles:
        return np.arange(len(places))
    parts = np.minimum((places * quantiles).astype(np.int64), quantiles - 1)
    return np.unique(parts, return_inverse=True)[1]  # a part may hold no value


def _masses(places: Array) -> Array:
    """Return the widths of the bins, one after another from 0, whose middles the places are."""
    edge, widths = 0.0, np.empty(len(places))
    for index, place in enumerate(places.tolist()):
        widths[index] = 2.0 * (place - edge)
        edge += widths[index]
    return np.maximum(widths, 1e-12)  # rounded, those of a normal's tails may be below
