"""What a trial does to its process costs no later trial anything."""

import decimal
import gc
import os
import resource
import socket
import sys
import threading
import time
import warnings

import pytest
from driving import PATIENCE, Driver, wait_until

import nbtune
from nbtune.searchers import Points
from nbtune.workers import Local


def changes():  # noqa: C901 - a table
    """Return, by name, what a trial changes and what shows it, the same in the next trial."""

    def spoil_gc():
        gc.disable()
        gc.set_threshold(5)

    def few_descriptors():
        resource.setrlimit(resource.RLIMIT_NOFILE, (50, limits()[1]))

    def limits():
        return resource.getrlimit(resource.RLIMIT_NOFILE)

    def three_digits():
        decimal.getcontext().prec = 3

    def own_hook():
        sys.excepthook = trace

    def freeze_time():
        time.time = lambda: 0.0

    def trace(*_):
        return None

    def profile():
        sys.setprofile(trace)
        threading.setprofile(trace)

    return {
        "sys.path": (lambda: sys.path.insert(0, "/nowhere"), lambda: list(sys.path)),
        "gc": (
            lambda: (gc.disable(), gc.set_threshold(5)),
            lambda: (gc.isenabled(), gc.get_threshold()),
        ),
        "recursion limit": (lambda: sys.setrecursionlimit(500), sys.getrecursionlimit),
        "socket timeout": (lambda: socket.setdefaulttimeout(3), socket.getdefaulttimeout),
        "decimal context": (
            lambda: setattr(decimal.getcontext(), "prec", 3),
            lambda: decimal.getcontext().prec,
        ),
        "warning filters": (lambda: warnings.simplefilter("error"), lambda: warnings.filters[0][0]),
        "excepthook": (
            lambda: setattr(sys, "excepthook", trace),
            lambda: sys.excepthook is sys.__excepthook__,
        ),
        "profiler": (profile, lambda: (sys.getprofile(), threading.getprofile())),
        "tracer": (lambda: threading.settrace(trace), threading.gettrace),
        "nice": (lambda: os.nice(3), lambda: os.nice(0)),
        "affinity": (
            lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
            lambda: sorted(os.sched_getaffinity(0)),
        ),
        "time.time": (freeze_time, lambda: time.time() > 0),
        "soft limit": (few_descriptors, limits),
    }


@pytest.mark.parametrize("name", changes())
def test_a_trial_finds_what_the_first_one_found(tmp_path, name):
    def train(params):
        change, show = changes()[name]
        print(show())
        time.sleep(0.01)
        change()

    with Driver(Local(1), train, tmp_path) as driver:
        for _ in range(3):
            driver.run()

    said = {(tmp_path / str(number) / "log.txt").read_text() for number in range(3)}
    assert len(said) == 1


def test_a_librarys_own_warning_filter_stays_as_its_import_is_not_repeated(tmp_path):
    def train(params):
        if "imported" not in vars(warnings):
            warnings.imported = True
            warnings.filterwarnings("ignore", message="numpy.dtype size changed")
        return float(
            any(
                each[1]
                for each in warnings.filters
                if each[0] == "ignore" and each[1] and "dtype" in each[1].pattern
            )
        )

    with Driver(Local(1), train, tmp_path) as driver:
        seen = [driver.run().result["value"] for _ in range(3)]

    assert seen == [1.0, 1.0, 1.0]


def ways_to_spoil_a_process():  # noqa: C901 - a table
    """Return what cannot be undone in a process."""

    def leak_descriptors():
        for _ in range(600):
            os.dup(0)

    def become_another_user():
        os.setresuid(61234, 61234, 61234)

    def lower_hard_limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
        if os.getuid() == 0:
            os.setresuid(61234, 61234, 61234)  # root may raise it again

    def change_root():
        os.chroot("/proc/self/fdinfo/..")

    def be_nice():
        os.nice(5)

    if os.getuid():
        del become_another_user, change_root  # only root may
    else:
        del be_nice  # root may take it back
    return {name: each for name, each in locals().items() if callable(each)}


@pytest.mark.parametrize("name", ways_to_spoil_a_process())
@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_a_spoilt_process_costs_no_later_trial_anything(tmp_path, name, seconds):
    def train(x: nbtune.Int(0, 40)):
        time.sleep(seconds)
        with (nbtune.current_trial().dir / "file").open("w") as file:
            file.write("here")
        if x % 2 == 0:
            ways_to_spoil_a_process()[name]()
        return float(x)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        sweep = nbtune.Sweep(
            train,
            maximize="value",
            searcher=Points([{"x": x} for x in range(8)]),
            workers=Local(1),
            store=tmp_path / "store",
        ).run()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert [str(trial.status) for trial in sweep.snapshot().trials] == ["completed"] * 8


def test_a_finalizer_that_hangs_is_charged_to_its_own_trial(tmp_path):
    hangs = tmp_path / "hangs"

    class Hanging:
        def __init__(self):
            self.itself = self

        def __del__(self):
            hangs.touch()
            time.sleep(1000)

    def train(x: nbtune.Int(0, 1)):
        if x == 0:
            Hanging()
            time.sleep(0.3)  # what a shorter trial leaves is not looked for
        return float(x)

    sweep = nbtune.Sweep(
        train,
        maximize="value",
        searcher=Points([{"x": 0}, {"x": 1}]),
        workers=Local(1),
        store=tmp_path / "store",
    ).start()
    wait_until(hangs.exists)
    sweep.kill(0)
    sweep.wait(PATIENCE)

    first, second = sweep.snapshot().trials
    assert (str(first.status), str(second.status)) == ("stopped", "completed")
