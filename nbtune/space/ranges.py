"""Listed numbers: from one end to the other, by a step, a count or orders of magnitude."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from numbers import Integral
from typing import Any

from nbtune.space import unit
from nbtune.space.domains import (
    TOLERANCE,
    Domain,
    Refused,
    as_float,
    as_int,
    checked,
    short,
    spell,
)

__all__ = ["Range"]

_MOST = 100_000  # values that are listed
_DIGITS = 30  # of a value on a log scale; a float has 17
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FORMS = (
    "allowed are 'start-stop', 'start-stop-step' and 'start-stop:num', with '.log' last for orders "
    "of magnitude"
)
_UNDERSCORE = "Write _ for - where a number has a sign or an exponent, as in '1e-3_1e2:6.log'."


@dataclass(frozen=True, repr=False, init=False)
class Range(Domain):
    """Listed numbers from `start` to `stop`, up or down, as decimals: three times 0.1 is 0.3.

    All are ints when `start`, `stop` and `step` are, and then every `step`-th is listed, `stop`
    too if it is hit. Otherwise all are floats, evenly spaced with both ends, so that `step` is
    only the nearest that fits: 0 to 1 by 0.3 is 0, 1/3, 2/3, 1. A list of values that is in order,
    not a category: searchers know which are near each other.

    Parameters
    ----------
    start : float or str
        With nothing else, the end of a range from 0. A string says it all: ``"3-7"``, ``"3-7-2"``
        with a step, ``"0.0-1.0:5"`` with a count, ``"1e-3_1e2:6.log"`` on a log scale; ``_``
        stands for ``-`` where a number has a sign or an exponent.
    stop : float, optional
    step : float > 0
        The direction follows from `start` and `stop`.
    num : int >= 0
        How many values, evenly spaced, both ends included; of ints, those nearest to it. Equal
        ones are listed once; 0 is no count, neither is 1 for ints.
    log : bool
        Whether `num` values, at least 2, are evenly spaced in orders of magnitude; ints are
        rounded. Both ends must be above 0.

    Raises
    ------
    SpaceError
        When a string is of no such form, the numbers contradict each other, or more than 100,000
        values would be listed.
    """

    start: float
    stop: float
    step: float
    num: int
    log: bool
    whole: bool
    """Whether the values are ints."""
    _default: tuple[Any] | None = field(default=None)

    def __init__(
        self,
        start: float | str,
        stop: float | None = None,
        step: float = 1,
        num: int = 0,
        log: bool = False,
    ) -> None:
        low: Any = start
        if isinstance(start, str):
            if (stop, step, num, log) != (None, 1, 0, False):
                raise self.error("", f"got {start!r} and more. A string says it all: {_FORMS}.")
            low, stop, step, num, log = self._parsed(start)
        if stop is None:
            low, stop = 0, low
        whole = all(isinstance(number, Integral) for number in (low, stop, step))
        convert = as_int if whole else as_float
        for name, number in {"start": low, "stop": stop, "step": step}.items():
            object.__setattr__(self, name, checked(self, name, number, convert))
        object.__setattr__(self, "num", checked(self, "num", num, as_int))
        object.__setattr__(self, "log", log)
        object.__setattr__(self, "whole", whole)
        object.__setattr__(self, "_default", None)
        self._check()

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    @cached_property
    def values(self) -> tuple[Any, ...]:
        """The numbers, in order from `start` to `stop`."""
        if self.log:
            return self._plain(_geometric(self.start, self.stop, self.num))
        if not self.whole:
            return self._plain(_even(unit.exact(self.start), unit.exact(self.stop), self._count))
        sign = 1 if self.start <= self.stop else -1
        last = abs(self.stop - self.start) // self.step
        listed = range(int(self.start), int(self.stop) + sign, sign * int(self.step))
        if self.num < 2:
            return tuple(listed)
        picked = _even(Fraction(0), Fraction(last), self.num)
        return self._plain([listed[round(place)] for place in picked])

    @property
    def low(self) -> float:
        """The smallest value."""
        return self._ascending[0]  # type: ignore[no-any-return]

    @property
    def high(self) -> float:
        """The largest value."""
        return self._ascending[-1]  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    def at(self, index: int) -> Any:
        """Return the value at `index`, in order from `start` to `stop`."""
        return self.values[index]

    def to_unit(self, value: float) -> float:
        """Return the middle of the bin of `value` in [0, 1]; a larger value lies higher."""
        return unit.middle_of_bin(self._nearest(value), self.size)

    def from_unit(self, u: float) -> Any:
        """Return the value at `u` in [0, 1]."""
        return self._ascending[unit.bin_at(u, self.size)]

    @cached_property
    def _ascending(self) -> tuple[Any, ...]:
        return self.values if self.start <= self.stop else self.values[::-1]

    @property
    def _count(self) -> int:
        """How many values are asked for."""
        if self.num > (1 if self.whole else 0):
            return self.num
        steps = abs(unit.exact(self.stop) - unit.exact(self.start)) / unit.exact(self.step)
        return int(steps) + 1 if self.whole else round(steps + 1)

    def _plain(self, numbers: Any) -> tuple[Any, ...]:
        """Return plain ints or floats, each once."""
        convert: Any = round if self.whole else float
        return tuple(dict.fromkeys(map(convert, numbers)))

    def _nearest(self, value: float) -> int:
        """Return the place, in ascending order, of the value that is nearest."""
        right = bisect_left(self._ascending, value)
        places = range(max(right - 1, 0), min(right + 1, self.size))
        return min(places, key=lambda place: abs(self._ascending[place] - value))

    def _parsed(self, text: str) -> tuple[Any, Any, Any, int, bool]:
        """Return start, stop, step, num and log."""
        body = text.strip()
        ends, colon, num = body.removesuffix(".log").partition(":")
        parts = ends.split("_" if "_" in ends else "-")
        if len(parts) == 1 and _NUMBER.fullmatch(ends):
            raise self.error("", f"got {text!r}, one number. Write Range({ends}) or '0_{ends}'.")
        if len(parts) not in (2, 3) or not all(map(_NUMBER.fullmatch, parts)):
            raise self.error("", f"got {text!r}, {_FORMS}. {_UNDERSCORE}")
        if colon and not re.fullmatch(r"[0-9]+", num):
            raise self.error("", f"got {text!r}, {_FORMS}, where num is a whole number.")
        if colon and len(parts) == 3:
            raise self.error("", f"got {text!r}, a step and a count. Drop one: {_FORMS}.")
        start, stop, step = [int(p) if _WHOLE.fullmatch(p) else float(p) for p in (*parts, "1")][:3]
        return start, stop, step, int(num or 0), body.endswith(".log")

    def _check(self) -> None:
        """Raise `SpaceError` for arguments that contradict each other."""
        got = f"got start={spell(self.start)}, stop={spell(self.stop)}"
        if not isinstance(self.log, bool):
            raise self.error("", f"log={short(self.log)}, allowed is True or False.")
        if self.num < 0:
            raise self.error("", f"num={self.num}, allowed is a whole number of at least 0.")
        if self.step <= 0:
            direction = "The direction follows from start and stop: drop the sign."
            raise self.error("", f"needs step > 0, got step={spell(self.step)}. {direction}")
        if self.log:
            self._check_log(got)
        if self.num and self.step != 1 and not self.whole:
            given = f"step={spell(self.step)}, num={self.num}"
            raise self.error("", f"got {given}, which say two things. Drop one.")
        if self._count > _MOST:
            kind = "Int" if self.whole else "Real"
            raise self.error(
                "",
                f"{got}: {self._count} values, allowed are {_MOST}. Use {kind}, which lists none.",
            )

    def _check_log(self, got: str) -> None:
        if self.step != 1:
            use = "Drop it, and say num=."
            raise self.error("", f"a log range has no step, got step={spell(self.step)}. {use}")
        if min(self.start, self.stop) <= 0:
            raise self.error("", f"a log range needs both ends > 0, {got}. Change it or drop log.")
        if self.num < 2:
            use = f"Use Range({spell(self.start)}, {spell(self.stop)}, num=5, log=True)."
            raise self.error("", f"a log range needs num >= 2, got num={self.num}. {use}")

    def _arguments(self) -> str:
        step = "" if self.step == 1 else f", {spell(self.step)}"
        num = f", num={self.num}" if self.num else ""
        log = ", log=True" if self.log else ""
        return f"{spell(self.start)}, {spell(self.stop)}{step}{num}{log}"

    def _middle(self) -> Any:
        return self.from_unit(0.5)

    def _admit(self, value: Any, name: str) -> Any:
        number = as_int(value) if self.whole else as_float(value)
        place = self._nearest(number)
        nearest = self._ascending[place]
        if abs(nearest - number) > TOLERANCE * self._gap(place):
            raise Refused(
                f"which is none of the {self.size} values of Range({self._arguments()}). "
                f"The nearest is {spell(nearest)}."
            )
        return nearest

    def _admit_between(self, value: Any, name: str) -> Any:
        return as_int(value) if self.whole else as_float(value)

    def _gap(self, place: int) -> float:
        """Return how far the value at a place, in ascending order, is from its neighbours."""
        around = self._ascending[max(place - 1, 0) : place + 2]
        gaps = [upper - lower for lower, upper in pairwise(around)]
        return float(min(gaps, default=abs(self.start)))


def _even(first: Fraction, last: Fraction, count: int) -> list[Fraction]:
    """Return `count` evenly spaced numbers, shape (count,), both ends included."""
    return [first + (last - first) * index / max(count - 1, 1) for index in range(count)]


def _geometric(first: float, last: float, count: int) -> list[Decimal]:
    """Return `count` numbers of equal ratio, shape (count,), with 30 digits."""
    with localcontext(Context(prec=_DIGITS + 10)) as context:
        start, ratio = Decimal(repr(first)), Decimal(repr(last)) / Decimal(repr(first))
        numbers = [start * ratio ** (Decimal(index) / (count - 1)) for index in range(count)]
        context.prec = _DIGITS
        return [+number for number in numbers]
