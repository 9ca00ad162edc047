"""Domains: the values that one hyperparameter may take.

A domain is immutable and holds no random state. Values that come out of it are plain Python
objects, never NumPy scalars.
"""

import copy
import math
import numbers
import re
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from nbtune.exceptions import SpaceError
from nbtune.space import unit
from nbtune.space.unit import Lattice

__all__ = ["Bool", "Domain", "named"]

D = TypeVar("D", bound="Domain")


TOLERANCE = 1e-9  # of a step: a value this near to one on the grid is that one


class Refused(Exception):  # noqa: N818 - not an error by itself: `Domain.validate` words it
    """Why a value is outside a domain: what is allowed, and what to do."""


class Domain(ABC):
    """The values that one hyperparameter may take.

    A subclass is a frozen dataclass with a field ``_default``, and says how it maps to the unit
    interval, what it admits, what its middle is, and how it is spelt; a finite one its `size`
    and what is `at` each index.
    """

    @property
    def default(self) -> Any:
        """The first value tried: the one written, else the domain's own middle."""
        return self._middle() if self._default is None else self._default[0]

    _default: tuple[Any] | None = None  # a tuple, so that None can be a default

    def with_default(self: D, value: Any, name: str = "") -> D:
        """Return a copy whose default is `value`.

        Raises
        ------
        SpaceError
            When `value` is outside the domain; `name` is the param's name for the message.
        """
        try:
            plain = self._admit(value, name)
        except Refused as why:
            raise self.error(name, f"the default is {short(value)}, {why}") from None
        twin = copy.copy(self)
        object.__setattr__(twin, "_default", (plain,))
        return twin

    def validate(self, value: Any, name: str = "", *, strict: bool = True) -> Any:
        """Return `value` as the plain Python object that the objective gets.

        Parameters
        ----------
        value : object
        name : str
            The param's name for the message.
        strict : bool
            Whether it must be one of the values that are listed or on the steps. Otherwise another
            number of their type, inside the bounds where there are some, will do.

        Raises
        ------
        SpaceError
            When `value` is outside the domain.
        """
        try:
            return self._admit(value, name)
        except Refused as why:
            refused = self.error(name, f"got {short(value)}, {why}")
        except SpaceError as error:  # of a branch
            refused = error
        if not strict:
            try:
                return self._admit_between(value, name)
            except (Refused, SpaceError):
                pass
        raise refused from None

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one value."""
        return self.from_unit(rng.random())

    @property
    def size(self) -> int | None:
        """How many values there are, None when infinitely many."""
        return None

    @property
    def uneven(self) -> bool:
        """Whether it was said that some of its listed values are likelier than others."""
        return False

    def at(self, index: int) -> Any:
        """Return the value at `index`, 0 to ``size - 1``, in the order of `grid`.

        Raises
        ------
        SpaceError
            When there are infinitely many values.
        """
        raise self._infinite("")

    def grid(self) -> list[Any]:
        """Return all values in order.

        Raises
        ------
        SpaceError
            When there are infinitely many.
        """
        return [self.at(index) for index in range(1 if self.size is None else self.size)]

    @abstractmethod
    def to_unit(self, value: Any) -> float:
        """Return the place of `value`, which is inside the domain, in [0, 1]."""

    @abstractmethod
    def from_unit(self, u: float) -> Any:
        """Return the value at `u` in [0, 1]; it inverts `to_unit`."""

    def to_json(self, value: Any) -> Any:
        """Return `value` as something that JSON can hold."""
        return value

    def from_json(self, encoded: Any, name: str = "") -> Any:
        """Return the value that `to_json` encoded; `name` is the param's for the message."""
        return self.validate(encoded, name, strict=False)

    def key(self, value: Any) -> Hashable:
        """Return something hashable that is equal for equal values of this domain."""
        return value  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        default = "" if self._default is None else f".with_default({spell(self._default[0])})"
        return f"{type(self).__name__}({self._arguments()}){default}"

    @abstractmethod
    def _arguments(self) -> str:
        """Return the arguments of the constructor call."""

    @abstractmethod
    def _middle(self) -> Any:
        """Return the default of a domain for which none is written."""

    @abstractmethod
    def _admit(self, value: Any, name: str) -> Any:
        """Return `value` as a plain object, or raise `Refused`."""

    def _admit_between(self, value: Any, name: str) -> Any:
        """Return a value between those that there are as a plain object, or raise `Refused`."""
        raise Refused("")

    def _finite_form(self) -> str:
        return "List the values with Choice(...) or Range(...)."

    def _infinite(self, name: str) -> SpaceError:
        return self.error(name, f"{self!r} has infinitely many values. {self._finite_form()}")

    def error(self, name: str, message: str) -> SpaceError:
        """Return the error that starts with the param's name, or else with the domain's."""
        return SpaceError(f"{name or type(self).__name__}: {message}")


