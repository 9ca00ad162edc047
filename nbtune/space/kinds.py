"""Polyaxon's param kinds, ``{kind: uniform, value: [0, 1]}``, as domains.

A value is a list, a dict by field name or, for numbers, a string ``"0:1"``; extra items of a list
or string are ignored. What could not be sampled is refused at once.

=============== ======================== =======================================================
kind            fields (optional)        domain
=============== ======================== =======================================================
choice          any values               `Choice`; what is listed twice is twice as likely
pchoice         [value, probability]     `Choice` with weights; what is missing to 1 is the last's
range           start, stop, step        `Range` without stop; of ints when all three are
linspace        start, stop, num         `Range` of floats, both ends included
logspace        start, stop, num (base)  `Range(log=True)` from base**start to base**stop
geomspace       start, stop, num         `Range(log=True)` from start to stop
daterange       start, stop, step        `Choice` of dates without stop; step in days
datetimerange   start, stop, step        `Choice` of datetimes without stop; step in seconds
uniform         low, high (size)         `Real`
quniform        low, high, q (size)      `Real(step=q, rounded=True)`
loguniform      low, high                `Real(log=True)` from e**low to e**high
qloguniform     low, high, q             the same with ``step=q, rounded=True``
normal          loc, scale               `Normal`
qnormal         loc, scale, q            `Normal(step=q)`
lognormal       loc, scale               `LogNormal`
qlognormal      loc, scale, q            `LogNormal(step=q)`
=============== ======================== =======================================================

Quantised draws are multiples of q, rounded half to even: they may lie q/2 outside the bounds.
Lists are of decimals, as in `Range`: three times 0.1 is 0.3. Bounds of a distribution may come in
either order; one without width is a constant.
"""

import math
import re
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, TypeAlias

from nbtune.exceptions import NbtuneWarning, SpaceError, SpecError, nearest
from nbtune.space import fields, unit
from nbtune.space.choice import Branch, Choice, Constant
from nbtune.space.domains import Domain, Refused, named, short, snap, spell
from nbtune.space.matching import bucket, same
from nbtune.space.normal import LogNormal, Normal
from nbtune.space.numeric import Real
from nbtune.space.ranges import Range
from nbtune.space.unit import Lattice

__all__ = ["KINDS", "domains_of"]

_MOST_DATES = 100_000
_HUGE = 1e30  # a power that nobody means as a value
_CALLERS = 6  # from what makes a domain up to who calls `Space.from_matrix`

_Fields: TypeAlias = dict[str, Any]


def domains_of(params: Mapping[str, Any], path: str = "params") -> dict[str, Any]:
    """Return a matrix's params as what `Space` takes: a domain for each kind, the rest as it is.

    Parameters
    ----------
    params : mapping of str to dict, Domain or any other value
        A dict is ``{kind, value}``; any other value is fixed.
    path : str
        Where `params` stands in a spec, for messages.

    Raises
    ------
    SpecError
        When an entry is of no such form, or could not be sampled; ``path`` says which key.
    """
    if not isinstance(params, Mapping):
        raise _wrong(path, f"got {short(params)}, allowed is a dict of {{kind, value}} by name")
    domains: dict[str, Any] = {}
    for name, entry in params.items():
        if not isinstance(name, str) or not name:
            raise _wrong(path, f"got the name {short(name)}, allowed are non-empty strings")
        is_kind = isinstance(entry, Mapping) and not isinstance(entry, Branch)
        domains[name] = _domain(entry, f"{path}.{name}") if is_kind else _one_value(entry)
    return domains


def _one_value(entry: Any) -> Any:
    """Return what fixes a param in a spec: there a list is one value, unlike in a `Space`."""
    holds_domains = isinstance(entry, list) and any(isinstance(each, Domain) for each in entry)
    return Constant(entry) if isinstance(entry, list | set) and not holds_domains else entry


