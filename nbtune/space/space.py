"""The space: named domains, some of them only there when a branch is chosen."""

import math
from collections.abc import Hashable, ItemsView, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbtune.exceptions import SpaceError, nearest
from nbtune.space import unit
from nbtune.space.choice import Branch, Choice, Constant
from nbtune.space.coerce import domain_from
from nbtune.space.domains import Domain, short, spell
from nbtune.space.kinds import domains_of
from nbtune.space.narrowing import admits, covers

__all__ = ["Dimension", "Space"]

_DEEPEST = 50  # nested spaces: each walk over a space is a recursion


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One axis of the unit cube.

    ``keys`` leads to its value in params, ``path`` is the same with dots. ``condition`` says on
    what it depends: pairs of the keys of a `Choice` and the position of the branch that must be
    chosen there, outermost first; empty for a dimension that is always active. Two branches may
    have a param of one name, so a path may come twice.
    """

    keys: tuple[str, ...]
    domain: Domain
    condition: tuple[tuple[tuple[str, ...], int], ...] = ()

    @property
    def path(self) -> str:
        """The name in `Space.flatten` and in tables, "model.C"."""
        return ".".join(self.keys)

    def value_in(self, params: Mapping[str, Any]) -> Any:
        """Return this dimension's value in params, None where its branch was not chosen."""
        value: Any = params
        for key in self.keys:
            if not isinstance(value, Mapping) or key not in value:
                return None
            value = value[key]
        return value


