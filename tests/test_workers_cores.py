"""How many slots there are by default, and what each is held to."""

import os
import subprocess
import sys

import pytest
from driving import Driver, wait_for_all
from hypothesis import given
from hypothesis import strategies as st

from nbtune.exceptions import SpecError
from nbtune.workers import Local
from nbtune.workers.cores import available_cores, share_out, thread_limits


@pytest.fixture
def cores(tmp_path, monkeypatch):
    """Return the cores there are on a machine of 64 with some control groups and variables."""
    monkeypatch.setattr("loky.cpu_count", lambda: 64)

    def count(membership="0::/\n", files=None, variables=None):
        (tmp_path / "cgroup").write_text(membership)
        for name, text in (files or {}).items():
            file = tmp_path / "fs" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return available_cores(
            groups=tmp_path / "fs", membership=tmp_path / "cgroup", environment=variables or {}
        )

    return count


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 1),
        ("799999 100000\n", 7),
        ("50000 100000\n", 1),
        ("10000 5000\n", 2),
        ("max 100000\n", 64),
        ("9900000 100000\n", 64),
        ("", 64),
        ("1 0\n", 64),
    ],
)
def test_a_quota_of_version_2_counts_whole_cores(cores, quota, expected):
    assert cores("0::/\n", {"cpu.max": quota}) == expected


@pytest.mark.parametrize(
    ("quota", "expected"), [("300000\n", 3), ("150000\n", 1), ("1000\n", 1), ("-1\n", 64)]
)
def test_a_quota_of_version_1_counts_whole_cores(cores, quota, expected):
    files = {"cpu/job/cpu.cfs_quota_us": quota, "cpu/job/cpu.cfs_period_us": "100000\n"}

    assert cores("4:memory:/job\n3:cpu,cpuacct:/job\n", files) == expected


def test_a_quota_is_found_where_both_controllers_are_mounted_under_both_their_names(cores):
    files = {"cpu,cpuacct/cpu.cfs_quota_us": "300000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}

    assert cores("3:cpu,cpuacct:/\n", files) == 3


@pytest.mark.parametrize(
    ("leaf", "slice_", "expected"),
    [
        ("max 100000", "200000 100000", 2),
        ("100000 100000", "300000 100000", 1),
        ("500000 100000", "400000 100000", 4),
        ("max 100000", "max 100000", 64),
    ],
)
def test_the_least_quota_of_a_group_and_its_ancestors_counts(cores, leaf, slice_, expected):
    files = {"user.slice/hub.slice/cpu.max": leaf, "user.slice/cpu.max": slice_}

    assert cores("0::/user.slice/hub.slice\n", files) == expected


def test_the_ancestors_count_in_version_1_too(cores):
    files = {
        "cpu/pods/one/cpu.cfs_quota_us": "-1",
        "cpu/pods/one/cpu.cfs_period_us": "100000",
        "cpu/pods/cpu.cfs_quota_us": "250000",
        "cpu/pods/cpu.cfs_period_us": "100000",
    }

    assert cores("5:cpu,cpuacct:/pods/one\n0::/\n", files) == 2


def test_a_container_that_sees_its_own_group_as_the_root_finds_its_quota(cores):
    files = {"cpu.max": "200000 100000"}

    assert cores("0::/kubepods/burstable/pod7/cri-containerd-77.scope\n", files) == 2


def test_groups_of_other_controllers_do_not_count(cores):
    files = {"cpu/job/cpu.cfs_quota_us": "100000", "cpu/job/cpu.cfs_period_us": "100000"}

    assert cores("4:memory:/job\n3:cpu:/\n", files) == 64


def test_without_control_groups_all_cores_count(tmp_path, monkeypatch):
    monkeypatch.setattr("loky.cpu_count", lambda: 64)

    assert available_cores(groups=tmp_path, membership=tmp_path / "none", environment={}) == 64


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("4.0", 4), ("1.5", 1), ("0.5", 1), ("2c", 64), ("nan", 64), ("-1", 64), ("", 64)],
)
def test_the_limit_that_jupyterhub_tells_counts(cores, limit, expected):
    assert cores(variables={"JUPYTERHUB_USER": "ada", "CPU_LIMIT": limit}) == expected


def test_a_limit_that_no_hub_tells_does_not_count(cores):
    assert cores(variables={"CPU_LIMIT": "4.0"}) == 64


