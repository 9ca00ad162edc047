"""Writes the engine's state down: into the store, in batches, and into snapshots."""

import json
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

from nbtune import pickling
from nbtune.ended_by import EndedBy
from nbtune.engine.ledger import Run
from nbtune.engine.requests import RequestReader
from nbtune.engine.trials import TrialBook, TrialList
from nbtune.engine.warning_log import WarningLog
from nbtune.exceptions import StoreError
from nbtune.space import Timeline
from nbtune.store import Batch, EditRow, Request, Store, SweepRow, TrialRow
from nbtune.trial import Failure, Report

__all__ = ["Clerk", "edit_row"]

BATCH_SECONDS = 0.05
RETRY_SECONDS = 1.0


_UNWRITABLE = (
    *(OverflowError, TypeError, ValueError),
    *(sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError),
)
"""What is raised by a value that SQLite does not take."""


def edit_row(timeline: Timeline) -> EditRow:
    """Return the last edit as it is stored."""
    edit = timeline.edits[-1]
    spaces = pickling.dumps(timeline.spaces)
    number = len(timeline.edits) - 1
    return EditRow(number=number, time=edit.time, trial=edit.trial, spaces=spaces)


class Clerk:
    """Collects what changed and writes it at most `BATCH_SECONDS` later, in one transaction.

    What cannot be written (a full disk) stays in memory and is tried again each second.
    """

    def __init__(
        self,
        store: Store,
        row: SweepRow,
        timeline: Timeline,
        folder: Path,
        warnings: WarningLog,
        trials: TrialBook,
    ) -> None:
        self._store = store
        self._row = row
        self._timeline = timeline
        self._folder = folder
        self._warnings = warnings
        self._batch = Batch()
        self._requests = RequestReader(row.id)
        self._dirty: dict[int, Run] = {}
        self._unpublished: dict[int, Run] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}  # of metrics, shared by trials
        self._trials = trials
        self._settled: list[Run] = []
        self._due: float | None = None
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # which file it leads to
        self.trouble = ""
        """Why the last write failed, empty when it did not."""

    def open(self) -> None:
        """Connect to the store, in the thread that will write; idempotent."""
        if self._connection is not None:
            return
        self._connection = self._store.connect()
        self._file = self._store.identity

    def close(self) -> None:
        """Disconnect; what could not be written is lost."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def mark(self, run: Run | None = None) -> None:
        """Note that the sweep, or one of its trials, has changed."""
        if run is not None:
            self._dirty[run.number] = run
            self._show(run)
        if self._due is None:
            self._due = time.monotonic() + BATCH_SECONDS

    def restart(self, run: Run) -> None:
        """Note that a stored trial starts again: its old reports go."""
        self._batch.restarted.append(run.number)
        self.mark(run)

    def edit(self, timeline: Timeline) -> None:
        """Note that the space has changed."""
        self._timeline = timeline
        self._trials.edit(timeline)
        self._batch.edits.append(edit_row(timeline))
        self.mark()

    def report(self, run: Run, reports: Iterable[Report]) -> None:
        """Note new reports of a trial that has been marked: what else is stored of it stays."""
        self._batch.reports.extend((run.number, report) for report in reports)
        self._show(run)
        self.mark()

    def requests(self) -> list[Request]:
        """Return what other processes have asked since, none while the store cannot be read."""
        if self._connection is None:
            return []
        try:
            return self._requests.new(self._connection)
        except sqlite3.Error:
            return []

    def answer(self, request: Request, refusal: tuple[str, str] | None) -> None:
        """Note that a request was acted on: it is answered once that is on disk."""
        self._batch.answers.append((request.id, json.dumps(refusal)))
        self.mark()

    def _show(self, run: Run) -> None:
        run.touch()
        self._unpublished[run.number] = run

    def adopt(self, run: Run) -> None:
        """Take up a trial that is stored already."""
        self._unpublished[run.number] = run
        self._settle(run)

    @property
    def due_in(self) -> float | None:
        """Seconds until there is something to write, None when there is nothing."""
        return None if self._due is None else self._due - time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return self._due is not None and time.monotonic() >= self._due

    def flush(
        self,
        *,
        status: str,
        reason: str,
        elapsed: float,
        failure: Failure | None,
        ended_by: EndedBy | None = None,
    ) -> bool:
        """Write all that is noted; return whether it is on disk."""
        if self._connection is None:
            return False
        batch = self._batch
        batch.trials = [row for run in self._dirty.values() if (row := self._row_of(run))]
        batch.status, batch.reason = status, reason
        batch.elapsed, batch.failure, batch.ended_by = elapsed, failure, ended_by
        try:
            self._follow_file()
            batch.warnings.extend(self._warnings.take_unwritten())
            self._store.write(self._connection, self._row.id, batch)
        except _UNWRITABLE as error:  # no column takes it, now or later
            return self._write_apart(batch, error)
        except StoreError:  # another file has taken its place
            raise
        except Exception as error:  # noqa: BLE001 - memory keeps it, whatever it was
            text = f"the store could not be written for a time: {error}"
            self._warnings.add("store-not-written", text, time.time())
            self.trouble = f"the store cannot be written ({error})"
            self._due = time.monotonic() + RETRY_SECONDS
            return False
        for run in self._dirty.values():
            self._settle(run)
        self._batch, self._dirty, self._due, self.trouble = Batch(), {}, None, ""
        return True

    def _settle(self, run: Run) -> None:
        """Keep a trial in little memory that is over and stored: it changes no more."""
        if run.status.ended:
            run.compact(self._names)
            self._unpublished[run.number] = run
            self._settled.append(run)

    def take_settled(self) -> list[Run]:
        """Return the runs that are over, stored and shown, each once: nobody needs them now."""
        settled, self._settled = self._settled, []
        self._trials.settle(run.number for run in settled)
        return settled

    def _row_of(self, run: Run) -> TrialRow | None:
        try:
            params = json.dumps(self._timeline.at(run.number).to_json(run.params))
        except Exception as error:  # noqa: BLE001 - an option may be the user's own object
            text = f"trial {run.number} cannot be stored: {type(error).__name__}: {error}"
            self._warnings.add("not-stored", text, time.time())
            return None
        return TrialRow(trial=run.snapshot(self._folder), params=params, origin=run.origin)

    def _write_apart(self, batch: Batch, error: Exception) -> bool:
        """Write one thing after the other, without those that no column takes."""
        assert self._connection is not None
        text = f"something that was reported cannot be stored: {type(error).__name__}: {error}"
        self._warnings.add("not-stored", text, time.time())
        parts = [
            Batch(restarted=batch.restarted, edits=batch.edits),
            *(Batch(trials=[row]) for row in batch.trials),
            *(Batch(reports=[report]) for report in batch.reports),
            Batch(warnings=[*batch.warnings, *self._warnings.take_unwritten()]),
        ]
        for part in parts:
            part.status, part.reason = batch.status, batch.reason
            part.elapsed, part.failure = batch.elapsed, batch.failure
            part.ended_by = batch.ended_by
            try:
                self._store.write(self._connection, self._row.id, part)
            except _UNWRITABLE:
                continue
            except sqlite3.Error:
                return False
        self._batch, self._dirty, self._due, self.trouble = Batch(), {}, None, ""
        return True

    def _follow_file(self) -> None:
        """Have the store's file made anew if it was removed, since nobody would find the rows."""
        if self._store.identity == self._file or self._connection is None:
            return
        self._connection = self._store.rescue(self._connection, self._row)
        self._file = self._store.identity
        text = f"{self._store.file} was removed or replaced while the sweep ran; it has been "
        self._warnings.add("store-removed", text + "written anew", time.time())

    def trials(self) -> TrialList:
        """Return every trial as it stands; only those that changed are made anew."""
        for run in self._unpublished.values():
            self._trials.show(run.snapshot(self._folder))
        self._unpublished.clear()
        return self._trials.listed()
