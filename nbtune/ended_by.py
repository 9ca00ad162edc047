"""What ended a trial or a sweep, as data; its sentence is made from that and never read back."""

from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any

__all__ = ["EndKind", "EndedBy"]


class EndKind(StrEnum):
    """Who or what ended a trial or a sweep."""

    COMPLETED = "completed"
    """It came to its own end."""
    SCHEDULER = "scheduler"
    LIMIT = "limit"
    """A limit of time, trials or steps."""
    RULE = "rule"
    """A stop rule."""
    USER = "user"
    SWEEP = "sweep"
    """A trial that was running when its sweep ended."""
    CRASH = "crash"
    """Its process died."""
    ERROR = "error"
    """It raised, or broke a contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedBy:
    """Who ended a trial or a sweep, and what belongs to it.

    Parameters
    ----------
    kind : EndKind
    text : str
        In the words of whoever ended it; empty where the facts below say it all.
    rung, rank, of : int, optional
        Of a trial that its scheduler ended or paused: the step of the comparison, its place, 1 the
        best, and among how many.
    cutoff : float, optional
        The score that it needed to go on, higher is better.
    limit : str
        Of a limit: its name as in `Sweep`, "time_limit".
    allowed, used : float, optional
        What the limit allows, and what was spent, in its own unit.
    killed_after : float, optional
        Seconds after which its process was ended, because it did not stop when told to.
    left_paused : bool
        Whether it was paused when its sweep ended.
    drained : bool
        Of a sweep: whether the trials that ran were left to come to their own end.
    """

    kind: EndKind
    text: str = ""
    rung: int | None = None
    rank: int | None = None
    of: int | None = None
    cutoff: float | None = None
    limit: str = ""
    allowed: float | None = None
    used: float | None = None
    killed_after: float | None = None
    left_paused: bool = False
    drained: bool = False

    @property
    def reason(self) -> str:
        """The sentence that is shown."""
        said = self.text or self._facts()
        if self.killed_after is None and not self.left_paused:
            return said
        parts = [said]
        if self.killed_after is not None:
            parts.append(f"killed, it did not report within {self.killed_after:g} s")
        if self.left_paused:
            parts.append("not promoted when the sweep ended")
        return "; ".join(filter(None, parts))

    @property
    def by_hand(self) -> bool:
        """Whether a person stopped it and gave no further reason: it says "stopped by you"."""
        return self.kind is EndKind.USER and not self.text

    def _facts(self) -> str:
        if self.by_hand:
            return "stopped by you"
        match self.limit:
            case "trials":
                return f"{self.used:.0f} of {self.allowed:.0f} trials"
            case "max_total_steps":
                return f"{self.used:.0f} of {self.allowed:.0f} steps"
            case "trial_max_steps":
                return f"trial_max_steps={self.allowed:.0f} reached"
            case "trial_time_limit":
                return f"over its time limit of {self.allowed:g} s"
            case "time_limit" | "compute_time_limit":
                return f"{self.limit.replace('_', ' ')} of {self.allowed:g} s reached"
        if self.rung is not None:
            return f"rung {self.rung}: {self.rank} of {self.of}"
        return ""

    def facts(self) -> dict[str, Any]:
        """Return what differs from its default, the kind apart, as plain values."""
        # `asdict` would make a copy of each value, for longer than all else of a row takes.
        known = zip(_FACTS, _values_of(self), strict=True)
        return {name: value for name, value in known if value not in ("", None, False)}


_FACTS = tuple(item.name for item in fields(EndedBy) if item.name != "kind")
_values_of = attrgetter(*_FACTS)
