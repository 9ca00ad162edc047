"""A sweep that another process runs: asked for something, and waited for."""

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any

import nbtune.exceptions as errors
from nbtune.exceptions import NbtuneError, SweepError
from nbtune.store import Store, SweepRow, owner_of, post_request, take_answer, withdraw

__all__ = ["ask_owner", "released"]

ANSWER_SECONDS = 30.0
_TICK_SECONDS = 0.02
_LOOK_SECONDS = 0.1


def ask_owner(
    store: Store,
    row: SweepRow,
    verb: str,
    argument: Mapping[str, Any],
    blob: bytes | None = None,
    *,
    keep: bool = False,
) -> bool:
    """Ask the process that runs a sweep for something, and wait until it is done and stored.

    Parameters
    ----------
    store, row
        The sweep.
    verb, argument, blob
        As in `Request`.
    keep : bool, default False
        Leave the request to the next owner where there is none, or it ends before it answers.

    Returns
    -------
    bool
        False where nobody runs the sweep, or no more.

    Raises
    ------
    NbtuneError
        What the owner refused it with.
    SweepError
        When it does not answer; then it will not do it later.
    """
    if not keep and not store.owned(row.name):
        return False
    with store.requesting() as connection:
        request = post_request(connection, row.id, verb, argument, blob)
        try:
            answer = _awaited(connection, store, row.name, request)
        except BaseException:
            withdraw(connection, request)
            raise
        if answer is None:
            if keep or withdraw(connection, request):
                return False
            answer = take_answer(connection, request)  # it came at the last moment
    _raise_refusal(answer)
    return True


def _awaited(connection: sqlite3.Connection, store: Store, name: str, request: int) -> str | None:
    """Return the answer, None where the owner left without one."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        owned = store.owned(name)
        answer = take_answer(connection, request)
        if answer is not None or not owned:
            return answer
        if time.monotonic() > deadline:
            owner = owner_of(store.folder(name) / "lock")
            raise SweepError(
                f"sweep {name!r} is running in {owner}, which has not answered for "
                f"{ANSWER_SECONDS:g} s; nothing was changed. See whether it is suspended or "
                "overloaded, and try again."
            )
        time.sleep(_TICK_SECONDS)


def _raise_refusal(answer: str | None) -> None:
    refusal = json.loads(answer) if answer else None
    if refusal is None:
        return
    kind, message = refusal
    found = getattr(errors, kind, SweepError)
    plain = isinstance(found, type) and issubclass(found, NbtuneError)
    try:
        error = found(message) if plain else SweepError(message)
    except TypeError:  # it takes more than a message
        error = SweepError(message)
    raise error


def released(store: Store, name: str, seconds: float) -> bool:
    """Wait up to `seconds` until no process runs a sweep; return whether none does."""
    deadline = time.monotonic() + seconds
    while store.owned(name):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(_LOOK_SECONDS, left))
    return True
