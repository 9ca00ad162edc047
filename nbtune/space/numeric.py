"""Real and whole numbers between two bounds."""

import math
from collections.abc import Hashable
from dataclasses import KW_ONLY, dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from nbtune.space import unit
from nbtune.space.domains import (
    Domain,
    Refused,
    as_float,
    as_int,
    checked,
    on_lattice,
    short,
    snap,
    spell,
)
from nbtune.space.unit import Lattice

__all__ = ["Int", "Real"]

_WIDEST_INT = 2**64  # beyond it, no generator and no array holds the values
_FINEST_GRID = 2**50
_HALF = Fraction(1, 2)


def _check_range(domain: "Real | Int", low: Any, high: Any, step: Any) -> None:
    """Raise `SpaceError` for arguments that contradict each other, in the user's spelling."""
    kind, ends = type(domain).__name__, f"low={spell(low)}, high={spell(high)}"
    if domain.low > domain.high:
        use = f"Use {kind}({spell(high)}, {spell(low)})."
        raise domain.error("", f"needs low < high, got {ends}. {use}")
    if domain.low == domain.high:
        use = f"Widen it, or write the constant {spell(low)}."
        raise domain.error("", f"needs low < high, got {ends}. {use}")
    if not isinstance(domain.log, bool):
        raise domain.error("", f"log={short(domain.log)}, allowed is True or False.")
    if domain.log and domain.low <= 0:
        start = 1 if isinstance(domain, Int) else min(1e-6, domain.high / 1000)
        example = f"{kind}({spell(start)}, {spell(high)}, log=True)"
        use = f"Use {example} or drop log." if 0 < start < domain.high else "Drop log."
        raise domain.error("", f"a log domain needs low > 0, got low={spell(low)}. {use}")
    _check_step(domain, f"got step={spell(step)}, {ends}")


def _check_step(domain: "Real | Int", got: str) -> None:
    rounded = isinstance(domain, Real) and domain.rounded
    if domain.step is None:
        if rounded:
            raise domain.error("", "rounded=True needs a step to round to. Give step=.")
        return
    # As decimals: the float 0.9 - 0.8 is less than 0.1.
    low, high, step = map(unit.exact, (domain.low, domain.high, domain.step))
    if rounded and step <= 0:
        raise domain.error("", f"needs step > 0, {got}.")
    if not rounded and not 0 < step <= high - low:
        raise domain.error("", f"needs 0 < step <= high - low, {got}.")
    if isinstance(domain, Real) and (high - low) / step > _FINEST_GRID:
        raise domain.error("", f"{got}: finer than floats can tell apart. Drop step.")


def _range_arguments(domain: "Real | Int") -> str:
    plain_step = 1 if isinstance(domain, Int) else None
    log = ", log=True" if domain.log else ""
    step = "" if domain.step == plain_step else f", step={spell(domain.step)}"
    rounded = ", rounded=True" if isinstance(domain, Real) and domain.rounded else ""
    return f"{spell(domain.low)}, {spell(domain.high)}{log}{step}{rounded}"


def _refuse_outside(domain: "Real | Int", value: float) -> None:
    low, high = domain.ends
    if not low <= value <= high:
        allowed = f"allowed is {spell(low)} to {spell(high)}"
        raise Refused(
            f"{allowed}. Change it, or widen {type(domain).__name__}({domain._arguments()})."
        )


