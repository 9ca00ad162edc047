"""Sweeps made by hand, as a view meets them: snapshots of any state, and a sweep that shows one."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from nbtune.ended_by import EndedBy, EndKind
from nbtune.engine import Snapshot, Spending, SweepStatus, TrialList
from nbtune.pareto import front
from nbtune.schedulers import Explanation
from nbtune.space import Choice, Int, Real, Space
from nbtune.store import Store
from nbtune.trial import Failure, Goal, Report, Status, Trial

SPACE = Space(
    {
        "lr": Real(1e-4, 1e-1, log=True),
        "width": Int(16, 256, log=True),
        "depth": Int(1, 3),
        "activation": Choice("relu", "tanh"),
        "epochs": 27,
    }
)
FAILURE = Failure(
    type="ValueError",
    message="width <300> does not fit",
    traceback='Traceback (most recent call last):\n  File "Cell In[3]", line 7, in digits\n',
)


def made(
    number: int,
    values: list[float],
    status: Status = Status.COMPLETED,
    *,
    metric: str = "accuracy",
    **fields: Any,
) -> Trial:
    """A trial that reported these values at steps 1, 2, ..."""
    reports = [Report(i + 1, {metric: value}, 1e9 + i) for i, value in enumerate(values)]
    params = {
        "lr": 10.0 ** (-4 + 3 * (number * 0.37 % 1)),
        "width": 16 + number * 37 % 240,
        "depth": 1 + number % 3,
        "activation": ("relu", "tanh")[number % 2],
        "epochs": 27,
    }
    given = {"params": params, "reports_so_far": reports, "count": len(reports), "started": 1e9}
    if status.ended:
        given["ended"] = 1e9 + 3
    return Trial(number=number, status=status, **{**given, **fields})


def curve(number: int, steps: int) -> list[float]:
    """A learning curve that rises to a height of its own."""
    height = 0.7 + 0.29 * (number * 0.61 % 1)
    return [height * (1 - math.exp(-0.7 * step)) for step in range(1, steps + 1)]


def snapshot(*trials: Trial, **fields: Any) -> Snapshot:
    """A running sweep of these trials that maximises accuracy, its best found among them."""
    goals = fields.get("goals", (Goal(metric="accuracy", direction="maximize"),))
    given: dict[str, Any] = {
        "name": "digits",
        "status": SweepStatus.RUNNING,
        "reason": "",
        "goals": goals,
        "step_name": "epoch",
        "space": SPACE,
        "trials": TrialList.of(trials),
        "front": tuple(front(trials, goals)),
        "elapsed": 41.0,
        "budgets": (Spending(name="trials", left=50, seconds=22.0),),
        "trial_limit": 60,
        "time_limit": None,
        "plan": "Bayes + Hyperband · 2 slots, 1 core each",
        "rungs": (1, 3, 9),
        "failure": None,
        "version": 1,
    }
    return Snapshot(**{**given, **fields})


def mixed(count: int = 12) -> Snapshot:
    """Trials of every status: the last two run, number 4 failed, some stopped at a rung."""
    trials = []
    for number in range(count):
        if number == 4:
            trials.append(made(number, curve(number, 2), Status.FAILED, failure=FAILURE))
        elif number >= count - 2:
            trials.append(made(number, curve(number, 5), Status.RUNNING))
        elif number % 3:
            reason = "rung 3: below the best third"
            by = EndedBy(kind=EndKind.SCHEDULER, text=reason)
            trials.append(
                made(number, curve(number, 3), Status.STOPPED, reason=reason, ended_by=by)
            )
        else:
            trials.append(made(number, curve(number, 27)))
    return snapshot(*trials)


def ended(of: Snapshot) -> Snapshot:
    """The same sweep, completed."""
    return dataclasses.replace(
        of, status=SweepStatus.COMPLETED, reason="12 of 12 trials", budgets=(), trial_limit=12
    )


class Shown:
    """A sweep that stands still: it shows one snapshot, and keeps what it was told to do."""

    def __init__(self, of: Snapshot) -> None:
        self.now = of
        self.name = of.name
        self.path = Store().folder(of.name)
        self.told: list[Any] = []
        self.selected: list[int] | None = None
        self.waiting: list[Callable[[], None]] = []
        self.explanations: dict[int, Explanation] = {}
        self.asked: list[int] = []

    def snapshot(self) -> Snapshot:
        return self.now

    def stop(self) -> None:
        self.told.append("stop")

    def pause(self) -> None:
        self.told.append("pause")

    def resume(self) -> None:
        self.told.append("resume")

    def kill(self, number: int) -> None:
        self.told.append(("kill", number))

    def explain(self, trial: Trial) -> Explanation | None:
        self.asked.append(trial.number)
        return self.explanations.get(trial.number)

    def while_waiting(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)
