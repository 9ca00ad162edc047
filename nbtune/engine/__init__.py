"""The engine: one thread that owns a sweep's state, and the frozen views that it hands out."""

from nbtune.engine.clerk import edit_row
from nbtune.engine.events import SweepEnded, TrialEnded, TrialReported, TrialStarted
from nbtune.engine.history import replay
from nbtune.engine.ledger import Budget, Run, Spending
from nbtune.engine.loop import Engine
from nbtune.engine.snapshot import Snapshot, SweepStatus, progress_of
from nbtune.engine.trials import TrialList

__all__ = [
    "Budget",
    "Engine",
    "Run",
    "Snapshot",
    "Spending",
    "SweepEnded",
    "SweepStatus",
    "TrialEnded",
    "TrialList",
    "TrialReported",
    "TrialStarted",
    "edit_row",
    "progress_of",
    "replay",
]
