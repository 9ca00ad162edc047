"""Trials in worker processes: what they see, where they write, what they cannot harm."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import pytest
from driving import PATIENCE, Driver, is_gone, wait_until, worker_processes

from nbtune import current_trial, report
from nbtune.workers import Local
from nbtune.workers.base import Ended, Job, SlotReady
from nbtune.workers.slot import Slot


@pytest.fixture
def drive(tmp_path):
    drivers = []

    def start(call, slots=1, **options):
        workers = Local(slots, **{name: options.pop(name) for name in ("cpus",) if name in options})
        drivers.append(Driver(workers, call, tmp_path, **options))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.workers.close()


def log_of(folder, number):
    return (folder / str(number) / "log.txt").read_text()


def test_opening_waits_for_no_worker(tmp_path, monkeypatch):
    opened, claim = threading.Event(), Slot.claim

    def claim_once_it_is_open(slot, generation):
        assert opened.wait(PATIENCE)
        return claim(slot, generation)

    monkeypatch.setattr(Slot, "claim", claim_once_it_is_open)
    workers = Local(2)
    inbox = workers.inbox()
    job = Job(
        call=lambda params: 1,
        payload=None,
        step_name="epoch",
        result_metric="v",
        folder=tmp_path,
        seed=1,
    )

    workers.open(job, inbox)
    before = inbox.get(0)
    opened.set()
    after = inbox.get(PATIENCE)
    workers.close()

    assert before is None
    assert isinstance(after, SlotReady)


def test_each_slot_is_a_process_of_its_own(drive):  # FEATURES D2
    def look(params):
        report(1, pid=os.getpid())

    driver = drive(look, slots=2)

    trials = driver.start(milestone=1), driver.start(milestone=1)

    pids = {driver.reported(number).reports[0].metrics["pid"] for number in trials}
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_output_of_every_level_goes_to_the_trials_log(drive, tmp_path):
    def talk(params):
        import ctypes

        print("from print")
        sys.stderr.write("from stderr\n")
        os.write(1, b"from a descriptor\n")
        subprocess.run(["echo", "from a child"], check=True)
        ctypes.CDLL(None).puts(b"from C")

    drive(talk).run()

    log = log_of(tmp_path, 0)
    for source in ("print", "stderr", "a descriptor", "a child", "C"):
        assert f"from {source}\n" in log


def test_each_log_holds_its_own_trial_only(drive, tmp_path):
    def talk(params):
        sys.stdout.write(f"I am {params['name']}")

    driver = drive(talk)
    driver.run({"name": "a"})
    driver.run({"name": "b"})

    assert [log_of(tmp_path, 0), log_of(tmp_path, 1)] == ["I am a", "I am b"]


def test_a_log_can_be_read_while_the_trial_runs(drive, tmp_path):
    def talk(params):
        print("epoch 1 done")
        report(1, loss=0.0)

    driver = drive(talk)
    number = driver.start(milestone=1)
    driver.reported(number, waiting=True)

    assert log_of(tmp_path, number) == "epoch 1 done\n"


def test_a_trial_that_closes_its_streams_harms_none(drive, tmp_path):
    def close(params):
        if params["close"]:
            sys.stdout.close()
            sys.stdout = None
        print("still here")

    driver = drive(close)
    driver.run({"close": True})
    driver.run({"close": False})

    assert log_of(tmp_path, 1) == "still here\n"


def test_a_trial_has_a_folder_for_its_files(drive, tmp_path):
    def save(params):
        (current_trial().dir / "weights.bin").write_bytes(b"1234")

    drive(save).run()

    assert (tmp_path / "0" / "weights.bin").read_bytes() == b"1234"


def test_directory_and_environment_are_put_back(drive, tmp_path):
    def move(params):
        seen = os.environ.get("NBTUNE_TEST", "unset"), str(Path.cwd())
        os.chdir("/")
        os.environ["NBTUNE_TEST"] = "set"
        raise LookupError(*seen)

    driver = drive(move)
    first, second = driver.run(), driver.run()

    assert first.failure.message == second.failure.message
    assert str(Path.cwd()) in second.failure.message


def test_an_environment_that_a_trial_put_in_its_place_does_not_stay(drive):
    def replace(params):
        replaced = type(os.environ) is dict
        os.environ = dict(os.environ)  # noqa: B003 - what a trial might do
        return float(replaced)

    driver = drive(replace)
    first, second = driver.run(), driver.run()

    assert (first.result, second.result) == ({"value": 0.0}, {"value": 0.0})


def test_an_array_changed_in_place_is_whole_in_the_next_trial(drive):
    data = np.arange(1_000_000, dtype=float)

    def spoil(params):
        total = float(data.sum())
        data[:] = 0
        return total

    driver = drive(spoil)

    assert driver.run().result == driver.run().result == {"value": float(data.sum())}


def test_params_of_the_notebooks_own_classes_arrive(drive):
    class Kernel:
        def __init__(self, width):
            self.width = width

    Kernel.__module__ = "__main__"  # as if it were defined in a cell
    driver = drive(lambda params: params["kernel"].width)

    assert driver.run({"kernel": Kernel(3)}).result == {"value": 3.0}


def test_params_that_cannot_be_pickled_fail_their_trial(drive):
    driver = drive(lambda params: 1)

    assert driver.run({"lock": threading.Lock()}).failure.type == "TypeError"
    assert driver.run({}).how == "returned"


def test_a_report_from_a_thread_of_the_trial_counts(drive):
    def train(params):
        thread = threading.Thread(target=report, args=(1,), kwargs={"loss": 0.5})
        thread.start()
        thread.join()

    driver = drive(train)
    driver.run()

    assert driver.reports(0)[0].metrics == {"loss": 0.5}


def test_a_report_from_a_forked_child_is_refused_and_the_channel_lives(drive):
    def train(params):
        child = os.fork()
        if child == 0:
            try:
                report(1, loss=0.0)
            except ValueError:
                os._exit(7)
            os._exit(0)
        report(1, loss=1.0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    driver = drive(train)

    assert driver.run().result == {"value": 7.0}
    assert driver.reports(0)[0].metrics == {"loss": 1.0}


def test_threads_of_numeric_libraries_are_held_to_the_slots_cores(drive, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")

    def look(params):
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
        return {name: int(os.environ[name]) for name in names}

    ended = drive(look, cpus=2).run()

    assert ended.result == {"OMP_NUM_THREADS": 2, "MKL_NUM_THREADS": 7, "LOKY_MAX_CPU_COUNT": 2}


def test_a_worker_imports_nothing_that_the_objective_does_not(drive):
    import sklearn  # noqa: F401 - brings joblib, whose copy of loky must not take over

    def look(params):
        heavy = ("numpy", "pandas", "sklearn", "skopt", "plotly", "IPython", "asyncio", "sqlite3")
        return sum(name in sys.modules for name in heavy)

    assert drive(look).run().result == {"value": 0.0}


def test_an_interrupt_of_the_workers_group_is_ignored(drive):
    def train(params):
        report(1, loss=0.0)
        time.sleep(0.3)
        return os.getpid()

    driver = drive(train)
    number = driver.start()
    driver.reported(number)

    (worker,) = worker_processes()
    os.killpg(worker.pid, signal.SIGINT)

    assert driver.ended(number).result == {"value": float(worker.pid)}


def leave_by(way):
    """Return an objective that ends its process in some way where ``params["bad"]`` is true."""

    def leave(params):
        if params["bad"]:
            if way == "segfault":
                import ctypes

                ctypes.string_at(0)
            elif way == "os._exit":
                os._exit(3)
            elif way == "SIGKILL":
                os.kill(os.getpid(), signal.SIGKILL)
            elif way == "abort":
                os.abort()
        return 1

    return leave


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("segfault", "segmentation fault"),
        ("os._exit", "exited with code 3"),
        ("SIGKILL", "killed by SIGKILL; memory was"),
        ("abort", "killed by SIGABRT"),
    ],
)
def test_a_process_that_dies_costs_its_trial_alone(drive, way, message):
    driver = drive(leave_by(way))

    with pytest.raises(AssertionError, match=message):
        ended = driver.run({"bad": True})
        assert (ended.how, ended.failure.type) == ("died", "ProcessDied")
        raise AssertionError(ended.failure.message)
    assert driver.run({"bad": False}).how == "returned"


def test_a_segfault_shows_the_line_that_did_it(drive):
    traceback = drive(leave_by("segfault")).run({"bad": True}).failure.traceback

    assert traceback.startswith("Fatal Python error: Segmentation fault")
    assert "in leave" in traceback


def test_an_exception_that_cannot_be_pickled_costs_its_trial_alone(drive):
    def broken(params):
        class NeedsFieldError(Exception):
            def __init__(self, *, field):
                super().__init__(field)
                self.lock = threading.Lock()

        if params["bad"]:
            raise NeedsFieldError(field="custom")
        return 1

    driver = drive(broken)

    assert driver.run({"bad": True}).failure.message == "custom"
    assert driver.run({"bad": False}).how == "returned"


def test_the_neighbour_of_a_dead_process_goes_on(drive, tmp_path):
    def train(params):
        if params["bad"]:
            os._exit(1)
        while not (tmp_path / "go").exists():
            time.sleep(0.01)
        return 5

    driver = drive(train, slots=2)
    good, bad = driver.start({"bad": False}), driver.start({"bad": True})
    driver.ended(bad)
    (tmp_path / "go").touch()

    assert driver.ended(good).result == {"value": 5.0}


def test_reports_made_before_a_death_are_not_lost(drive):
    def train(params):
        for step in range(1, 5):
            report(step, loss=0.0)
        time.sleep(0.03)
        report(5, loss=0.0)  # what comes alone is sent at once, with all that waits
        os._exit(1)

    driver = drive(train)
    driver.run()

    assert len(driver.reports(0)) == 5


def test_a_slot_is_back_after_a_kill_while_another_trial_runs(drive):
    driver = drive(lambda params: time.sleep(params["seconds"]), slots=2)
    driver.start({"seconds": 1000})
    killed = driver.start({"seconds": 1000})

    driver.workers.kill(killed)
    ended = driver.run({"seconds": 0})

    assert ended.how == "returned"
    assert ended.slot == driver.ended(killed).slot


def test_a_slot_whose_idle_process_dies_takes_the_next_trial_all_the_same(drive):
    driver = drive(lambda params: os.getpid())
    driver.run()
    while not driver.ready:
        driver.pump()

    (worker,) = worker_processes()
    worker.kill()
    wait_until(lambda: is_gone(worker.pid))

    ended = driver.run()

    assert ended.how == "returned", ended
    assert ended.result["value"] != worker.pid
    assert sum(isinstance(event, Ended) for event in driver.events) == 2


def spawn_child(params):
    """Start a process that lives for ever, in a session of its own if asked, and say its pid."""
    child = subprocess.Popen(["sleep", "1000"], start_new_session=params["own_session"])
    report(1, pid=child.pid)
    time.sleep(params["seconds"])


@pytest.mark.parametrize("own_session", [False, True])
def test_a_kill_ends_the_trials_children_too(drive, own_session):
    driver = drive(spawn_child)
    number = driver.start({"own_session": own_session, "seconds": 1000})
    child = int(driver.reported(number).reports[0].metrics["pid"])

    driver.workers.kill(number)
    driver.ended(number)

    wait_until(lambda: is_gone(child))


def test_a_process_that_dies_leaves_no_children(drive):
    def train(params):
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        report(1, pid=child.pid)  # what comes alone is sent at once
        os._exit(1)

    driver = drive(train)
    driver.run()
    child = int(driver.reports(0)[0].metrics["pid"])

    wait_until(lambda: is_gone(child))


def test_closing_leaves_neither_process_nor_thread_nor_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    threads = set(threading.enumerate())
    driver = Driver(Local(2), spawn_child, tmp_path)
    number = driver.start({"own_session": True, "seconds": 60})
    child = int(driver.reported(number).reports[0].metrics["pid"])
    family = {worker.pid for worker in worker_processes()}
    assert len(family) == 2

    driver.workers.close()

    assert set(threading.enumerate()) == threads
    assert not worker_processes()
    assert all(map(is_gone, (*family, child)))
    assert list((tmp_path / "temp").iterdir()) == []
    mine = psutil.Process().children()
    assert not [child for child in mine if "reaper" in " ".join(child.cmdline())]


def test_closing_while_processes_come_up_leaves_nothing(tmp_path):
    workers = Local(2)
    Driver(workers, lambda params: 1, tmp_path)

    workers.close()

    assert not worker_processes()


def test_closing_while_a_process_is_being_welcomed_leaves_nothing(tmp_path, monkeypatch):
    claimed, closed = threading.Event(), threading.Event()
    claim, close = Slot.claim, Slot.close

    def claim_slowly(slot, generation):
        answer = claim(slot, generation)
        claimed.set()
        assert closed.wait(PATIENCE)
        return answer

    def close_before_it_is_attached(slot):
        close(slot)
        closed.set()

    monkeypatch.setattr(Slot, "claim", claim_slowly)
    monkeypatch.setattr(Slot, "close", close_before_it_is_attached)
    workers = Local(1)
    Driver(workers, lambda params: 1, tmp_path)
    assert claimed.wait(PATIENCE)

    closing = threading.Thread(target=workers.close)
    closing.start()
    closing.join(PATIENCE)
    is_open = closing.is_alive()
    for process in worker_processes():  # else nothing here would ever end
        process.kill()

    assert not is_open


def test_no_descriptors_are_lost(drive, tmp_path):
    Driver(Local(1), leave_by("os._exit"), tmp_path).workers.close()
    mine = psutil.Process()

    with Driver(Local(1), leave_by("os._exit"), tmp_path) as driver:
        driver.run({"bad": True})
        driver.run({"bad": False})
        before = mine.num_fds()
        for _ in range(3):
            driver.run({"bad": True})
            driver.run({"bad": False})
        driver.run({"bad": False})

        assert mine.num_fds() <= before + 1


def test_nothing_is_warned_of_when_processes_die(drive):
    driver = drive(leave_by("SIGKILL"), slots=2)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            driver.run({"bad": True})
        driver.run({"bad": False})
        driver.workers.close()

    assert caught == []


def test_the_plan_names_slots_cores_and_processes():
    assert Local(2, cpus=3).describe() == "2 slots, 3 cores each"
