"""Whatever a trial does, it costs that trial alone: one fault a case, in a real sweep."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from driving import is_gone, wait_until, worker_processes

import nbtune
from nbtune import report


def faults():  # noqa: C901 - a table
    """Return the faults by name; nested, so that they travel by value."""

    def exception():
        raise LookupError("mine")

    def exception_that_cannot_be_pickled():
        class NeedsFieldError(Exception):
            def __init__(self, *, field):
                super().__init__(field)
                self.lock = threading.Lock()

        raise NeedsFieldError(field="custom")

    def exception_whose_text_raises():
        class MuteError(Exception):
            def __str__(self):
                raise RuntimeError

        raise MuteError

    def sys_exit():
        sys.exit(3)

    def memory_error():
        bytearray(10**16)

    def recursion():
        return recursion()

    def os_exit():
        os._exit(3)

    def segfault():
        import ctypes

        ctypes.string_at(0)

    def abort():
        os.abort()

    def sigkill():
        os.kill(os.getpid(), signal.SIGKILL)

    def sigterm():
        os.kill(os.getpid(), signal.SIGTERM)

    def kill_the_group():
        os.killpg(0, signal.SIGKILL)

    def kill_the_supervisor():
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1000)

    def close_all_descriptors():
        os.closerange(0, 4096)
        time.sleep(1000)

    def fork_bomb():
        for _ in range(50):
            subprocess.Popen(["sleep", "1000"], start_new_session=True)
        os._exit(3)

    return {name: each for name, each in locals().items() if callable(each)}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exception", "LookupError at epoch 1: mine"),
        ("exception_that_cannot_be_pickled", "NeedsFieldError at epoch 1: custom"),
        ("exception_whose_text_raises", "MuteError at epoch 1: (its __str__ raised RuntimeError)"),
        ("sys_exit", "SystemExit at epoch 1: 3"),
        ("memory_error", "MemoryError"),
        ("recursion", "RecursionError at epoch 1: maximum recursion depth exceeded"),
        ("os_exit", "exited with code 3 (os._exit"),
        ("segfault", "segmentation fault (SIGSEGV)"),
        ("abort", "killed by SIGABRT"),
        ("sigkill", "killed by SIGKILL; memory was"),
        ("sigterm", "killed by SIGTERM"),
        ("kill_the_group", "killed by SIGKILL; memory was"),
        ("kill_the_supervisor", "killed together with its supervisor"),
        ("close_all_descriptors", "it closed its connection to the notebook"),
        ("fork_bomb", "exited with code 3"),
    ],
)
def test_a_fault_costs_its_own_trial_alone(beside, name, reason):
    misdeed = faults()[name]

    def fault():
        print("the line before")
        report(1, value=1.0)  # what comes alone is sent at once
        misdeed()

    scene = beside(fault)

    assert scene.fault.status == "failed"
    assert reason in scene.fault.reason
    assert "the line before\n" in scene.fault.log
    assert scene.fault.steps == 1


def test_a_worker_killed_from_outside_costs_its_own_trial_alone(beside, tmp_path):
    def fault():
        print("the line before")
        (tmp_path / f"victim-{os.getpid()}").touch()
        time.sleep(1000)

    def kill(sweep):
        wait_until(lambda: list(tmp_path.glob("victim-*")))
        (victim,) = tmp_path.glob("victim-*")
        os.kill(int(victim.name.removeprefix("victim-")), signal.SIGKILL)

    scene = beside(fault, meanwhile=kill)

    assert "killed by SIGKILL; memory was" in scene.fault.reason
    assert scene.fault.log == "the line before\n"


LIMIT = 8  # seconds for a trial: also for the two beside the fault, which take a moment each


def endless(way, started):
    """Return an objective that never ends, in Python or in C that holds the GIL."""

    def loop():
        print("the line before")
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        (started.parent / f"pid-{child.pid}").touch()
        started.touch()
        while way == "python":
            pass
        sum(range(10**13))

    return loop


@pytest.mark.parametrize("way", ["python", "c holding the GIL"])
def test_an_endless_loop_ends_at_its_time_limit(beside, tmp_path, monkeypatch, way):
    monkeypatch.setattr("nbtune.engine.ending.STOP_GRACE_SECONDS", 0.5)

    scene = beside(
        endless(way, tmp_path / "started"), neighbour_waits=False, trial_time_limit=LIMIT
    )

    assert scene.fault.status == "stopped"
    assert scene.fault.reason.startswith(f"over its time limit of {LIMIT} s; killed")
    assert scene.fault.log == "the line before\n"
    assert scene.fault.seconds >= LIMIT


def escapes():
    """Return ways to start a process that lives on; each returns its pid."""

    def plain():
        return subprocess.Popen(["sleep", "1000"]).pid

    def own_session():
        return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid

    def no_environment():
        return subprocess.Popen(["sleep", "1000"], env={}).pid

    def own_session_and_no_environment():
        return subprocess.Popen(["sleep", "1000"], env={}, start_new_session=True).pid

    def daemon():
        """Fork twice, lead a session, drop the environment: nothing ties it to the trial."""
        script = (
            "import os, sys\n"
            "if os.fork(): os._exit(0)\n"
            "os.setsid()\n"
            "if (pid := os.fork()): print(pid, flush=True); os._exit(0)\n"
            "os.closerange(0, 3)\n"
            "os.execve('/bin/sleep', ['sleep', '1000'], {})\n"
        )
        told = subprocess.run(
            [sys.executable, "-S", "-c", script], env={}, capture_output=True, check=True
        )
        return int(told.stdout)

    def fork():
        pid = os.fork()
        if pid == 0:
            os.setsid()
            time.sleep(1000)
        return pid

    return {name: each for name, each in locals().items() if callable(each)}


@pytest.mark.parametrize("end", ["returns", "dies"])
def test_what_a_trial_started_ends_with_it(beside, tmp_path, end):
    ways = escapes()

    def fault():
        for name, escape in ways.items():
            (tmp_path / f"pid-{escape()}").write_text(name)
        if end == "dies":
            os._exit(3)
        return 1.0

    def after():
        for file in tmp_path.glob("pid-*"):
            if not is_gone(int(file.name.removeprefix("pid-"))):
                print(file.read_text())

    scene = beside(fault, after=after)

    assert len(list(tmp_path.glob("pid-*"))) == len(ways)
    assert scene.next.log == ""
    assert scene.fault.status == ("completed" if end == "returns" else "failed")


def test_a_pool_of_processes_that_a_library_keeps_serves_the_next_trial(beside, tmp_path):
    def use():
        from loky import get_reusable_executor

        (pid,) = {get_reusable_executor(max_workers=1).submit(os.getpid).result()}
        with (tmp_path / "pids").open("a") as file:
            file.write(f"{pid} ")
        return 1.0

    beside(use, after=use)

    first, second = (tmp_path / "pids").read_text().split()
    assert first == second


def test_a_trial_that_closes_its_standard_streams_harms_none(beside):
    def fault():
        os.closerange(0, 3)
        report(1, value=2.0)

    def after():
        for descriptor in range(3):
            os.fstat(descriptor)
        print("still here")
        return float(sys.stdin.read() == "")

    scene = beside(fault, after=after)

    assert scene.fault.status == "completed"
    assert scene.next.value("value") == 1.0
    assert scene.next.log == "still here\n"


def disturbances():  # noqa: C901 - a table
    """Return pairs: what a trial does to its process, and what the next one sees of it."""

    def directory():
        os.chdir("/")

    def see_directory():
        return str(Path.cwd()) == "/"

    def environment():
        os.environ["NBTUNE_TEST"] = "1"

    def see_environment():
        return "NBTUNE_TEST" in os.environ

    def umask():
        os.umask(0)

    def see_umask():
        return os.umask(0o077) == 0

    def handler():
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def see_handler():
        kept = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        return not kept or signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL

    def alarm():
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.2)

    def see_alarm():
        return signal.getitimer(signal.ITIMER_REAL) != (0.0, 0.0)

    def mask():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def see_mask():
        return bool(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    def start_method():
        import multiprocessing

        multiprocessing.set_start_method("forkserver")

    def see_start_method():
        import multiprocessing

        multiprocessing.set_start_method("forkserver")  # would raise a second time
        return False

    def generators():
        import random

        import numpy as np

        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - the global one

    def see_generators():
        import random

        import numpy as np

        expected = random.Random(0).random(), np.random.RandomState(0).random()
        seen = random.random(), np.random.random()  # noqa: NPY002 - the global one
        return seen[0] == expected[0] or seen[1] == expected[1]

    return locals()


def test_what_a_trial_does_to_its_process_the_next_does_not_see(beside):
    table = disturbances()

    def fault():
        for name, disturb in table.items():
            if not name.startswith("see_"):
                disturb()
        return 1.0

    def after():
        for name, see in table.items():
            if name.startswith("see_") and see():
                print(name)
        time.sleep(0.3)  # past the alarm

    scene = beside(fault, after=after)

    assert len(table) == 16
    assert scene.fault.status == "completed"
    assert scene.next.log == ""


def test_the_notebooks_own_generators_are_not_touched(beside):
    import random

    random.seed(3)
    expected = random.Random(3).random()

    beside(lambda: random.seed(0) or 1.0)

    assert random.random() == expected


def test_each_trial_begins_with_generators_seeded_by_its_own_seed(beside):
    def draw():
        import random

        from nbtune import current_trial

        return float(random.random() == random.Random(current_trial().seed).random())

    scene = beside(draw, after=draw)

    assert (scene.fault.value("value"), scene.next.value("value")) == (1.0, 1.0)


NOTEBOOK = """
import pickle

class Net:
    weight = 3.0

def made():
    return Net()

def train(scale: Real(1, 2) = 1):
    again = pickle.loads(pickle.dumps(made()))
    return again.weight * (type(again) is Net)
"""


def test_stdlib_pickle_finds_the_notebooks_classes_in_a_trial(tmp_path):
    notebook = {"__name__": "__main__", "Real": nbtune.Real}
    exec(NOTEBOOK, notebook)

    sweep = nbtune.Sweep(
        notebook["train"],
        maximize="value",
        searcher="random",
        trials=2,
        workers=1,
        store=tmp_path / "store",
    ).run()

    assert [trial.value("value") for trial in sweep.snapshot().trials] == [3.0, 3.0]


def test_workers_are_what_the_kernel_ends_first_when_memory_runs_out(beside):
    def fault():
        return float(Path("/proc/self/oom_score_adj").read_text())

    scene = beside(fault)

    assert scene.fault.value("value") == 1000.0
    assert not worker_processes()
