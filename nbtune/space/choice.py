"""Choices among listed options, some of which may be branches with params of their own."""

import bisect
import itertools
import json
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from nbtune.exceptions import NbtuneWarning, SpaceError, nearest
from nbtune.space import unit
from nbtune.space.domains import Domain, Refused, as_float, short, spell

__all__ = ["Branch", "Choice", "Constant", "same"]


class Branch(ABC):
    """An option with params of its own, which exist only when it is chosen: a `Space`."""

    __slots__ = ()

    @property
    @abstractmethod
    def size(self) -> int | None:
        """How many points there are, None when infinitely many."""

    @property
    @abstractmethod
    def defaults(self) -> dict[str, Any]:
        """The point to try first."""

    @property
    @abstractmethod
    def signature(self) -> dict[str, str]:
        """What tells this branch's params from another's: each name, with its constant's label."""

    @abstractmethod
    def at(self, index: int) -> dict[str, Any]:
        """Return the point at `index`."""

    @abstractmethod
    def sample(self, seed: int | np.random.Generator) -> dict[str, Any]:
        """Draw one point."""

    @abstractmethod
    def validate(self, params: Mapping[str, Any], name: str = "") -> dict[str, Any]:
        """Return the params as plain objects, or raise `SpaceError`."""

    @abstractmethod
    def covers(self, other: "Branch") -> bool:
        """Return whether every point of `other` is one of this branch."""

    @abstractmethod
    def to_json(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the params as something that JSON can hold."""

    @abstractmethod
    def from_json(self, encoded: Mapping[str, Any]) -> dict[str, Any]:
        """Return the params that `to_json` encoded."""

    @abstractmethod
    def key(self, params: Mapping[str, Any]) -> Hashable:
        """Return something hashable that is equal for equal points."""


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and of one type: 1, 1.0 and True are three values."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    try:
        return (one == other) is True
    except Exception:  # noqa: BLE001 - the user's own __eq__; data frames raise in theirs
        return False


def _alike(one: Any, other: Any) -> bool:
    """Return whether two values mean the same: 16.0 for 16, a list for a tuple; True is not 1."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_alike, one, other))
    kinds = (type(one), type(other))
    return same(one, other) or (kinds in ((int, float), (float, int)) and bool(one == other))


def _json_of(value: Any) -> Any:
    """Return `value` as JSON would give it back; a readable name where JSON has no such value."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        text = spell(value)
        readable = len(text) <= 80 and " at 0x" not in text and "\n" not in text
        return text if readable else type(value).__name__


def _index_in(value: Any, options: Sequence[Any]) -> int | None:
    """Return where `value` is among the options, by equality first, then by meaning."""
    if isinstance(value, np.generic):
        value = value.item()
    for equal in (same, _alike):
        for index, option in enumerate(options):
            if not isinstance(option, Branch) and equal(option, value):
                return index
    return None


@dataclass(frozen=True, repr=False)
class Constant(Domain):
    """One value, which is part of every point and not searched."""

    value: Any
    _default: tuple[Any] | None = field(default=None, init=False)

    @property
    def size(self) -> int:
        """One."""
        return 1

    def at(self, index: int) -> Any:
        """Return the value."""
        return self.value

    def to_unit(self, value: Any) -> float:
        """Return the middle."""
        return 0.5

    def from_unit(self, u: float) -> Any:
        """Return the value."""
        return self.value

    def to_json(self, value: Any) -> Any:
        """Return the value, or its name where JSON has no such value."""
        return _json_of(self.value)

    def from_json(self, encoded: Any) -> Any:
        """Return the value, which must be the one that was encoded."""
        return self.value if _alike(encoded, self.to_json(None)) else self.validate(encoded)

    def key(self, value: Any) -> Hashable:
        """Return the same for every value."""
        return 0

    def _arguments(self) -> str:
        return spell(self.value)

    def _middle(self) -> Any:
        return self.value

    def _admit(self, value: Any, name: str) -> Any:
        if _index_in(value, [self.value]) is None:
            raise Refused(f"but it is fixed at {short(self.value)}. Leave it out, or search it.")
        return self.value


@dataclass(frozen=True, repr=False, init=False)
class Choice(Domain):
    """One of the options, of any type; the original object is what the objective gets.

    Parameters
    ----------
    *options : any
        At least one, no two equal. An option that is a `Space` opens a branch: the param's value
        is then the dict of the branch's own params.
    weights : sequence of float, shape (n_options,), optional
        How likely each is to be drawn; at least 0, of any sum above 0.
    """

    options: tuple[Any, ...]
    weights: tuple[float, ...] | None
    _default: tuple[Any] | None = field(default=None, init=False)

    def __init__(self, *options: Any, weights: Sequence[float] | None = None) -> None:
        options = tuple(o.item() if isinstance(o, np.generic) else o for o in options)
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "weights", None)
        self._check_options()
        if weights is not None:
            object.__setattr__(self, "weights", self._check_weights(weights))

    @cached_property
    def branches(self) -> dict[int, Branch]:
        """The options that have params of their own, by position."""
        return {i: option for i, option in enumerate(self.options) if isinstance(option, Branch)}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """A short name for each option, no two equal."""
        names = [name if isinstance(name, str) else json.dumps(name) for name in self._encoded]
        return tuple(_distinct(names))

    @property
    def size(self) -> int | None:
        """How many values there are, those of the branches included."""
        sizes = self._sizes
        return None if None in sizes else sum(size for size in sizes if size)

    def index(self, value: Any, name: str = "") -> int:
        """Return the position of the option that `value` is, or is a point of.

        Raises
        ------
        SpaceError
            When it is none of them; `name` is the param's name for the message.
        """
        try:
            return self._locate(value, name)[0]
        except Refused as why:
            raise self.error(name, f"got {short(value)}, {why}") from None

    def pick(self, index: int) -> Any:
        """Return the option at `index`; of a branch, its defaults."""
        option = self.options[index]
        return option.defaults if isinstance(option, Branch) else option

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw an option by the weights; of a branch, a point."""
        option = self.options[self._draw(rng.random())]
        return option.sample(rng) if isinstance(option, Branch) else option

    def at(self, index: int) -> Any:
        """Return the value at `index`, in the order written, each branch in its own order."""
        for option, size in zip(self.options, self._sizes, strict=True):
            if size is None or index < size:
                return option.at(index) if isinstance(option, Branch) else option
            index -= size
        raise IndexError(index)

    def to_unit(self, value: Any) -> float:
        """Return the middle of the option's bin in [0, 1]; all bins are equally wide."""
        return unit.middle_of_bin(self.index(value), len(self.options))

    def from_unit(self, u: float) -> Any:
        """Return the option at `u` in [0, 1]; of a branch, its defaults."""
        return self.pick(unit.bin_at(u, len(self.options)))

    def to_json(self, value: Any) -> Any:
        """Return the option, a branch's params, or a name where JSON has no such value."""
        index = self.index(value)
        branch = self.branches.get(index)
        return self._encoded[index] if branch is None else branch.to_json(value)

    def from_json(self, encoded: Any) -> Any:
        """Return the option, or the branch's params, that `to_json` encoded."""
        if isinstance(encoded, Mapping):
            for branch in self.branches.values():
                try:
                    return branch.from_json(encoded)
                except SpaceError:
                    continue
        index = _index_in(encoded, self._encoded)
        if index is None or index in self.branches:
            return self.validate(encoded)
        return self.options[index]

    def key(self, value: Any) -> Hashable:
        """Return the option's position; with it, of a branch, the key of the point."""
        index, plain = self._locate(value, "")
        branch = self.branches.get(index)
        return index if branch is None else (index, branch.key(plain))

    @cached_property
    def _encoded(self) -> list[Any]:
        """What stands for each option in JSON, no two equal; a branch stands by its label."""
        return _distinct(
            ", ".join(label or name for name, label in option.signature.items())
            if isinstance(option, Branch)
            else _json_of(option)
            for option in self.options
        )

    @property
    def _sizes(self) -> list[int | None]:
        return [o.size if isinstance(o, Branch) else 1 for o in self.options]

    def _arguments(self) -> str:
        weights = "" if self.weights is None else f"weights={list(map(float, self.weights))!r}"
        return ", ".join([*map(spell, self.options), *([weights] if weights else [])])

    def _middle(self) -> Any:
        return self.pick(0)

    def _admit(self, value: Any, name: str) -> Any:
        return self._locate(value, name)[1]

    def _draw(self, u: float) -> int:
        if self.weights is None:
            return unit.bin_at(u, len(self.options))
        heaps = list(itertools.accumulate(self.weights))
        last = max(i for i, weight in enumerate(self.weights) if weight)
        return bisect.bisect_right(heaps, u * heaps[-1], hi=last)

    def _locate(self, value: Any, name: str) -> tuple[int, Any]:
        """Return the option's position and the value as the objective gets it."""
        index = _index_in(value, self.options)
        if index is not None:
            return index, self.options[index]
        complaints: list[SpaceError] = []
        if isinstance(value, Mapping):
            for index, branch in self.branches.items():
                try:
                    return index, branch.validate(value, name)
                except SpaceError as error:
                    if branch.signature.keys() == value.keys():
                        complaints.append(error)
        if len(complaints) == 1:
            raise complaints[0]
        raise Refused(f"which is no option. {nearest(str(value), self.labels)}")

    def _check_options(self) -> None:
        if not self.options:
            raise self.error("", "got no options. List at least one, as in Choice('a', 'b').")
        alone = self.options[0]
        if len(self.options) == 1 and isinstance(alone, list | tuple | set | range | dict):
            warnings.warn(
                f"Choice({short(alone)}) has one option, a {type(alone).__name__}. "
                "To choose among its items write Choice(*items).",
                NbtuneWarning,
                stacklevel=4,
            )
        for (i, one), (j, other) in itertools.combinations(enumerate(self.options), 2):
            self._check_apart(i, one, j, other)

    def _check_apart(self, i: int, one: Any, j: int, other: Any) -> None:
        """Refuse two options of which no one could tell which was chosen."""
        if isinstance(one, Branch) and isinstance(other, Branch):
            ours, theirs = one.signature, other.signature
            if ours.keys() == theirs.keys() and not any(
                ours[name] and theirs[name] and ours[name] != theirs[name] for name in ours
            ):
                raise self.error(
                    "",
                    f"options {i} and {j} are spaces with the same names ({', '.join(ours)}), so "
                    "their params look alike. Add a constant to each, as in {'kind': 'a', ...}.",
                )
        elif same(one, other):
            raise self.error(
                "",
                f"option {short(one)} is listed twice, at {i} and {j}. "
                "Drop one; weights= makes an option likelier.",
            )

    def _check_weights(self, weights: Sequence[float]) -> tuple[float, ...]:
        try:
            plain = tuple(as_float(weight) for weight in weights)
        except (TypeError, Refused):
            raise self.error(
                "", f"weights={short(weights)}, allowed are finite numbers, one for each option."
            ) from None
        if len(plain) != len(self.options):
            raise self.error(
                "", f"got {len(plain)} weights for {len(self.options)} options. Give one for each."
            )
        if min(plain) < 0 or not 0 < sum(plain) < math.inf:
            raise self.error(
                "", f"weights={short(weights)}, allowed are numbers >= 0 with a sum above 0."
            )
        return plain


def _distinct(names: Any) -> list[Any]:
    """Return the names, those that an earlier one took already with ``#position`` added."""
    seen: list[Any] = []
    for position, name in enumerate(names):
        taken = any(_alike(name, other) for other in seen)
        seen.append(f"{name}#{position}" if taken else name)
    return seen
