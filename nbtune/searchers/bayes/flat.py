"""Where params change nothing: another trial there would show again what is known."""

import collections
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

__all__ = ["Flats", "flats_of"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_PROOF = 2  # equal results of two trials; one alone may be equal by chance, as accuracies often are
# How far a flat is believed to go beyond its trials: that much of the distance between them.
_REACH = 2.0


class Flats(NamedTuple):
    """Balls around trials: ``centres`` has shape (n, n_columns), ``radii`` (n,).

    Both count in ``lengths``, shape (n_columns,).
    """

    centres: Array
    radii: Array
    lengths: Array

    def hold(self, x: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return which of x, shape (m, n_columns), lie in any."""
        return np.asarray((_distances(x / self.lengths, self.centres) <= self.radii).any(axis=1))


def flats_of(
    results: Mapping[Hashable, Mapping[int, float]], x: Array, lengths: Array
) -> Flats | None:
    """Return the flats that trials prove; None where there is none.

    Two trials with equal results at two steps or more, and no different ones, prove that the score
    is the same between them, unless one that differs is as near.

    Parameters
    ----------
    results : mapping of mapping
        Of each trial, its scores by step.
    x : array, shape (n_trials, n_columns)
        Where they lie, in the same order.
    lengths : array, shape (n_columns,)
        Over which the model thinks that something changes.
    """
    x = x / lengths
    courses = list(results.values())
    alike = collections.defaultdict(list)  # candidates: their first results are equal
    for index, scores in enumerate(courses):
        first = min(scores)
        alike[first, scores[first]].append(index)
    found = [
        _balls([courses[index] for index in group], x, np.array(group))
        for group in alike.values()
        if len(group) > 1
    ]
    if not any(len(radii) for _, radii in found):
        return None
    centres, radii = (np.concatenate(each) for each in zip(*found, strict=True))
    return Flats(centres, radii, lengths)


def _balls(
    courses: Sequence[Mapping[int, float]], x: Array, group: np.ndarray[Any, np.dtype[np.intp]]
) -> tuple[Array, Array]:
    """Return a ball around each of a group that has an equal nearer than all that differ.

    Centres and radii.
    """
    equal = np.array([[_equal_results(one, other) for other in courses] for one in courses])
    apart = _distances(x[group], x)
    within = apart[:, group]
    apart[:, group] = np.where(equal > 0, np.inf, within)
    different = apart.min(axis=1, initial=np.inf)
    proven = (equal >= _PROOF) & (within < different[:, None])
    radii = _REACH * np.where(proven, within, 0.0).max(axis=1)
    kept = radii > 0.0
    return x[group[kept]], radii[kept]


def _equal_results(one: Mapping[int, float], other: Mapping[int, float]) -> int:
    """Return at how many steps two trials have equal results; 0 where any differ."""
    common = one.keys() & other.keys()
    return len(common) if all(one[step] == other[step] for step in common) else 0


def _distances(ours: Array, theirs: Array) -> Array:
    squares = ((ours[:, None, :] - theirs[None, :, :]) ** 2).sum(axis=-1)
    return np.asarray(np.sqrt(squares))
