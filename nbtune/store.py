"""The store: one SQLite file that holds sweeps, trials and reports, and a folder for each sweep.

Only the engine that owns a sweep writes its rows, in batches; anyone may read. The folder of the
store and all in it are the user's alone (mode 0700). A sweep's owner holds a POSIX lock on its
folder, which the system drops when the process dies, however it dies.
"""

import fcntl
import json
import math
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nbtune.exceptions import StoreError, SweepError, nearest
from nbtune.objective.payload import Payload
from nbtune.trial import Failure, Goal, Report, Status, Trial

__all__ = ["Batch", "EditRow", "Lock", "Store", "SweepRow", "TrialRow", "default_path"]

# Each entry brings the schema from its index to the next version (PRAGMA user_version).
MIGRATIONS = (
    """
    CREATE TABLE sweeps (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        metric TEXT NOT NULL,
        direction TEXT NOT NULL,
        step_name TEXT NOT NULL,
        plan TEXT NOT NULL,
        source TEXT NOT NULL,
        seed INTEGER NOT NULL,
        created REAL NOT NULL,
        elapsed REAL NOT NULL DEFAULT 0,
        failure TEXT,
        definition BLOB NOT NULL
    );
    CREATE TABLE trials (
        sweep INTEGER NOT NULL REFERENCES sweeps ON DELETE CASCADE,
        number INTEGER NOT NULL,
        params TEXT NOT NULL,
        origin TEXT NOT NULL,
        status TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        started REAL,
        ended REAL,
        slot INTEGER,
        failure TEXT,
        PRIMARY KEY (sweep, number)
    ) WITHOUT ROWID;
    CREATE TABLE metrics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE reports (
        sweep INTEGER NOT NULL REFERENCES sweeps ON DELETE CASCADE,
        trial INTEGER NOT NULL,
        step INTEGER NOT NULL,
        metric INTEGER NOT NULL,  -- 0 stands for a report without metrics
        value REAL,  -- NULL is NaN, which SQLite does not store
        time REAL NOT NULL,
        PRIMARY KEY (sweep, trial, step, metric)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE sweeps ADD COLUMN goals TEXT NOT NULL DEFAULT '[]';
    UPDATE sweeps SET goals =
        json_array(json_object('metric', metric, 'direction', direction));
    ALTER TABLE sweeps DROP COLUMN metric;
    ALTER TABLE sweeps DROP COLUMN direction;
    """,
    """
    ALTER TABLE trials ADD COLUMN why TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE edits (
        sweep INTEGER NOT NULL REFERENCES sweeps ON DELETE CASCADE,
        number INTEGER NOT NULL,
        time REAL NOT NULL,
        trial INTEGER NOT NULL,  -- the first of the space that the edit made
        spaces BLOB NOT NULL,  -- all spaces so far, pickled by the owner
        PRIMARY KEY (sweep, number)
    ) WITHOUT ROWID;
    """,
)


def default_path() -> Path:
    """Return the store's folder: ``NBTUNE_STORE``, else ``.nbtune`` in the working folder."""
    return Path(os.environ.get("NBTUNE_STORE") or ".nbtune").absolute()


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """A sweep as stored; ``definition`` is what rebuilds it, pickled by its owner."""

    id: int
    name: str
    status: str
    reason: str
    goals: tuple[Goal, ...]
    step_name: str
    plan: str
    source: str
    seed: int
    created: float
    elapsed: float
    failure: Failure | None
    definition: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """A trial as written: its snapshot without reports, its params in JSON form, its origin."""

    trial: Trial
    params: Any
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRow:
    """A change of a sweep's space: edit `number` holds from trial `trial` on.

    ``spaces`` holds all spaces so far, that of the edit last, pickled by the sweep's owner.
    """

    number: int
    time: float
    trial: int
    spaces: bytes = field(repr=False)


@dataclass(slots=True)
class Batch:
    """What one transaction writes, in this order."""

    restarted: list[int] = field(default_factory=list)
    """Numbers of trials that run again from the start: their old reports go."""
    edits: list[EditRow] = field(default_factory=list)
    trials: list[TrialRow] = field(default_factory=list)
    reports: list[tuple[int, Report]] = field(default_factory=list)
    status: str = ""
    reason: str = ""
    elapsed: float = 0.0
    failure: Failure | None = None


def _failure_text(failure: Failure | None) -> str | None:
    return json.dumps(asdict(failure)) if failure else None


def _failure(text: str | None) -> Failure | None:
    return Failure(**json.loads(text)) if text else None


_held: set[Path] = set()  # closing any handle of a file drops the process's record lock on it


class Lock:
    """The right to run a sweep, held by at most one process; released by ``close`` or death.

    Raises
    ------
    SweepError
        When another process, or this one, holds it already.
    """

    def __init__(self, path: Path) -> None:
        if path in _held:
            raise SweepError(f"sweep {path.parent.name!r} is running: stop it first.")
        path.touch(mode=0o600)
        # A POSIX record lock: not inherited by children that the kernel forks, unlike flock.
        self._file = path.open("a+")
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            raise SweepError(
                f"sweep {path.parent.name!r} is running in {owner}. "
                "Look at it with nbtune.load(...), or stop it there first."
            ) from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {os.uname().nodename}")
        self._file.flush()
        self._path = path
        _held.add(path)

    def close(self) -> None:
        """Give the right back; idempotent."""
        self._file.close()
        _held.discard(self._path)


