"""A stored sweep as plain values that any file format can hold, and back into a store.

The values are dicts, lists, text, numbers, None and bytes: ``pickle`` and ``joblib`` save them, and
JSON does with the bytes as text.
"""

import json
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nbtune.ended_by import EndedBy, EndKind
from nbtune.exceptions import SpecError, StoreError
from nbtune.objective import Payload
from nbtune.store import Batch, EditRow, Store, SweepRow, TrialRow
from nbtune.sweep_warning import SweepWarning
from nbtune.trial import Failure, Goal, Report, Status, Trial

__all__ = ["check_state", "restore", "state_of"]

FORMAT = 1
_KINDS: dict[str, type] = {
    **dict.fromkeys(("name", "step_name", "plan", "source"), str),
    **dict.fromkeys(("definition", "objective"), bytes),
    "seed": int,
}


def state_of(store: Store, row: SweepRow, payload: Payload) -> dict[str, Any]:
    """Return all that goes on from a stored sweep elsewhere; trials' logs stay behind."""
    trials = [
        {
            "number": trial.number,
            "params": params,
            "origin": origin,
            "status": trial.status.value,
            "reason": trial.reason,
            "started": trial.started,
            "ended": trial.ended,
            "slot": trial.slot,
            "failure": _plain(trial.failure),
            "why": trial.why,
            "ended_by": _plain_end(trial.ended_by),
            "reports": [[each.step, each.time, dict(each.metrics)] for each in trial.reports],
        }
        for trial, params, origin in store.trials(row)
    ]
    unended = [each["number"] for each in trials if not Status(each["status"]).ended]
    return {
        "format": FORMAT,
        "name": row.name,
        "status": row.status,
        "reason": row.reason,
        "ended_by": _plain_end(row.ended_by),
        "goals": [asdict(goal) for goal in row.goals],
        "step_name": row.step_name,
        "plan": row.plan,
        "source": row.source,
        "seed": row.seed,
        "elapsed": row.elapsed,
        "failure": _plain(row.failure),
        "definition": row.definition,
        "objective": _whole(payload),
        "trials": trials,
        "warnings": [asdict(warning) for warning in store.warnings(row.id)],
        "edits": [asdict(edit) for edit in store.edits(row.id)],
        "checkpoints": _checkpoints(store.folder(row.name), unended),
    }


def _plain(failure: Failure | None) -> dict[str, str] | None:
    return asdict(failure) if failure else None


def _whole(payload: Payload) -> bytes:
    with tempfile.TemporaryDirectory(prefix="nbtune-") as folder:
        path = Path(folder) / "objective"
        payload.gather(path)
        return path.read_bytes()


def _checkpoints(folder: Path, numbers: list[int]) -> dict[str, bytes]:
    """Return the files of the checkpoints of some trials, by their place in the sweep's folder."""
    paths = [
        path
        for number in numbers
        for path in (folder / str(number) / "checkpoints").rglob("*")
        if path.is_file()
    ]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def check_state(state: object) -> None:
    """Raise a SpecError unless `state` is what `state_of` returns."""
    if not isinstance(state, Mapping) or state.get("format") != FORMAT:
        kind = type(state).__name__
        raise SpecError(
            f"from_state_dict: got a {kind} that sweep.state_dict() of this nbtune did not "
            "return. Give it what state_dict() returned, unchanged",
            "state",
        )
    try:
        _goals(state), _batch(state), _files(state)
        for key, wanted in _KINDS.items():
            if not isinstance(state[key], wanted):
                raise TypeError(f"{key} is {state[key]!r}")
    except Exception as error:
        raise SpecError(
            f"from_state_dict: the state cannot be read ({type(error).__name__}: {error}). Give it "
            "what state_dict() returned, unchanged",
            "state",
        ) from error


def restore(state: Mapping[str, Any], store: Store, name: str) -> SweepRow:
    """Put a sweep that `state_of` returned into a store that has none of that name.

    When that fails nothing of it is left there.
    """
    goals, batch, files = _goals(state), _batch(state), _files(state)
    try:
        with store.draft() as (folder, lock):
            _write(folder / store.payload(name).name, state["objective"])
            for place, content in files.items():
                _write(folder / place, content)
            row = store.create(
                name,
                goals=goals,
                step_name=state["step_name"],
                plan=state["plan"],
                source=state["source"],
                seed=state["seed"],
                definition=state["definition"],
                draft=folder,
            )
        try:
            with closing(store.connect()) as connection:
                store.write(connection, row.id, batch)
        except BaseException:
            store.delete(name, lock=lock)
            raise
        lock.close()
    except (OSError, sqlite3.Error, OverflowError) as error:
        raise StoreError(f"the store at {store.path} cannot be written: {error}") from error
    return store.sweep(name)


def _goals(state: Mapping[str, Any]) -> list[Goal]:
    return [Goal(**goal) for goal in state["goals"]]


def _batch(state: Mapping[str, Any]) -> Batch:
    numbers = [each["number"] for each in state["trials"]]
    if numbers != list(range(len(numbers))):
        raise ValueError("its trials are not numbered 0, 1, 2, ...")
    return Batch(
        edits=[EditRow(**edit) for edit in state.get("edits", [])],
        trials=[_trial_row(each) for each in state["trials"]],
        reports=[
            (each["number"], Report(step, metrics, time))
            for each in state["trials"]
            for step, time, metrics in each["reports"]
        ],
        warnings=[SweepWarning(**each) for each in state.get("warnings", [])],
        status=state["status"],
        reason=state["reason"],
        ended_by=_ended_by(state.get("ended_by")),
        elapsed=state["elapsed"],
        failure=_failure(state["failure"]),
    )


def _files(state: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the checkpoints by their place: ``<trial>/checkpoints/...``, nowhere else."""
    numbers = {str(number) for number in range(len(state["trials"]))}
    for place in state["checkpoints"]:
        parts = place.split("/")
        inside = len(parts) > 2 and parts[0] in numbers and parts[1] == "checkpoints"
        if not inside or {"", ".", ".."}.intersection(parts) or "\0" in place:
            raise ValueError(
                f"{place!r} is no checkpoint's place, such as '0/checkpoints/4.pickle'"
            )
        if not isinstance(state["checkpoints"][place], bytes):
            raise TypeError(f"{place!r} holds no bytes")
    return dict(state["checkpoints"])


def _plain_end(ended_by: EndedBy | None) -> dict[str, Any] | None:
    return {"kind": ended_by.kind.value, **ended_by.facts()} if ended_by else None


def _ended_by(plain: Mapping[str, Any] | None) -> EndedBy | None:
    return EndedBy(**{**plain, "kind": EndKind(plain["kind"])}) if plain else None


def _failure(plain: dict[str, str] | None) -> Failure | None:
    return Failure(**plain) if plain else None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


def _trial_row(plain: Mapping[str, Any]) -> TrialRow:
    trial = Trial(
        number=plain["number"],
        params={},
        status=Status(plain["status"]),
        reason=plain["reason"],
        ended_by=_ended_by(plain.get("ended_by")),
        reports_so_far=[],
        count=0,
        started=plain["started"],
        ended=plain["ended"],
        slot=plain["slot"],
        failure=_failure(plain["failure"]),
        why=plain.get("why", ""),
        folder=None,
    )
    return TrialRow(trial=trial, params=json.dumps(plain["params"]), origin=plain["origin"])