def test_the_least_limit_counts(cores):
    variables = {"JUPYTERHUB_USER": "ada", "CPU_LIMIT": "6", "LOKY_CPU_COUNT": "5"}

    assert cores("0::/\n", {"cpu.max": "400000 100000"}, variables) == 4


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


@pytest.fixture
def topology(tmp_path):
    """Lay out which cores are hyperthreads of one another."""

    def lay_out(*families):
        for family in families:
            for core in family:
                folder = tmp_path / f"cpu{core}" / "topology"
                folder.mkdir(parents=True)
                text = ",".join(map(str, family)) + "\n"
                (folder / "thread_siblings_list").write_text(text)
        return tmp_path

    return lay_out


@pytest.mark.parametrize(
    ("slots", "cpus", "shares"),
    [
        (2, 1, [(0,), (1,)]),
        (2, 2, [(0, 1), (2, 3)]),
        (4, 2, [(0, 4), (1, 5), (2, 6), (3, 7)]),
        (3, 2, [(0, 4), (1, 5), (2, 3)]),
        (5, 1, [(0,), (4,), (1,), (2,), (3,)]),
    ],
)
def test_slots_share_physical_cores_only_when_they_must(  # FEATURES A11
    topology, slots, cpus, shares
):
    machine = topology((0, 4), (1, 5), (2, 6), (3, 7))

    assert share_out(slots, cpus, range(8), machine) == shares


def test_a_range_of_hyperthreads_is_understood(tmp_path):
    for core in range(4):
        folder = tmp_path / f"cpu{core}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text("0-1\n" if core < 2 else "2-3\n")

    assert share_out(2, 1, range(4), tmp_path) == [(0,), (2,)]


def test_only_allowed_cores_are_shared_out(topology):
    machine = topology((0, 4), (1, 5), (2, 6), (3, 7))

    assert share_out(2, 1, {2, 5, 6}, machine) == [(2,), (5,)]


def test_where_linux_tells_nothing_each_core_stands_alone(tmp_path):
    assert share_out(3, 1, {0, 1, 2}, tmp_path) == [(0,), (1,), (2,)]


@given(st.sets(st.integers(0, 63), min_size=1), st.data())
def test_no_core_is_given_twice_and_every_slot_has_its_own(allowed, data):
    cpus = data.draw(st.integers(1, len(allowed)))
    slots = data.draw(st.integers(1, len(allowed) // cpus))

    shares = share_out(slots, cpus, allowed)

    cores = [core for share in shares for core in share]
    assert [len(share) for share in shares] == [cpus] * slots
    assert len(set(cores)) == len(cores)
    assert set(cores) <= allowed


def look(params):
    """Print the cores of this process and of a child."""
    print(sorted(os.sched_getaffinity(0)))
    code = "import os; print(sorted(os.sched_getaffinity(0)))"
    subprocess.run([sys.executable, "-c", code], check=True)
    wait_for_all(params["slots"])


def cores_seen(workers, folder):
    with Driver(workers, look, folder) as driver:
        params = {"slots": workers.slots}
        for number in [driver.start(params) for _ in range(workers.slots)]:
            assert driver.ended(number).how == "returned"
    return sorted((folder / str(n) / "log.txt").read_text() for n in range(workers.slots))


def test_a_pinned_slot_and_its_children_have_cores_of_their_own(tmp_path):  # FEATURES A11
    allowed = sorted(os.sched_getaffinity(0))

    seen = cores_seen(Local(len(allowed), pin=True), tmp_path)

    assert seen == sorted(f"[{core}]\n[{core}]\n" for core in allowed)


def test_slots_are_not_pinned_unless_asked_for(tmp_path):
    allowed = sorted(os.sched_getaffinity(0))

    assert cores_seen(Local(1), tmp_path) == [f"{allowed}\n{allowed}\n"]


def test_pinning_needs_a_core_for_each(monkeypatch):
    allowed = len(os.sched_getaffinity(0))

    with pytest.raises(SpecError, match=rf"pin=True: {allowed} x 2 cores are needed, {allowed} ar"):
        Local(allowed, cpus=2, pin=True)


def test_the_plan_names_pinned_cores():
    assert Local(1, pin=True).describe() == "1 slot, 1 pinned core each"
