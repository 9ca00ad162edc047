"""Polyaxon's ``utilityFunction`` of a bayes matrix, as options of `Bayes`."""

import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

from nbtune.exceptions import SpecError, nearest

__all__ = ["options_of_utility"]

_PATH = "utilityFunction"
_ACQUISITIONS = {"ucb": "LCB", "ei": "EI", "poi": "PI"}
_KERNELS = ("matern", "rbf")
_KAPPA = 2.576
_KEYS = (
    "acquisitionFunction", "kappa", "eps", "gaussianProcess", "numWarmup", "numIterations",
)  # fmt: skip
_PROCESS_KEYS = ("kernel", "lengthScale", "nu", "numRestartsOptimizer")
_JITTER = 1e-6  # of the variance of scores: without any, near repeats make the matrix singular


def options_of_utility(utility: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of `Bayes` for a ``utilityFunction``, keys in either case.

    ===================== ===========================================================
    acquisitionFunction   "ucb" (default): mean + kappa * std of the score, which is
                          the "LCB" of the loss; "ei": "EI"; "poi": "PI"
    kappa                 default 2.576
    eps                   `Bayes`'s ``xi``, in standard deviations of the scores and
                          not in their unit; default 0
    gaussianProcess       scikit-learn's process instead of `Bayes`'s own: kernel
                          "matern" (default) or "rbf", lengthScale (1.0), where its fit
                          begins, nu (1.5; for matern), numRestartsOptimizer (0)
    numWarmup,            checked, and without effect: `Bayes` has its own way to look
    numIterations         for the most promising point
    ===================== ===========================================================

    Parameters
    ----------
    utility : mapping
        An empty one asks for "ucb".

    Raises
    ------
    SpecError
        When a key is not known or comes in both cases, or a value is not allowed.
    """
    given = _plain(utility, _KEYS, _PATH)
    for key in "numWarmup", "numIterations":
        _count(given, key, 1, _PATH)
    kind = given.get("acquisitionFunction", "ucb")
    if not isinstance(kind, str) or kind not in _ACQUISITIONS:
        raise _refused(_PATH, "acquisitionFunction", kind, nearest(str(kind), _ACQUISITIONS))
    options: dict[str, Any] = {
        "acquisition": _ACQUISITIONS[kind],
        "kappa": _number(given, "kappa", _KAPPA, _PATH),
        "xi": _number(given, "eps", 0.0, _PATH),
    }
    if (process := given.get("gaussianProcess")) is not None:
        options["base_estimator"] = _process(process)
    return options


def _process(spec: Any) -> Any:
    """Return the regressor that a ``gaussianProcess`` asks for."""
    from sklearn.gaussian_process import (  # noqa: PLC0415 - costs a second
        GaussianProcessRegressor,
        kernels,
    )

    path = f"{_PATH}.gaussianProcess"
    given = _plain(spec, _PROCESS_KEYS, path)
    kind = given.get("kernel", "matern")
    if kind not in _KERNELS:
        raise _refused(path, "kernel", kind, nearest(str(kind), _KERNELS))
    length = _number(given, "lengthScale", 1.0, path, above=True)
    nu = _number(given, "nu", 1.5, path, above=True)
    restarts = _count(given, "numRestartsOptimizer", 0, path)
    kernel = kernels.Matern(length, nu=nu) if kind == "matern" else kernels.RBF(length)
    return GaussianProcessRegressor(kernel, alpha=_JITTER, n_restarts_optimizer=restarts)


def _plain(spec: Any, known: tuple[str, ...], path: str) -> dict[str, Any]:
    """Return a mapping with its keys in camel case."""
    if not isinstance(spec, Mapping):
        raise SpecError(f"{path}: got {spec!r}, allowed are {', '.join(known)} with values", path)
    plain: dict[str, Any] = {}
    for key, value in spec.items():
        camel = re.sub(r"_([a-z])", lambda found: found[1].upper(), str(key))
        if camel not in known:
            raise SpecError(f"{path}: unknown key {key!r}. {nearest(camel, known)}", path)
        if camel in plain:
            raise SpecError(f"{path}: {camel!r} is there in both cases; drop one", path)
        plain[camel] = value
    return plain


def _number(
    given: Mapping[str, Any], key: str, default: float, path: str, *, above: bool = False
) -> float:
    value = given.get(key, default)
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if number and math.isfinite(value) and (value > 0 if above else value >= 0):
        return float(value)
    raise _refused(path, key, value, f"needs a number {'above' if above else 'of at least'} 0")


def _count(given: Mapping[str, Any], key: str, least: int, path: str) -> int:
    value = given.get(key, least)
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    raise _refused(path, key, value, f"needs an integer of at least {least}")


def _refused(path: str, key: str, value: Any, why: str) -> SpecError:
    return SpecError(f"{path}.{key}: got {value!r}: {why}", f"{path}.{key}")
