"""What stands for a domain without being one: a list, a range, SciPy's and Optuna's distributions.

Neither library is imported: an object is known by the module of its class.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nbtune.exceptions import SpaceError
from nbtune.space.choice import Choice, Constant
from nbtune.space.domains import Domain, named, short
from nbtune.space.numeric import Int, Real
from nbtune.space.ranges import Range

__all__ = ["domain_from"]


def domain_from(name: str, value: Any) -> Domain | None:
    """Return the domain that `value` stands for, None where it is a plain value.

    The items of a list, or of an array of one axis, are options, the numbers of a ``range`` are
    listed in order; one alone is fixed. SciPy's frozen ``uniform``, ``loguniform`` and
    ``randint``, and Optuna's distributions, are what they say.

    Parameters
    ----------
    name : str
        The param's, for messages.
    value : object

    Raises
    ------
    SpaceError
        When it lists nothing, or one value twice, or is another distribution.
    """
    try:
        if isinstance(value, list | range) or (isinstance(value, np.ndarray) and value.ndim == 1):
            return _listed(value)
        if isinstance(value, set | frozenset):
            raise SpaceError(
                f"{name}: got {short(value)}, a set, which has no order. List the values: "
                f"{short(list(value))}. To fix it at the set, put it alone into a list."
            )
        return _from_optuna(value) or _from_scipy(value)
    except SpaceError as error:
        raise named(error, name) from None


def _listed(items: Iterable[Any]) -> Domain:
    if isinstance(items, range) and len(items) > 1:
        return Range(items[0], items[-1], step=abs(items.step))
    values = [item.item() if isinstance(item, np.generic) else item for item in items]
    if not values:
        raise SpaceError(f"got {short(items)}, which lists no value. Give at least one.")
    if any(isinstance(value, Domain) for value in values):
        raise SpaceError(
            "got a list with domains in it, of which none would be searched. "
            "Nest with Space({...})."
        )
    return Choice(*values) if len(values) > 1 else Constant(values[0])


def _from_optuna(value: Any) -> Domain | None:
    kinds = {
        kind.__name__ for kind in type(value).__mro__ if kind.__module__ == "optuna.distributions"
    }
    if "CategoricalDistribution" in kinds:
        return _listed(list(value.choices))
    if not kinds & {"FloatDistribution", "IntDistribution"}:
        return None
    if value.low == value.high:
        return Constant(value.low)
    numbers: Callable[..., Domain] = Real if "FloatDistribution" in kinds else Int
    return numbers(value.low, value.high, log=value.log, step=value.step)


def _from_scipy(value: Any) -> Domain | None:
    """Return what a frozen distribution says; refuse all that draws by ``rvs`` and is unknown."""
    kind = type(value)
    is_scipy = kind.__module__.partition(".")[0] == "scipy" and "stats" in kind.__module__
    if not is_scipy and not callable(getattr(value, "rvs", None)):
        return None
    law = getattr(getattr(value, "dist", None), "name", "") if is_scipy else ""
    if law in ("uniform", "loguniform", "reciprocal", "randint"):
        low, high = map(float, value.support())
        if law == "randint":
            return Int(int(low), int(high)) if low < high else Constant(int(low))
        if law == "uniform":
            return Real(low, high)
        if low > 0 and math.isclose(float(value.median()), math.sqrt(low * high), rel_tol=1e-6):
            return Real(low, high, log=True)  # else it is shifted: log-uniform in x - loc
    raise SpaceError(
        f"got {_spelt(value)}, a distribution that cannot be searched. Allowed are nbtune's "
        "domains (Real, Int, Normal, LogNormal, ...), Optuna's distributions, and "
        "scipy.stats.uniform, loguniform and randint, called, without a shift of a loguniform. To "
        "fix it at the object itself, put it alone into a list."
    )


def _spelt(value: Any) -> str:
    """Return what a distribution is called: ``scipy.stats.norm(...)``, or its class."""
    home = type(value).__module__.partition(".")[0]
    frozen = getattr(getattr(value, "dist", None), "name", None)
    if home == "scipy" and isinstance(frozen, str):
        return f"scipy.stats.{frozen}(...)"
    if home == "scipy" and isinstance(getattr(value, "name", None), str):
        return f"scipy.stats.{value.name}, not called"
    return f"a {type(value).__module__}.{type(value).__qualname__}"
