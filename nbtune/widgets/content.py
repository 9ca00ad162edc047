"""What a sweep's panels say, as plain JSON values: one function a panel, pure."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbtune.ended_by import EndKind
from nbtune.engine import Snapshot, Spending, SweepStatus
from nbtune.pareto import front_numbers
from nbtune.plots.lines import CurveBook
from nbtune.plots.words import (
    aligned,
    counted,
    duration,
    number,
    param,
    plural,
    ranked_by,
    shortened,
)
from nbtune.progress import state_and_why
from nbtune.schedulers import Explanation
from nbtune.trial import Failure, Goal, Status, Trial

__all__ = [
    "MOST_ROWS",
    "best",
    "head",
    "left_out",
    "panel",
    "ranked",
    "standing",
    "table",
    "table_columns",
    "worded",
]

MOST_ROWS = 50
MOST_COLUMNS = 12
LOG_TAIL_CHARACTERS = 6_000

_BAR = (Status.COMPLETED, Status.STOPPED, Status.FAILED, Status.PAUSED, Status.RUNNING)
_ACTIONS = {
    SweepStatus.RUNNING: ["pause", "stop"],
    SweepStatus.PAUSED: ["resume", "stop"],
    SweepStatus.PENDING: ["stop"],
}


def head(snapshot: Snapshot) -> dict[str, Any]:
    """Return name, state, progress and what can be done now."""
    counts, alert = snapshot.counts, _alert(snapshot)
    standing, why = state_and_why(snapshot)
    return {
        "name": snapshot.name,
        "state": str(snapshot.status),
        "standing": standing,
        # That of a failed sweep is what the alert says.
        "why": "" if alert else "; ".join(filter(None, [why, _unfinished(snapshot)])),
        "plan": snapshot.plan,
        "progress": " · ".join([snapshot.progress, *_times(snapshot)]),
        "actions": ["stop"] if snapshot.draining else _ACTIONS.get(snapshot.status, []),
        "bar": [[str(s), counts[s] / _whole(snapshot)] for s in _BAR if counts[s]],
        "counts": [[str(status), words] for status, words in counted(counts)],
        "budgets": _budgets(snapshot),
        "alert": alert,
        "warnings": [warning.text for warning in snapshot.warnings],
    }


def _unfinished(snapshot: Snapshot) -> str:
    running = snapshot.counts[Status.RUNNING] if snapshot.draining else 0
    return f"{plural(running, 'running trial')} to finish" if running else ""


def _times(snapshot: Snapshot) -> list[str]:
    if not snapshot.elapsed:
        return []
    words = [f"{duration(snapshot.elapsed)} elapsed"]
    if snapshot.remaining is not None and not snapshot.status.ended:
        words.append(f"about {duration(snapshot.remaining)} left")
    return words


def _budgets(snapshot: Snapshot) -> list[list[Any]]:
    """Return what is left of each limit, and whether it is the first that will be reached.

    Nothing where the progress says it all: of trials or time alone.
    """
    budgets = snapshot.budgets
    if not budgets or (len(budgets) == 1 and budgets[0].name in ("trials", "time_limit")):
        return []
    first = snapshot.remaining if len(budgets) > 1 else None
    return [
        [_left(budget, snapshot), first is not None and budget.seconds == first]
        for budget in budgets
    ]


def _left(budget: Spending, snapshot: Snapshot) -> str:
    if budget.name == "time_limit":
        return f"time limit in {duration(budget.left)}"
    left = {
        "trials": lambda: plural(int(budget.left), "trial"),
        "compute_time_limit": lambda: f"{duration(budget.left)} of compute time",
        "max_total_steps": lambda: plural(int(budget.left), snapshot.step_name),
    }[budget.name]()
    about = "" if budget.seconds is None else f", about {duration(budget.seconds)}"
    return f"{left} left{about}"


def _whole(snapshot: Snapshot) -> float:
    """Return how many trials the full width of the bar stands for."""
    known = len(snapshot.trials)
    if snapshot.trial_limit and snapshot.status is not SweepStatus.COMPLETED:
        return max(1, snapshot.trial_limit, known)
    if snapshot.time_limit and not snapshot.status.ended:
        return max(1.0, known / min(1.0, max(0.02, snapshot.elapsed / snapshot.time_limit)))
    return max(1, known)


def _alert(snapshot: Snapshot) -> dict[str, str] | None:
    """Return the one failure that explains why there is nothing good to see."""
    counts = snapshot.counts
    over = sum(count for status, count in counts.items() if status.ended)
    if over and counts[Status.FAILED] == over:
        failed = "The only trial" if over == 1 else f"All {over} trials"
        failed += "" if snapshot.status.ended else " so far"
    elif snapshot.failure is None:
        return None
    else:
        failed = f"{counts[Status.FAILED]} of {plural(over, 'trial')}"
    struck = snapshot.trials.with_status(Status.FAILED)
    failures = [trial.failure for trial in struck if trial.failure is not None]
    # A searcher's failure, or a metric that was never reported, is that of no trial.
    if snapshot.failure is not None and snapshot.failure not in failures:
        return _reported("The sweep failed", snapshot.failure)
    failure = snapshot.failure or next(reversed(failures), None)
    return None if failure is None else _reported(f"{failed} failed", failure)


def worded(failure: Failure) -> str:
    """Return a failure in one line: "ValueError: no such file"."""
    return f"{failure.type}: {failure.message}" if failure.message else failure.type


def _reported(title: str, failure: Failure) -> dict[str, str]:
    traceback = failure.traceback.rstrip()
    return {"title": title, "message": worded(failure), "traceback": traceback}


def best(snapshot: Snapshot, sweep: str = "") -> dict[str, Any]:
    """Return the best trial so far: its value, where it comes from, its params.

    With several objectives: the size of the front, and the best in each of them. `sweep` is how
    the sweep is written in Python, by default its name.
    """
    goal, trial = snapshot.goal, snapshot.best
    if len(snapshot.goals) > 1:
        return _front(snapshot, sweep)
    if trial is None:
        line = f"the {_sought(goal)} {ranked_by(goal, snapshot.step_name)} will stand here"
        return {"title": "BEST SO FAR", "value": "", "line": line, "params": []}
    flat, at = snapshot.space.flatten(trial.params), _at_step(trial, snapshot, goal)
    metric = ranked_by(goal, snapshot.step_name)
    return {
        "value": number(trial.value_for(goal)),
        "line": " · ".join(filter(None, [metric, f"trial {trial.number}", at])),
        "params": [[name, param(value)] for name, value in flat.items()],
        "title": "BEST" if snapshot.status.ended else "BEST SO FAR",
        "code": f"{sweep or snapshot.name}.best_params",
    }


def _sought(goal: Goal) -> str:
    return "highest" if goal.direction == "maximize" else "lowest"


def _front(snapshot: Snapshot, sweep: str) -> dict[str, Any]:
    front, goals = snapshot.front, snapshot.goals
    so_far = "" if snapshot.status.ended else " SO FAR"
    metrics = [goal.metric for goal in goals]
    noun = "trial" if len(front) == 1 else "trials"
    named = f"{', '.join(metrics[:-1])} and {metrics[-1]}"
    return {
        "title": "PARETO FRONT" + so_far,
        "value": str(len(front)) if front else "",
        "line": f"{noun} unsurpassed in {named}{'' if front else ' will stand here'}",
        "params": [_leader(goal, snapshot) for goal in goals] if front else [],
        "code": f"{sweep or snapshot.name}.best",
    }


def _leader(goal: Goal, snapshot: Snapshot) -> list[str]:
    """Return which trial of the front is best in one objective, the earliest of equals."""
    trial = max(snapshot.front, key=lambda t: (goal.score(t.value_for(goal)) or 0.0, -t.number))
    value = number(trial.value_for(goal))
    return [
        f"{_sought(goal)} {ranked_by(goal, snapshot.step_name)}",
        f"{value} · trial {trial.number}",
    ]


def _at_step(trial: Trial, snapshot: Snapshot, goal: Goal | None = None) -> str:
    """Return "epoch 27", the last or that of the value which counts for `goal`.

    Nothing for a trial whose only report is its result.
    """
    if not trial.count or (trial.count == 1 and trial.status is Status.COMPLETED):
        return ""
    point = trial.point_for(goal) if goal is not None and goal.by == "best" else None
    return f"{snapshot.step_name} {trial.steps if point is None else point[0]:,}"


def ranked(snapshot: Snapshot, book: CurveBook) -> NDArray[np.intp]:
    """Return the numbers of all trials, best first, the earlier of equals as in ``sweep.best``.

    Those without a value come last, the latest of them first. With several objectives front by
    front, each by the first objective.
    """
    if len(snapshot.goals) > 1:
        return _ranked_by_front(snapshot)
    with_value = np.flatnonzero(book.points)
    order = np.argsort(-book.scores(snapshot.goal)[with_value], kind="stable")
    return _then_the_others(with_value[order], len(snapshot.trials))


def _ranked_by_front(snapshot: Snapshot) -> NDArray[np.intp]:
    compared, scores = snapshot.trials.scored(snapshot.goals)
    order = np.lexsort((-scores[:, 0], front_numbers(scores)))  # stable
    return _then_the_others(compared[order], len(snapshot.trials))


def _then_the_others(placed: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Return these numbers, and then the others of so many, the latest first."""
    others = np.setdiff1d(np.arange(count), placed, assume_unique=True)
    return np.concatenate([placed, others[::-1]])


