"""An objective as a worker calls it: what travels, and how it runs there.

Kept free of the space, and so of NumPy: a worker is up sooner, and smaller, without.
"""

import contextvars
import inspect
import linecache
import numbers
import sys
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbtune.context import active_reporter
from nbtune.trial import Params

__all__ = ["PARAMS", "RESULT", "Call", "CellCall", "FunctionCall", "Sources", "display", "finish"]

PARAMS = "__nbtune_params__"
"""The global of a running cell that holds its params."""

RESULT = "__nbtune_result__"
"""The global of a cell that has run that holds the value of its last expression."""


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

    @staticmethod
    def how_to_report(step: str, metric: str) -> str:
        """Return what to write so that the sweep gets a metric."""
        return f"Call report({step}=..., {metric}=...) or return the value."

    def namespace(self) -> Mapping[str, Any]:
        """Return the globals that the code runs in."""
        return {}

    def shared_globals(self) -> dict[int, dict[str, Any]]:
        """Return which dict replaces a namespace, by its id, as the globals of its functions."""
        return {}


class FunctionCall(Call):
    """Calls a function with params as keywords."""

    advice = "Create it inside the function, or give the function what it takes to create it."

    def __init__(self, function: Callable[..., Any], name: str, sources: Sources) -> None:
        self.function = function
        self.name = name
        self.sources = sources

    def __call__(self, params: Params) -> Any:
        """Run one trial and return what the function returns, or what its coroutine does."""
        self.sources.install()
        returned = self.function(**params)
        return finish(returned) if inspect.iscoroutine(returned) else returned

    def parts(self) -> Mapping[str, Any]:
        """Return the function by its name."""
        return {self.name: self.function}

    def namespace(self) -> Mapping[str, Any]:
        """Return the function's globals."""
        return getattr(self.function, "__globals__", {})

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.function, self.name, self.sources)


class CellCall(Call):
    """Runs a cell's code in globals of its own.

    Parameters
    ----------
    code : types.CodeType
        The cell, its dimensions taken from `PARAMS`.
    variables : dict
        The notebook's variables that it uses.
    sources : Sources
    namespace : dict
        The notebook's; only its identity counts: functions defined in it get the cell's globals.
    modules : sequence of modules
        What the code finds through its package: loading the call imports them.
    """

    advice = (
        "Create it inside the cell, or in a function under @nbtune.per_worker, which runs once in "
        "each worker process."
    )

    def __init__(
        self,
        code: types.CodeType,
        variables: Mapping[str, Any],
        sources: Sources,
        namespace: Mapping[str, Any],
        modules: Sequence[types.ModuleType] = (),
    ) -> None:
        self.sources = sources
        self._modules = tuple(modules)
        self._code = code
        self._globals = {"__name__": "__main__", "display": display, **variables}
        self._variables = variables
        self._namespace: Mapping[str, Any] | None = namespace
        self._fresh = False

    def __call__(self, params: Params) -> Any:
        """Run the cell once; return the value of its last expression where that is its result.

        Returns
        -------
        number, dict of str to number, or None
            None when the trial has reported: a cell ends in whatever the notebook shall show.
            None too when the last expression is neither a number nor numbers by name.
        """
        if not self._fresh:
            return self._another()(params)
        self._fresh = False
        self.sources.install()
        self._globals[PARAMS] = params
        running = eval(self._code, self._globals)
        if inspect.iscoroutine(running):
            finish(running)
        reporter = active_reporter()
        if reporter is not None and reporter.has_reported:
            return None
        return _metrics(self._globals.get(RESULT))

    def parts(self) -> Mapping[str, Any]:
        """Return the notebook's variables that the cell uses."""
        return self._variables

    def namespace(self) -> Mapping[str, Any]:
        """Return the cell's globals."""
        return self._globals

    def shared_globals(self) -> dict[int, dict[str, Any]]:
        """Return the cell's globals, in place of the notebook's namespace."""
        return {} if self._namespace is None else {id(self._namespace): self._globals}

    def _another(self) -> Callable[[Params], Any]:
        """Return one that has not run yet."""
        if self.renew is not None:
            return self.renew()
        from nbtune.objective.payload import duplicate  # noqa: PLC0415 - it needs `Call`

        return duplicate(self)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._code, self._globals, self.sources, self._modules

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._code, self._globals, self.sources, self._modules = state
        self._variables = self._globals
        self._namespace = None
        self._fresh = True


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, also from inside a running event loop, and return its result."""
    import asyncio  # noqa: PLC0415 - most trials do without it

    code = getattr(coroutine, "cr_code", None)
    try:
        return _in_thread(asyncio.run, coroutine) if _loop_is_running() else asyncio.run(coroutine)
    except BaseException as error:
        # A traceback without asyncio's frames begins where the user's code does.
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code is not code:
            trace = trace.tb_next
        error.__traceback__ = trace or error.__traceback__
        raise


def _loop_is_running() -> bool:
    from asyncio import get_running_loop  # noqa: PLC0415 - as above

    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_thread(run: Callable[..., Any], coroutine: Coroutine[Any, Any, Any]) -> Any:
    # A loop cannot be entered twice, and in a notebook the main thread is always inside one.
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - as above

    context = contextvars.copy_context()  # it holds the trial's reporter
    with ThreadPoolExecutor(1, thread_name_prefix="nbtune-await") as executor:
        return executor.submit(context.run, run, coroutine).result()


def display(*objects: Any, **_options: Any) -> None:
    """Write what a cell displays to its trial's log."""
    for each in objects:
        sys.stdout.write(f"{each!r}\n")


def _metrics(value: Any) -> Any:
    """Return a number, or a dict of numbers by names, as plain Python; None for all else."""
    if not isinstance(value, Mapping):
        return _number(value)
    metrics = {name: _number(item) for name, item in value.items() if isinstance(name, str)}
    whole = len(metrics) == len(value) and None not in metrics.values()
    return metrics if metrics and whole else None


def _number(value: Any) -> int | float | None:
    """Return a number, NumPy's and PyTorch's included, as plain Python; None for all else."""
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    return value if isinstance(value, int) else float(value)
