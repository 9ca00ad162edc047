"""Normally distributed numbers, and numbers whose logarithm is."""

import math
from collections.abc import Hashable
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from nbtune.space import unit
from nbtune.space.domains import Domain, Refused, as_float, checked, on_lattice, snap, spell
from nbtune.space.unit import Lattice

__all__ = ["LogNormal", "Normal"]


def _check_distribution(domain: "Normal | LogNormal", *, largest: float) -> None:
    """Make the fields plain, and refuse those whose draws would pass ``largest``."""
    for what in ("mean", "std", "step"):
        given = getattr(domain, what)
        if what != "step" or given is not None:
            object.__setattr__(domain, what, checked(domain, what, given, as_float))
            if what != "mean" and getattr(domain, what) <= 0:
                raise domain.error("", f"needs {what} > 0, got {what}={given!r}.")
    if abs(domain.mean) + 8 * domain.std > largest:
        of = "of the logarithm; for values near x, mean is math.log(x)"
        hint = f"mean and std are those {of}." if isinstance(domain, LogNormal) else "Scale it."
        raise domain.error(
            "", f"mean={spell(domain.mean)}, std={spell(domain.std)} overflows. {hint}"
        )


def _distribution_arguments(domain: "Normal | LogNormal") -> str:
    step = "" if domain.step is None else f", step={spell(domain.step)}"
    return f"{spell(domain.mean)}, {spell(domain.std)}{step}"


def _multiples(step: float | None) -> Lattice[Fraction] | None:
    return None if step is None else Lattice(Fraction(0), unit.exact(step))


@dataclass(frozen=True, repr=False)
class Normal(Domain):
    """Normally distributed real numbers.

    Parameters
    ----------
    mean : float
    std : float, > 0
    step : float, > 0, optional
        Round draws to multiples of it, half to even.
    """

    mean: float
    std: float
    _: KW_ONLY
    step: float | None = None
    _default: tuple[Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        _check_distribution(self, largest=1e300)

    @cached_property
    def lattice(self) -> Lattice[Fraction] | None:
        """The multiples of `step`, None without."""
        return _multiples(self.step)

    def to_unit(self, value: float) -> float:
        """Return the probability of less than `value`; the middle of its bin with a step."""
        half = 0.0 if self.step is None else self.step / 2
        below = unit.normal_share(value - half, self.mean, self.std)
        return (below + unit.normal_share(value + half, self.mean, self.std)) / 2

    def from_unit(self, u: float) -> float:
        """Return the quantile at `u` in [0, 1]; the ends give 7 `std` from the mean."""
        return snap(unit.normal_at(u, self.mean, self.std), self.lattice)

    def key(self, value: float) -> Hashable:
        """Return the value, with one zero."""
        return value + 0.0

    def _arguments(self) -> str:
        return _distribution_arguments(self)

    def _middle(self) -> float:
        return snap(self.mean, self.lattice)

    def _admit(self, value: Any, name: str) -> float:
        return on_lattice(as_float(value), self.lattice)

    def _admit_between(self, value: Any, name: str) -> float:
        return as_float(value)


@dataclass(frozen=True, repr=False)
class LogNormal(Domain):
    """Positive numbers whose logarithm is normally distributed.

    Parameters
    ----------
    mean, std : float
        Of the natural logarithm of the values; ``std > 0``.
    step : float, > 0, optional
        Round draws to multiples of it, half to even; 0 is then possible.
    """

    mean: float
    std: float
    _: KW_ONLY
    step: float | None = None
    _default: tuple[Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        _check_distribution(self, largest=700.0)

    @cached_property
    def lattice(self) -> Lattice[Fraction] | None:
        """The multiples of `step`, None without."""
        return _multiples(self.step)

    def to_unit(self, value: float) -> float:
        """Return the probability of less than `value`; the middle of its bin with a step."""
        half = 0.0 if self.step is None else self.step / 2
        return (self._share(value - half) + self._share(value + half)) / 2

    def from_unit(self, u: float) -> float:
        """Return the quantile at `u` in [0, 1]; the ends give 7 `std` from the mean."""
        return snap(math.exp(unit.normal_at(u, self.mean, self.std)), self.lattice)

    def _share(self, value: float) -> float:
        return unit.normal_share(math.log(value), self.mean, self.std) if value > 0 else 0.0

    def _arguments(self) -> str:
        return _distribution_arguments(self)

    def _middle(self) -> float:
        return snap(math.exp(self.mean), self.lattice)

    def _admit(self, value: Any, name: str) -> float:
        number = as_float(value)
        if number < 0 or (number == 0 and self.step is None):
            raise Refused("allowed are positive numbers.")
        return on_lattice(number, self.lattice)

    def _admit_between(self, value: Any, name: str) -> float:
        number = as_float(value)
        if number < 0:
            raise Refused("allowed are positive numbers.")
        return number