def table_columns(snapshot: Snapshot) -> list[str]:
    """Return the dimensions that have a column, as dotted names; constants have none."""
    return list(dict.fromkeys(dim.path for dim in snapshot.space.dims))[:MOST_COLUMNS]


def table(
    snapshot: Snapshot,
    order: Sequence[int] | NDArray[np.intp],
    only: Collection[int] | None = None,
    explain: Callable[[Trial], Explanation | None] | None = None,
    *,
    sweep: str = "",
) -> dict[str, Any]:
    """Return the rows to show: the first `MOST_ROWS`, and what runs or failed beyond them.

    Parameters
    ----------
    snapshot : Snapshot
    order : sequence of int
        The numbers of all trials, as `ranked`.
    only : collection of int, optional
        Show only these trials: those that are brushed.
    explain : callable, optional
        As ``sweep.explain``: the reason of a trial then says how it stood.
    sweep : str, optional
        How the sweep is written in Python, by default its name.
    """
    listed = np.asarray(order, dtype=np.intp)
    if only is not None:
        listed = listed[np.isin(listed, list(only))]
    numbers, beyond = listed[:MOST_ROWS].tolist(), listed[MOST_ROWS:]
    numbers += beyond[snapshot.trials.are(Status.RUNNING)[beyond]][:MOST_ROWS].tolist()
    numbers += beyond[snapshot.trials.are(Status.FAILED)[beyond]][:10].tolist()
    shown = [snapshot.trials[number] for number in numbers]
    names = table_columns(snapshot)
    goals = snapshot.goals
    columns = [aligned([trial.value_for(goal) for trial in shown]) for goal in goals]
    first = [snapshot.space.flatten(trial.params) for trial in snapshot.trials[:8]]
    rows = []
    for trial, *values in zip(shown, *columns, strict=True):
        flat = snapshot.space.flatten(trial.params)
        cells = [param(flat[name]) if name in flat else "" for name in names]
        stood = standing(trial, explain(trial), snapshot) if explain else ""
        why = stood or note(trial, snapshot)
        rows.append([trial.number, values, cells, str(trial.status), why])
    return {
        "metrics": [ranked_by(goal, snapshot.step_name) for goal in goals],
        "names": names,
        "numeric": [_is_numeric([flat.get(name) for flat in first]) for name in names],
        "best": [trial.number for trial in snapshot.front],
        "rows": rows,
        "more": left_out(len(listed) - len(shown), sweep or snapshot.name),
    }


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(
        isinstance(v, (int, float)) and not isinstance(v, bool) for v in values if v is not None
    )


