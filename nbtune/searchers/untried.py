"""Draws from a space that repeat nothing."""

from collections.abc import Hashable, Mapping, Set
from typing import Any

import numpy as np

from nbtune.space import Choice, Space
from nbtune.trial import Params

__all__ = ["draw_untried", "drawable", "list_untried"]

_MOST_LISTED = 10_000  # points; listing takes 10 microseconds a point
_STREAM = 0x5EA  # keeps these draws apart from other families' draws for the same trial
_REDRAWS = 100


def draw_untried(space: Space, *tried: Set[Hashable], seed: int, number: int) -> Params | None:
    """Draw params for trial `number` that are in none of `tried`; None when there are no others.

    Attempt k is drawn from ``(seed, number, k)``, so that the outcome for one number depends on
    other trials only where it would repeat one of them. After 100 repeats in a row a small space
    is listed and one of the points left over is drawn; a large one counts as exhausted.

    Parameters
    ----------
    space : Space
    *tried : set of hashable
        Keys of the space (``space.key``) that must not be drawn.
    seed, number : int >= 0
    """
    for attempt in range(_REDRAWS):
        params = space.sample(_generator(_STREAM, seed, number, attempt))
        key = space.key(params)
        if not any(key in keys for keys in tried):
            return params
    if space.size is None or space.size > _MOST_LISTED:
        return None
    left = list_untried(space, *tried)
    rng = _generator(_STREAM, seed, number, _REDRAWS)
    return left[int(rng.integers(len(left)))] if left else None


def _generator(*numbers: int) -> np.random.Generator:
    """Return the generator that ``default_rng(numbers)`` returns, in two thirds of its time."""
    if max(numbers) >= 2**32:  # more than one word
        return np.random.default_rng(numbers)
    return np.random.default_rng(np.array(numbers, dtype=np.uint32))


def list_untried(space: Space, *tried: Set[Hashable]) -> list[Params]:
    """Return every point of a finite space that is in none of `tried` and can be drawn."""
    keyed = ((space.key(params), params) for params in space.grid())
    return [
        params
        for key, params in keyed
        if not any(key in keys for keys in tried) and drawable(space, params)
    ]


def drawable(space: Space, params: Mapping[str, Any]) -> bool:
    """Return whether no option of `params` has the weight 0."""
    for name, domain in space.items():
        if isinstance(domain, Choice):
            index = domain.index(params[name])
            if domain.weights is not None and not domain.weights[index]:
                return False
            branch = domain.branches.get(index)
            if isinstance(branch, Space) and not drawable(branch, params[name]):
                return False
    return True
