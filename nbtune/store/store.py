"""The store itself: a file and a folder, what is read from them and what is written."""

import math
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from nbtune.exceptions import StoreError, SweepError, nearest
from nbtune.objective.payload import Payload
from nbtune.store.lock import Lock, is_locked
from nbtune.store.rows import (
    SWEEP_COLUMNS,
    TRIAL_COLUMNS,
    Batch,
    EditRow,
    SweepRow,
    edit_values,
    failure_text,
    goals_text,
    report_values,
    stored_trial,
    sweep_row,
    trial_values,
)
from nbtune.store.schema import migrate, transaction
from nbtune.trial import Goal, Report, Trial

__all__ = ["Store", "default_path"]

_SWEEPS = f"SELECT {', '.join(SWEEP_COLUMNS)} FROM sweeps"
_TRIALS = f"SELECT {', '.join(TRIAL_COLUMNS)} FROM trials"
_ADD_EDIT = "INSERT OR REPLACE INTO edits VALUES (?, ?, ?, ?, ?)"


def default_path() -> Path:
    """Return the store's folder: ``NBTUNE_STORE``, else ``.nbtune`` in the working folder."""
    return Path(os.environ.get("NBTUNE_STORE") or ".nbtune").absolute()


class Store:
    """The sweeps under one folder.

    Parameters
    ----------
    path : Path
        The folder, made at first write.

    Raises
    ------
    StoreError
        When the folder or the file cannot be used, or was written by a newer nbtune.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path).expanduser().absolute() if path is not None else default_path()
        self.file = self.path / "nbtune.sqlite"

    def folder(self, name: str) -> Path:
        """Return the folder of sweep `name`: its payload, its lock, one folder a trial."""
        return self.path / name

    def payload(self, name: str) -> Path:
        """Return the file from which workers load the objective of sweep `name`."""
        return self.folder(name) / "objective.bin"

    @property
    def data(self) -> Path:
        """The folder of the large buffers that payloads name; no sweep's name begins with a dot."""
        return self.path / ".data"

    def connect(self) -> sqlite3.Connection:
        """Open the file, made or migrated where needed; the connection is for one thread."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.file.exists():
                self.file.touch(mode=0o600)
                (self.path / ".gitignore").write_text("*\n")
            connection = sqlite3.connect(self.file, timeout=30, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute("PRAGMA foreign_keys=ON")
                migrate(connection, self.path)
            except BaseException:
                connection.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"the store at {self.path} cannot be used: {error}. "
                "Set NBTUNE_STORE or store= to a folder you can write to."
            ) from error
        return connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(self.connect()) as connection:
            yield connection

    # --- what stands there

    def names(self) -> list[str]:
        """Return the names of all sweeps, oldest first."""
        return [row.name for row in self.sweeps()]

    def sweeps(self) -> list[SweepRow]:
        """Return all sweeps, oldest first; none when there is no store yet."""
        if not self.file.exists():
            return []
        with self._reading() as connection:
            return [sweep_row(row) for row in connection.execute(_SWEEPS + " ORDER BY id")]

    def sweep(self, name: str) -> SweepRow:
        """Return one sweep.

        Raises
        ------
        SweepError
            When there is none of that name; it names the nearest.
        """
        found = self.find(name)
        if found is None:
            names = self.names()
            hint = nearest(name, names) if names else "The store is empty."
            raise SweepError(f"no sweep {name!r} in {self.path}. {hint}")
        return found

    def find(self, name: str) -> SweepRow | None:
        """Return the sweep of that name, None when there is none."""
        if not self.file.exists():
            return None
        with self._reading() as connection:
            row = connection.execute(_SWEEPS + " WHERE name = ?", (name,)).fetchone()
        return sweep_row(row) if row else None

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of trials by sweep name and status."""
        counts: dict[str, dict[str, int]] = {}
        if self.file.exists():
            with self._reading() as connection:
                for name, status, count in connection.execute(
                    "SELECT s.name, t.status, count(*) FROM trials t "
                    "JOIN sweeps s ON s.id = t.sweep GROUP BY s.name, t.status"
                ):
                    counts.setdefault(name, {})[status] = count
        return counts

    def owned(self, name: str) -> bool:
        """Return whether some other process is running this sweep now."""
        return is_locked(self.folder(name) / "lock")

    def trials(self, sweep: SweepRow) -> list[tuple[Trial, Any, str]]:
        """Return ``(trial, params as JSON, origin)`` of each trial, by number, reports included."""
        with self._reading() as connection:
            connection.execute("BEGIN")  # one moment for both tables
            curves = self._curves(connection, sweep.id)
            rows = connection.execute(
                _TRIALS + " WHERE sweep = ? ORDER BY number", (sweep.id,)
            ).fetchall()
        folder = self.folder(sweep.name)
        return [stored_trial(row, curves.get(row[0], []), folder) for row in rows]

    def edits(self, sweep: int) -> list[EditRow]:
        """Return the changes of a sweep's space, in order."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT number, time, trial, spaces FROM edits WHERE sweep = ? ORDER BY number",
                (sweep,),
            ).fetchall()
        return [EditRow(number=n, time=t, trial=trial, spaces=s) for n, t, trial, s in rows]

    @staticmethod
    def _curves(connection: sqlite3.Connection, sweep: int) -> dict[int, list[Report]]:
        names = dict(connection.execute("SELECT id, name FROM metrics"))
        curves: dict[int, list[Report]] = {}
        for trial, step, metric, value, moment in connection.execute(
            "SELECT trial, step, metric, value, time FROM reports WHERE sweep = ? "
            "ORDER BY trial, step",
            (sweep,),
        ):
            reports = curves.setdefault(trial, [])
            if not reports or reports[-1].step != step:
                reports.append(Report(step, {}, moment))
            if metric:
                reports[-1].metrics[names[metric]] = math.nan if value is None else value  # type: ignore[index]
        return curves

    # --- what changes it

    def create(
        self,
        name: str,
        *,
        goals: Sequence[Goal],
        step_name: str,
        plan: str,
        source: str,
        seed: int,
        definition: bytes,
    ) -> SweepRow:
        """Add a sweep and its folder; return its row.

        Raises
        ------
        SweepError
            When the name is taken.
        """
        values = (name, goals_text(goals), step_name, plan, source, seed, definition, time.time())
        with closing(self.connect()) as connection:
            try:
                connection.execute(
                    "INSERT INTO sweeps (name, status, goals, step_name, plan, source, seed, "
                    "definition, created) VALUES (?, 'pending', ?, ?, ?, ?, ?, ?, ?)",
                    values,
                )
            except sqlite3.IntegrityError:
                raise SweepError(f"a sweep {name!r} exists already in {self.path}") from None
        self.folder(name).mkdir(exist_ok=True, mode=0o700)
        return self.sweep(name)

    def redefine(self, sweep: int, *, plan: str, source: str, definition: bytes) -> None:
        """Replace what rebuilds a sweep: its plan, source and definition."""
        with closing(self.connect()) as connection:
            connection.execute(
                "UPDATE sweeps SET plan = ?, source = ?, definition = ? WHERE id = ?",
                (plan, source, definition, sweep),
            )

    def add_edit(self, sweep: int, edit: EditRow) -> None:
        """Enter a change of the space of a sweep that does not run."""
        with closing(self.connect()) as connection:
            connection.execute(_ADD_EDIT, edit_values(sweep, edit))

    def delete(self, name: str, *, data: bool = True) -> None:
        """Remove a sweep, its trials, its reports and its folder, and the data it alone uses.

        Parameters
        ----------
        name : str
        data : bool, default True
            False leaves the data to a later `clear_data`.

        Raises
        ------
        SweepError
            When there is no such sweep, or some process is running it.
        """
        row = self.sweep(name)
        folder = self.folder(name)
        folder.mkdir(exist_ok=True, mode=0o700)
        lock = Lock(folder / "lock")
        try:
            with closing(self.connect()) as connection:
                connection.execute("DELETE FROM sweeps WHERE id = ?", (row.id,))
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.close()
        if data:
            self.clear_data()

    def clear_data(self) -> None:
        """Remove the buffers that no sweep's payload names."""
        if self.data.is_dir():
            from nbtune.objective.depot import Depot  # noqa: PLC0415 - most deletions need none

            Depot(self.data).clear(self._named)

    def _named(self) -> set[str]:
        named: set[str] = set()
        for path in self.path.glob(self.payload("*").relative_to(self.path).as_posix()):
            with suppress(StoreError):
                named.update(Payload(path).packs())
        return named

    def write(self, connection: sqlite3.Connection, sweep: int, batch: Batch) -> None:
        """Write one batch in one transaction.

        Raises
        ------
        sqlite3.Error
            When it cannot be written, a full disk for instance; then nothing of it is.
        """
        with transaction(connection):
            connection.executemany(
                "DELETE FROM reports WHERE sweep = ? AND trial = ?",
                [(sweep, number) for number in batch.restarted],
            )
            connection.executemany(_ADD_EDIT, [edit_values(sweep, edit) for edit in batch.edits])
            connection.executemany(
                "INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [trial_values(sweep, row) for row in batch.trials],
            )
            if batch.reports:
                ids = _metric_ids(connection, {n for _, r in batch.reports for n in r.metrics})
                connection.executemany(
                    "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?, ?, ?)",
                    report_values(sweep, batch.reports, ids),
                )
            connection.execute(
                "UPDATE sweeps SET status = ?, reason = ?, elapsed = ?, failure = ? WHERE id = ?",
                (batch.status, batch.reason, batch.elapsed, failure_text(batch.failure), sweep),
            )


def _metric_ids(connection: sqlite3.Connection, names: set[str]) -> dict[str, int]:
    connection.executemany(
        "INSERT OR IGNORE INTO metrics (name) VALUES (?)", [(name,) for name in sorted(names)]
    )
    known = dict(connection.execute("SELECT name, id FROM metrics"))
    return {name: known[name] for name in names}
