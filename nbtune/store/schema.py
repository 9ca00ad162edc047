"""The tables of the store's file, and how an older file comes to have them."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nbtune.exceptions import StoreError

__all__ = ["MIGRATIONS", "migrate", "transaction", "use_write_ahead_log"]

_PAUSE_SECONDS = 0.005

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
    """
    CREATE TABLE warnings (
        sweep INTEGER NOT NULL REFERENCES sweeps ON DELETE CASCADE,
        code TEXT NOT NULL,
        text TEXT NOT NULL,
        time REAL NOT NULL,
        PRIMARY KEY (sweep, code, text)  -- each is said once, also when the sweep is resumed
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        sweep INTEGER NOT NULL REFERENCES sweeps ON DELETE CASCADE,
        time REAL NOT NULL,
        verb TEXT NOT NULL,
        argument TEXT NOT NULL,  -- JSON
        blob BLOB,  -- what JSON cannot hold, pickled
        answer TEXT  -- JSON, what it was refused with; NULL until the owner has acted
    );
    CREATE INDEX requests_of_sweep ON requests (sweep);
    """,
    # What ended it, as data: the kind, and the facts as JSON. This is the one place where the
    # sentences of older stores are read; what is resumed must know these two kinds.
    """
    ALTER TABLE sweeps ADD COLUMN ended_by TEXT;
    ALTER TABLE sweeps ADD COLUMN ended_facts TEXT;
    ALTER TABLE trials ADD COLUMN ended_by TEXT;
    ALTER TABLE trials ADD COLUMN ended_facts TEXT;
    UPDATE sweeps SET ended_by = 'user', ended_facts = json_object('text', reason)
        WHERE status = 'stopped';
    UPDATE trials SET ended_by = 'sweep', ended_facts = json_object('text', reason)
        WHERE status = 'stopped' AND EXISTS (
            SELECT 1 FROM sweeps WHERE id = trials.sweep AND sweeps.status = 'stopped'
            AND sweeps.reason != '' AND instr(trials.reason, sweeps.reason) = 1
        );
    UPDATE trials SET ended_by = 'scheduler', ended_facts = json_object(
            'text', replace(reason, '; not promoted when the sweep ended', '')
        ) WHERE status = 'paused';
    """,
)


def migrate(connection: sqlite3.Connection, folder: Path) -> None:
    """Bring the store in `folder` to the present schema.

    Raises
    ------
    StoreError
        When a newer nbtune wrote it, or the file is another program's.
    """
    version = _version(connection)
    if version > len(MIGRATIONS):
        raise StoreError(
            f"the store at {folder} has schema {version}, this nbtune knows up to "
            f"{len(MIGRATIONS)}. Update nbtune, or set NBTUNE_STORE to another folder."
        )
    if version == len(MIGRATIONS):
        return
    with transaction(connection):
        # Someone else may have made or migrated it while this waited for the write lock.
        version = _version(connection)
        if not version and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreError(
                f"the SQLite file in {folder} is not nbtune's. Set NBTUNE_STORE or store= to "
                "another folder."
            )
        for script in MIGRATIONS[version:]:
            for statement in script.split(";\n"):
                connection.execute(statement)
        if version < len(MIGRATIONS):
            connection.execute(f"PRAGMA user_version={len(MIGRATIONS)}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def use_write_ahead_log(connection: sqlite3.Connection, *, within: float) -> None:
    """Switch the file to a write-ahead log, in which readers and a writer do not wait.

    SQLite calls no busy handler for this switch: of several processes that open a new file at
    once, all but one are told at once that it is locked (measured on 3.40). So it is tried again
    for `within` seconds.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(_PAUSE_SECONDS)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all that follows, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back by itself
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
