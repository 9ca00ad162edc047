"""Where an axis begins, ends and is labelled."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.floating[Any]]

__all__ = [
    "Values",
    "better",
    "decisive_range",
    "linear_ticks",
    "log_ticks",
    "rounded_out",
    "value_range",
    "whole_ticks",
]

LOG_RATIO = 50.0
"""A loss whose decisive range spans more than this factor gets a log axis."""

_CROWDED = 0.07
"""Share of an axis that two tick labels need between them."""


def _nice_step(span: float, most: int) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that cuts `span` into `most` or fewer."""
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))


def linear_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers inside [low, high], ascending, about `most` of them."""
    if not high > low:
        return [low]
    step = _nice_step(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def whole_ticks(low: int, high: int, most: int = 8) -> list[int]:
    """Return whole numbers inside [low, high], both ends included, never crowded."""
    if high <= low:
        return [low]
    step = max(1, round(_nice_step(high - low, most)))
    inner = [tick for tick in range(-(-low // step) * step, high + 1, step) if low < tick < high]
    room = max(1, (high - low) * _CROWDED)
    return [low, *(tick for tick in inner if tick - low >= room and high - tick >= room), high]


def log_ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return the decades inside [low, high], finer where there are few, and always both ends.

    Whole axes that run from one power of two to another get powers of two. Ticks that would crowd
    an end give way to it.
    """
    if not high > low > 0:
        return [low]
    span = math.log10(high / low)
    if whole and _is_power_of_two(low) and _is_power_of_two(high):
        inner = [2.0**e for e in range(int(math.log2(low)), int(math.log2(high)) + 1)]
    else:
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        factors = (1,) if span >= 2 else (1, 2, 5)
        inner = [float(f"{f}e{e}") for e in exponents for f in factors]
    room = span * _CROWDED

    def clear(tick: float) -> bool:
        return math.log10(tick / low) > room and math.log10(high / tick) > room

    return [low, *(tick for tick in inner if low < tick < high and clear(tick)), high]


def _is_power_of_two(value: float) -> bool:
    return value >= 1 and math.log2(value).is_integer()


def decisive_range(telling: Values, everything: Values, *, up: bool) -> tuple[float, float] | None:
    """Return the part of the metric's axis where trials differ by what matters.

    From the best value down to four times the distance within which 85 % of the telling points
    lie: the first epochs of all, and the hopeless, would squeeze the rest into a line.

    Parameters
    ----------
    telling : array of float, shape (n_telling,)
        Every value of the trials that have come far and stand well, in the metric's own unit.
    everything : array of float, shape (n_points,)
        Every value that could be drawn; the range never leaves them.
    up : bool
        Whether higher is better.

    Returns
    -------
    (float, float) or None
        Low and high, not yet rounded; None without a finite value.
    """
    sign = 1.0 if up else -1.0
    scores = sign * everything[np.isfinite(everything)]
    told = sign * telling[np.isfinite(telling)]
    if not scores.size or not told.size:
        return None
    best, worst = float(scores.max()), float(scores.min())
    # Where so many points are equal that they have no distance, fewer of them are left out.
    spreads = (best - float(np.quantile(told, share)) for share in (0.15, 0.08, 0.03, 0.0))
    spread = next((spread for spread in spreads if spread > 0), best - worst)
    floor = max(best - 4.0 * spread, worst)
    low, high = sorted((sign * floor, sign * best))
    return low, high


def better(values: Values, *, up: bool) -> NDArray[np.float64]:
    """Return the better three quarters of the values, at least one where there is one."""
    known = np.sort(values[np.isfinite(values)]).astype(np.float64)
    keep = min(known.size, max(1, 3 * known.size // 4))
    return known[known.size - keep :] if up else known[:keep]


def value_range(
    telling: Values, points: Values, include: Sequence[float] = (), *, up: bool
) -> tuple[tuple[float, float], bool]:
    """Return the range of a metric's axis, and whether it is logarithmic (then it is in log10).

    Parameters
    ----------
    telling, points : array of float
        As in `decisive_range`.
    include : sequence of float
        Finite values that must lie in it.
    up : bool
        Whether higher is better.
    """
    points = points.astype(np.float64)
    finite = points[np.isfinite(points)]
    if not up and finite.size and finite.min() > 0 and finite.max() / finite.min() > LOG_RATIO:
        found = decisive_range(np.log10(telling), np.log10(points), up=False)
        if found is not None and found[1] - found[0] > 1.0:
            powers = np.log10(np.array([*include], dtype=np.float64)).tolist()
            return rounded_out(min([found[0], *powers]), max([found[1], *powers])), True
    found = decisive_range(telling, points, up=up)
    if found is None:
        return (0.0, 1.0), False
    return rounded_out(min([found[0], *include]), max([found[1], *include])), False


def rounded_out(low: float, high: float) -> tuple[float, float]:
    """Return [low, high] with a margin, moved out to round numbers so that it seldom changes."""
    if not high > low:
        margin = abs(high) * 0.05 or 0.5
        return low - margin, high + margin
    step = _nice_step(high - low, 10)
    return math.floor(low / step) * step, math.ceil((high + 0.02 * (high - low)) / step) * step
