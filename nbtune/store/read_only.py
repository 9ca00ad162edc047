"""A store that can be looked at but not written: on a read-only disk, or without the right to."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from nbtune.store.schema import MIGRATIONS, migrate

__all__ = ["is_writable", "reading"]


def is_writable(file: Path) -> bool:
    """Return whether this process may write a store's file, and others beside it."""
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


@contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that reads a store's file and writes nothing near it.

    Three ways, the cheapest first. As any reader, where the writer's shared memory can be used;
    without it as a file that stays as it is, if no write-ahead log stands beside; else, and where
    an older nbtune wrote it, a copy in a temporary folder.
    """
    for option in _options(file):
        connection = sqlite3.connect(
            f"{file.as_uri()}?{option}", uri=True, timeout=30, isolation_level=None
        )
        with closing(connection):
            try:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
            except sqlite3.OperationalError:
                continue  # SQLite 3.40: "unable to open database file" without shared memory
            if version >= len(MIGRATIONS):
                migrate(connection, file.parent)  # refuses what a newer nbtune wrote
                yield connection
                return
    with tempfile.TemporaryDirectory(prefix="nbtune-store-") as folder:
        copy = Path(folder) / file.name
        for part in (file, _log(file)):
            if part.exists():
                shutil.copyfile(part, Path(folder) / part.name)
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            migrate(connection, file.parent)
            yield connection


def _options(file: Path) -> list[str]:
    log = _log(file)
    settled = not log.exists() or not log.stat().st_size
    return ["mode=ro", "immutable=1"] if settled else ["mode=ro"]


def _log(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")
