"""Maps between numbers and the unit interval: linear, logarithmic, on a lattice, normal.

Every map is monotone, and each pair inverts itself: within 1e-9 of the range for continuous
numbers, exactly for lattices of fewer than 2**50 values (on a log scale, for values below 10**12).
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist
from typing import Any, Generic, TypeVar

__all__ = [
    "Lattice",
    "bin_at",
    "exact",
    "middle",
    "middle_of_bin",
    "normal_at",
    "normal_share",
    "share",
    "value_at",
]

Q = TypeVar("Q", int, Fraction)

_TAIL = 1e-12  # of probability, cut off at each end: 7 standard deviations, not infinitely many
_STANDARD = NormalDist()


def exact(value: float) -> Fraction:
    """Return the decimal that `value` prints as, so that three steps of 0.1 are 0.3."""
    return Fraction(repr(value))


def middle(low: float, high: float, *, log: bool) -> Decimal:
    """Return the arithmetic mean, of a log range the geometric; exact where decimals are."""
    low_, high_ = Decimal(repr(low)), Decimal(repr(high))
    return (low_ * high_).sqrt() if log else (low_ + high_) / 2


def middle_of_bin(index: int, count: int) -> float:
    """Return the middle of bin `index` when the unit interval is cut into `count` equal bins."""
    return (index + 0.5) / count


def bin_at(u: float, count: int) -> int:
    """Return the bin, 0 to ``count - 1``, that `u` in [0, 1] falls into."""
    return min(max(int(u * count), 0), count - 1)


def value_at(u: float, low: float, high: float, *, log: bool) -> float:
    """Return the number at share `u` in [0, 1] of the way from `low` to `high`."""
    if log:
        return _clip(math.exp(_between(u, math.log(low), math.log(high))), low, high)
    return _clip(_between(u, low, high), low, high)


def share(value: float, low: float, high: float, *, log: bool) -> float:
    """Return how far `value` is on the way from `low` to `high`, in [0, 1]."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    if math.isinf(high - low):  # bounds near the largest float
        value, low, high = value / 2, low / 2, high / 2
    if high == low:  # two bounds so close that they have one logarithm
        return 0.5
    return _clip((value - low) / (high - low), 0.0, 1.0)


def normal_at(u: float, mean: float, std: float) -> float:
    """Return the quantile of the normal distribution at `u`, at most 7 `std` from `mean`."""
    return mean + std * _STANDARD.inv_cdf(_clip(float(u), _TAIL, 1.0 - _TAIL))


def normal_share(value: float, mean: float, std: float) -> float:
    """Return the probability, in [0, 1], that the normal distribution stays below `value`."""
    # erfc keeps its precision in the lower tail, where NormalDist.cdf has none left.
    return 0.5 * math.erfc((mean - value) / (std * math.sqrt(2.0)))


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _between(u: float, low: float, high: float) -> float:
    u = float(u)  # a NumPy scalar would make the value one
    return low * (1.0 - u) + high * u


@dataclass(frozen=True, slots=True)
class Lattice(Generic[Q]):
    """Evenly spaced numbers ``origin + index * step``, without rounding.

    ``count`` is how many there are, None for a lattice without ends (negative indices too).
    """

    origin: Q
    step: Q
    count: int | None = None

    def value(self, index: int) -> Q:
        """Return the number at `index`."""
        return self.origin + index * self.step

    def nearest(self, value: Q) -> int:
        """Return the index nearest to `value`; halfway goes to the even index."""
        index = round(Fraction(value - self.origin) / Fraction(self.step))
        return index if self.count is None else min(max(index, 0), self.count - 1)

    def covers(self, other: "Lattice[Any]") -> bool:
        """Return whether every number of `other` would be on this lattice if it had no ends."""
        offset = other.origin - self.origin
        return bool(other.step % self.step == 0 and offset % self.step == 0)

    def to_unit(self, index: int, *, log: bool) -> float:
        """Return the middle of the bin of `index`; the lattice must have ends."""
        assert self.count is not None
        if not log:
            return middle_of_bin(index, self.count)
        first, last = self._edge(-1), self._edge(self.count - 1)
        middle = (self._edge(index - 1) + self._edge(index)) / 2
        return share(middle, first, last, log=False)

    def from_unit(self, u: float, *, log: bool) -> int:
        """Return the index whose bin holds `u` in [0, 1]; the lattice must have ends."""
        assert self.count is not None
        if not log:
            return bin_at(u, self.count)
        height = _between(u, self._edge(-1), self._edge(self.count - 1))
        below = int((math.exp(height) - float(self.origin)) / float(self.step))
        index = min(max(below, 0), self.count - 1)
        return index + 1 if index + 1 < self.count and height >= self._edge(index) else index

    def _edge(self, index: int) -> float:
        """Return the logarithm halfway from `index` to the next; the outer bins are symmetric."""
        assert self.count is not None
        inner = min(max(index, 0), self.count - 2)
        left, right = math.log(self.value(inner)), math.log(self.value(inner + 1))
        return (left + right) / 2 + (index - inner) * (right - left)
