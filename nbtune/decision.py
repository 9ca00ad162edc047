"""What may be decided about a running trial at its milestone."""

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Complete", "Continue", "Decision", "Reject", "Stop"]


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on; ask again at the first report at or past step ``until``, never when it is None."""

    until: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """End the trial early; ``reason`` is shown to the user, "rung 3: below the best third"."""

    reason: str


@dataclass(frozen=True, slots=True)
class Complete:
    """End the trial because it has spent all that one trial may spend; it counts as completed."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """Fail the trial with a `ReportError` that says what to change in its reports."""

    message: str


Decision: TypeAlias = Continue | Stop | Complete | Reject