def is_locked(path: Path) -> bool:
    """Return whether another process holds the lock file at `path`."""
    if path in _held or not path.exists():
        return False
    with path.open("a+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


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
                self._migrate(connection)
            except BaseException:
                connection.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise StoreError(
                f"the store at {self.path} cannot be used: {error}. "
                "Set NBTUNE_STORE or store= to a folder you can write to."
            ) from error
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreError(
                f"the store at {self.path} has schema {version}, this nbtune knows up to "
                f"{len(MIGRATIONS)}. Update nbtune, or set NBTUNE_STORE to another folder."
            )
        if version == len(MIGRATIONS):
            return
        with _transaction(connection):
            # Someone else may have migrated while this waited for the write lock.
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            for script in MIGRATIONS[version:]:
                for statement in script.split(";\n"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")

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
            return [_sweep_row(row) for row in connection.execute(_SWEEPS + " ORDER BY id")]

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
        return _sweep_row(row) if row else None

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
                "SELECT number, params, origin, status, reason, started, ended, slot, failure, why "
                "FROM trials WHERE sweep = ? ORDER BY number",
                (sweep.id,),
            ).fetchall()
        found = []
        for number, params, origin, status, reason, started, ended, slot, failure, why in rows:
            reports = curves.get(number, [])
            trial = Trial(
                number=number,
                params={},
                status=Status(status),
                reason=reason,
                reports_so_far=reports,
                count=len(reports),
                started=started,
                ended=ended,
                slot=slot,
                failure=_failure(failure),
                why=why,
                dir=self.folder(sweep.name) / str(number),
            )
            found.append((trial, json.loads(params), origin))
        return found

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
        goals_text = json.dumps([asdict(goal) for goal in goals])
        values = (name, goals_text, step_name, plan, source, seed, definition, time.time())
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
            connection.execute(_ADD_EDIT, (sweep, edit.number, edit.time, edit.trial, edit.spaces))

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
        with _transaction(connection):
            connection.executemany(
                "DELETE FROM reports WHERE sweep = ? AND trial = ?",
                [(sweep, number) for number in batch.restarted],
            )
            connection.executemany(
                _ADD_EDIT, [(sweep, e.number, e.time, e.trial, e.spaces) for e in batch.edits]
            )
            connection.executemany(
                "INSERT OR REPLACE INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_trial_values(sweep, row) for row in batch.trials],
            )
            if batch.reports:
                ids = _metric_ids(connection, {n for _, r in batch.reports for n in r.metrics})
                connection.executemany(
                    "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?, ?, ?)",
                    _report_values(sweep, batch.reports, ids),
                )
            connection.execute(
                "UPDATE sweeps SET status = ?, reason = ?, elapsed = ?, failure = ? WHERE id = ?",
                (batch.status, batch.reason, batch.elapsed, _failure_text(batch.failure), sweep),
            )


_ADD_EDIT = "INSERT OR REPLACE INTO edits VALUES (?, ?, ?, ?, ?)"
_SWEEPS = (
    "SELECT id, name, status, reason, goals, step_name, plan, source, seed, created, elapsed, "
    "failure, definition FROM sweeps"
)


def _sweep_row(row: tuple[Any, ...]) -> SweepRow:
    id_, name, status, reason, goals, step_name, plan, source, seed, created, elapsed = row[:11]
    failure, definition = row[11:]
    return SweepRow(
        id=id_,
        name=name,
        status=status,
        reason=reason,
        goals=tuple(Goal(**goal) for goal in json.loads(goals)),
        step_name=step_name,
        plan=plan,
        source=source,
        seed=seed,
        created=created,
        elapsed=elapsed,
        failure=_failure(failure),
        definition=definition,
    )


def _trial_values(sweep: int, row: TrialRow) -> tuple[Any, ...]:
    trial = row.trial
    return (
        sweep,
        trial.number,
        json.dumps(row.params),
        row.origin,
        trial.status.value,
        trial.reason,
        trial.started,
        trial.ended,
        trial.slot,
        _failure_text(trial.failure),
        trial.why,
    )


def _report_values(
    sweep: int, reports: Iterable[tuple[int, Report]], ids: dict[str, int]
) -> Iterator[tuple[Any, ...]]:
    for trial, report in reports:
        if not report.metrics:
            yield sweep, trial, report.step, 0, None, report.time
        for name, value in report.metrics.items():
            yield sweep, trial, report.step, ids[name], value, report.time


def _metric_ids(connection: sqlite3.Connection, names: set[str]) -> dict[str, int]:
    connection.executemany(
        "INSERT OR IGNORE INTO metrics (name) VALUES (?)", [(name,) for name in sorted(names)]
    )
    known = dict(connection.execute("SELECT name, id FROM metrics"))
    return {name: known[name] for name in names}


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back by itself
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