def left_out(count: int, sweep: str) -> str:
    """Return where the trials are that a table has no row for; empty where it has all."""
    return f"{plural(count, 'more trial')} in {sweep}.trials" if count > 0 else ""


def note(trial: Trial, snapshot: Snapshot) -> str:
    """Return what the last column says: the reason, or how far the trial has come."""
    if trial.reason:
        return shortened(trial.reason, 90)
    if trial.status is Status.FAILED and trial.failure is not None:
        return shortened(worded(trial.failure), 90)
    return _at_step(trial, snapshot)


def standing(trial: Trial, told: Explanation | None, snapshot: Snapshot) -> str:
    """Return how a trial stood that the scheduler has stopped or paused, "" for any other.

    "at epoch 3: rank 7 of 9, 0.812 where at least 0.845 was needed", in the metric's own unit.
    """
    if told is None or told.rung != trial.steps or not _is_decided(trial):
        return ""
    bracket = f" in bracket {told.bracket}" if told.bracket else ""
    rank = f"at {snapshot.step_name} {told.rung:,}: rank {told.rank:,} of {told.of:,}{bracket}"
    left = "; not promoted when the sweep ended" if _is_left(trial) else ""
    if told.cutoff is None:
        return f"{rank}, undecided" + (left or " so far")
    sign, bound = (1, "least") if snapshot.goal.direction == "maximize" else (-1, "most")
    score, cutoff = _told_apart(sign * told.score, sign * told.cutoff)
    verb = "is" if trial.status is Status.PAUSED and not snapshot.status.ended else "was"
    return f"{rank}, {score} where at {bound} {cutoff} {verb} needed{left}"


