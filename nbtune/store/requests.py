"""What other processes ask of a sweep's owner: a small table of requests, each with its answer.

Whoever asks adds a row and waits for its answer; the owner, which holds the sweep's lock, acts and
answers in the same transaction that stores what it did. A request to enqueue stays where nobody
owns the sweep, until it goes on.
"""

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Request", "clear_requests", "post_request", "take_answer", "unanswered", "withdraw"]

STALE_SECONDS = 60.0  # longer than anyone waits for an answer

_STALE = "sweep = ? AND time < ? AND (answer IS NOT NULL OR verb != 'enqueue')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something that another process asks: ``verb`` as the method of `Sweep` is named."""

    id: int
    verb: str
    argument: Mapping[str, Any]
    """Plain values."""
    blob: bytes | None = field(default=None, repr=False)
    """What is no plain value, pickled."""


def post_request(
    connection: sqlite3.Connection,
    sweep: int,
    verb: str,
    argument: Mapping[str, Any],
    blob: bytes | None = None,
) -> int:
    """Add a request; return its id."""
    made = connection.execute(
        "INSERT INTO requests (sweep, time, verb, argument, blob) VALUES (?, ?, ?, ?, ?)",
        (sweep, time.time(), verb, json.dumps(argument), blob),
    )
    assert made.lastrowid is not None
    return made.lastrowid


def unanswered(connection: sqlite3.Connection, sweep: int) -> list[Request]:
    """Return what is asked of a sweep, oldest first."""
    rows = connection.execute(
        "SELECT id, verb, argument, blob FROM requests WHERE sweep = ? AND answer IS NULL "
        "ORDER BY id",
        (sweep,),
    )
    return [Request(id=i, verb=v, argument=json.loads(a), blob=b) for i, v, a, b in rows]


def take_answer(connection: sqlite3.Connection, request: int) -> str | None:
    """Return the answer to a request and remove both, None while there is none."""
    row = connection.execute(
        "DELETE FROM requests WHERE id = ? AND answer IS NOT NULL RETURNING answer", (request,)
    ).fetchone()
    return None if row is None else row[0]


def withdraw(connection: sqlite3.Connection, request: int) -> bool:
    """Remove a request that has no answer; return whether there was one to remove."""
    removed = connection.execute("DELETE FROM requests WHERE id = ? AND answer IS NULL", (request,))
    return removed.rowcount > 0


def clear_requests(connection: sqlite3.Connection, sweep: int) -> None:
    """Remove the requests of processes that died before they could take the answer."""
    connection.execute(f"DELETE FROM requests WHERE {_STALE}", (sweep, time.time() - STALE_SECONDS))