def _domain(entry: Mapping[str, Any], path: str) -> Domain:
    for key in entry:
        if key not in ("kind", "value"):
            raise _wrong(f"{path}.{key}", f"unknown key. {nearest(str(key), ('kind', 'value'))}")
    for key in ("kind", "value"):
        if key not in entry:
            form = (
                "{kind: uniform, value: [0, 1]}; a dict that is fixed, {kind: choice, value: [..]}"
            )
            raise _wrong(path, f"got {short(dict(entry))}, the {key} is missing. Write {form}")
    spelt = entry["kind"]
    kind = KINDS.get(re.sub("[_-]", "", str(spelt)).lower())
    if kind is None:
        raise _wrong(f"{path}.kind", f"unknown kind {spelt!r}. {nearest(str(spelt), KINDS)}")
    path = f"{path}.value"
    try:
        return kind.read(entry["value"], path)
    except SpaceError as error:
        raise SpecError(str(named(error, path)), path) from None


def _wrong(path: str, message: str) -> SpecError:
    return SpecError(f"{path}: {message}", path)


# --- what fields make


def _listed(*, start: float, stop: float, step: float) -> Domain:
    count = math.ceil((unit.exact(stop) - unit.exact(start)) / unit.exact(step))
    last = unit.exact(start) + (count - 1) * unit.exact(step)
    if all(isinstance(number, int) for number in (start, stop, step)):
        return Range(start, int(last), step)
    return _even(start=float(start), stop=float(last), num=count)


def _even(*, start: float, stop: float, num: int, log: bool = False) -> Domain:
    if num == 1 or start == stop:
        return Range(start, start)
    return Range(start, stop, num=num, log=log)


def _powers(*, start: float, stop: float, num: int, base: int = 10) -> Domain:
    first, last = _power(float(base), start), _power(float(base), stop)
    if (0 < start < 1 and (stop < 1 or stop >= 10 * start)) or last > _HUGE:
        warnings.warn(
            f"logspace from {spell(start)} to {spell(stop)} takes these for exponents: its values "
            f"go from {spell(first)} to {spell(last)}. If they are values, use geomspace.",
            NbtuneWarning,
            stacklevel=_CALLERS,
        )
    return _even(start=first, stop=last, num=num, log=True)


def _power(base: float, exponent: float) -> float:
    """Return a power that floats can hold, and that is not 0."""
    try:
        power = math.exp(exponent) if base == math.e else base**exponent
    except OverflowError:
        power = math.inf
    if not 0 < power < math.inf:
        raise SpaceError(
            f"Range: got the exponent {spell(exponent)} of {base:.4g}, which no float can hold. "
            "Bounds are exponents, not values: give smaller ones."
        )
    return power


def _ratios(*, start: float, stop: float, num: int) -> Domain:
    if start <= 0:
        raise SpaceError(f"Range: start={spell(start)}, allowed is a number above 0.")
    return _even(start=start, stop=stop, num=num, log=True)


