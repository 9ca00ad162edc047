"""Sizes as people write them, and what the system says of its memory."""

import mmap
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from nbtune.exceptions import SpecError
from nbtune.workers import Local
from nbtune.workers.memory import (
    DATA,
    Holdings,
    bytes_of,
    fullness,
    machine_memory,
    oom_kills,
    over,
    proportional_memory,
    resident_memory,
    shown,
)

GROUPS = "12:cpu:/here\n4:memory:/jobs/one\n0::/\n"


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (2_000_000_000, 2 * 10**9),
        (2e9, 2 * 10**9),
        ("2 GB", 2 * 10**9),
        ("2gb", 2 * 10**9),
        ("1.5 GB", 15 * 10**8),
        ("2 GiB", 2 * 2**30),
        ("512MiB", 512 * 2**20),
        ("100000 kB", 10**8),
        ("1 TB", 10**12),
        ("100000000 B", 10**8),
    ],
)
def test_a_size_is_read(given, size):
    assert bytes_of(given) == size


@pytest.mark.parametrize(
    "given", ["2", "2 G", "two GB", "", "-2 GB", True, None, [1], float("nan")]
)
def test_what_is_no_size_is_refused(given):
    with pytest.raises(SpecError, match="give a number of bytes, or text with a unit"):
        bytes_of(given)


@pytest.mark.parametrize("given", [0, -5, 1000, "50 MB"])
def test_less_than_a_worker_needs_is_refused(given):
    with pytest.raises(SpecError, match="a trial needs 64 MiB at least"):
        bytes_of(given)


@pytest.mark.parametrize(
    ("size", "text"),
    [(2 * 10**9, "2 GB"), (3_100_000_000, "3.1 GB"), (2**31, "2 GiB"), (10**8, "100 MB")],
)
def test_a_size_is_shown_in_the_kind_of_unit_that_it_was_given_in(size, text):
    assert shown(size) == text


def test_what_was_used_is_shown_in_the_unit_of_the_limit():
    assert over(3_100_000_000, 2 * 10**9) == "used 3.1 GB of 2 GB"
    assert over(3 * 2**30, 2**31) == "used 3 GiB of 2 GiB"


def test_a_process_that_is_gone_holds_nothing():
    assert resident_memory(2**22 + 1) == proportional_memory(2**22 + 1) == 0


def test_what_is_mapped_from_a_sweeps_data_is_not_held(tmp_path):
    folder = Path(tempfile.mkdtemp(prefix=f"{DATA.strip('/')}test-", dir="/dev/shm"))
    try:
        (folder / "buffer").write_bytes(b"x" * 50_000_000)
        with (folder / "buffer").open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        before = proportional_memory(os.getpid())

        assert {data[i] for i in range(0, len(data), 4096)} == {ord("x")}  # all in memory now
        read = proportional_memory(os.getpid()) - before
        data[:20_000_000] = b"y" * 20_000_000
        written = proportional_memory(os.getpid()) - before

        assert read < 5_000_000
        assert 20_000_000 < written < 45_000_000
    finally:
        shutil.rmtree(folder)


def test_holdings_are_rough_within_the_limit_and_exact_above():
    holdings = Holdings()

    rough = holdings.of([os.getpid()], 2**40)
    exact = holdings.of([os.getpid()], 1)

    assert rough == pytest.approx(resident_memory(os.getpid()), rel=0.1)
    assert exact == pytest.approx(proportional_memory(os.getpid()), rel=0.1)


def test_kills_are_counted_in_every_control_group_of_version_1(tmp_path):
    for path, count in ("memory/jobs/one", 2), ("memory", 1):
        folder = tmp_path / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.oom_control").write_text(f"oom_kill_disable 0\noom_kill {count}\n")
    (tmp_path / "membership").write_text(GROUPS)

    assert oom_kills(tmp_path, tmp_path / "membership") == 3


def test_kills_are_counted_in_a_control_group_of_version_2(tmp_path):
    (tmp_path / "user.slice").mkdir()
    (tmp_path / "user.slice" / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    (tmp_path / "membership").write_text("0::/user.slice\n")

    assert oom_kills(tmp_path, tmp_path / "membership") == 2


def test_the_machine_is_neither_empty_nor_more_than_full():
    assert 0 < fullness() < 1
    assert machine_memory() > 2**28


def test_slots_are_as_many_as_the_memory_has_room_for():
    assert Local(memory=machine_memory()).slots == 1


def test_the_plan_names_the_memory():
    assert Local(2, memory="2 GB").describe() == "2 slots: 1 core, 2 GB each"
