"""Choices among listed options, some of which may be branches with params of their own."""

import bisect
import contextlib
import difflib
import itertools
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from nbtune.exceptions import NbtuneWarning, SpaceError, nearest
from nbtune.space import unit
from nbtune.space.domains import Domain, Refused, as_float, as_int, short, spell
from nbtune.space.matching import alike, bucket, distinct, index_in, json_of, same

__all__ = ["Branch", "Choice", "Constant"]

_MOST_SHOWN = 12  # options in an error message


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
    def validate(
        self, params: Mapping[str, Any], name: str = "", *, strict: bool = True
    ) -> dict[str, Any]:
        """Return the params as plain objects, or raise `SpaceError`."""

    @abstractmethod
    def covers(self, other: "Branch") -> bool:
        """Return whether every point of `other` is one of this branch."""

    @abstractmethod
    def to_json(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the params as something that JSON can hold."""

    @abstractmethod
    def from_json(self, encoded: Mapping[str, Any], name: str = "") -> dict[str, Any]:
        """Return the params that `to_json` encoded."""

    @abstractmethod
    def key(self, params: Mapping[str, Any]) -> Hashable:
        """Return something hashable that is equal for equal points."""


@dataclass(frozen=True, repr=False, eq=False)
class Constant(Domain):
    """One value, which is part of every point and not searched."""

    value: Any
    _default: tuple[Any] | None = field(default=None, init=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and same(self.value, other.value)

    __hash__ = None  # type: ignore[assignment]

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
        return json_of(self.value)

    def from_json(self, encoded: Any, name: str = "") -> Any:
        """Return the value, which must be the one that was encoded."""
        return self.value if alike(encoded, self.to_json(None)) else self.validate(encoded, name)

    def key(self, value: Any) -> Hashable:
        """Return the same for every value."""
        return 0

    def _arguments(self) -> str:
        return spell(self.value)

    def _middle(self) -> Any:
        return self.value

    def _admit(self, value: Any, name: str) -> Any:
        if index_in(value, [self.value]) is None:
            raise Refused(f"but it is fixed at {short(self.value)}. Leave it out, or search it.")
        return self.value


@dataclass(frozen=True, repr=False, eq=False, init=False)
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

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and same(self._fields, other._fields)

    __hash__ = None  # type: ignore[assignment]

    @property
    def _fields(self) -> tuple[Any, ...]:
        return self.options, self.weights, self._default

    @property
    def default(self) -> Any:
        """The first value tried: the one written, else the first option; a branch's is a copy."""
        return self.pick(0) if self._default is None else self._locate(self._default[0], "")[1]

    @cached_property
    def branches(self) -> dict[int, Branch]:
        """The options that have params of their own, by position."""
        return {i: option for i, option in enumerate(self.options) if isinstance(option, Branch)}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """A short name for each option, no two equal; None and True as Python spells them."""
        texts = [text if isinstance(text, str) else repr(text) for text in self._encoded]
        return tuple(distinct(texts))

    @property
    def size(self) -> int | None:
        """How many values there are, those of the branches included."""
        sizes = self._sizes
        return None if None in sizes else sum(size for size in sizes if size)

    @property
    def uneven(self) -> bool:
        """Whether there are weights."""
        return self.weights is not None

    def index(self, value: Any, name: str = "") -> int:
        """Return the position of the option that `value` is, or is a point of.

        Among numbers, one that is not listed counts as the nearest that is.

        Raises
        ------
        SpaceError
            When it is none of them; `name` is the param's name for the message.
        """
        return self._found(value, name)[0]

    def _found(self, value: Any, name: str = "") -> tuple[int, Any]:
        with contextlib.suppress(Refused, SpaceError):
            return self._locate(value, name)
        plain = self.validate(value, name, strict=False)
        for position, branch in self._likeliest(plain):
            with contextlib.suppress(SpaceError):
                return position, branch.validate(plain, name, strict=False)
        places = range(len(self.options))
        return min(places, key=lambda place: abs(self.options[place] - plain)), plain

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
        index, plain = self._found(value)
        if (branch := self.branches.get(index)) is not None:
            return branch.to_json(value)
        return self._encoded[index] if alike(self.options[index], plain) else plain

    def from_json(self, encoded: Any, name: str = "") -> Any:
        """Return the option, or the branch's params, that `to_json` encoded."""
        for _, branch in self._likeliest(encoded):
            try:
                return branch.from_json(encoded, name)
            except SpaceError:
                continue
        index = index_in(encoded, self._encoded)
        if index is None or index in self.branches:
            return self.validate(encoded, name, strict=False)
        return self.options[index]

    def key(self, value: Any) -> Hashable:
        """Return the option's position; with it, of a branch, the key of the point."""
        index, plain = self._found(value)
        if (branch := self.branches.get(index)) is not None:
            return index, branch.key(plain)
        return index if alike(self.options[index], plain) else ("between", plain)

    @cached_property
    def _encoded(self) -> list[Any]:
        """What stands for each option in JSON, no two equal; a branch stands by its label."""
        return distinct(
            _label(option) if isinstance(option, Branch) else json_of(option)
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

    def _admit_between(self, value: Any, name: str) -> Any:
        for _, branch in self._likeliest(value):
            with contextlib.suppress(SpaceError):
                return branch.validate(value, name, strict=False)
        kinds = {type(option) for option in self.options}
        if not kinds <= {int, float}:
            raise Refused("")
        return as_int(value) if kinds == {int} else as_float(value)

    def _draw(self, u: float) -> int:
        if self.weights is None:
            return unit.bin_at(u, len(self.options))
        heaps = list(itertools.accumulate(self.weights))
        last = max(i for i, weight in enumerate(self.weights) if weight)
        return bisect.bisect_right(heaps, u * heaps[-1], hi=last)

    def _locate(self, value: Any, name: str) -> tuple[int, Any]:
        """Return the option's position and the value as the objective gets it."""
        index = index_in(value, self.options)
        if index is not None:
            return index, self.pick(index)
        complaints: list[SpaceError] = []
        for position, branch in self._likeliest(value):
            try:
                return position, branch.validate(value, name)
            except SpaceError as error:
                complaints.append(error)
        if complaints:
            raise complaints[0]
        known: Sequence[str] = self.labels
        if len(known) > _MOST_SHOWN:
            known = difflib.get_close_matches(str(value), known, n=_MOST_SHOWN, cutoff=0.0)
        raise Refused(f"which is no option. {nearest(str(value), known)}")

    def _likeliest(self, value: Any) -> list[tuple[int, Branch]]:
        """Return the branches that a dict may be a point of, the one it looks most like first."""
        if not isinstance(value, Mapping):
            return []

        def likeness(item: tuple[int, Branch]) -> tuple[bool, int, int]:
            signature = item[1].signature
            shared = signature.keys() & value.keys()
            agreeing = sum(signature[name] == str(json_of(value[name])) for name in shared)
            return signature.keys() == value.keys(), agreeing, len(shared)

        return sorted(self.branches.items(), key=likeness, reverse=True)

    def _check_options(self) -> None:
        if not self.options:
            raise self.error("", "got no options. List at least one, as in Choice('a', 'b').")
        alone = self.options[0]
        if len(self.options) == 1 and isinstance(alone, list | set | range):
            warnings.warn(
                f"Choice({short(alone)}) has one option, a {type(alone).__name__}. "
                "To choose among its items write Choice(*items).",
                NbtuneWarning,
                stacklevel=3,
            )
        buckets: dict[Hashable, list[int]] = {}
        for index, option in enumerate(self.options):
            if isinstance(option, Domain):
                use = f"Name it: Choice(..., Space({{'name': {option!r}}}))"
                if isinstance(option, Iterable):
                    use = f"List its values: Choice(*{option!r})"
                raise self.error("", f"option {option!r} is a domain. {use}.")
            for earlier in buckets.setdefault(bucket(option), []):
                self._check_apart(earlier, self.options[earlier], index, option)
            buckets[bucket(option)].append(index)

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


def _label(branch: Branch) -> str:
    """Return the constants that tell a branch from its siblings, else its names."""
    constants = [text for text in branch.signature.values() if text]
    return ", ".join(constants or branch.signature) or "{}"
