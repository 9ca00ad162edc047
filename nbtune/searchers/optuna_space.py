"""A space as Optuna sees it: one named distribution an axis, suggested as far as it is active."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from nbtune.space import Bool, Choice, Domain, Int, Real, Space
from nbtune.trial import Params

__all__ = ["Flat", "OptunaSpace"]

Flat: TypeAlias = dict[str, int | float]
"""Optuna's values of the active axes, by name."""

_EXACT = 2**53  # integers up to here are floats, as Optuna holds them


@dataclass(frozen=True, slots=True)
class _Axis:
    """How one domain stands in a trial of Optuna: drawn there, and to and from its values."""

    draw: Callable[[Any, str], Any]
    encode: Callable[[Any], int | float]
    decode: Callable[[Any], Any]


class OptunaSpace:
    """Translates params into an Optuna trial's values, and back.

    ``Real`` and ``Int`` become float and int distributions with their bounds, step and log;
    ``Bool`` and ``Choice`` the positions of their options, so that an option may be any object;
    ``Normal``, ``LogNormal``, ``Range`` and what Optuna has no form for (a step with log, rounded
    draws, bounds beyond what floats can tell apart) a float from 0 to 1 that `Domain.from_unit`
    reads. Names are dotted, "model.C"; where two branches share one, it ends in the branch's
    position: "model.C[1]".
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        paths = Counter(dim.path for dim in space.dims)
        self._shared = {path for path, count in paths.items() if count > 1}

    def suggest(self, trial: Any) -> Params:
        """Return the params that an Optuna trial suggests; only active axes are asked for."""

        def read(name: str, domain: Domain) -> Any:
            axis = _axis(domain)
            return axis.decode(axis.draw(trial, name))

        return self.space.validate(self._read(self.space, "", (), read))

    def encode(self, params: Params) -> Flat:
        """Return Optuna's values of `params`, which are inside the space."""
        return dict(self._encoded(self.space, params, "", ()))

    def _read(
        self,
        space: Space,
        prefix: str,
        branches: tuple[int, ...],
        read: Callable[[str, Domain], Any],
    ) -> Params:
        values: Params = {}
        for key, domain in space.items():
            path = f"{prefix}{key}"
            if isinstance(domain, Choice):
                single = len(domain.options) == 1
                chosen = 0 if single else read(self._name(path, branches), domain)
                option = domain.options[chosen]
                if isinstance(option, Space):
                    option = self._read(option, f"{path}.", (*branches, chosen), read)
                values[key] = option
            elif domain.size == 1:
                values[key] = domain.at(0)
            else:
                values[key] = read(self._name(path, branches), domain)
        return values

    def _encoded(
        self, space: Space, params: Params, prefix: str, branches: tuple[int, ...]
    ) -> Iterator[tuple[str, int | float]]:
        for key, domain in space.items():
            path, value = f"{prefix}{key}", params[key]
            if isinstance(domain, Choice):
                chosen = domain.index(value)
                option = domain.options[chosen]
                if len(domain.options) > 1:
                    yield self._name(path, branches), chosen
                if isinstance(option, Space):
                    yield from self._encoded(option, value, f"{path}.", (*branches, chosen))
            elif domain.size != 1:
                yield self._name(path, branches), _axis(domain).encode(value)

    def _name(self, path: str, branches: tuple[int, ...]) -> str:
        return f"{path}[{','.join(map(str, branches))}]" if path in self._shared else path


def _axis(domain: Domain) -> _Axis:
    if isinstance(domain, Choice):
        count = len(domain.options)
        return _Axis(lambda trial, name: trial.suggest_categorical(name, range(count)), int, int)
    if isinstance(domain, Bool):
        return _Axis(lambda trial, name: trial.suggest_categorical(name, range(2)), int, bool)
    if isinstance(domain, Int) and _has_int(domain):
        return _Axis(lambda trial, name: _suggest_int(trial, name, domain), int, int)
    if isinstance(domain, Real) and _has_float(domain):
        return _Axis(lambda trial, name: _suggest_float(trial, name, domain), float, float)
    return _Axis(
        lambda trial, name: trial.suggest_float(name, 0.0, 1.0), domain.to_unit, domain.from_unit
    )


def _has_int(domain: Int) -> bool:
    return max(-domain.low, domain.high) <= _EXACT and not (domain.log and domain.step != 1)


def _has_float(domain: Real) -> bool:
    uneven_bins = domain.rounded or (domain.log and domain.step is not None)
    return math.isfinite(domain.high - domain.low) and not uneven_bins


def _suggest_int(trial: Any, name: str, domain: Int) -> int:
    high = domain.at(domain.size - 1)
    return int(trial.suggest_int(name, domain.low, high, log=domain.log, step=domain.step))


def _suggest_float(trial: Any, name: str, domain: Real) -> float:
    high = domain.high if domain.size is None else domain.at(domain.size - 1)
    return float(trial.suggest_float(name, domain.low, high, log=domain.log, step=domain.step))
