"""How many slots there are by default, and what each is held to."""

import subprocess
import sys

import pytest

from nbtune.exceptions import SpecError
from nbtune.workers import Local
from nbtune.workers.cores import _quotas, available_cores, thread_limits


@pytest.fixture
def groups(tmp_path):
    """Lay out a control group hierarchy; return the quotas found in it."""

    def lay_out(membership, files):
        (tmp_path / "cgroup").write_text(membership)
        for name, text in files.items():
            file = tmp_path / "fs" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return sorted(_quotas(tmp_path / "fs", tmp_path / "cgroup"))

    return lay_out


def test_a_quota_of_version_2_is_found(groups):
    assert groups("0::/\n", {"cpu.max": "150000 100000\n"}) == [1.5]


def test_the_quotas_of_all_ancestors_count(groups):
    files = {"user.slice/hub.slice/cpu.max": "max 100000", "user.slice/cpu.max": "200000 100000"}

    assert groups("0::/user.slice/hub.slice\n", files) == [2.0]


def test_a_quota_of_version_1_is_found(groups):
    files = {"cpu/job/cpu.cfs_quota_us": "300000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}

    assert groups("4:memory:/job\n3:cpu,cpuacct:/job\n", files) == [3.0]


def test_no_quota_is_no_limit(groups):
    files = {
        "cpu.max": "max 100000",
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
    }

    assert groups("3:cpu:/\n0::/\n", files) == []


def test_loky_cpu_count_is_respected(monkeypatch):
    monkeypatch.setenv("LOKY_CPU_COUNT", "1")

    assert available_cores() == 1
    assert Local().slots == 1


def test_the_affinity_mask_is_respected():
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "from nbtune.workers import Local; print(Local().slots)"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout == "1\n"


def test_by_default_the_cores_are_shared_out_among_the_slots(monkeypatch):
    monkeypatch.delenv("LOKY_CPU_COUNT", raising=False)
    cores = available_cores()

    assert Local().slots == cores
    assert Local(cpus=cores).slots == 1
    assert Local(cpus=cores + 1).slots == 1


def test_threads_are_limited_unless_the_user_has_said_otherwise():
    limits = thread_limits(2, {"MKL_NUM_THREADS": "8"})

    assert limits["OMP_NUM_THREADS"] == limits["OPENBLAS_NUM_THREADS"] == "2"
    assert "MKL_NUM_THREADS" not in limits


@pytest.mark.parametrize("cpus", [0, -2, 0.5, None])
def test_cpus_must_be_a_positive_whole_number(cpus):
    with pytest.raises(SpecError, match="cpus="):
        Local(1, cpus=cpus)
