"""What every kind of objective becomes: a space, and a call that can be sent to a worker."""

import asyncio
import contextvars
import linecache
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

from nbtune.space import Constant, Space
from nbtune.trial import Params

__all__ = ["Call", "Objective", "Sources", "Title", "finish", "fixed_max_t"]

Title: TypeAlias = Callable[[str], str | None]
"""Gives the name that the user knows a file of code by, None where it has no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is tuned.

    Attributes
    ----------
    name : str
        What the function is called, "cell" for a cell.
    space : Space
        What is searched, and what is fixed.
    source : str
        Its code as the user wrote it; empty when that is not known.
    call : callable
        Takes params and returns what the user's code returns; `payload.write` sends it.
    max_t : int or None
        The steps of one full trial, where the code fixes them as ``epochs`` or ``max_t``.
    """

    name: str
    space: Space
    source: str
    call: Callable[[Params], Any]
    max_t: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The text of code that is in no file, so that a worker's traceback can show its lines.

    Attributes
    ----------
    lines : dict of str to list of str
        By the name shown in the traceback, the lines with their ends, from line 1.
    titles : dict of str to str
        That name, by the file name that the driver's code objects carry; only where they differ.
    """

    lines: Mapping[str, list[str]]
    titles: Mapping[str, str]

    def install(self) -> None:
        """Make this process's tracebacks show these lines."""
        for name, lines in self.lines.items():
            # Without a time stamp `linecache.checkcache` leaves the entry alone.
            linecache.cache[name] = (sum(map(len, lines)), None, lines, name)


class Call(ABC):
    """An objective as a worker calls it."""

    sources: Sources
    advice: str
    """What to do about a part that cannot be sent."""
    renew: Callable[[], Callable[[Params], Any]] | None = None
    """Gives a fresh one; whoever loads a call from a payload says how."""

    @abstractmethod
    def __call__(self, params: Params) -> Any:
        """Run one trial and return what the user's code returns."""

    @abstractmethod
    def parts(self) -> Mapping[str, Any]:
        """Return what is sent to a worker, by the names that the user knows."""

    def shared_globals(self) -> dict[int, dict[str, Any]]:
        """Return which dict replaces a namespace, by its id, as the globals of its functions."""
        return {}


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, also from inside a running event loop, and return its result."""
    code = getattr(coroutine, "cr_code", None)
    try:
        return _run_in_thread(coroutine) if _loop_is_running() else asyncio.run(coroutine)
    except BaseException as error:
        # A traceback without asyncio's frames begins where the user's code does.
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code is not code:
            trace = trace.tb_next
        error.__traceback__ = trace or error.__traceback__
        raise


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_in_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    # A loop cannot be entered twice, and in a notebook the main thread is always inside one.
    context = contextvars.copy_context()  # it holds the trial's reporter
    with ThreadPoolExecutor(1, thread_name_prefix="nbtune-await") as executor:
        return executor.submit(context.run, asyncio.run, coroutine).result()


def fixed_max_t(space: Mapping[str, Any], plain: Mapping[str, Any]) -> int | None:
    """Return the steps of a full trial where ``epochs`` or ``max_t`` fixes them.

    `plain` holds the values of names that the space does not have.
    """
    for name in ("epochs", "max_t"):
        domain = space.get(name)
        fixed = domain.value if isinstance(domain, Constant) else None
        value = plain.get(name) if domain is None else fixed
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
