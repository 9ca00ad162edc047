"""What may be decided: about a trial at its milestone, and about a slot that is free."""

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "Complete",
    "Continue",
    "Decision",
    "Move",
    "Pause",
    "Promote",
    "Reject",
    "Sample",
    "Stop",
    "Wait",
]


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


@dataclass(frozen=True, slots=True)
class Pause:
    """End the trial's run for now; it may be promoted later. ``reason`` says how it stands."""

    reason: str


Decision: TypeAlias = Continue | Stop | Complete | Reject | Pause


@dataclass(frozen=True, slots=True)
class Sample:
    """Give the free slot to a new trial."""


@dataclass(frozen=True, slots=True)
class Promote:
    """Give the free slot to the paused trial ``number``."""

    number: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Leave the slot free until another trial reports or ends.

    Asked for while no trial is running, it means that the schedule is complete: the sweep ends.
    """


Move: TypeAlias = Sample | Promote | Wait
