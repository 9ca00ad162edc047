"""However the notebook's kernel dies, nothing of its trials lives on or is left lying about."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from driving import is_gone, wait_until

from nbtune.workers.leftovers import remove_leftovers

DRIVER = textwrap.dedent(
    """
    import os, subprocess, sys, time
    from pathlib import Path
    import nbtune
    from nbtune.workers import Local

    folder, busy = Path(sys.argv[1]), sys.argv[2] == "busy"

    def train(x: nbtune.Real(0, 1)):
        here = folder / f"family-{os.getpid()}"
        pids = [
            os.getpid(),
            os.getppid(),
            subprocess.Popen(["sleep", "1000"]).pid,
            subprocess.Popen(["sleep", "1000"], env={}, start_new_session=True).pid,
        ]
        here.with_suffix(".new").write_text(" ".join(map(str, pids)))
        here.with_suffix(".new").rename(here.with_suffix(".txt"))
        if busy:
            sum(range(10**13))  # holds the GIL
        time.sleep(1000)

    nbtune.Sweep(
        train, minimize="y", searcher="random", trials=2, workers=Local(2), store=folder / "store"
    ).start()
    time.sleep(1000)
    """
)


@pytest.fixture
def kernel(short_path):
    """Start a driver in a process group of its own; return it with the ids of its family."""
    started = []

    def start(busy):
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(short_path), "busy" if busy else "idle"],
            start_new_session=True,
        )
        started.append(process)
        wait_until(lambda: len(list(short_path.glob("family-*.txt"))) == 2)
        told = [path.read_text().split() for path in short_path.glob("family-*.txt")]
        return process, [int(pid) for pids in told for pid in pids]

    yield start
    for process in started:
        process.kill()
        process.wait()
    remove_leftovers()


def reaper_of(driver):
    (reaper,) = (
        child
        for child in psutil.Process(driver.pid).children()
        if "reaper" in " ".join(child.cmdline())
    )
    return reaper


def ways_to_die():
    """Return how a kernel may die; each takes the driver's process."""

    def killed(driver):
        driver.kill()

    def restarted(driver):
        os.killpg(driver.pid, signal.SIGTERM)
        os.killpg(driver.pid, signal.SIGKILL)

    def killed_with_its_reaper(driver):
        reaper = reaper_of(driver)
        reaper.suspend()
        driver.kill()
        reaper.kill()

    def reaper_first(driver):
        reaper_of(driver).kill()
        driver.kill()

    return {each.__name__: each for each in locals().values()}


@pytest.mark.parametrize(
    ("way", "busy"),
    [
        ("killed", False),
        ("killed", True),
        ("restarted", True),
        ("killed_with_its_reaper", True),
        ("reaper_first", False),
    ],
)
def test_a_dead_kernel_leaves_no_process(kernel, way, busy):
    driver, family = kernel(busy)
    assert len(family) == 8

    ways_to_die()[way](driver)

    wait_until(lambda: all(map(is_gone, family)))


def test_a_kernel_that_dies_with_its_reaper_leaves_files_only_until_the_next_start(
    kernel, short_path
):
    driver, family = kernel(False)
    ways_to_die()["killed_with_its_reaper"](driver)
    driver.wait()
    wait_until(lambda: all(map(is_gone, family)))
    (folder,) = (short_path / "temp").glob("nbtune-*")

    remove_leftovers()

    assert not folder.exists()
    assert not list(Path("/dev/shm").glob(f"sem.loky-{driver.pid}-*"))
