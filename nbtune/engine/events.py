"""What the engine announces to subscribers, as frozen values."""

from dataclasses import dataclass

from nbtune.engine.snapshot import SweepStatus
from nbtune.trial import Report, Trial

__all__ = ["SweepEnded", "TrialEnded", "TrialReported", "TrialStarted"]


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A trial was given to a slot."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class TrialReported:
    """A trial reported; several reports may come in one event, oldest first."""

    number: int
    reports: tuple[Report, ...]


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """A trial is over."""

    trial: Trial


@dataclass(frozen=True, slots=True)
class SweepEnded:
    """The sweep is over; nothing follows."""

    status: SweepStatus
    reason: str
