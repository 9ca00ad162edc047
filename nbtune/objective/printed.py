"""What a command prints: split into lines, and those that are reports found among them."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from nbtune.context import Reporter

__all__ = ["Lines", "Printed"]

_LONGEST = 64 * 1024  # bytes; a longer line is no report, and is not kept


class Lines:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._part = bytearray()
        self._too_long = False

    def cut(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that end in `chunk`, without those that are too long."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._add(end)
            yield from self.rest()
        self._add(rest)

    def rest(self) -> Iterator[bytes]:
        """Yield what has no line end yet, and begin anew."""
        line, too_long = bytes(self._part), self._too_long
        self._part.clear()
        self._too_long = False
        if line and not too_long:
            yield line

    def _add(self, piece: bytes) -> None:
        self._too_long = self._too_long or len(self._part) + len(piece) > _LONGEST
        if self._too_long:
            self._part.clear()
        else:
            self._part += piece


class Printed:
    """Takes a command's lines; JSON objects that hold the sweep's metric are reports.

    Their step is under the sweep's name for it, or "step". Without one, a line is the next step,
    or, after lines that had a step, the result. No line fails a trial: whatever else is printed is
    only log.

    Parameters
    ----------
    reporter : Reporter or None
        None outside a sweep: lines are only remembered.
    note : callable
        Takes a sentence for the log.
    """

    def __init__(self, reporter: Reporter | None, note: Callable[[str], None]) -> None:
        self._reporter = reporter
        self._note = note
        self._noted = False
        self._has_steps = False
        self._result: dict[str, float] | None = None
        self._last: dict[str, float] | None = None
        self.enabled = True
        self.reported_until = 0

    @property
    def result(self) -> dict[str, float] | None:
        """The metrics that count as what the command returns, None where there are none.

        When no line was a report it is the last line with numbers, so that a metric of another
        name than the sweep's is not passed over in silence.
        """
        if self._result or self.reported_until or not self.enabled:
            return self._result
        return self._last

    def hear(self, line: bytes) -> None:
        """Take a line; report it if it is one. Raises what the sweep's decision raises."""
        said = _object(line)
        if said is None or not self.enabled:
            return
        reporter = self._reporter
        name = reporter.step_name if reporter else "epoch"
        step = said.pop(name, said.pop("step", None))
        metrics = _numbers(said)
        if not metrics:
            return
        self._last = metrics
        if reporter is None or (reporter.metric and reporter.metric not in metrics):
            return
        if step is None and self._has_steps:
            self._result = metrics
        else:
            self._report(reporter, name, step, metrics)

    def _report(self, reporter: Reporter, name: str, step: Any, metrics: dict[str, float]) -> None:
        self._has_steps = self._has_steps or step is not None
        if step is not None and not _is_after(step, reporter.last_step):
            if not self._noted:
                self._noted = True
                self._note(
                    f"{name}={step!r} is passed over, and what else is like it: the last was "
                    f"{reporter.last_step}, steps are whole numbers from 1 and grow"
                )
            return
        given: dict[str, object] = dict(metrics)
        self.reported_until = reporter.last_step + 1 if step is None else int(step)
        reporter.report(step, given, lambda: "a JSON line of the command")


def _object(line: bytes) -> dict[str, Any] | None:
    line = line.strip()
    if not (line.startswith(b"{") and line.endswith(b"}")):
        return None
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _numbers(said: dict[str, Any]) -> dict[str, float]:
    """Return what of a JSON object is a number; one too large for a float is none."""
    found = {}
    for name, value in said.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                found[name] = float(value)
            except OverflowError:
                found[name] = math.copysign(math.inf, value)
    return found


def _is_after(step: Any, last: int) -> bool:
    whole = isinstance(step, int) or (isinstance(step, float) and step.is_integer())
    return whole and not isinstance(step, bool) and step > last
