"""A value that cannot be sent to a worker process, made there once by a function."""

import secrets
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from nbtune.exceptions import ObjectiveError

__all__ = ["per_worker"]

T = TypeVar("T")

_made: dict[str, Any] = {}
_lock = threading.RLock()


class _PerWorker(Generic[T]):
    """Calls a function once in each process; `token` names the value there."""

    def __init__(self, function: Callable[[], T], token: str) -> None:
        self._function = function
        self._token = token
        self.__doc__ = function.__doc__

    def __call__(self) -> T:
        """Return the value, made at the first call in this process."""
        with _lock:
            if self._token not in _made:
                _made[self._token] = self._function()
            value: T = _made[self._token]
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        return _PerWorker, (self._function, self._token)


def per_worker(function: Callable[[], T]) -> Callable[[], T]:
    """Make a function without arguments run once in each process, which keeps what it returns.

    For what cannot be sent to workers or takes long to make, such as an XGBoost ``DMatrix``: trials
    call it, and those of one worker process share the value. It is no trial's own: a trial that
    changes it changes it for later ones.

    Raises
    ------
    ObjectiveError
        When it cannot be called.
    """
    if not callable(function):
        raise ObjectiveError(f"per_worker({function!r}): give a function without arguments")
    return _PerWorker(function, secrets.token_hex(8))