def _dates(*, start: date, stop: date, step: timedelta) -> Domain:
    count = -((start - stop) // step)
    if count > _MOST_DATES:
        raise SpaceError(
            f"Choice: {count} values, allowed are {_MOST_DATES}. Make the step longer."
        )
    return Choice(*(start + index * step for index in range(count)))


def _uniform(*, low: float, high: float, q: float | None = None, size: int = 1) -> Domain:
    _warn_of_size(size)
    return _between(low, high, q, log=False)


def _log_uniform(*, low: float, high: float, q: float | None = None) -> Domain:
    return _between(_power(math.e, low), _power(math.e, high), q, log=True)


def _between(low: float, high: float, q: float | None, *, log: bool) -> Domain:
    if low == high:
        return _fixed(low, q)
    low, high = min(low, high), max(low, high)
    return Real(low, high, log=log, step=q, rounded=q is not None)


def _normal(*, loc: float, scale: float, q: float | None = None) -> Domain:
    return Normal(loc, scale, step=q) if scale else _fixed(loc, q)


def _log_normal(*, loc: float, scale: float, q: float | None = None) -> Domain:
    return LogNormal(loc, scale, step=q) if scale else _fixed(_power(math.e, loc), q)


def _fixed(value: float, q: float | None) -> Domain:
    """Return what a distribution without width draws."""
    return Constant(snap(value, None if q is None else Lattice(Fraction(0), unit.exact(q))))


def _warn_of_size(size: int) -> None:
    if size != 1:
        warnings.warn(
            f"size={size} is ignored: a param is one value.",
            NbtuneWarning,
            stacklevel=_CALLERS + 1,
        )


# --- kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fielded:
    """A kind with named fields: how each is read, which may be left out, what they make."""

    fields: Mapping[str, Callable[[Any], Any]]
    optional: frozenset[str] = frozenset()
    make: Callable[..., Domain]
    text: bool = True

    def read(self, value: Any, path: str) -> Domain:
        """Return the domain of a value of any accepted form."""
        found = {
            name: _read_field(self.fields[name], item, f"{path}.{name}")
            for name, item in self._given(value, path).items()
        }
        if "start" in found:
            _check_order(found, path)
        return self.make(**found)

    def _given(self, value: Any, path: str) -> _Fields:
        """Return what was given for each field, None for what was left out."""
        if isinstance(value, Mapping):
            for key in value:
                if key not in self.fields:
                    raise _wrong(f"{path}.{key}", f"unknown key. {nearest(str(key), self.fields)}")
            given = dict(value)
        elif isinstance(value, list | tuple):
            given = dict(zip(self.fields, value, strict=False))
        elif isinstance(value, str) and ":" in value and "{{" not in value and self.text:
            given = dict(zip(self.fields, value.split(":"), strict=False))
        else:
            raise _wrong(path, f"got {short(value)}, allowed is {self._forms()}{_hint(value)}")
        given = {name: item for name, item in given.items() if item is not None}
        missing = [name for name in self._required if name not in given]
        if missing:
            raise _wrong(
                path,
                f"got {short(value)}, {' and '.join(missing)} missing. Allowed is {self._forms()}",
            )
        return given

    @property
    def _required(self) -> list[str]:
        return [name for name in self.fields if name not in self.optional]

    def _forms(self) -> str:
        listed = ", ".join(self._required)
        forms = [f"a list [{listed}]", "a dict with these keys"]
        return ", ".join([*forms, f"text '{':'.join(self._required)}'"] if self.text else forms)


def _hint(value: Any) -> str:
    template = isinstance(value, str) and "{{" in value
    return ". Write the values: nothing fills in a template here" if template else ""


def _read_field(read: Callable[[Any], Any], value: Any, path: str) -> Any:
    try:
        return read(value)
    except Refused as why:
        raise _wrong(path, f"got {short(value)}, {why}") from None


def _check_order(found: _Fields, path: str) -> None:
    start, stop = found["start"], found["stop"]
    try:
        ascending = start < stop
    except TypeError:  # one datetime has a time zone and the other has none
        raise _wrong(path, f"got start={start} and stop={stop}, only one has a time zone") from None
    if not ascending:
        raise _wrong(path, f"needs start < stop, got start={start}, stop={stop}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """A kind whose value is a list of options, each with a probability or not."""

    weighted: bool

    def read(self, value: Any, path: str) -> Domain:
        """Return the domain of a list."""
        form = "[value, probability] pairs, as in [[16, 0.3], [32, 0.7]]"
        form = form if self.weighted else "values, as in [16, 32]"
        if not isinstance(value, list | tuple):
            raise _wrong(path, f"got {short(value)}, allowed is a list of {form}{_hint(value)}")
        if not value:
            raise _wrong(path, f"got an empty list, allowed is a list of {form}")
        if not self.weighted:
            return _choice(value, [Fraction(1)] * len(value), even=True)
        pairs = [_pair(item, f"{path}[{index}]") for index, item in enumerate(value)]
        shares = [share for _, share in pairs]
        if sum(shares) > 1:
            raise _wrong(
                path, f"the probabilities add up to {float(sum(shares)):.6g}, allowed is at most 1"
            )
        shares[-1] += 1 - sum(shares)
        return _choice([option for option, _ in pairs], shares, even=False)


def _pair(item: Any, path: str) -> tuple[Any, Fraction]:
    """Return a value and its probability, exactly as written."""
    if not isinstance(item, list | tuple) or len(item) != 2:
        raise _wrong(path, f"got {short(item)}, allowed is a pair [value, probability]")
    option, share = item
    if not isinstance(share, float) or not 0 <= share < 1:
        raise _wrong(
            path,
            f"got the probability {short(share)}, allowed is a float from 0.0 to less than 1. "
            "What is certain is no choice: drop it to fix the value",
        )
    return option, unit.exact(float(share))


def _choice(options: Sequence[Any], shares: Sequence[Fraction], *, even: bool) -> Domain:
    """Return a choice; what is listed again adds to the share of the first."""
    kept: list[Any] = []
    sums: list[Fraction] = []
    places: dict[Hashable, list[int]] = {}
    for option, share in zip(options, shares, strict=True):
        alike = places.setdefault(bucket(option), [])
        place = next((place for place in alike if same(kept[place], option)), None)
        if place is None:
            alike.append(len(kept))
            kept.append(option)
            sums.append(share)
        else:
            sums[place] += share
    weights = None if even and len({*sums}) == 1 else [float(each) for each in sums]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NbtuneWarning)  # of one option, a list: it was meant
        return Choice(*kept, weights=weights)


_ENDS = {"low": fields.real_of, "high": fields.real_of}
_BELL = {"loc": fields.real_of, "scale": fields.scale_of}
_Q = {"q": fields.positive_of}
_SIZE = {"size": fields.count_of}
_SPACED = {"start": fields.real_of, "stop": fields.real_of, "num": fields.count_of}
_ONE_SIZE = frozenset(_SIZE)

KINDS: dict[str, _Listed | _Fielded] = {
    "choice": _Listed(weighted=False),
    "pchoice": _Listed(weighted=True),
    "range": _Fielded(
        fields={"start": fields.number_of, "stop": fields.number_of, "step": fields.positive_of},
        make=_listed,
    ),
    "linspace": _Fielded(fields=_SPACED, make=_even),
    "logspace": _Fielded(
        fields={**_SPACED, "base": fields.count_of}, optional=frozenset({"base"}), make=_powers
    ),
    "geomspace": _Fielded(fields=_SPACED, make=_ratios),
    "daterange": _Fielded(
        fields={"start": fields.day_of, "stop": fields.day_of, "step": fields.days_of},
        make=_dates,
        text=False,
    ),
    "datetimerange": _Fielded(
        fields={"start": fields.moment_of, "stop": fields.moment_of, "step": fields.span_of},
        make=_dates,
        text=False,
    ),
    "uniform": _Fielded(fields={**_ENDS, **_SIZE}, optional=_ONE_SIZE, make=_uniform),
    "quniform": _Fielded(fields={**_ENDS, **_Q, **_SIZE}, optional=_ONE_SIZE, make=_uniform),
    "loguniform": _Fielded(fields=_ENDS, make=_log_uniform),
    "qloguniform": _Fielded(fields={**_ENDS, **_Q}, make=_log_uniform),
    "normal": _Fielded(fields=_BELL, make=_normal),
    "qnormal": _Fielded(fields={**_BELL, **_Q}, make=_normal),
    "lognormal": _Fielded(fields=_BELL, make=_log_normal),
    "qlognormal": _Fielded(fields={**_BELL, **_Q}, make=_log_normal),
}
