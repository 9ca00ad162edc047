"""What a trial may change about its process, the interpreter's state and the kernel's, put back.

What cannot be put back is told, so that the process ends instead of taking another trial.
"""

import builtins
import gc
import os
import resource
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

__all__ = ["ProcessState"]

_Setting = tuple[str, Callable[[], Any], Callable[[Any], object]]
"""A name, what reads the value and what sets it."""
_SELDOM = 0.001  # seconds of trials between two looks at what the kernel knows
_LIMITS = [  # that a later trial would fail at
    getattr(resource, f"RLIMIT_{name}")
    for name in ("AS", "CPU", "DATA", "FSIZE", "NOFILE", "NPROC", "STACK")
]
_CLOCKS = "gmtime", "localtime", "monotonic", "perf_counter", "sleep", "strftime", "time"
_FUNCTIONS = [  # that libraries replace, to freeze time for one
    *((vars(time), name) for name in (*_CLOCKS, "monotonic_ns", "perf_counter_ns", "time_ns")),
    *((vars(builtins), name) for name in ("__import__", "input", "open", "print")),
]


def _hooks() -> list[_Setting]:
    """Return the hooks of the interpreter, each with what reads and what sets it."""
    return [
        (f"{home.__name__}.{name}", partial(getattr, home, name), partial(setattr, home, name))
        for home, name in (
            (sys, "excepthook"),
            (sys, "unraisablehook"),
            (threading, "excepthook"),
            (warnings, "showwarning"),
        )
    ]


def _settings() -> list[_Setting]:
    """Return the interpreter's settings."""
    sockets = sys.modules["socket"]  # the channel's
    return [
        ("gc.isenabled()", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
        ("gc.get_threshold()", gc.get_threshold, lambda value: gc.set_threshold(*value)),
        ("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
        ("the profiler", sys.getprofile, sys.setprofile),
        ("the tracer", sys.gettrace, sys.settrace),
        ("the threads' profiler", threading.getprofile, threading.setprofile),
        ("the threads' tracer", threading.gettrace, threading.settrace),
        *_monitoring(),
        ("the sockets' timeout", sockets.getdefaulttimeout, sockets.setdefaulttimeout),
        *_hooks(),
    ]


def _attributes() -> list[_Setting]:
    """Return the process's attributes, as the kernel has them."""
    return [
        ("nice", _nice, lambda value: os.setpriority(os.PRIO_PROCESS, 0, value)),
        (
            "its cores",
            lambda: os.sched_getaffinity(0),
            lambda value: os.sched_setaffinity(0, value),
        ),
        ("its users", os.getresuid, lambda value: os.setresuid(*value)),
        ("its groups", os.getresgid, lambda value: os.setresgid(*value)),
        ("its further groups", os.getgroups, os.setgroups),
        ("its root directory", _root, _refuse),
    ]


class ProcessState:
    """The state that every trial of this process finds: as it is now."""

    def __init__(self) -> None:
        self._settings = [(name, read, put, read()) for name, read, put in _settings()]
        self._attributes = [(name, read, put, read()) for name, read, put in _attributes()]
        self._unchecked = 0.0
        self._limits = [resource.getrlimit(number) for number in _LIMITS]
        self._path = sys.path, sys.path.copy()
        self._filters = list(warnings.filters)
        self._functions = [(content, name, content[name]) for content, name in _FUNCTIONS]
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most_descriptors = soft // 2

    def restore(self, elapsed: float) -> str:
        """Put all back after a trial of `elapsed` seconds.

        The kernel is asked only once in a while where trials are short: it takes 10 to 30 us.

        Returns
        -------
        str
            What could not be put back, "" for nothing.
        """
        self._restore_path()
        self._restore_filters()
        self._restore_functions()
        lost = _put_back(self._settings)
        self._unchecked += elapsed
        if self._unchecked > _SELDOM:
            self._unchecked = 0.0
            lost = lost or _put_back(self._attributes)
            lost = lost or self._restore_limits() or self._many_descriptors()
        return lost

    def _restore_limits(self) -> str:
        for number, value in zip(_LIMITS, self._limits, strict=True):
            if resource.getrlimit(number) != value:
                try:
                    resource.setrlimit(number, value)
                except (OSError, ValueError):
                    return f"a limit on its resources (number {number})"
        return ""

    def _many_descriptors(self) -> str:
        """Name them where half of those that the process may have are taken."""
        try:
            lowest_free = os.dup(0)
        except OSError:
            return "its descriptors"
        os.close(lowest_free)
        return "its descriptors" if lowest_free > self._most_descriptors else ""

    def _restore_path(self) -> None:
        path, content = self._path
        sys.path = path
        if path != content:
            path[:] = content

    def _restore_filters(self) -> None:
        """Take out the filters for all warnings that are new.

        One that names a message or a module is a library's as a rule, set as it is imported: it
        would not be set again.
        """
        filters = cast("list[Any]", warnings.filters)
        if filters == self._filters:
            return
        known = set(self._filters)
        kept = [each for each in filters if each in known or each[1] or each[3]]
        self._filters = kept + [each for each in self._filters if each not in kept]
        filters[:] = self._filters
        warnings._filters_mutated()  # type: ignore[attr-defined]

    def _restore_functions(self) -> None:
        for content, name, function in self._functions:
            if content[name] is not function:
                content[name] = function


def _put_back(settings: Sequence[tuple[*_Setting, Any]]) -> str:
    """Give each its value; return the name of one that does not take it."""
    for name, read, put, value in settings:
        if read() != value:
            try:
                put(value)
            except (OSError, ValueError, RecursionError):
                return name
    return ""


def _nice() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def _root() -> tuple[int, int]:
    try:
        about = os.stat("/")  # noqa: PTH116 - after every trial
    except OSError:
        return 0, 0
    return about.st_dev, about.st_ino


def _monitoring() -> list[_Setting]:
    """Return who monitors the interpreter: profilers and debuggers, from Python 3.12 on."""
    if sys.version_info < (3, 12):
        return []
    return [("its monitoring tools", lambda: [*map(sys.monitoring.get_tool, range(6))], _refuse)]


def _refuse(_value: object) -> None:
    raise ValueError
