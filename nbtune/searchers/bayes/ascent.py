"""Finds the most promising place of a space: spread widely, look around the best, then climb."""

from collections.abc import Callable, Hashable, Set
from typing import Any, TypeAlias

import numpy as np
from scipy.optimize import minimize

from nbtune.searchers.bayes.columns import Columns
from nbtune.searchers.untried import drawable
from nbtune.space import Space
from nbtune.trial import Params

__all__ = ["climb"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Promise: TypeAlias = Callable[[Array], Array]
"""The promise of places, shape (n, n_dims)."""
Slope: TypeAlias = Callable[[Array], tuple[float, Array]]
"""The promise of one place, shape (n_dims,), and its gradient by the place."""

_SPREAD = 800  # candidates anywhere, and ...
_AROUND = 5  # ... around so many of the best trials ...
_NEIGHBOURS = 100  # ... so many each
_KEPT = 40  # candidates that are looked at as the values that they stand for
_CLIMBS = 5
_ROUNDS = 3  # of a climb: along gradients, then a step along another dimension
_STRIDES = (1, 2, 4, 16)


def climb(
    space: Space,
    columns: Columns,
    promise: Promise,
    slope: Slope | None,
    best: Array,
    tried: Set[Hashable],
    rng: np.random.Generator,
) -> Params | None:
    """Return the untried params of most promise that are found; None when there are none.

    Parameters
    ----------
    promise : callable
    slope : callable, optional
        Without it there is no climb along gradients.
    best : array, shape (k, n_dims)
        Places of the best trials, the best first.
    tried : set of hashable
        Keys of params that must not be returned.
    """
    near = [_neighbours(place, columns, rng) for place in best[:_AROUND]]
    candidates = np.vstack([rng.random((_SPREAD, space.n_dims)), *near])
    values = np.where(columns.drawable(candidates), promise(candidates), -np.inf)
    order = np.argsort(-values, kind="stable")
    wide = order[order < _SPREAD][: _KEPT // 4]
    kept = list(dict.fromkeys([*order[:_KEPT].tolist(), *wide.tolist()]))
    places = _settled(space, candidates[kept])
    values = promise(places)
    leaders = [int(i) for i in np.argsort(-values, kind="stable")]
    starts = [places[i] for i in leaders[:_CLIMBS]] + list(best[:1])
    tops = np.array([_top(space, columns, promise, slope, start) for start in starts])
    places = np.vstack([_settled(space, tops), places])
    for index in np.argsort(-promise(places), kind="stable"):
        params = space.from_unit(places[index])
        if space.key(params) not in tried and drawable(space, params):
            return params
    return None


def _settled(space: Space, places: Array) -> Array:
    """Return where the values that places stand for really are."""
    return np.array([space.to_unit(space.from_unit(place)) for place in places])


def _top(
    space: Space, columns: Columns, promise: Promise, slope: Slope | None, start: Array
) -> Array:
    """Return a place from which no single step leads further up."""
    place, height = start, float(promise(start[None])[0])
    for _ in range(_ROUNDS):
        place, height = _better(promise, place, height, _uphill(columns, slope, place))
        before = place
        place, height = _better(promise, place, height, _step(columns, promise, place))
        if place is before:
            break
    # Between the values of a number with steps there may be more promise than at any of them.
    place = _settled(space, place[None])[0]
    for _ in range(_ROUNDS):
        height = float(promise(place[None])[0])
        after, _ = _better(promise, place, height, _step(columns, promise, place))
        if after is place:
            break
        place = after
    return place


def _better(promise: Promise, place: Array, height: float, other: Array) -> tuple[Array, float]:
    if other is place:
        return place, height
    value = float(promise(other[None])[0])
    return (other, value) if value > height else (place, height)


def _uphill(columns: Columns, slope: Slope | None, place: Array) -> Array:
    """Follow the gradient along the dimensions that have one, the others staying."""
    free = columns.graded
    if slope is None or not len(free):
        return place

    def down(values: Array) -> tuple[float, Array]:
        there = place.copy()
        there[free] = values
        height, gradient = slope(there)
        return -height, -gradient[free]

    end = minimize(
        down,
        place[free],
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * len(free),
        options={"maxiter": 30},
    )
    found = place.copy()
    found[free] = end.x
    return found


def _step(columns: Columns, promise: Promise, place: Array) -> Array:
    """Return the best place one dimension away: another option, or some values further."""
    moves = [move for dim in range(len(place)) for move in _moves(columns, place, dim)]
    if not moves:
        return place
    places = np.array(moves)
    best: Array = places[int(np.argmax(promise(places)))]
    return best


def _moves(columns: Columns, place: Array, dim: int) -> list[Array]:
    """Return the places one step along a dimension that is not continuous."""
    positions = columns.positions[dim]
    indices = np.arange(len(positions))
    if len(positions) and not columns.options[dim]:
        steps = np.abs(indices - int(np.argmin(np.abs(positions - place[dim]))))
        indices = indices[np.isin(steps, _STRIDES)]
    moves = []
    for position in positions[indices]:
        move = place.copy()
        move[dim] = position
        moves.append(move)
    return moves


def _neighbours(place: Array, columns: Columns, rng: np.random.Generator) -> Array:
    """Return places near `place`, shape (_NEIGHBOURS, n_dims): few dimensions moved, or many."""
    shape = (_NEIGHBOURS, len(place))
    share = np.maximum(rng.random((_NEIGHBOURS, 1)), 1.0 / len(place))
    length = 10 ** rng.uniform(-3.0, -0.5, (_NEIGHBOURS, 1))
    moved = np.clip(place + length * rng.standard_normal(shape), 0.0, 1.0)
    moved = np.where(columns.options, rng.random(shape), moved)
    chance = np.where(columns.options, 0.2, share)
    return np.where(rng.random(shape) < chance, moved, place)
