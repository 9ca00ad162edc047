"""Samplers and pruners of Optuna, by name or as instances; Optuna is imported only here, if at all.

Optuna is the extra ``optuna``: nothing of nbtune imports it before a part of it is asked for.
"""

import contextlib
import importlib
import importlib.util
import inspect
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from nbtune.exceptions import SpecError, nearest

__all__ = ["STUDY", "create_storage", "optuna_part", "quiet", "require_optuna", "spelled"]

STUDY = "nbtune"  # a fixed name: some of Optuna's choices depend on the study's
_NEEDS = {"CmaEsSampler": "cmaes", "GPSampler": "torch"}  # no dependencies of Optuna
_LOCK = threading.Lock()
_levels: list[int] = []  # of Optuna's log before it was quiet, once for each who wants it so


def require_optuna(owner: str, path: str) -> Any:
    """Return the module ``optuna``.

    Raises
    ------
    SpecError
        When it is not installed; `owner` is who needs it, `path` the option that asked for it.
    """
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise SpecError(
            f"{owner} needs Optuna, which cannot be imported: {error}. "
            "Install it: pip install 'nbtune[optuna]'",
            path,
        ) from error


def optuna_part(
    owner: str, word: str, value: object, options: Mapping[str, Any], *, seed: int | None = None
) -> Any:
    """Return `value`, one of Optuna's, or the one that its name and `options` make.

    Parameters
    ----------
    owner : str
        Who was given it, for the message.
    word : {"sampler", "pruner"}
        The kind; its classes are those of ``optuna.samplers`` or ``optuna.pruners``.
    value : object
        An instance, or the name of a class.
    options : mapping
        The class's keyword arguments; with an instance there are none.
    seed : int, optional
        Given to a class named that takes a seed, when `options` has none.

    Raises
    ------
    SpecError
        When Optuna is missing, the name is unknown, the options are refused, or `value` is
        neither.
    """
    path = "searcher" if word == "sampler" else "scheduler"
    optuna = require_optuna(owner, path)
    module = getattr(optuna, f"{word}s")
    base = getattr(module, f"Base{word.capitalize()}")
    if isinstance(value, base) and not options:
        _check_needs(owner, type(value).__name__, path)
        return value
    if isinstance(value, base):
        raise SpecError(
            f"{owner}({spelled(value, options)}): options belong to a {word} given by name. "
            f"Give them to {type(value).__name__} itself.",
            path,
        )
    known = [name for name in module.__all__ if name != base.__name__ and name[0].isupper()]
    if not isinstance(value, str) or value not in known:
        raise SpecError(
            f"{owner}({value!r}): allowed are an Optuna {word} and the name of one. "
            f"{nearest(str(value), known)}",
            path,
        )
    _check_needs(owner, value, path)
    found = getattr(module, value)
    options = dict(options)
    if seed is not None and "seed" in inspect.signature(found).parameters:
        options.setdefault("seed", seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return found(**options)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{owner}({spelled(value, options)}): {error}", path) from error


def create_storage(n_objectives: int = 1) -> Any:
    """Return a storage in memory with one study, `STUDY`, of scores of which higher is better."""
    optuna = importlib.import_module("optuna")
    storage = optuna.storages.InMemoryStorage()
    with quiet():
        storage.create_new_study([optuna.study.StudyDirection.MAXIMIZE] * n_objectives, STUDY)
    return storage


def spelled(value: object, options: Mapping[str, Any]) -> str:
    """Return how a person would write a part: its name with options, or its class."""
    if isinstance(value, str):
        return ", ".join([repr(value), *(f"{key}={item!r}" for key, item in options.items())])
    return f"{type(value).__name__}(...)"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let Optuna log errors only; then what it did before.

    Its warnings are about a sampler that draws a conditional param at random; as each suggestion
    is asked of a new copy, they would come at every trial.
    """
    logs = importlib.import_module("optuna").logging
    with _LOCK:  # sweeps in several threads may want it at once: the last one out restores
        _levels.append(_levels[0] if _levels else logs.get_verbosity())
        logs.set_verbosity(max(_levels[0], logs.ERROR))
    try:
        yield
    finally:
        with _LOCK:
            before = _levels.pop()
            if not _levels:
                logs.set_verbosity(before)


def _check_needs(owner: str, name: str, path: str) -> None:
    """Refuse a sampler whose package is missing: it would tell only after some trials."""
    package = _NEEDS.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        raise SpecError(
            f"{owner}: {name} needs {package}, which is not installed. "
            f"Install it: pip install {package}",
            path,
        )
