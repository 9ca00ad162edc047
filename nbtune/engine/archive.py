"""Ended trials outside of memory: a file holds them, and a few numbers of each stay at hand."""

import os
import pickle
import tempfile
import threading
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nbtune.column import Column
from nbtune.space import Timeline
from nbtune.trial import CompactReports, Goal, Report, Status, Trial

__all__ = ["STATUSES", "Archive", "row_of_scores"]

STATUSES = tuple(Status)
"""What the numbers in a column of statuses stand for."""

_CODES = {status: code for code, status in enumerate(STATUSES)}
_AT_HAND = 256  # trials that were read lately


class Archive:
    """The trials of a running sweep that ended some time ago; none of them changes any more.

    The file has no name and is gone with the last snapshot that needs it. It is the engine's own,
    beside the store, so that a snapshot stays what it was: a store may be deleted, its sweep
    resumed, or its name given to another. Of each trial 13 bytes stay in memory, and 8 for each
    goal. One thread adds; any thread may read.

    Parameters
    ----------
    goals : sequence of Goal
    timeline : Timeline
        Says in which space the params of a trial are.
    folder : Path
        The sweep's, which the trials name; the file is made there, or where temporary files are.
    """

    def __init__(self, goals: Sequence[Goal], timeline: Timeline, folder: Path) -> None:
        self.goals = tuple(goals)
        self.timeline = timeline
        """As it is now: edits come at its end, and change nothing for the trials before them."""
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._end = 0
        self._places = Column(np.int64, 0)
        self._sizes = Column(np.int32, 0)
        self._statuses = Column(np.int8, 0)
        self._scores = Column(np.float64, np.nan, width=len(self.goals))
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}  # of metrics, shared by trials
        self._at_hand: dict[int, Trial] = {}  # the latest last
        self._lock = threading.Lock()

    def add(self, trials: Iterable[Trial]) -> list[int]:
        """Take in ended trials; return the numbers of those that it has taken.

        Those whose params have no plain form that leads back to them are left to the caller.

        Raises
        ------
        OSError
            When nothing can be written: it has taken none of them.
        """
        records = {trial.number: (trial, self._encoded(trial)) for trial in trials}
        taken = [(trial, record) for trial, record in records.values() if record is not None]
        if not taken:
            return []
        self._write(b"".join(record for _, record in taken))
        for trial, record in taken:
            number = trial.number
            self._places[number], self._sizes[number] = self._end, len(record)
            self._statuses[number] = _CODES[trial.status]
            self._scores[number] = row_of_scores(trial, self.goals)
            self._end += len(record)
        return [trial.number for trial, _ in taken]

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._file = _nameless(self._folder)
            weakref.finalize(self, self._file.close)
        rest, place = memoryview(data), self._end
        while rest:
            written = os.pwrite(self._file.fileno(), rest, place)
            rest, place = rest[written:], place + written

    def read(self, number: int) -> Trial:
        """Return a trial that was taken in; of the latest the same object each time."""
        with self._lock:
            found = self._at_hand.pop(number, None)
            if found is not None:
                self._at_hand[number] = found
                return found
        assert self._file is not None
        place, size = int(self._places[number]), int(self._sizes[number])
        trial = self._decoded(number, os.pread(self._file.fileno(), size, place))
        with self._lock:
            self._at_hand[number] = trial
            if len(self._at_hand) > _AT_HAND:
                del self._at_hand[next(iter(self._at_hand))]
        return trial

    def statuses(self, count: int) -> NDArray[np.int8]:
        """Return places in `STATUSES`, shape (count,); anything for trials that it does not have.

        It is the caller's own.
        """
        return self._statuses.copy(count)

    def scores(self, count: int) -> NDArray[np.float64]:
        """Return rows as `row_of_scores`, shape (count, n_goals), as `statuses` does."""
        return self._scores.copy(count)

    def _encoded(self, trial: Trial) -> bytes | None:
        reports = trial.reports_so_far
        told: Any = (
            (reports.names, reports.table)
            if isinstance(reports, CompactReports)
            else [(each.step, dict(each.metrics), each.time) for each in trial.reports]
        )
        try:
            space = self.timeline.at(trial.number)
            params = space.to_json(trial.params)
            if space.from_json(params) != trial.params:
                return None
            return pickle.dumps(
                (
                    *(params, trial.status.value, trial.reason, told),
                    *(trial.started, trial.ended, trial.slot, trial.failure),
                    *(trial.why, trial.ended_by),
                ),
                protocol=5,
            )
        except Exception:  # noqa: BLE001 - an option may be the user's own object
            return None

    def _decoded(self, number: int, record: bytes) -> Trial:
        params, status, reason, told, *others = pickle.loads(record)
        started, ended, slot, failure, why, ended_by = others
        reports: Sequence[Report]
        if isinstance(told, tuple):
            names, table = told
            reports = CompactReports.from_table(table, self._names.setdefault(names, names))
        else:
            reports = [Report(*each) for each in told]
        return Trial(
            number=number,
            params=self.timeline.at(number).from_json(params),
            status=Status(status),
            reason=reason,
            reports_so_far=reports,
            count=len(reports),
            started=started,
            ended=ended,
            slot=slot,
            failure=failure,
            why=why,
            folder=self._folder,
            ended_by=ended_by,
        )


def row_of_scores(trial: Trial, goals: Iterable[Goal]) -> list[float]:
    """Return a trial's scores by goal: NaN without a value, ``-inf`` where that is no number."""
    scores = (goal.score(trial.value_for(goal)) for goal in goals)
    return [float("nan") if score is None else score for score in scores]


def _nameless(folder: Path) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(dir=folder, buffering=0)
    except OSError:  # it may have been deleted, or be full
        return tempfile.TemporaryFile(buffering=0)
