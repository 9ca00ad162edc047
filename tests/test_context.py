"""What code finds that runs by itself: reports are shown, and there is a trial numbered None."""

import shutil
import subprocess
import sys

import pytest

from nbtune import Real, Sweep, current_trial, report
from nbtune.workers import Inline

LOSS = "import nbtune\nfolder = nbtune.current_trial().dir\n"


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    shutil.rmtree(current_trial().dir)


def run_alone(code, tmp_path, monkeypatch):
    """Run code in a Python of its own whose temporary folders lie in `tmp_path`."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    subprocess.run([sys.executable, "-c", LOSS + code], check=True)


def test_outside_a_sweep_the_trial_is_one_numbered_none_with_a_real_folder():
    trial = current_trial()

    assert (trial.number, trial.params, trial.seed) == (None, {}, 0)
    assert trial.dir.is_dir()


def test_outside_a_sweep_the_folder_is_the_same_at_each_call():
    (current_trial().dir / "weights").write_text("1")

    assert (current_trial().dir / "weights").read_text() == "1"


def test_folder_that_was_removed_is_there_again():
    shutil.rmtree(current_trial().dir)

    assert current_trial().dir.is_dir()


def test_folder_outside_a_sweep_goes_when_nothing_was_put_into_it(tmp_path, monkeypatch):
    run_alone("", tmp_path, monkeypatch)

    assert list(tmp_path.iterdir()) == []


def test_folder_outside_a_sweep_stays_with_what_was_put_into_it(tmp_path, monkeypatch):
    run_alone("(folder / 'model').write_text('1')", tmp_path, monkeypatch)

    assert [path.read_text() for path in tmp_path.glob("*/model")] == ["1"]


def test_rerun_has_a_trial_with_its_params(tmp_path):
    seen = []

    def train(x: Real(0, 1) = 0.5):
        seen.append(current_trial())
        report(loss=x)

    sweep = Sweep(train, minimize="loss", trials=1, workers=Inline(1), store=tmp_path).run()
    sweep.rerun({"x": 0.25})

    assert [trial.number for trial in seen] == [0, None]
    assert seen[1].params == {"x": 0.25}