class Space(Mapping[str, Domain], Branch):
    """Named domains.

    Parameters
    ----------
    domains : mapping of str to Domain, Space, or any other value
        A `Space` is nested: its value is the dict of its own params. A list or a ``range`` lists
        values, SciPy's ``uniform``, ``loguniform`` and ``randint`` and Optuna's distributions are
        what they say (`nbtune.space.coerce`). Any other value is fixed: it is part of all params
        and not searched; to fix a param at a list, put it into another, ``[[64, 64]]``.

    Raises
    ------
    SpaceError
        When a name is not a non-empty string, or two flattened names are equal.
    """

    __slots__ = ("_dims", "_domains")

    def __init__(self, domains: Mapping[str, Any]) -> None:
        items = _mapping("Space", domains).items()
        self._domains = {_name(name): _domain(name, value) for name, value in items}
        _check_flat_names(self)
        self._dims = tuple(_dimensions(self))

    @classmethod
    def from_matrix(cls, params: Mapping[str, Any], *, path: str = "params") -> "Space":
        """Return the space of a Polyaxon matrix's ``params``, in the order written.

        ``Space.from_matrix({"lr": {"kind": "loguniform", "value": [-9, -2]}, "epochs": 10})``; all
        kinds, and what becomes of each, are in `nbtune.space.kinds`. Searchers ask for no more than
        a domain gives: `Grid` refuses distributions, `Random` ends when all points of a finite
        space are tried, `Bayes` models distributions other than the uniform one too.

        Parameters
        ----------
        params : mapping of str to dict, Domain or any other value
            A dict is ``{kind, value}``; any other value is fixed.
        path : str
            Where `params` stands in a spec, for messages.

        Raises
        ------
        SpecError
            When a kind or its value is not allowed; its ``path`` says where.
        """
        return cls(domains_of(params, path))

    def __getitem__(self, name: str) -> Domain:
        return self._domains[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._domains)

    def __len__(self) -> int:
        return len(self._domains)

    def __contains__(self, name: object) -> bool:
        return name in self._domains

    def items(self) -> ItemsView[str, Domain]:
        """Return the names with their domains."""
        return self._domains.items()  # Mapping's own asks for each by name, several times a trial

    def __repr__(self) -> str:
        items = (
            f"{name!r}: {spell(domain.value) if isinstance(domain, Constant) else repr(domain)}"
            for name, domain in self.items()
        )
        return f"Space({{{', '.join(items)}}})"

    def __or__(self, other: Mapping[str, Any]) -> "Space":
        if not isinstance(other, Mapping):
            return NotImplemented
        return Space({**self, **other})

    @property
    def dims(self) -> tuple[Dimension, ...]:
        """The axes of the unit cube: every domain with more than one value, depth first."""
        return self._dims

    @property
    def n_dims(self) -> int:
        """How many axes the unit cube has; 0 when nothing can be searched."""
        return len(self._dims)

    @property
    def defaults(self) -> dict[str, Any]:
        """The point to try first."""
        return {name: domain.default for name, domain in self.items()}

    @property
    def size(self) -> int | None:
        """How many points there are, None when infinitely many; branches add, params multiply."""
        sizes = [domain.size for domain in self.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    @property
    def signature(self) -> dict[str, str]:
        """Each name, with the text of its constant or an empty string."""
        return {
            name: str(domain.to_json(None)) if isinstance(domain, Constant) else ""
            for name, domain in self.items()
        }

    def sample(self, seed: int | np.random.Generator) -> dict[str, Any]:
        """Draw a point.

        Parameters
        ----------
        seed : int >= 0 or numpy Generator
            The same integer gives the same point.
        """
        rng = _generator(seed)
        return {name: domain.sample(rng) for name, domain in self.items()}

    def at(self, index: int) -> dict[str, Any]:
        """Return the point at `index`, 0 to ``size - 1``, in the order of `grid`.

        Raises
        ------
        SpaceError
            When there are infinitely many points; it names the param that has them.
        IndexError
            When `index` is outside.
        """
        size = self.size
        if size is None:
            raise _infinite(self, "")
        if not 0 <= index < size:
            raise IndexError(f"point {index} of {size}")
        values: dict[str, Any] = {}
        for name, domain in reversed(list(self.items())):
            index, digit = divmod(index, domain.size or 1)
            values[name] = domain.at(digit)
        return {name: values[name] for name in self}

    def grid(self) -> list[dict[str, Any]]:
        """Return all points, the last param changing fastest.

        Raises
        ------
        SpaceError
            When there are infinitely many points; it names the param that has them.
        """
        return [self.at(index) for index in range(1 if self.size is None else self.size)]

    def validate(
        self, params: Mapping[str, Any], name: str = "", *, strict: bool = True
    ) -> dict[str, Any]:
        """Return `params` as plain Python values, in the space's order.

        A constant may be left out.

        Parameters
        ----------
        params : mapping
        name : str
            Where the params stand in an outer space.
        strict : bool
            As `Domain.validate` takes it: otherwise numbers need not be among those listed.

        Raises
        ------
        SpaceError
            When a name is unknown or missing, or a value is outside its domain.
        """
        if not isinstance(params, Mapping):
            raise SpaceError(f"{name or 'params'}: got {short(params)}, allowed is a dict.")
        if not isinstance(strict, bool):
            raise SpaceError(f"strict={short(strict)}: allowed is True or False.")
        for key in params:
            if key not in self:
                raise SpaceError(f"{_join(name, key)}: unknown name. {nearest(str(key), self)}")
        values = {}
        for key, domain in self.items():
            if key in params:
                values[key] = domain.validate(params[key], _join(name, key), strict=strict)
            elif isinstance(domain, Constant):
                values[key] = domain.value
            else:
                given = ", ".join(map(str, params)) or "no names"
                raise SpaceError(
                    f"{_join(name, key)}: missing, got {given}. Add a value of {domain!r}."
                )
        return values

    def narrow(self, domains: Mapping[str, Any]) -> "Space":
        """Return the space with some of its domains replaced by parts of them.

        A domain without a written default keeps the old default where that is still inside.

        Raises
        ------
        SpaceError
            When a name is unknown, or a new domain has values that the old one has not.
        """
        changed = dict(self._domains)
        for name, value in _mapping("narrow", domains).items():
            if name not in self:
                raise SpaceError(f"{name}: unknown name. {nearest(str(name), self)}")
            old, new = self[name], _domain(name, value)
            if not covers(old, new):
                raise SpaceError(f"{name}: got {short(value)}, allowed is a part of {old!r}.")
            if isinstance(new, Constant):
                new = Constant(old.validate(new.value, name))
            changed[name] = _with_default_of(old, new)
        return Space(changed)

    def changed(self, domains: Mapping[str, Any]) -> "Space":
        """Return the space with some of its domains replaced, by wider or narrower ones.

        A domain without a written default keeps the old default where that is inside. A plain
        value fixes its param.

        Raises
        ------
        SpaceError
            When a name is unknown, or a plain value that is no number takes a number's place.
        """
        changed = dict(self._domains)
        for name, value in _mapping("narrow", domains).items():
            if name not in self:
                raise SpaceError(f"{name}: unknown name. {nearest(str(name), self)}")
            old, new = self[name], _domain(name, value)
            if isinstance(new, Constant):
                new = Constant(_fixed(old, new.value, name))
            changed[name] = _with_default_of(old, new)
        return Space(changed)

    def covers(self, other: Branch) -> bool:
        """Return whether every point of `other` is one of this space."""
        return (
            isinstance(other, Space)
            and self.keys() == other.keys()
            and all(covers(self[name], other[name]) for name in self)
        )

    def flatten(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return params on one level, each branch that was chosen before its own params.

        ``{"lr": 0.1, "model": {"kind": "svm", "C": 1.0}}`` becomes
        ``{"lr": 0.1, "model": "svm", "model.kind": "svm", "model.C": 1.0}``: a branch has its label
        in `Choice.labels`. Unknown names stay.
        """
        flat: dict[str, Any] = {}
        for name, value in params.items():
            domain = self.get(name)
            branch = _branch_of(domain, value)
            if branch is None:
                flat[name] = value
                continue
            assert isinstance(domain, Choice)  # only such a one has branches
            flat[name] = domain.labels[domain.index(value)]
            flat |= {_join(name, key): item for key, item in branch.flatten(value).items()}
        return flat

    def to_unit(self, params: Mapping[str, Any]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return the place of `params` in the unit cube.

        Returns
        -------
        array of float64, shape (n_dims,)
            In [0, 1]; 0.5 for a dimension that is not active.
        """
        return np.array(list(self._places(params)), dtype=np.float64)

    def _places(self, params: Mapping[str, Any]) -> Iterator[float]:
        for name, domain in self.items():
            if not isinstance(domain, Choice):
                if domain.size != 1:
                    yield domain.to_unit(params[name])
                continue
            chosen = domain.index(params[name], name)
            if len(domain.options) > 1:
                yield unit.middle_of_bin(chosen, len(domain.options))
            for index, branch in _spaces(domain):
                if index == chosen:
                    yield from branch._places(params[name])
                else:
                    yield from [0.5] * branch.n_dims

    def from_unit(self, u: Any) -> dict[str, Any]:
        """Return the params at a place in the unit cube.

        Parameters
        ----------
        u : array-like of float, shape (n_dims,)
            Clipped to [0, 1]; what stands at dimensions that are not active is ignored.
        """
        places = np.asarray(u, dtype=np.float64)
        if places.shape != (self.n_dims,) or np.isnan(places).any():
            raise SpaceError(
                f"from_unit: got shape {places.shape}, allowed are {self.n_dims} numbers, no NaN."
            )
        return self._values(iter(np.clip(places, 0.0, 1.0).tolist()))

    def _values(self, places: Iterator[float]) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for name, domain in self.items():
            if not isinstance(domain, Choice):
                params[name] = domain.from_unit(0.5 if domain.size == 1 else next(places))
                continue
            count = len(domain.options)
            chosen = unit.bin_at(next(places), count) if count > 1 else 0
            points = {index: branch._values(places) for index, branch in _spaces(domain)}
            params[name] = points[chosen] if chosen in points else domain.options[chosen]
        return params

    def to_json(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return `params` as something that JSON can hold, readable where it can be."""
        return {name: self[name].to_json(value) for name, value in params.items()}

    def from_json(self, encoded: Mapping[str, Any], name: str = "") -> dict[str, Any]:
        """Return the params that `to_json` encoded; `name` is as in `validate`.

        A trial that a tuner suggested may have numbers that are not listed.

        Raises
        ------
        SpaceError
            When they are not of this space.
        """
        known = {
            key: self[key].from_json(item, _join(name, key))
            for key, item in encoded.items()
            if key in self
        }
        return self.validate({**encoded, **known}, name, strict=False)

    def key(self, params: Mapping[str, Any]) -> Hashable:
        """Return something hashable that two params share when they are the same point."""
        return tuple(domain.key(params[name]) for name, domain in self.items())


def _with_default_of(old: Domain, new: Domain) -> Domain:
    """Return `new` with the default that was written for `old`, unless it has its own."""
    if old._default is None or new._default is not None or not admits(new, old.default):
        return new
    return new.with_default(old.default)


def _fixed(old: Domain, value: Any, name: str) -> Any:
    """Return the value at which a param is fixed; of numbers it may lie outside the old bounds."""
    if admits(old, value):
        return old.validate(value, name)
    if isinstance(value, float) and not math.isfinite(value) and _is_number(old.default):
        raise old.error(name, f"got {value}, allowed is a finite number.")
    if isinstance(old, Choice) or _is_number(value) is _is_number(old.default):
        return value
    raise old.error(name, f"got {short(value)}, allowed is a value like {short(old.default)}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _spaces(choice: Choice) -> Iterator[tuple[int, Space]]:
    """Yield the branches of a choice with their positions."""
    for index, branch in choice.branches.items():
        if isinstance(branch, Space):
            yield index, branch


def _branch_of(domain: Domain | None, value: Any) -> Space | None:
    """Return the branch that `value` is a point of, None for any other value."""
    if not isinstance(domain, Choice) or not domain.branches or not isinstance(value, Mapping):
        return None
    if not admits(domain, value, strict=False):
        return None
    return dict(_spaces(domain)).get(domain.index(value))


def _mapping(what: str, domains: Any) -> Mapping[str, Any]:
    if not isinstance(domains, Mapping):
        raise SpaceError(
            f"{what}: got {short(domains)}, allowed is a dict of domains, "
            "as in Space({'lr': Real(0.0, 1.0)})."
        )
    return domains


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise SpaceError(f"Space: got the name {short(name)}, allowed are non-empty strings.")
    return name


def _domain(name: str, value: Any) -> Domain:
    """Return what stands for `value` in a space."""
    if isinstance(value, Domain):
        return value
    if isinstance(value, Space):
        return Choice(value)
    if isinstance(value, type) and issubclass(value, Domain):
        raise SpaceError(f"{name}: got the class {value.__name__}. Call it: {value.__name__}(...).")
    if (found := domain_from(name, value)) is not None:
        return found
    items = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | tuple) and any(isinstance(i, Domain) for i in items):
        raise SpaceError(
            f"{name}: got a {type(value).__name__} with domains in it, which would be a constant. "
            "Nest with Space({...})."
        )
    return Constant(value.item() if isinstance(value, np.generic) else value)


def _join(outer: str, name: Any) -> str:
    return f"{outer}.{name}" if outer else str(name)


def _generator(seed: Any) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SpaceError(f"seed: got {short(seed)}, allowed is an int >= 0 or a numpy Generator.")
    return np.random.default_rng(int(seed))


def _dimensions(
    space: Space, keys: tuple[str, ...] = (), condition: tuple[Any, ...] = ()
) -> Iterator[Dimension]:
    """Yield the axes in the order of `Space._places`."""
    for name, domain in space.items():
        here = (*keys, name)
        if not isinstance(domain, Choice):
            if domain.size != 1:
                yield Dimension(keys=here, domain=domain, condition=condition)
            continue
        if len(domain.options) > 1:
            yield Dimension(keys=here, domain=domain, condition=condition)
        for index, branch in _spaces(domain):
            chosen = ((here, index),) if len(domain.options) > 1 else ()
            yield from _dimensions(branch, here, condition + chosen)


def _leaves(space: Space, keys: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, domain in space.items():
        yield (*keys, name)
        if isinstance(domain, Choice):
            for _, branch in _spaces(domain):
                yield from _leaves(branch, (*keys, name))


def _check_flat_names(space: Space) -> None:
    """Refuse {"model.C": ..., "model": Space({"C": ...})}: tables have one column for both."""
    seen: dict[str, tuple[str, ...]] = {}
    for keys in _leaves(space):
        path = ".".join(keys)
        if len(keys) > _DEEPEST:
            raise SpaceError(
                f"{short(path)}: is {len(keys)} spaces deep, allowed are {_DEEPEST}. Flatten it."
            )
        if seen.setdefault(path, keys) != keys:
            raise SpaceError(f"{path}: two params have this name in tables. Rename one of them.")


def _infinite(space: Space, outer: str) -> SpaceError:
    """Return the error that names the first param with infinitely many values."""
    for name, domain in space.items():
        if domain.size is None:
            path = _join(outer, name)
            for _, branch in _spaces(domain) if isinstance(domain, Choice) else ():
                if branch.size is None:
                    return _infinite(branch, path)
            return domain._infinite(path)
    raise AssertionError("the caller saw an infinite size")