def named(error: SpaceError, name: str) -> SpaceError:
    """Return the error of a domain's constructor with the param's name in the domain's place."""
    return SpaceError(f"{name}: {re.sub(r'^[A-Z][A-Za-z]*: ', '', str(error))}")


def short(value: Any) -> str:
    """Return how a person would write `value`, on one line of at most 60 characters."""
    text = " ".join(spell(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def spell(value: Any) -> str:
    """Return how a person would write `value`: 1e-6 for 1e-06, a function by its name.

    Always on one line; a data frame or an array is ``<DataFrame>``.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return re.sub(r"e([+-])0?(\d)", r"e\1\2", repr(value)).replace("e+", "e")
    name = getattr(value, "__qualname__", None)
    text = name.rpartition("<locals>.")[2] if isinstance(name, str) else repr(value)
    return f"<{type(value).__name__}>" if "\n" in text else text


def as_float(value: Any) -> float:
    """Return a finite number as a float; raise `Refused` for anything else."""
    if type(value) is not float and (
        isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real)
    ):
        hint = " without quotes" if isinstance(value, str) else ""
        raise Refused(f"of type {type(value).__name__}. Use an int or a float{hint}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Refused("which is not finite. Use a finite number.")
    return number


def as_int(value: Any) -> int:
    """Return a whole number, an integral float too, as an int; raise `Refused` for others."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    number = as_float(value)
    if not number.is_integer():
        raise Refused("which is not a whole number. Use an int, or Real for fractions.")
    return int(number)


@dataclass(frozen=True, repr=False)
class Bool(Domain):
    """False or True."""

    _default: tuple[Any] | None = field(default=None, init=False)

    @property
    def size(self) -> int:
        """Two."""
        return 2

    def at(self, index: int) -> bool:
        """Return False at 0, True at 1."""
        return bool(index)

    def to_unit(self, value: bool) -> float:
        """Return the middle of the bin of `value` in [0, 1]."""
        return unit.middle_of_bin(int(value), 2)

    def from_unit(self, u: float) -> bool:
        """Return the value at `u` in [0, 1]."""
        return bool(unit.bin_at(u, 2))

    def _arguments(self) -> str:
        return ""

    def _middle(self) -> bool:
        return False

    def _admit(self, value: Any, name: str) -> bool:
        if not isinstance(value, bool | np.bool_):
            raise Refused(f"of type {type(value).__name__}. Use True or False.")
        return bool(value)


def checked(domain: Domain, what: str, value: Any, convert: Any) -> Any:
    """Return an argument of the constructor as a plain number."""
    try:
        return convert(value)
    except Refused as why:
        raise domain.error("", f"{what}={short(value)}, {why}") from None


def snap(value: float, lattice: Lattice[Fraction] | None) -> float:
    """Return the number of the lattice that is nearest; halfway goes to the even one."""
    if lattice is None:
        return value
    return float(lattice.value(lattice.nearest(unit.exact(value))))


def on_lattice(value: float, lattice: Lattice[Fraction] | None) -> float:
    """Return the number of the lattice that `value` is up to rounding, or raise `Refused`."""
    snapped = snap(value, lattice)
    if lattice is not None and abs(snapped - value) > TOLERANCE * lattice.step:
        step, origin = float(lattice.step), float(lattice.origin)
        raise Refused(
            f"which is no multiple of step={spell(step)} from {spell(origin)}. "
            f"The nearest is {spell(snapped)}."
        )
    return snapped
