"""The store itself: a file and a folder, what is read from them and what is written."""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from nbtune.exceptions import StoreError, SweepError, nearest
from nbtune.objective.payload import Payload
from nbtune.store import queries
from nbtune.store.lock import Lock, is_locked
from nbtune.store.place import (
    check_trusted,
    claim_folder,
    drafts,
    is_never_begun,
    is_own,
    make_folder,
    new_draft,
    store_path,
)
from nbtune.store.read_only import is_writable, reading
from nbtune.store.rows import (
    SWEEP_COLUMNS,
    TRIAL_COLUMNS,
    Batch,
    EditRow,
    SweepRow,
    damage_named,
    edit_values,
    ended_by_values,
    failure_text,
    goals_text,
    report_values,
    stored_trial,
    sweep_row,
    trial_values,
    warning_values,
)
from nbtune.store.schema import migrate, transaction, use_write_ahead_log
from nbtune.sweep_warning import SweepWarning
from nbtune.trial import Goal, Report, Trial

__all__ = ["Store"]

BUSY_SECONDS = 30.0
"""How long to wait for another process that writes."""

_SWEEPS = f"SELECT {', '.join(SWEEP_COLUMNS)} FROM sweeps"
_ADD_SWEEP = (
    "INSERT INTO sweeps (name, status, goals, step_name, plan, source, seed, definition, created) "
    "VALUES (?, 'pending', ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_EDIT = "INSERT OR REPLACE INTO edits VALUES (?, ?, ?, ?, ?)"
_ADD_WARNING = "INSERT OR IGNORE INTO warnings VALUES (?, ?, ?, ?)"


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
        self.path = store_path(path)
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
        with self._explained():
            make_folder(self.path)
            if not self.file.exists():
                self.file.touch(mode=0o600)
            connection = sqlite3.connect(self.file, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                migrate(connection, self.path)  # first: another program's file stays as it is
                use_write_ahead_log(connection, within=BUSY_SECONDS)
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute("PRAGMA foreign_keys=ON")
            except BaseException:
                connection.close()
                raise
        return connection

    @property
    def identity(self) -> tuple[int, int] | None:
        """What tells the file that is there now from any other; None when there is none."""
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def rescue(self, connection: sqlite3.Connection, sweep: SweepRow) -> sqlite3.Connection:
        """Return a connection to the file as it is now, after that of `connection` was removed.

        Where nothing has taken its place it is made anew: what was removed is there for as long
        as it is open. `connection` is closed.

        Raises
        ------
        StoreError
            When it cannot be made, or what is there now does not hold `sweep`.
        """
        with self._explained():
            make_folder(self.path)
            if not self.file.exists():
                self._make_anew(connection)
            connection.close()
            self.folder(sweep.name).mkdir(mode=0o700, exist_ok=True)
        row = self.find(sweep.name)
        if row is None or (row.id, row.created) != (sweep.id, sweep.created):
            raise StoreError(
                f"{self.file} was replaced while sweep {sweep.name!r} ran, by one that does not "
                "hold it."
            )
        return self.connect()

    def _make_anew(self, connection: sqlite3.Connection) -> None:
        part = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        part.touch(mode=0o600)
        try:
            with closing(sqlite3.connect(part)) as copy:
                connection.backup(copy)
            connection.close()  # SQLite removes the log then, by its name: before there is another
            with suppress(FileExistsError):  # another sweep was first
                self.file.hardlink_to(part)
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the system or SQLite says into a StoreError that says what to do."""
        try:
            yield
        except (OSError, OverflowError, sqlite3.Error) as error:
            busy = "locked" in str(error)
            advice = (
                f"Another process has been writing it for {BUSY_SECONDS:g} s; try again, or see "
                "what runs there."
                if busy
                else "Set NBTUNE_STORE or store= to a folder you can write to."
            )
            raise StoreError(
                f"the store at {self.path} cannot be used: {error}. {advice}"
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection within a transaction: all that is done there, or nothing of it."""
        with closing(self.connect()) as connection, self._explained(), transaction(connection):
            yield connection

    @contextmanager
    def requesting(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for requests; each statement is a transaction of its own."""
        with closing(self.connect()) as connection, self._explained():
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if not self.file.exists():
            raise StoreError(f"the store at {self.path} is gone: {self.file.name} is not there.")
        with self._explained():
            if is_writable(self.file):
                with closing(self.connect()) as connection:
                    yield connection
            else:
                with reading(self.file) as connection:
                    yield connection

    def check_trusted(self, name: str) -> None:
        """Raise a StoreError where loading sweep `name` could run another user's code."""
        check_trusted(self.file, self.payload(name))

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
        if not isinstance(name, str):
            raise SweepError(f"name={name!r}: give a sweep's name, as nbtune.sweeps() lists them")
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

    def status(self, sweep: int) -> str | None:
        """Return the stored status of a sweep, None where it was deleted."""
        with self._reading() as connection:
            row = connection.execute("SELECT status FROM sweeps WHERE id = ?", (sweep,)).fetchone()
        return row[0] if row else None

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
        """Return whether some process, this one or another, is running this sweep now."""
        return is_locked(self.folder(name) / "lock")

    def trials(
        self, sweep: SweepRow, numbers: Sequence[int] | None = None
    ) -> list[tuple[Trial, Any, str]]:
        """Return ``(trial, params as JSON, origin)`` of each trial, by number, reports included.

        With `numbers` of these alone, in the order given; those that are not there are left out.
        """
        with self.asking(sweep) as connection:
            rows = queries.trial_rows(connection, sweep.id, numbers)
            curves = queries.reports_of(connection, sweep.id, numbers)
        if numbers is None:
            return [self._trial(sweep, n, row, curves) for n, row in enumerate(rows)]
        by_number = {row[0]: self._trial(sweep, row[0], row, curves) for row in rows}
        return [by_number[number] for number in numbers if number in by_number]

    def plain_trials(self, sweep: SweepRow) -> list[tuple[Trial, Any, str]]:
        """Return what `trials` does, without reports: in a tenth of the time."""
        with self.asking(sweep) as connection:
            rows = queries.trial_rows(connection, sweep.id)
        return [self._trial(sweep, number, row, {}) for number, row in enumerate(rows)]

    def _trial(
        self, sweep: SweepRow, number: int, row: Sequence[Any], curves: dict[int, list[Report]]
    ) -> tuple[Trial, Any, str]:
        with damage_named(f"trial {number} of sweep {sweep.name!r}"):
            if row[0] != number:
                raise LookupError("it is missing")
            return stored_trial(row, curves.get(number, []), self.folder(sweep.name))

    @contextmanager
    def asking(self, sweep: SweepRow) -> Iterator[sqlite3.Connection]:
        """Yield a connection for the functions of `queries`, all of which see one moment."""
        with self._reading() as connection, damage_named(f"the reports of sweep {sweep.name!r}"):
            connection.execute("BEGIN")
            yield connection

    @property
    def signature(self) -> tuple[tuple[int, int, int], ...]:
        """What is another after each write, as the system's clock tells them apart (some 4 ms)."""
        found = []
        for file in (self.file, self.file.with_name(f"{self.file.name}-wal")):
            with suppress(OSError):
                stat = file.stat()
                found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return tuple(found)

    def edits(self, sweep: int) -> list[EditRow]:
        """Return the changes of a sweep's space, in order."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT number, time, trial, spaces FROM edits WHERE sweep = ? ORDER BY number",
                (sweep,),
            ).fetchall()
        return [EditRow(number=n, time=t, trial=trial, spaces=s) for n, t, trial, s in rows]

    def warnings(self, sweep: int) -> list[SweepWarning]:
        """Return the warnings of a sweep, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT time, code, text FROM warnings WHERE sweep = ? ORDER BY time", (sweep,)
            ).fetchall()
        return [SweepWarning(*row) for row in rows]

    # --- what changes it

    @contextmanager
    def draft(self) -> Iterator[tuple[Path, Lock]]:
        """Yield a folder for `create`, and the lock in it, held: the sweep's when it has become it.

        Nobody sees the folder until then. If it does not come to that, or this process is killed,
        it is removed, now or later.
        """
        with self._writing():  # so that no other process takes it for one that was left
            for left in drafts(self.path):
                self._remove_unlocked(left)
            with self._explained():
                folder = new_draft(self.path)
            lock = Lock(folder / "lock")
        try:
            yield folder, lock
        except BaseException:
            lock.close()
            raise
        finally:
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)

    def _remove_unlocked(self, folder: Path) -> None:
        """Remove what a process that was killed has left of a sweep that it never began."""
        if not is_locked(folder / "lock"):
            shutil.rmtree(folder, ignore_errors=True)

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
        draft: Path | None = None,
    ) -> SweepRow:
        """Add a sweep and its folder at once; return its row.

        Parameters
        ----------
        name, goals, step_name, plan, source, seed, definition
            As the row has them.
        draft : Path, optional
            From `Store.draft`, with what the sweep's folder shall have from its first moment on.

        Raises
        ------
        SweepError
            When the name is taken.
        """
        values = (name, goals_text(goals), step_name, plan, source, seed, definition, time.time())
        with ExitStack() as stack:
            if draft is None:
                draft, lock = stack.enter_context(self.draft())
                stack.callback(lock.close)
            try:
                with self._writing() as connection:
                    connection.execute(_ADD_SWEEP, values)
                    stack.enter_context(self._in_place(draft, self.folder(name)))
            except StoreError as error:
                if isinstance(error.__cause__, sqlite3.IntegrityError):
                    raise SweepError(f"a sweep {name!r} exists already in {self.path}") from None
                raise
        return self.sweep(name)

    @contextmanager
    def _in_place(self, draft: Path, folder: Path) -> Iterator[None]:
        """Give a draft the name of its sweep, until something fails: then it is a draft again."""
        if is_own(folder) and is_never_begun(folder):  # without a row
            self._remove_unlocked(folder)
        claim_folder(draft, folder)
        try:
            yield
        except BaseException:
            folder.rename(draft)
            raise

    def redefine(self, sweep: int, *, plan: str, source: str, definition: bytes) -> None:
        """Replace what rebuilds a sweep: its plan, source and definition."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE sweeps SET plan = ?, source = ?, definition = ? WHERE id = ?",
                (plan, source, definition, sweep),
            )

    def add_edit(self, sweep: int, edit: EditRow) -> None:
        """Enter a change of the space of a sweep that does not run."""
        with self._writing() as connection:
            connection.execute(_ADD_EDIT, edit_values(sweep, edit))

    def add_warnings(self, sweep: int, warnings: Iterable[SweepWarning]) -> None:
        """Enter warnings of a sweep that does not run; those that stand there already stay."""
        with self._writing() as connection:
            connection.executemany(_ADD_WARNING, [warning_values(sweep, each) for each in warnings])

    def delete(self, name: str, *, lock: Lock | None = None) -> None:
        """Remove a sweep, its trials, its reports and its folder, and the data it alone uses.

        Parameters
        ----------
        name : str
        lock : Lock, optional
            The sweep's, where the caller holds it; it is given back.

        Raises
        ------
        SweepError
            When there is no such sweep, or some process is running it.
        """
        row = self.sweep(name)
        folder = self.folder(name)
        if folder.is_dir() and is_own(folder):
            lock = lock or Lock(folder / "lock")
            try:
                shutil.rmtree(folder, ignore_errors=True)
                self._forget(row.id)
            finally:
                lock.close()
        else:  # removed by hand; what has its name now, if anything, is somebody else's
            with suppress(OSError):
                folder.rmdir()
            self._forget(row.id)
        self.clear_data()

    def _forget(self, sweep: int) -> None:
        with self._writing() as connection:
            connection.execute("DELETE FROM sweeps WHERE id = ?", (sweep,))

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
                f"INSERT OR REPLACE INTO trials (sweep, {', '.join(TRIAL_COLUMNS)}) "
                f"VALUES (?{', ?' * len(TRIAL_COLUMNS)})",
                [trial_values(sweep, row) for row in batch.trials],
            )
            connection.executemany(
                "UPDATE requests SET answer = ? WHERE id = ?",
                [(answer, request) for request, answer in batch.answers],
            )
            if batch.reports:
                ids = _metric_ids(connection, {n for _, r in batch.reports for n in r.metrics})
                connection.executemany(
                    "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?, ?, ?)",
                    report_values(sweep, batch.reports, ids),
                )
            connection.executemany(
                _ADD_WARNING, [warning_values(sweep, each) for each in batch.warnings]
            )
            connection.execute(
                "UPDATE sweeps SET status = ?, reason = ?, elapsed = ?, failure = ?, "
                "ended_by = ?, ended_facts = ? WHERE id = ?",
                (
                    *(batch.status, batch.reason, batch.elapsed, failure_text(batch.failure)),
                    *ended_by_values(batch.ended_by),
                    sweep,
                ),
            )


def _metric_ids(connection: sqlite3.Connection, names: set[str]) -> dict[str, int]:
    connection.executemany(
        "INSERT OR IGNORE INTO metrics (name) VALUES (?)", [(name,) for name in sorted(names)]
    )
    known = dict(connection.execute("SELECT name, id FROM metrics"))
    return {name: known[name] for name in names}
