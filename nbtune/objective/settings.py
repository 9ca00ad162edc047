"""What a notebook has set in its process that changes what the same code computes or says.

Each part is plain data, taken in the thread of the notebook and set again where trials run. A
library that the notebook has not imported is not looked at, and one whose settings are as it makes
them is not imported for their sake.
"""

import decimal
import importlib
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Any, TypeAlias, cast

__all__ = ["Settings", "numeric", "set_again", "taken"]

Settings: TypeAlias = Mapping[str, Any]
"""By the name of its library: ``(whether they differ from what the library makes, settings)``."""

_PRINTED = {
    "edgeitems": 3,
    "threshold": 1000,
    "floatmode": "maxprec",
    "precision": 8,
    "suppress": False,
    "linewidth": 75,
    "nanstr": "nan",
    "infstr": "inf",
    "sign": "-",
    "legacy": False,
}
"""The options for printing that `numpy.set_printoptions` begins with."""

_TORCH = {
    "dtype": "float32",
    "device": "cpu",
    "precision": "highest",
    "deterministic": False,
    "warn_only": False,
    "grad": True,
    "cudnn_deterministic": False,
    "cudnn_benchmark": False,
}


def taken() -> Settings:
    """Return the settings of this process, as the calling thread has them."""
    parts: dict[str, Any] = {
        "warnings": (True, [_filter(each) for each in warnings.filters]),
        "logging": (True, _logging()),
        "decimal": (True, decimal.getcontext().copy()),
    }
    for name, take in _LIBRARIES.items():
        if name in sys.modules:
            parts[name] = take(sys.modules[name])
    return parts


def numeric(settings: Settings) -> Settings:
    """Return those that trials compute by, which some libraries keep for each thread."""
    return {name: part for name, part in settings.items() if name in ("decimal", *_LIBRARIES)}


def set_again(settings: Settings) -> None:
    """Set in this process what another has `taken`."""
    for name, (differs, values) in settings.items():
        if differs or name in sys.modules:
            _SETTERS[name](sys.modules.get(name) or importlib.import_module(name), values)


def _fresh(call: Callable[[], Any]) -> Any:
    """Return what `call` returns in a thread that has set nothing yet."""
    returned: list[Any] = []
    thread = threading.Thread(target=lambda: returned.append(Context().run(call)))
    try:
        thread.start()
    except RuntimeError:  # no thread is to be had: what is set here counts as what all have
        return call()
    thread.join()
    return returned[0]


# --- numpy, sklearn, torch


def _numpy(numpy: Any) -> tuple[bool, Any]:
    errors, printed = numpy.geterr(), numpy.get_printoptions()
    printed = {name: printed[name] for name in _PRINTED}
    return errors != _fresh(numpy.geterr) or printed != _PRINTED, (errors, printed)


def _set_numpy(numpy: Any, values: Any) -> None:
    errors, printed = values
    if numpy.geterr() != errors:
        numpy.seterr(**errors)
    # To set them takes 5 times as long as to look. What is not in `printed` is None by itself.
    if any(value != printed.get(name) for name, value in numpy.get_printoptions().items()):
        numpy.set_printoptions(**printed)


def _sklearn(sklearn: Any) -> tuple[bool, Any]:
    config = sklearn.get_config()
    return config != _fresh(sklearn.get_config), config


def _torch(torch: Any) -> tuple[bool, Any]:
    device = getattr(torch, "get_default_device", lambda: torch.device("cpu"))()
    values = {
        "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "device": device.type,  # which one is the slot's affair
        "precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "grad": torch.is_grad_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }
    return values != _TORCH, values


def _set_torch(torch: Any, values: Any) -> None:
    torch.set_default_dtype(getattr(torch, values["dtype"]))
    if values["device"] != "cpu":
        torch.set_default_device(values["device"])
    torch.set_float32_matmul_precision(values["precision"])
    torch.use_deterministic_algorithms(values["deterministic"], warn_only=values["warn_only"])
    torch.set_grad_enabled(values["grad"])
    torch.backends.cudnn.deterministic = values["cudnn_deterministic"]
    torch.backends.cudnn.benchmark = values["cudnn_benchmark"]


# --- the standard library


def _filter(entry: Any) -> tuple[Any, ...]:
    """Return a filter of warnings without its classes, which only some processes can import."""
    action, message, category, module, line = entry
    patterns = [getattr(each, "pattern", each) for each in (message, module)]
    return action, patterns[0], category.__module__, category.__qualname__, patterns[1], line


def _set_filters(_module: Any, entries: Any) -> None:
    warnings.resetwarnings()
    for action, message, home, name, module, line in reversed(entries):
        # `filterwarnings` would refuse what is in the list as None, and compile anew.
        category = _category(home, name)
        warnings.filterwarnings(action, message or "", category, module or "", line)


def _category(home: str, name: str) -> type[Warning]:
    """Return a category, or a stand-in where its library has not been imported here.

    NumPy has a filter for a category of its own: with it each process would import NumPy.
    """
    found = getattr(sys.modules.get(home), name, None)
    if isinstance(found, type) and issubclass(found, Warning):
        return found
    return cast("type[Warning]", _StandIn(name, (Warning,), {"__module__": home}))


class _StandIn(type):
    """The type of a category of warnings that stands for the one of the same name and module."""

    def __subclasscheck__(cls, category: type) -> bool:
        return any(
            (each.__module__, each.__qualname__) == (cls.__module__, cls.__name__)
            for each in category.__mro__
        )


def _logging() -> dict[str, Any]:
    loggers = logging.root.manager.loggerDict
    return {
        "level": logging.root.level,
        "levels": {
            name: each.level
            for name, each in list(loggers.items())
            if isinstance(each, logging.Logger) and each.level != logging.NOTSET
        },
        "handlers": [_handler(each) for each in logging.root.handlers if _is_plain(each)],
    }


def _is_plain(handler: logging.Handler) -> bool:
    """Whether a handler writes to the notebook's output, as `logging.basicConfig` makes it."""
    return type(handler) is logging.StreamHandler and type(handler.formatter) in (
        logging.Formatter,
        type(None),
    )


def _handler(handler: Any) -> tuple[str, int, logging.Formatter | None]:
    stream = "stdout" if handler.stream in (sys.stdout, sys.__stdout__) else "stderr"
    return stream, handler.level, handler.formatter


_ours: list[logging.Handler] = []  # that were put there for the last trial


def _set_logging(_module: Any, values: Any) -> None:
    logging.root.setLevel(values["level"])
    for name, level in values["levels"].items():
        logging.getLogger(name).setLevel(level)
    while _ours:
        logging.root.removeHandler(_ours.pop())
    for stream, level, formatter in values["handlers"]:
        handler = logging.StreamHandler(getattr(sys, stream))
        handler.setLevel(level)
        handler.setFormatter(formatter)
        logging.root.addHandler(handler)
        _ours.append(handler)


_LIBRARIES: dict[str, Callable[[Any], tuple[bool, Any]]] = {
    "numpy": _numpy,
    "sklearn": _sklearn,
    "torch": _torch,
}
_SETTERS: dict[str, Callable[[Any, Any], object]] = {
    "decimal": lambda decimal, context: decimal.setcontext(context.copy()),
    "logging": _set_logging,
    "numpy": _set_numpy,
    "sklearn": lambda sklearn, config: sklearn.set_config(**config),
    "torch": _set_torch,
    "warnings": _set_filters,
}