@dataclass(frozen=True, repr=False)
class Real(Domain):
    """Real numbers from `low` to `high`, both included.

    Parameters
    ----------
    low, high : float
    log : bool
        Whether to search orders of magnitude rather than distances; needs ``low > 0``.
    step : float, optional
        Only ``low``, ``low + step``, ... up to `high`, which is included when it is hit.
    rounded : bool
        Draw any number and round it to a multiple of `step`, half to even, in place of steps from
        `low`: 1 to 10 by 4 is 0, 4, 8, where 0 comes from 1 to 2 alone and is a quarter as likely
        as 4. Values may lie half a step outside; with log, 0 is possible.
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None
    rounded: bool = False
    _default: tuple[Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        low, high, step = self.low, self.high, self.step
        object.__setattr__(self, "low", checked(self, "low", low, as_float))
        object.__setattr__(self, "high", checked(self, "high", high, as_float))
        if step is not None:
            object.__setattr__(self, "step", checked(self, "step", step, as_float))
        if not isinstance(self.rounded, bool):
            raise self.error("", f"rounded={short(self.rounded)}, allowed is True or False.")
        _check_range(self, low, high, step)

    @cached_property
    def lattice(self) -> Lattice[Fraction] | None:
        """The grid that `step` makes, None without."""
        if self.step is None:
            return None
        low, high, step = map(unit.exact, (self.low, self.high, self.step))
        if not self.rounded:
            return Lattice(low, step, (high - low) // step + 1)
        # Those to which more than a single number is rounded.
        first, last = math.floor(low / step + _HALF), math.ceil(high / step - _HALF)
        return Lattice(first * step, step, last - first + 1)

    @property
    def ends(self) -> tuple[float, float]:
        """Between which numbers values lie: the bounds, or when rounded the outer multiples."""
        if self.lattice is None or not self.rounded:
            return self.low, self.high
        return self.at(0), self.at((self.size or 1) - 1)

    @property
    def uneven(self) -> bool:
        """Whether it is rounded: less of the range belongs to the outer values."""
        return self.rounded

    @property
    def size(self) -> int | None:
        """How many values there are, None without a step."""
        return None if self.lattice is None else self.lattice.count

    def at(self, index: int) -> float:
        """Return the value at `index`, ascending."""
        return super().at(index) if self.lattice is None else float(self.lattice.value(index))

    def to_unit(self, value: float) -> float:
        """Return the place of `value` in [0, 1]; the middle of its bin when there is a step."""
        if self.lattice is None:
            return unit.share(value, self.low, self.high, log=self.log)
        if self.rounded:
            half = float(self.lattice.step) / 2
            edges = (min(max(value + side, self.low), self.high) for side in (-half, half))
            return sum(unit.share(edge, self.low, self.high, log=self.log) for edge in edges) / 2
        return self.lattice.to_unit(self.lattice.nearest(unit.exact(value)), log=self.log)

    def from_unit(self, u: float) -> float:
        """Return the value at `u` in [0, 1]."""
        if self.lattice is None:
            return unit.value_at(u, self.low, self.high, log=self.log)
        if self.rounded:
            return self._nearest(unit.value_at(u, self.low, self.high, log=self.log))
        return self.at(self.lattice.from_unit(u, log=self.log))

    def key(self, value: float) -> Hashable:
        """Return the value, with one zero."""
        return value + 0.0

    def _arguments(self) -> str:
        return _range_arguments(self)

    def _middle(self) -> float:
        return self._nearest(float(unit.middle(self.low, self.high, log=self.log)))

    def _nearest(self, value: float) -> float:
        """Return the number that may come out that is nearest to one between the bounds."""
        if not self.rounded or self.lattice is None:
            return snap(value, self.lattice)
        low, high = self.ends
        multiples = Lattice(Fraction(0), self.lattice.step)  # half to even counts from 0
        return min(max(snap(value, multiples), low), high)

    def _admit(self, value: Any, name: str) -> float:
        number = as_float(value)
        _refuse_outside(self, number)
        return on_lattice(number, self.lattice)

    def _admit_between(self, value: Any, name: str) -> float:
        number = as_float(value)
        _refuse_outside(self, number)
        return number

    def _finite_form(self) -> str:
        return "Give it step=, or list the values with Choice(...) or Range(...)."


@dataclass(frozen=True, repr=False)
class Int(Domain):
    """Whole numbers from `low` to `high`, both included.

    Parameters
    ----------
    low, high : int
    log : bool
        Whether to search orders of magnitude rather than distances; needs ``low > 0``.
    step : int
        Only ``low``, ``low + step``, ... up to `high`, which is included when it is hit.
    """

    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    step: int = 1
    _default: tuple[Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        low, high, step = self.low, self.high, self.step
        object.__setattr__(self, "low", checked(self, "low", low, as_int))
        object.__setattr__(self, "high", checked(self, "high", high, as_int))
        object.__setattr__(self, "step", checked(self, "step", step, as_int))
        _check_range(self, low, high, step)
        if max(-self.low, self.high) > _WIDEST_INT:
            raise self.error("", f"got {short(low)} to {short(high)}, allowed is -2**64 to 2**64.")

    @cached_property
    def lattice(self) -> Lattice[int]:
        """The values, as a grid."""
        return Lattice(self.low, self.step, self.size)

    @property
    def ends(self) -> tuple[int, int]:
        """Between which numbers values lie."""
        return self.low, self.high

    @property
    def size(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    def at(self, index: int) -> int:
        """Return the value at `index`, ascending."""
        return self.low + index * self.step

    def to_unit(self, value: int) -> float:
        """Return the middle of the bin of `value` in [0, 1]."""
        return self.lattice.to_unit(self.lattice.nearest(value), log=self.log)

    def from_unit(self, u: float) -> int:
        """Return the value at `u` in [0, 1]."""
        return self.at(self.lattice.from_unit(u, log=self.log))

    def _arguments(self) -> str:
        return _range_arguments(self)

    def _middle(self) -> int:
        middle = round(unit.middle(self.low, self.high, log=self.log))
        return self.at(self.lattice.nearest(middle))

    def _admit(self, value: Any, name: str) -> int:
        number = as_int(value)
        _refuse_outside(self, number)
        nearest = self.at(self.lattice.nearest(number))
        if nearest != number:
            raise Refused(
                f"which is no multiple of step={self.step} from {self.low}. "
                f"The nearest is {nearest}."
            )
        return number

    def _admit_between(self, value: Any, name: str) -> int:
        number = as_int(value)
        _refuse_outside(self, number)
        return number
