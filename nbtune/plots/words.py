"""Numbers, times and counts as people read them: the same words in every view."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nbtune.progress import duration
from nbtune.trial import Goal, Status

__all__ = [
    "aligned",
    "counted",
    "duration",
    "number",
    "param",
    "plural",
    "ranked_by",
    "shortened",
]

_STATUS_WORDS = {
    Status.COMPLETED: "completed",
    Status.STOPPED: "stopped early",
    Status.FAILED: "failed",
    Status.RUNNING: "running",
    Status.PAUSED: "paused",
    Status.PENDING: "pending",
}


def number(value: float | None, digits: int = 4) -> str:
    """Return `value` with `digits` significant digits: "0.9677", "1.94e-6", "NaN"; "" for None."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 10**digits:
        return str(int(value))
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        power = int(exponent)
        # 123456.7 as "123457" is easier to read than as "1.235e5".
        text = f"{value:.0f}" if digits <= power < 7 else f"{mantissa}e{power}"
    return text


def aligned(values: Sequence[float | None], digits: int = 4) -> list[str]:
    """Return numbers for one column, with the same decimals unless their sizes are far apart."""
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v) and v]
    if not sizes or max(sizes) >= 10**digits or max(sizes) < 1e-3:
        return [number(v, digits) for v in values]
    decimals = max(0, digits - 1 - math.floor(math.log10(max(sizes))))
    decimals = min(decimals, digits)
    if min(sizes) < 10.0**-decimals:
        return [number(v, digits) for v in values]
    return [
        number(v, digits) if v is None or not math.isfinite(v) else f"{v:.{decimals}f}"
        for v in values
    ]


def param(value: Any) -> str:
    """Return a param's value in a few characters: three significant digits, names of functions."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number(value, 3)
    if isinstance(value, str):
        return shortened(value)
    name = getattr(value, "__name__", None)
    return shortened(name if isinstance(name, str) else repr(value))


def shortened(text: str, length: int = 32) -> str:
    """Return `text` in at most `length` characters, its middle left out."""
    text = " ".join(text.split())
    if len(text) <= length:
        return text
    head = (length - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def plural(count: int, noun: str) -> str:
    """Return "1 trial", "2 trials", "1,000 trials"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def ranked_by(goal: Goal, step_name: str) -> str:
    """Return the metric, and which of its values counts: "loss", "loss, best of epochs"."""
    return goal.metric if goal.by == "last" else f"{goal.metric}, best of {step_name}s"


def counted(counts: Mapping[Status, int]) -> list[tuple[Status, str]]:
    """Return the statuses that occur, each with its words: (STOPPED, "29 stopped early")."""
    return [(s, f"{counts[s]:,} {word}") for s, word in _STATUS_WORDS.items() if counts.get(s)]
