"""The store: one SQLite file that holds sweeps, trials and reports, and a folder for each sweep.

Only the engine that owns a sweep writes its rows, in batches; anyone may read, and ask the owner
for something by a row in the table of requests. The folder of the
store and all in it are the user's alone (mode 0700). A sweep's owner holds a lock on its folder,
which the system drops when the process dies, however it dies.
"""

from nbtune.store.lock import Lock, is_locked, owner_of, stamp_of
from nbtune.store.place import default_path, starting_folder
from nbtune.store.requests import (
    Request,
    clear_requests,
    post_request,
    take_answer,
    unanswered,
    withdraw,
)
from nbtune.store.rows import Batch, EditRow, SweepRow, TrialRow, damage_named
from nbtune.store.schema import MIGRATIONS
from nbtune.store.store import Store

__all__ = [
    "MIGRATIONS",
    "Batch",
    "EditRow",
    "Lock",
    "Request",
    "Store",
    "SweepRow",
    "TrialRow",
    "clear_requests",
    "damage_named",
    "default_path",
    "is_locked",
    "owner_of",
    "post_request",
    "stamp_of",
    "starting_folder",
    "take_answer",
    "unanswered",
    "withdraw",
]