def _is_left(trial: Trial) -> bool:
    return trial.ended_by is not None and trial.ended_by.left_paused


def _is_decided(trial: Trial) -> bool:
    """Return whether the scheduler ended the trial, and not a person or a limit."""
    if trial.status not in (Status.STOPPED, Status.PAUSED):
        return False
    return trial.ended_by is not None and trial.ended_by.kind is EndKind.SCHEDULER


def _told_apart(first: float, second: float) -> list[str]:
    """Return two numbers with as many digits as it takes to tell them apart.

    A score of ``-inf`` stands for a value that was no number.
    """
    if math.isinf(first):
        return ["NaN", number(second)]
    texts = aligned([first, second])
    for digits in (6, 9, 12):
        if texts[0] == texts[1] and first != second:
            texts = aligned([first, second], digits)
    return texts


def panel(
    snapshot: Snapshot,
    trial: Trial,
    clock: Callable[[], float] = time.time,
    *,
    told: Explanation | None = None,
) -> dict[str, Any]:
    """Return all that is known of one trial; `told` is what ``sweep.explain`` says of it."""
    failure, aims = trial.failure, {goal.metric for goal in snapshot.goals}
    flat = snapshot.space.flatten(trial.params)
    log = trial.log
    tail = log[-LOG_TAIL_CHARACTERS:]
    if len(tail) < len(log):
        tail = "…\n" + tail.partition("\n")[2]
    return {
        "number": trial.number,
        "status": str(trial.status),
        # A failed trial's reason is its failure, with the step: it stands beside its traceback.
        "why": "" if failure else standing(trial, told, snapshot) or trial.reason,
        "facts": [[name, text] for name, text in _facts(snapshot, trial, clock) if text],
        "metrics": [[k, number(v)] for k, v in trial.metrics.items() if k not in aims],
        "params": [[name, shortened(repr(value), 60)] for name, value in flat.items()],
        "chosen": trial.why,
        "log": tail.rstrip(),
        "traceback": failure.traceback.rstrip() if failure else "",
        "failure": shortened(trial.reason or worded(failure), 300) if failure else "",
        "code": f"{snapshot.name}.trial({trial.number})",
        "kill": trial.status is Status.RUNNING,
    }


def _facts(snapshot: Snapshot, trial: Trial, clock: Callable[[], float]) -> list[tuple[str, str]]:
    ran = ""
    if trial.started is not None:
        seconds = (trial.ended if trial.ended is not None else clock()) - trial.started
        ran = f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
    started = time.strftime("%H:%M:%S", time.localtime(trial.started)) if trial.started else ""
    return [
        *(
            (ranked_by(goal, snapshot.step_name), number(trial.value_for(goal)))
            for goal in snapshot.goals
        ),
        (snapshot.step_name, f"{trial.steps:,}" if trial.count else ""),
        ("started", started),
        ("running for" if trial.status is Status.RUNNING else "took", ran),
        ("slot", str(trial.slot) if trial.slot is not None else ""),
    ]
