"""The trial and its parts, as frozen values that every layer may hold."""

import math
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

from nbtune.checkpoint_files import Checkpoint, readable, saved_checkpoints
from nbtune.ended_by import EndedBy
from nbtune.exceptions import SweepError

__all__ = [
    "CompactReports",
    "Failure",
    "Goal",
    "Params",
    "Report",
    "Status",
    "Trial",
    "noted",
    "shortened_why",
]

MOST_OF_A_WHY = 200  # characters
_NUMBER = struct.Struct("d")
_EXACT = 2**53  # the last of the whole numbers that a float holds, each of them
MOST_METRICS_SHOWN = 5

Params: TypeAlias = dict[str, Any]
"""One point of a space: names to plain Python values, never NumPy scalars."""


class Status(StrEnum):
    """Where a trial stands; ``Trial.reason`` says why."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether a trial with this status is over."""
        return self in _ENDED


_ENDED = frozenset({Status.COMPLETED, Status.STOPPED, Status.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The metric that a sweep optimises, in which direction, and which of its values counts.

    ``by`` says by which value a trial is ranked: its ``"last"``, or the ``"best"`` that it has
    reported at any step, as with early stopping, where the model of that step is the one kept.
    """

    metric: str
    direction: Literal["maximize", "minimize"]
    by: Literal["last", "best"] = "last"

    def __setstate__(self, state: Sequence[Any]) -> None:
        # What was pickled before a goal had a reading has two fields.
        for name, value in zip(("metric", "direction", "by"), [*state, "last"], strict=False):
            object.__setattr__(self, name, value)

    def after(self, before: float | None, value: float) -> float:
        """Return what counts once a trial that stood at `before` has reported `value`."""
        return value if before is None or self.counts(value, before) else before

    def counts(self, value: float, before: float) -> bool:
        """Return whether `value` counts in the place of `before`, which was reported earlier."""
        if self.by == "last":
            return True
        now, then = self.score(value), self.score(before)
        return now is not None and then is not None and now > then

    def score(self, value: float | None) -> float | None:
        """Return `value` so that higher is better; NaN and infinity rank last, None stays None."""
        if value is None:
            return None
        if not math.isfinite(value):
            return -math.inf
        return value if self.direction == "maximize" else -value


@dataclass(frozen=True, slots=True)
class Report:
    """One set of metrics at one step; ``time`` is seconds since the epoch."""

    step: int
    metrics: Mapping[str, float]
    time: float


class CompactReports(Sequence[Report]):
    """The reports of a trial that has ended, all with the same metrics, in a tenth of the memory.

    Parameters
    ----------
    reports : sequence of Report
    names : tuple of str
        The metrics of each of them, in order.
    """

    __slots__ = ("names", "table")

    def __init__(self, reports: Sequence[Report], names: tuple[str, ...]) -> None:
        self.names = names
        """The metrics of each report, in the order of their values."""
        table = array("d")
        for report in reports:
            table.extend((report.step, report.time, *report.metrics.values()))
        self.table = table.tobytes()  # an object less than an array has
        """Step, time and values of each report, one after the other, as C doubles."""

    @classmethod
    def from_table(cls, table: bytes, names: tuple[str, ...]) -> "CompactReports":
        """Return the reports that have this ``table``."""
        made = cls((), names)
        made.table = table
        return made

    @classmethod
    def of(
        cls,
        reports: "list[Report] | CompactReports",
        names: dict[tuple[str, ...], tuple[str, ...]],
    ) -> "list[Report] | CompactReports":
        """Return `reports` compactly, or as they are where their metrics or steps do not allow it.

        `names` holds what is shared between trials.
        """
        if not reports or isinstance(reports, cls):
            return reports
        first = tuple(reports[0].metrics)
        uniform = all(tuple(report.metrics) == first for report in reports)
        if not uniform or reports[-1].step > _EXACT:
            return reports
        return cls(reports, names.setdefault(first, first))

    @property
    def columns(self) -> dict[str, Sequence[float]]:
        """The values of each metric, in order of the steps."""
        table = memoryview(self.table).cast("d")
        return {
            name: table[place :: self._width].tolist() for place, name in enumerate(self.names, 2)
        }

    def value(self, metric: str, count: int) -> float | None:
        """Return the value of `metric` in report `count`, from 1; None where it is not one."""
        if metric not in self.names or not count:
            return None
        place = (count - 1) * self._width + 2 + self.names.index(metric)
        return _NUMBER.unpack_from(self.table, place * _NUMBER.size)[0]  # type: ignore[no-any-return]

    @property
    def _width(self) -> int:
        return 2 + len(self.names)

    def __len__(self) -> int:
        return len(self.table) // (_NUMBER.size * self._width)

    @overload
    def __getitem__(self, index: int) -> Report: ...
    @overload
    def __getitem__(self, index: slice) -> list[Report]: ...
    def __getitem__(self, index: int | slice) -> Report | list[Report]:
        if isinstance(index, slice):
            return [self._at(each) for each in range(len(self))[index]]
        return self._at(range(len(self))[index])

    def _at(self, index: int) -> Report:
        start = index * self._width
        table = memoryview(self.table).cast("d")
        step, time, *values = table[start : start + self._width]
        return Report(int(step), dict(zip(self.names, values, strict=True)), time)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a trial failed, as plain text: nothing a worker sends is unpickled."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Trial:
    """One evaluation of params, as it stood when the snapshot was taken.

    ``reports_so_far`` is shared with the engine and only ever grows at its end; ``count`` is how
    much of it this snapshot covers. Times are seconds since the epoch, None where not yet known.
    """

    number: int
    params: Params
    status: Status = Status.PENDING
    reason: str = ""
    reports_so_far: Sequence[Report] = field(default=(), repr=False)
    count: int = 0
    started: float | None = None
    ended: float | None = None
    slot: int | None = None
    failure: Failure | None = field(default=None, repr=False)
    why: str = field(default="", repr=False)
    """Why it was tried, in a few words: the searcher's reason, and how it came to run again."""
    folder: Path | None = field(default=None, repr=False)
    """The sweep's."""
    ended_by: EndedBy | None = field(default=None, repr=False)
    """What ended or paused it, as data; ``reason`` is its sentence. None while it runs."""

    @property
    def dir(self) -> Path | None:
        """The trial's own folder; None where the sweep has none."""
        return None if self.folder is None else self.folder / str(self.number)

    @property
    def reports(self) -> Sequence[Report]:
        """Every report so far, steps ascending."""
        return self.reports_so_far[: self.count]

    @property
    def steps(self) -> int:
        """The last step reported, 0 before the first."""
        return self.reports_so_far[self.count - 1].step if self.count else 0

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric."""
        last: dict[str, float] = {}
        for report in self.reports:
            last.update(report.metrics)
        return last

    @property
    def seconds(self) -> float | None:
        """Seconds from start to end; None while it runs or before it starts."""
        if self.started is None or self.ended is None:
            return None
        return self.ended - self.started

    @property
    def log(self) -> str:
        """What the trial wrote to stdout and stderr, at most its last 64 KiB."""
        home = self.dir
        path = home / "log.txt" if home else None
        if path is None or not path.exists():
            return ""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 65536))
            return file.read().decode(errors="replace")

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """What the trial has kept by ``save_checkpoint``, the newest two, oldest first."""
        return saved_checkpoints(self.dir) if self.dir else []

    def checkpoint(self) -> Any:
        """Return what the trial saved last: the model of a trial that has ended, for instance.

        A folder comes back as its `Path`, to be read and not changed. One that is damaged is passed
        over for the one before. It is unpickled, which needs the classes that it is made of.

        Raises
        ------
        SweepError
            When the trial has saved nothing, or nothing that can be read.
        """
        saved = self.checkpoints
        for _, state in readable(reversed(saved)):
            return state
        if saved:
            raise SweepError(
                f"trial {self.number}: none of its checkpoints can be read: "
                f"{', '.join(str(each.path) for each in saved)}"
            )
        raise SweepError(
            f"trial {self.number} has no checkpoint. Call save_checkpoint(state) in the objective, "
            "before the report of the same step"
        )

    def __repr__(self) -> str:
        """Return where it stands, its last metrics (the first few), and its params, in one line."""
        steps = f", {self.steps} step{'s' * (self.steps != 1)}" if self.count else ""
        last = list(self.metrics.items())
        metrics = "".join(f", {name} {value:.4g}" for name, value in last[:MOST_METRICS_SHOWN])
        metrics += ", ..." * (len(last) > MOST_METRICS_SHOWN)
        return f"<Trial {self.number}: {self.status}{steps}{metrics}, params={self.params!r}>"

    def value(self, metric: str) -> float | None:
        """Return the last value of `metric`; None when it was never reported."""
        if isinstance(self.reports_so_far, CompactReports):
            return self.reports_so_far.value(metric, self.count)
        for index in range(self.count - 1, -1, -1):
            metrics = self.reports_so_far[index].metrics
            if metric in metrics:
                return metrics[metric]
        return None

    def value_for(self, goal: Goal) -> float | None:
        """Return the value by which `goal` ranks the trial; None when it was never reported."""
        if goal.by == "last":
            return self.value(goal.metric)
        point = self.point_for(goal)
        return None if point is None else point[1]

    def point_for(self, goal: Goal) -> tuple[int, float] | None:
        """Return the step and the value by which `goal` ranks the trial; None without any."""
        found: tuple[int, float] | None = None
        for report in self.reports:
            if goal.metric in report.metrics:
                value = report.metrics[goal.metric]
                if found is None or goal.counts(value, found[1]):
                    found = report.step, value
        return found

    def curve(self, metric: str) -> tuple[list[int], list[float]]:
        """Return the steps and values of `metric`, two lists of equal length."""
        points = [(r.step, r.metrics[metric]) for r in self.reports if metric in r.metrics]
        return [step for step, _ in points], [value for _, value in points]


def shortened_why(why: str, most: int = MOST_OF_A_WHY) -> str:
    """Return a reason as one line of at most `most` characters."""
    line = " ".join(why.split())
    if line == why and len(line) <= most:
        return why  # the same object: a searcher gives many trials the same reason
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def noted(why: str, note: str) -> str:
    """Return a reason with a note at its end, once, which is kept where both are too long."""
    note = shortened_why(note, MOST_OF_A_WHY // 2)
    if why.endswith(f"; {note}"):
        return why
    return f"{shortened_why(why, MOST_OF_A_WHY - len(note) - 2)}; {note}" if why else note
