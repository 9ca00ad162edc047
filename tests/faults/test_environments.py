"""Wherever a sweep runs, it completes or ends with a sentence that is true; it never hangs."""

import re
import tempfile
from pathlib import Path

import pytest
from driving import Driver
from environments import ENVIRONMENTS, TRIALS, run

from nbtune.workers import Local


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_sweep_completes_or_says_what_is_wrong(tmp_path, name):
    seen = run(name, tmp_path / "sweep")

    assert re.search(ENVIRONMENTS[name].says, seen["said"]), seen
    assert seen["status"] in ("completed", "failed"), seen
    # One whose store is full may have run all of its trials, and fails all the same.
    assert seen["status"] == "failed" or seen["trials"] == TRIALS, seen


def test_a_pool_in_another_pid_namespace_leaves_this_ones_alone(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as shared:  # a socket's path must be short
        monkeypatch.setattr("tempfile.tempdir", f"{shared}/temp")
        (Path(shared) / "temp").mkdir()
        with Driver(Local(1), lambda params: 1, tmp_path / "outer") as driver:
            driver.run()
            seen = run("another PID namespace", Path(shared))
            (folder,) = Path(shared, "temp").glob("nbtune-*")
            again = driver.run()

        assert seen["status"] == "completed"
        assert again.how == "returned"
        assert not folder.exists()
