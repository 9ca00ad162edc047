"""However the driver ends, nothing of its workers is left."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from driving import PATIENCE, is_gone, wait_until

PREAMBLE = """
import os, subprocess, sys, tempfile, time
from pathlib import Path
from nbtune import report
from nbtune.workers import Local
from nbtune.workers.base import Assignment, Job, Reported, SlotReady

def open_workers(call, slots=2):
    workers = Local(slots)
    inbox = workers.inbox()
    workers.open(
        Job(call=call, payload=None, step_name="epoch", result_metric="value",
            folder=Path(sys.argv[1]), seed=1), inbox)
    return workers, inbox

def start_one(workers, inbox):
    # Start a trial and return what it reports.
    while not isinstance(event := inbox.get(120), SlotReady):
        pass
    workers.start(event.slot, Assignment(number=0, params={}))
    while not isinstance(event := inbox.get(120), Reported):
        pass
    return event.reports[0].metrics

def train(params):
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    orphan = subprocess.Popen(["env", "-i", "sleep", "1000"])
    report(1, worker=os.getpid(), child=child.pid, orphan=orphan.pid)
    if BUSY:
        sum(range(10**13))  # holds the GIL
    time.sleep(1000)

def say_family(metrics):
    print(*map(int, metrics.values()), flush=True)
"""


@pytest.fixture
def run_script(tmp_path):
    """Start a Python script that has the preamble above, in a process group of its own."""
    started = []
    (tmp_path / "temp").mkdir()

    def start(body, *, busy=False):
        code = PREAMBLE.replace("BUSY", str(busy)) + textwrap.dedent(body)
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(tmp_path / "temp")},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def family_of(process):
    """Return the process ids that the script prints."""
    return [int(pid) for pid in process.stdout.readline().split()]


SLEEP = """
workers, inbox = open_workers(train)
say_family(start_one(workers, inbox))
time.sleep(1000)
"""


@pytest.mark.parametrize("busy", [False, True], ids=["sleeping", "holding the GIL"])
def test_a_killed_driver_leaves_neither_worker_nor_child(run_script, busy):
    driver = run_script(SLEEP, busy=busy)
    family = family_of(driver)
    assert len(family) == 3

    driver.kill()

    wait_until(lambda: all(map(is_gone, family)))


def test_a_killed_process_group_leaves_neither_worker_nor_child(run_script):
    driver = run_script(SLEEP)
    family = family_of(driver)

    os.killpg(driver.pid, signal.SIGKILL)  # as a kernel restart does

    wait_until(lambda: all(map(is_gone, family)))


def test_a_killed_driver_leaves_no_files(run_script, tmp_path):
    driver = run_script(SLEEP)
    family_of(driver)

    os.killpg(driver.pid, signal.SIGKILL)

    def leftovers():
        semaphores = Path("/dev/shm").glob(f"sem.loky-{driver.pid}-*")
        return [*semaphores, *(tmp_path / "temp").glob("nbtune-*")]

    wait_until(lambda: not leftovers())


def test_a_child_forked_by_the_driver_does_not_keep_the_workers_alive(run_script):
    driver = run_script(
        """
        workers, inbox = open_workers(train)
        family = start_one(workers, inbox)
        if os.fork() == 0:
            time.sleep(1000)  # holds all of the driver's pipes
            os._exit(0)
        say_family(family)
        time.sleep(1000)
        """
    )
    family = family_of(driver)

    driver.kill()

    wait_until(lambda: all(map(is_gone, family)))


def test_a_forked_child_that_exits_leaves_its_parents_workers_alone(run_script):
    driver = run_script(
        """
        workers, inbox = open_workers(train)
        family = start_one(workers, inbox)
        import multiprocessing
        child = multiprocessing.get_context("fork").Process(target=workers.close)
        child.start()
        child.join()
        os.kill(int(family["worker"]), 0)
        print("alive", flush=True)
        workers.close()
        """
    )

    out, err = driver.communicate(timeout=PATIENCE)

    assert (out, err, driver.returncode) == ("alive\n", "", 0)


@pytest.mark.parametrize("busy", [False, True], ids=["sleeping", "holding the GIL"])
def test_a_script_that_ends_with_a_trial_running_exits_before_the_trial_would(run_script, busy):
    driver = run_script(
        """
        workers, inbox = open_workers(train)
        say_family(start_one(workers, inbox))
        """,
        busy=busy,
    )
    family = family_of(driver)

    _, err = driver.communicate(timeout=PATIENCE)

    assert (err, driver.returncode) == ("", 0)
    assert all(map(is_gone, family))


@pytest.mark.parametrize("pause", [0, 0.002, 0.01, 0.05, 0.1, 0.2])
def test_a_script_that_ends_while_its_workers_come_up_exits_quietly(run_script, pause):
    driver = run_script(f"open_workers(train); time.sleep({pause})")

    _, err = driver.communicate(timeout=PATIENCE)

    assert (err, driver.returncode) == ("", 0)


def test_a_script_that_fails_leaves_no_worker(run_script):
    driver = run_script(
        """
        workers, inbox = open_workers(train)
        say_family(start_one(workers, inbox))
        raise LookupError("mine")
        """
    )
    family = family_of(driver)

    _, err = driver.communicate(timeout=PATIENCE)

    assert "LookupError: mine" in err
    assert driver.returncode == 1
    assert all(map(is_gone, family))


def test_an_interrupt_of_the_whole_group_reaches_the_driver_alone(run_script):
    driver = run_script(
        """
        def quick(params):
            report(1, started=1)
            while not Path(folder, "go").exists():
                time.sleep(0.01)
            report(2, done=1)

        folder = sys.argv[1]
        workers, inbox = open_workers(quick)
        start_one(workers, inbox)
        try:
            print("go", flush=True)
            time.sleep(1000)
        except KeyboardInterrupt:
            Path(folder, "go").touch()
            while not isinstance(event := inbox.get(120), Reported):
                pass
            print(event.reports[0].metrics)
        """
    )
    driver.stdout.readline()

    os.killpg(driver.pid, signal.SIGINT)
    out, err = driver.communicate(timeout=PATIENCE)

    assert (out, err) == ("{'done': 1.0}\n", "")


def test_an_interrupt_while_workers_come_up_does_not_reach_them(run_script):
    driver = run_script(
        """
        import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        workers, inbox = open_workers(lambda params: 1, slots=1)
        for _ in range(40):
            os.killpg(0, signal.SIGINT)
            time.sleep(0.01)
        print(inbox.get(120), flush=True)
        """
    )

    out, err = driver.communicate(timeout=PATIENCE)

    assert (out, err) == ("SlotReady(slot=0)\n", "")


def test_nothing_of_a_worker_reaches_the_drivers_streams(run_script):
    driver = run_script(
        """
        def noisy(params):
            os.write(1, b"out")
            os.write(2, b"err")
            print("text")
            report(1, loss=0)
            os.kill(os.getpid(), 11)

        workers, inbox = open_workers(noisy)
        start_one(workers, inbox)
        inbox.get(120), inbox.get(120)
        workers.close()
        """
    )

    assert driver.communicate(timeout=PATIENCE) == ("", "")
