"""Every error that nbtune raises on purpose.

::

    NbtuneError
    ├── SpaceError(ValueError)        a domain, a space, or params outside it
    ├── ObjectiveError(ValueError)    a cell, function or command that cannot be tuned
    ├── ReportError(ValueError)       a report that breaks the contract, raised in the trial
    ├── SpecError(ValueError)         a wrong option, argument or YAML key; has ``.path``
    ├── QueryError(ValueError)        a query that cannot be read; has ``.position``
    ├── SweepError(RuntimeError)      a sweep that cannot do what was asked
    ├── StoreError(RuntimeError)      the store on disk
    ├── WorkerError(RuntimeError)     worker processes and their channel
    └── TrialError(RuntimeError)      a trial failed; has number, params, worker_traceback

In IPython a user's mistake shows as its one line; `TrialError` adds the traceback from the
worker; `StoreError` and `WorkerError` keep the full traceback.
"""

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "NbtuneError",
    "NbtuneWarning",
    "ObjectiveError",
    "QueryError",
    "ReportError",
    "SpaceError",
    "SpecError",
    "StoreError",
    "SweepError",
    "TrialError",
    "WorkerError",
    "nearest",
]


class NbtuneWarning(UserWarning):
    """A mistake that still works."""


class NbtuneError(Exception):
    """Base of every error that nbtune raises on purpose."""


class _OneLineError(NbtuneError):
    """A user's mistake: IPython shows the line, not nbtune's own frames."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class SpaceError(_OneLineError, ValueError):
    """A domain or space is contradictory, or params lie outside it."""


class ObjectiveError(_OneLineError, ValueError):
    """The cell, function or command cannot be used as an objective."""


class ReportError(NbtuneError, ValueError):
    """A call of ``report`` breaks its contract; the trial fails with it."""


class SpecError(_OneLineError, ValueError):
    """An option, argument or YAML key is wrong; ``path`` says where."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.path)


class QueryError(_OneLineError, ValueError):
    """A query cannot be read; ``position`` is the 0-based offset of the trouble."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.position)


class SweepError(_OneLineError, RuntimeError):
    """A sweep cannot do what was asked of it, or ended for a reason worth an error.

    Attributes
    ----------
    traceback_text : str
        Where it comes from an error in a searcher, scheduler or stop rule: that error's traceback.
    """

    def __init__(self, message: str, traceback_text: str = "") -> None:
        super().__init__(message)
        self.traceback_text = traceback_text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.traceback_text)

    def _render_traceback_(self) -> list[str]:
        lines = self.traceback_text.rstrip().splitlines()
        return [*lines, *super()._render_traceback_()]


class StoreError(NbtuneError, RuntimeError):
    """The store on disk cannot be opened, read or written."""


class WorkerError(NbtuneError, RuntimeError):
    """Worker processes or their channel do not work."""


class TrialError(NbtuneError, RuntimeError):
    """A trial failed.

    Attributes
    ----------
    number : int
        The trial's number in its sweep, from 0.
    params : dict
        The params that it ran on.
    worker_traceback : str
        The user's traceback as the worker formatted it; empty when the process died.
    """

    def __init__(
        self, message: str, number: int = -1, params: Any = None, worker_traceback: str = ""
    ) -> None:
        super().__init__(message)
        self.number = number
        self.params = params or {}
        self.worker_traceback = worker_traceback

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.number, self.params, self.worker_traceback)

    def _render_traceback_(self) -> list[str]:
        return [*self.worker_traceback.rstrip().splitlines(), f"{type(self).__name__}: {self}"]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"Did you mean 'x'? Known: x, y."``, or only the second half when nothing is near."""
    known = list(known)
    lowered = {name.lower(): name for name in known}
    match = difflib.get_close_matches(word.lower(), lowered, n=1)
    hint = f"Did you mean {lowered[match[0]]!r}? " if match else ""
    return f"{hint}Known: {', '.join(known)}."
