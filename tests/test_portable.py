"""Sweeps that move from store to store as plain values."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import nbtune
from nbtune import (
    Real,
    SpecError,
    StoreError,
    Sweep,
    SweepError,
    load_checkpoint,
    report,
    save_checkpoint,
)
from nbtune.schedulers import Hyperband
from nbtune.searchers import Bayes
from nbtune.trial import Status
from nbtune.workers import Inline

DATA = np.arange(300_000.0)  # 2.4 MB: more than the payload itself holds


def train(x: Real(0, 1)):
    done = load_checkpoint(0)
    for epoch in range(done + 1, 10):
        save_checkpoint(epoch)
        report(epoch=epoch, loss=x / epoch + DATA[0], began=done)


def run(folder, **options):
    defaults = {
        "minimize": "loss",
        "searcher": "random",
        "trials": 4,
        "workers": Inline(1),
        "seed": 3,
        "store": folder,
    }
    return Sweep(train, **{**defaults, **options}).run()


def through_a_file(sweep, path):
    with path.open("wb") as file:
        pickle.dump(sweep.state_dict(), file)
    with path.open("rb") as file:
        return pickle.load(file)


def plain(value):
    if isinstance(value, dict):
        return all(type(key) in (str, int) and plain(each) for key, each in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return type(value) in (str, int, float, bool, bytes, type(None))


def test_a_sweep_comes_back_in_another_store_with_all_it_found(tmp_path):  # FEATURES A8
    sweep = run(tmp_path / "here")

    again = Sweep.from_state_dict(
        through_a_file(sweep, tmp_path / "sweep.pickle"), store=tmp_path / "there"
    )

    assert again.name == sweep.name
    assert (again.status, again.reason) == (sweep.status, sweep.reason)
    assert again.best_params == sweep.best_params
    pd.testing.assert_frame_equal(sweep.trials, again.trials, check_like=True)
    pd.testing.assert_frame_equal(sweep.reports, again.reports, check_like=True)


def test_the_state_is_plain_values(tmp_path):
    assert plain(run(tmp_path).state_dict())


def test_a_sweep_goes_on_elsewhere_as_it_would_have_here(tmp_path):
    sweep = run(tmp_path / "here", searcher=Bayes(2), trials=4)
    state = sweep.state_dict()

    there = Sweep.from_state_dict(state, store=tmp_path / "there")
    for each in (sweep, there):
        each.resume(trials=7).wait()

    assert [t.params for t in there.snapshot().trials] == [
        t.params for t in sweep.snapshot().trials
    ]


def test_paused_trials_go_on_from_their_checkpoints_elsewhere(tmp_path):
    promotion = Hyperband(max_t=9, type="promotion")
    sweep = run(tmp_path / "here", scheduler=promotion, trials=9)
    paused = sweep.counts[Status.PAUSED]
    assert paused

    there = Sweep.from_state_dict(sweep.state_dict(), store=tmp_path / "there")
    there.resume(trials=27).wait()

    reports = there.reports
    later = reports[(reports.trial < 9) & (reports.began > 0)]
    assert len(later)
    assert not reports.duplicated(["trial", "step"]).any()


def test_its_data_goes_along_to_a_process_that_never_had_it(tmp_path):
    with (tmp_path / "state").open("wb") as file:
        pickle.dump(run(tmp_path / "here", name="moved").state_dict(), file)
    script = (
        "import pickle, sys, nbtune\n"
        "state = pickle.load(open(sys.argv[1], 'rb'))\n"
        "sweep = nbtune.Sweep.from_state_dict(state, store=sys.argv[2])\n"
        "sweep.resume(trials=6).wait()\n"
        "print(len(sweep.trials), sweep.status)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "state"), str(tmp_path / "there")],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    assert done.stdout.split() == ["6", "completed"]


def test_a_name_that_is_taken_is_left_alone_unless_it_shall_be_replaced(tmp_path):
    state = run(tmp_path, name="mine").state_dict()

    with pytest.raises(SweepError, match="exists already"):
        Sweep.from_state_dict(state, store=tmp_path)

    assert Sweep.from_state_dict(state, store=tmp_path, name="other").name == "other"
    assert len(Sweep.from_state_dict(state, store=tmp_path, replace=True).trials) == 4
    assert list(nbtune.sweeps(tmp_path).index) == ["other", "mine"]


@pytest.mark.parametrize("state", [None, {}, {"format": 0}, "state.pickle"])
def test_what_is_no_state_is_refused(state, tmp_path):
    with pytest.raises(SpecError, match="state_dict"):
        Sweep.from_state_dict(state, store=tmp_path)


@pytest.mark.parametrize(
    "place",
    ["../../x", "/tmp/x", "0/checkpoints/../../../x", "9/checkpoints/x", "0/log.txt", "0/x/y", 3],
)
def test_a_checkpoint_outside_its_trials_folder_is_refused(tmp_path, place):
    state = run(tmp_path / "here").state_dict() | {"checkpoints": {place: b"x"}}

    with pytest.raises(SpecError, match="the state cannot be read"):
        Sweep.from_state_dict(state, store=tmp_path / "there" / "store")

    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trials", [{"number": 0}]),
        ("goals", "loss"),
        ("checkpoints", None),
        ("failure", 3),
        ("seed", 2**70),
        ("definition", b"no pickle"),
        ("objective", "text"),
    ],
)
def test_a_state_that_cannot_be_restored_leaves_no_sweep(tmp_path, key, value):
    state = run(tmp_path / "here").state_dict() | {key: value}

    with pytest.raises((SpecError, StoreError)):
        Sweep.from_state_dict(state, store=tmp_path / "there")

    assert list(nbtune.sweeps(tmp_path / "there").index) == []


def test_a_state_with_a_hole_in_its_trials_is_refused(tmp_path):
    state = run(tmp_path / "here").state_dict()
    del state["trials"][1]

    with pytest.raises(SpecError, match="not numbered 0, 1, 2"):
        Sweep.from_state_dict(state, store=tmp_path / "there")


def test_a_sweep_that_has_not_been_started_has_nothing_to_save(tmp_path):
    with pytest.raises(SweepError, match="not been started"):
        Sweep(train, minimize="loss", trials=1, store=tmp_path).state_dict()
