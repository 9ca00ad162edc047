"""What a sweep's panels say, as plain JSON values: one function a panel, pure."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from nbtune.engine import Snapshot, SweepStatus
from nbtune.pareto import front_numbers, scores_table
from nbtune.plots.lines import CurveBook
from nbtune.plots.words import aligned, counted, duration, number, param, plural, shortened
from nbtune.trial import Failure, Goal, Status, Trial

__all__ = ["MOST_ROWS", "best", "head", "panel", "ranked", "table", "table_columns", "worded"]

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
    counts = snapshot.counts
    ended = sum(count for status, count in counts.items() if status.ended)
    limit = snapshot.trial_limit
    trials = f"{ended:,} of {plural(limit, 'trial')}" if limit else plural(ended, "trial")
    return {
        "name": snapshot.name,
        "state": str(snapshot.status),
        # "60 of 60 trials" as the reason would say twice what the progress says.
        "why": "" if snapshot.reason == trials else snapshot.reason,
        "plan": snapshot.plan,
        "progress": " · ".join([trials, *_times(snapshot)]),
        "actions": _ACTIONS.get(snapshot.status, []),
        "bar": [[str(s), counts[s] / _whole(snapshot)] for s in _BAR if counts[s]],
        "counts": [[str(status), words] for status, words in counted(counts)],
        "alert": _alert(snapshot),
    }


def _times(snapshot: Snapshot) -> list[str]:
    if not snapshot.elapsed:
        return []
    words = [f"{duration(snapshot.elapsed)} elapsed"]
    if snapshot.remaining is not None and not snapshot.status.ended:
        words.append(f"about {duration(snapshot.remaining)} left")
    return words


def _whole(snapshot: Snapshot) -> float:
    """Return how many trials the full width of the bar stands for."""
    known = len(snapshot.trials)
    if snapshot.trial_limit:
        return max(1, snapshot.trial_limit, known)
    if snapshot.time_limit and not snapshot.status.ended:
        return max(1.0, known / min(1.0, max(0.02, snapshot.elapsed / snapshot.time_limit)))
    return max(1, known)


def _alert(snapshot: Snapshot) -> dict[str, str] | None:
    """Return the one failure that explains why there is nothing good to see."""
    if snapshot.failure is not None:
        return _reported(snapshot.reason or "The sweep failed", snapshot.failure)
    over = [trial for trial in snapshot.trials if trial.status.ended]
    if not over or any(trial.status is not Status.FAILED for trial in over):
        return None
    failures = [trial.failure for trial in over if trial.failure is not None]
    if not failures:
        return None
    every = "The only trial so far" if len(over) == 1 else f"All {len(over)} trials so far"
    return _reported(f"{every} failed", failures[-1])


def worded(failure: Failure) -> str:
    """Return a failure in one line: "ValueError: no such file"."""
    return f"{failure.type}: {failure.message}" if failure.message else failure.type


def _reported(title: str, failure: Failure) -> dict[str, str]:
    traceback = failure.traceback.rstrip()
    return {"title": title, "message": worded(failure), "traceback": traceback}


def best(snapshot: Snapshot) -> dict[str, Any]:
    """Return the best trial so far: its value, where it comes from, its params.

    With several objectives: the size of the front, and the best in each of them.
    """
    goal, trial = snapshot.goal, snapshot.best
    if len(snapshot.goals) > 1:
        return _front(snapshot)
    if trial is None:
        line = f"the {_sought(goal)} {goal.metric} will stand here"
        return {"title": "BEST SO FAR", "value": "", "line": line, "params": []}
    flat, at = snapshot.space.flatten(trial.params), _at_step(trial, snapshot)
    return {
        "value": number(trial.value(goal.metric)),
        "line": " · ".join(filter(None, [goal.metric, f"trial {trial.number}", at])),
        "params": [[name, param(value)] for name, value in flat.items()],
        "title": "BEST" if snapshot.status.ended else "BEST SO FAR",
        "code": f"{snapshot.name}.best_params",
    }


def _sought(goal: Goal) -> str:
    return "highest" if goal.direction == "maximize" else "lowest"


def _front(snapshot: Snapshot) -> dict[str, Any]:
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
        "code": f"{snapshot.name}.best",
    }


def _leader(goal: Goal, snapshot: Snapshot) -> list[str]:
    """Return which trial of the front is best in one objective, the earliest of equals."""
    trial = max(snapshot.front, key=lambda t: (goal.score(t.value(goal.metric)) or 0.0, -t.number))
    value = number(trial.value(goal.metric))
    return [f"{_sought(goal)} {goal.metric}", f"{value} · trial {trial.number}"]


def _at_step(trial: Trial, snapshot: Snapshot) -> str:
    """Return "epoch 27"; nothing for a trial whose only report is its result."""
    if not trial.count or (trial.count == 1 and trial.status is Status.COMPLETED):
        return ""
    return f"{snapshot.step_name} {trial.steps:,}"


def ranked(snapshot: Snapshot, book: CurveBook) -> list[Trial]:
    """Return all trials, best first, the earlier of equals first as in ``sweep.best``.

    Those without a value come last, the latest of them first. With several objectives front by
    front, each by the first objective.
    """
    if len(snapshot.goals) > 1:
        return _ranked_by_front(snapshot)
    score = snapshot.goal.score

    def rank(trial: Trial) -> tuple[bool, float, int]:
        value = score(book.curves[trial.number].last)
        if value is None:
            return True, 0.0, -trial.number
        return False, -value, trial.number

    return sorted(snapshot.trials, key=rank)


def _ranked_by_front(snapshot: Snapshot) -> list[Trial]:
    compared, scores = scores_table(snapshot.trials, snapshot.goals)
    order = np.lexsort((-scores[:, 0], front_numbers(scores)))  # stable
    placed = [compared[index] for index in order]
    known = {trial.number for trial in placed}
    return placed + [trial for trial in reversed(snapshot.trials) if trial.number not in known]


def table_columns(snapshot: Snapshot) -> list[str]:
    """Return the dimensions that have a column, as dotted names; constants have none."""
    return list(dict.fromkeys(dim.path for dim in snapshot.space.dims))[:MOST_COLUMNS]


def table(
    snapshot: Snapshot, order: Sequence[Trial], only: Collection[int] | None = None
) -> dict[str, Any]:
    """Return the rows to show: the first `MOST_ROWS`, and what runs or failed beyond them.

    Parameters
    ----------
    snapshot : Snapshot
    order : sequence of Trial
        All trials, as `ranked`.
    only : collection of int, optional
        Show only these trials: those that are brushed.
    """
    listed = order if only is None else [trial for trial in order if trial.number in only]
    shown = list(listed[:MOST_ROWS])
    shown += [t for t in listed[MOST_ROWS:] if t.status is Status.RUNNING][:MOST_ROWS]
    shown += [t for t in listed[MOST_ROWS:] if t.status is Status.FAILED][:10]
    names = table_columns(snapshot)
    metrics = [goal.metric for goal in snapshot.goals]
    columns = [aligned([trial.value(metric) for trial in shown]) for metric in metrics]
    rows = []
    for trial, *values in zip(shown, *columns, strict=True):
        flat = snapshot.space.flatten(trial.params)
        cells = [param(flat[name]) if name in flat else "" for name in names]
        rows.append([trial.number, values, cells, str(trial.status), note(trial, snapshot)])
    return {
        "metrics": metrics,
        "names": names,
        "numeric": [_is_numeric(snapshot, name) for name in names],
        "best": [trial.number for trial in snapshot.front],
        "rows": rows,
        "more": _left_out(len(listed) - len(shown), snapshot),
    }


def _is_numeric(snapshot: Snapshot, name: str) -> bool:
    flat = (snapshot.space.flatten(trial.params).get(name) for trial in snapshot.trials[:8])
    return all(
        isinstance(v, (int, float)) and not isinstance(v, bool) for v in flat if v is not None
    )


def _left_out(count: int, snapshot: Snapshot) -> str:
    return f"{plural(count, 'more trial')} in {snapshot.name}.trials" if count > 0 else ""


def note(trial: Trial, snapshot: Snapshot) -> str:
    """Return what the last column says: the reason, or how far the trial has come."""
    if trial.reason:
        return shortened(trial.reason, 90)
    if trial.status is Status.FAILED and trial.failure is not None:
        return shortened(worded(trial.failure), 90)
    return _at_step(trial, snapshot)


def panel(
    snapshot: Snapshot, trial: Trial, clock: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Return all that is known of one trial."""
    failure, aims = trial.failure, {goal.metric for goal in snapshot.goals}
    flat = snapshot.space.flatten(trial.params)
    log = trial.log
    tail = log[-LOG_TAIL_CHARACTERS:]
    if len(tail) < len(log):
        tail = "…\n" + tail.partition("\n")[2]
    return {
        "number": trial.number,
        "status": str(trial.status),
        "why": trial.reason,
        "facts": [[name, text] for name, text in _facts(snapshot, trial, clock) if text],
        "metrics": [[k, number(v)] for k, v in trial.metrics.items() if k not in aims],
        "params": [[name, shortened(repr(value), 60)] for name, value in flat.items()],
        "log": tail.rstrip(),
        "traceback": failure.traceback.rstrip() if failure else "",
        "failure": shortened(worded(failure), 300) if failure else "",
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
        *((goal.metric, number(trial.value(goal.metric))) for goal in snapshot.goals),
        (snapshot.step_name, f"{trial.steps:,}" if trial.count else ""),
        ("started", started),
        ("running for" if trial.status is Status.RUNNING else "took", ran),
        ("slot", str(trial.slot) if trial.slot is not None else ""),
    ]
