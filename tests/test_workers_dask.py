"""Trials on a Dask cluster: what they survive, how workers come and go, what travels."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from dask_cluster import ROOT, RealCluster
from driving import PATIENCE, Driver, is_gone, wait_until

import nbtune
from nbtune import current_trial, load_checkpoint, report, save_checkpoint
from nbtune.definition import workers_of
from nbtune.exceptions import SpecError, WorkerError
from nbtune.workers import Dask
from nbtune.workers.base import Assignment, Ended, SlotGone, SlotReady


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A worker of two threads, and one of one thread under a nanny: three slots."""
    with RealCluster(tmp_path_factory.mktemp("dask")) as cluster:
        cluster.steady = cluster.add_worker(threads=2)
        cluster.add_worker(nanny=True)
        cluster.wait_for_workers(2)
        yield cluster


@pytest.fixture
def drive(cluster, tmp_path):
    drivers = []

    def start(call, slots=None, *, folder=tmp_path, **options):
        drivers.append(Driver(Dask(cluster.address, slots, **options), call, folder))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.workers.close()


def slow_training():
    """An objective that travels by value: the workers do not have this module."""

    def train(params):
        for step in range(1, 10_000):
            report(step, pid=os.getpid())
            time.sleep(0.01)

    return train


def below(process):
    """The processes below a Dask worker: nbtune's, when it has no nanny."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


# --- one trial's trouble is its own


def test_a_kill_leaves_the_trial_beside_it_alone(drive):  # FEATURES A12
    driver = drive(slow_training())
    doomed, neighbour = driver.start(), driver.start()
    first = driver.reported(doomed).reports[0].metrics["pid"]
    driver.reported(neighbour)

    driver.workers.kill(doomed)

    assert driver.ended(doomed).how == "killed"
    assert is_gone(int(first))
    driver.reported(neighbour)
    driver.workers.stop(neighbour, "enough")
    assert driver.ended(neighbour).how == "stopped"


@pytest.mark.parametrize(
    ("leave", "words"),
    [
        ("os._exit(3)", "exited with code 3"),
        ("ctypes.string_at(0)", "SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
    ],
)
def test_a_trial_that_takes_its_process_along_costs_itself_alone(drive, cluster, leave, words):
    def die(params):
        import ctypes  # noqa: F401
        import os  # noqa: F401

        if params["die"]:
            exec(leave)
        return 1

    driver = drive(die, 1)

    ended = driver.run({"die": True})

    assert (ended.how, ended.failure.type) == ("died", "ProcessDied")
    assert words in ended.failure.message
    assert driver.run({"die": False}).how == "returned"
    assert cluster.steady.poll() is None


def test_a_trial_that_holds_the_gil_is_killed_and_its_worker_never_notices(drive):
    def hog(params):
        report(1, loss=0.0)
        sum(range(10**13))

    driver = drive(hog, 1)
    number = driver.start()
    driver.reported(number)

    driver.workers.kill(number)

    assert driver.ended(number).how == "killed"


def test_what_a_trial_prints_is_in_its_folder(drive, tmp_path):
    def talk(params):
        print("hello")
        (current_trial().dir / "weights.bin").write_bytes(b"1234")

    drive(talk, 1).run()

    assert (tmp_path / "0" / "log.txt").read_text() == "hello\n"
    assert (tmp_path / "0" / "weights.bin").read_bytes() == b"1234"


def test_params_that_cannot_be_pickled_fail_their_trial(drive):
    driver = drive(lambda params: 1, 1)

    assert driver.run({"lock": threading.Lock()}).failure.type == "TypeError"
    assert driver.run({}).how == "returned"


# --- workers come and go


def test_a_worker_killed_under_a_trial_ends_it_once_and_says_so(drive, cluster):
    driver = drive(slow_training())
    driver.workers.close()
    process = cluster.add_worker("--name", "victim")
    cluster.wait_for_workers(3)
    driver = drive(slow_training())
    trials = [driver.start() for _ in range(4)]
    pids = {}
    for number in trials:
        metrics = driver.reported(number).reports[0].metrics
        pids[number] = int(metrics["pid"])
    hosts = below(process)
    (lost,) = [number for number in trials if psutil.Process(pids[number]) in hosts]

    process.kill()
    process.wait()

    ended = driver.ended(lost)
    assert (ended.how, ended.failure.type) == ("died", "WorkerLost")
    assert "Dask worker tcp://127.0.0.1:" in ended.failure.message
    assert "was lost" in ended.failure.message
    for number in trials:
        if number != lost:
            driver.reported(number)
    wait_until(lambda: all(is_gone(host.pid) for host in hosts))
    wait_until(lambda: driver.workers.slots == 3)
    assert [e.number for e in driver.events if isinstance(e, Ended)] == [lost]


def test_a_worker_that_joins_becomes_slots_and_leaves_again(drive, cluster):
    driver = drive(lambda params: os.getppid())
    for _ in range(3):
        driver.run()
    assert driver.workers.slots == 3
    while len(driver.ready) < 3:
        driver.pump()

    process = cluster.add_worker(threads=2)
    while driver.workers.slots < 5 or len(driver.ready) < 5:
        driver.pump()
    assert driver.workers.describe().startswith("5 slots on 3 Dask workers at tcp://")

    process.terminate()
    gone = set()
    while len(gone) < 2:
        event = driver.pump()
        if isinstance(event, SlotGone):
            gone.add(event.slot)
    assert driver.workers.slots == 3
    assert gone <= {event.slot for event in driver.events if isinstance(event, SlotReady)}
    process.wait(timeout=PATIENCE)


def test_a_trial_given_to_a_slot_that_has_just_gone_runs_on_another(drive):
    driver = drive(lambda params: 1, 1)
    driver.run()
    while not driver.ready:
        driver.pump()
    slot = driver.ready.popleft()

    driver.workers.start(99, Assignment(number=7, params={}))
    driver.workers.start(slot, Assignment(number=8, params={}))

    assert driver.ended(8).how == "returned"
    assert driver.ended(7).how == "returned"
    assert driver.ended(7).slot == slot


@pytest.mark.parametrize(("order", "how"), [("stop", "stopped"), ("kill", "killed")])
def test_a_trial_that_waits_for_a_slot_can_be_ended(drive, order, how):
    driver = drive(lambda params: 1, 1)
    driver.workers.start(99, Assignment(number=7, params={}))

    if order == "stop":
        driver.workers.stop(7, "by you")
    else:
        driver.workers.kill(7)

    assert driver.ended(7).how == how


# --- nothing is left behind


def test_closing_leaves_nothing_on_the_workers(drive, cluster, tmp_path):
    driver = drive(slow_training())
    number = driver.start()
    pid = int(driver.reported(number).reports[0].metrics["pid"])
    (nonce,) = tmp_path.glob(".nbtune-*")
    mine = f"**/{nonce.name[1:]}"
    assert list((cluster.folder / "local").glob(mine))

    driver.workers.close()

    assert is_gone(pid)
    wait_until(lambda: not below(cluster.steady))
    assert not nonce.exists()
    assert not list((cluster.folder / "local").glob(mine))
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:

        def agents(dask_worker):
            from nbtune.workers.dask import agent

            tokens = [*agent._agents.get(dask_worker.address, {})]
            assert ("nbtune" in dask_worker.handlers) == bool(tokens)
            return tokens

        def is_gone_everywhere():
            token = nonce.name.rpartition("-")[2]
            return all(token not in tokens for tokens in client.run(agents).values())

        # A worker that was being set up for long when the driver closed gives up within a minute.
        wait_until(is_gone_everywhere)
        wait_until(lambda: not client.processing() or not any(client.processing().values()))


def test_a_killed_driver_leaves_nothing_on_the_workers(cluster, tmp_path):
    code = f"""
import sys, time
sys.path[:0] = [{str(ROOT / "tests")!r}]
from driving import Driver
from nbtune.workers import Dask
from nbtune import report
from pathlib import Path
def train(params):
    for step in range(1, 10**6):
        report(step, loss=0.0)
        time.sleep(0.01)
driver = Driver(Dask({cluster.address!r}), train, Path({str(tmp_path)!r}))
driver.reported(driver.start())
print("running", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        assert process.stdout.readline() == b"running\n"
        assert below(cluster.steady)
        process.send_signal(signal.SIGKILL)

    wait_until(lambda: not below(cluster.steady))


# --- what names a cluster


def test_a_client_of_the_users_is_left_alone(cluster, tmp_path):
    from distributed import Client, default_client

    with Client(cluster.address, set_as_default=False) as client:
        with Driver(Dask(client, 1), lambda params: 1, tmp_path) as driver:
            driver.run()

        assert client.submit(sum, [1, 2]).result() == 3
        with pytest.raises(ValueError, match="No client"):
            default_client()


def test_a_cluster_object_is_taken(tmp_path):  # FEATURES C2
    from distributed import LocalCluster

    options = {"threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(n_workers=1, **options) as cluster:
        workers = workers_of(cluster, cpus=1, gpus=0)
        with Driver(workers, lambda params: 5, tmp_path) as driver:
            assert driver.run().result == {"value": 5.0}
            assert driver.workers.describe().startswith("1 slot on 1 Dask worker at ")


def test_an_address_names_a_cluster(cluster):
    assert isinstance(workers_of(cluster.address, cpus=1, gpus=0), Dask)


def test_a_limit_on_memory_is_not_for_a_cluster():
    with pytest.raises(SpecError, match="memory='2 GB': a limit is kept on this machine only"):
        workers_of("tcp://127.0.0.1:8786", cpus=1, gpus=0, memory="2 GB")


def test_no_scheduler_is_told_when_the_workers_are_made(monkeypatch):
    monkeypatch.setattr("nbtune.workers.dask.cluster.CONNECT_SECONDS", 0.3)

    with pytest.raises(WorkerError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        Dask("tcp://127.0.0.1:1")


@pytest.mark.parametrize("given", ["", "four", "tcp:/", 3.5, None])
def test_what_is_no_cluster_is_refused(given):
    with pytest.raises(SpecError, match="tcp://"):
        Dask(given)


def test_an_asynchronous_client_is_refused(cluster):
    import asyncio

    from distributed import Client

    async def give():
        async with Client(cluster.address, asynchronous=True, set_as_default=False) as client:
            with pytest.raises(SpecError, match="asynchronous"):
                Dask(client)

    asyncio.run(give())


@pytest.mark.parametrize(
    "options", [{"slots_per_worker": 0}, {"cpus": 0}, {"gpus": -1}, {"slots": True}]
)
def test_a_number_out_of_range_is_refused(cluster, options):
    with pytest.raises(SpecError, match=next(iter(options))):
        Dask(cluster.address, **options)


def test_pickled_workers_hold_the_address_and_connect_again(cluster, tmp_path):
    workers = pickle.loads(pickle.dumps(Dask(cluster.address, 1)))

    with Driver(workers, lambda params: 1, tmp_path) as driver:
        assert driver.run().how == "returned"


def test_distributed_is_imported_for_a_cluster_and_not_before():
    code = "import sys; from nbtune.workers import Dask; sys.exit('distributed' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)})


# --- room


def test_slots_per_worker_holds_on_each(cluster):
    assert Dask(cluster.address, slots_per_worker=1).describe().startswith("2 slots on 2 Dask")


def test_a_slot_of_two_threads_finds_room_where_there_are_two(cluster):
    assert Dask(cluster.address, cpus=2).describe().startswith("1 slot on 1 Dask worker")


def test_without_the_resource_gpu_one_error_comes_before_any_trial(cluster, tmp_path):
    driver = Driver(Dask(cluster.address, gpus=1), lambda params: 1, tmp_path)
    with driver, pytest.raises(WorkerError, match="has the resource GPU=1"):
        driver.run()


def test_gpus_are_taken_from_the_resource_of_a_worker(drive, cluster):
    def look(params):
        report(1, device=int(os.environ["CUDA_VISIBLE_DEVICES"]), parent=os.getppid())

    visible = {"CUDA_VISIBLE_DEVICES": "4,7"}
    process = cluster.add_worker("--resources", "GPU=2", threads=4, environment=visible)
    cluster.wait_for_workers(3)
    driver = drive(look, gpus=1)
    try:
        assert driver.workers.slots == 2
        trials = [driver.start(milestone=1) for _ in range(2)]
        seen = [driver.reported(number, waiting=True).reports[0].metrics for number in trials]
        hosts = {child.pid for child in below(process)}
    finally:
        driver.workers.close()
        process.terminate()
        process.wait(timeout=PATIENCE)

    assert {metrics["device"] for metrics in seen} == {4.0, 7.0}
    assert {int(metrics["parent"]) for metrics in seen} <= hosts


# --- what workers have


def test_uploaded_modules_can_be_imported_and_files_opened(
    drive, cluster, tmp_path
):  # FEATURES A12
    module, table = tmp_path / "uploaded_model.py", tmp_path / "table.csv"
    module.write_text("WIDTH = 17\n")
    table.write_text("1,2,3")

    def use(params):
        import uploaded_model

        table = Path(os.environ["NBTUNE_FILES"]) / "table.csv"
        return uploaded_model.WIDTH + len(table.read_text())

    Dask(cluster.address).upload([module, table])

    assert drive(use, 1, folder=tmp_path / "sweep").run().result == {"value": 22.0}


def test_a_file_that_is_not_there_is_not_uploaded(cluster):
    with pytest.raises(SpecError, match=r"'nowhere\.py' is no file"):
        Dask(cluster.address).upload("nowhere.py")


def test_a_worker_without_nbtune_is_told_before_any_trial(tmp_path):
    package = tmp_path / "lib" / "nbtune"  # it hides the one that may be installed
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    with RealCluster(tmp_path / "cluster") as cluster:
        cluster.add_worker(environment={"PYTHONPATH": str(tmp_path / "lib")})
        cluster.wait_for_workers(1)
        with (
            Driver(Dask(cluster.address), lambda params: 1, tmp_path / "sweep") as driver,
            pytest.raises(WorkerError, match="nbtune is not installed on Dask worker tcp://"),
        ):
            driver.run()


def test_a_worker_without_what_nbtune_needs_is_told_so():
    from nbtune.workers.dask import station

    text = station._why_not("Exception(ModuleNotFoundError(\"No module named 'loky'\"))", "tcp://a")

    assert "nbtune cannot be loaded on Dask worker tcp://a: " in text


def test_other_versions_are_refused():
    from nbtune.workers.dask import station

    with pytest.raises(WorkerError, match=r"tcp://a has nbtune 0\.0\.9 on Python 3\.10\.1, here"):
        station._compare({"nbtune": "0.0.9", "python": "3.10.1"}, "tcp://a")


# --- a sweep


def test_a_sweep_runs_on_a_cluster_and_resumes_in_another_process(cluster, tmp_path):
    def train(x: nbtune.Real(0.0, 1.0) = 0.5):
        return {"loss": (x - 0.3) ** 2}

    sweep = nbtune.Sweep(
        train, minimize="loss", trials=6, searcher="random", workers=cluster.address,
        store=tmp_path, name="far", seed=1,
    ).run()  # fmt: skip
    assert (sweep.status, len(sweep.trials)) == ("completed", 6)
    assert "Dask workers at tcp://" in nbtune.sweeps(store=tmp_path).plan["far"]

    again = nbtune.load("far", store=tmp_path)
    again.resume(trials=8).wait(PATIENCE)

    assert (again.status, len(again.trials)) == ("completed", 8)


def test_a_sweeps_large_data_arrives_whole(cluster, tmp_path):
    data = np.arange(400_000.0)  # 3 MB: on this machine it lies beside the payload, not in it

    def total(x: nbtune.Real(0, 1)):
        return {"loss": data.sum() + x}

    sweep = nbtune.Sweep(
        total, minimize="loss", trials=1, workers=Dask(cluster.address), store=tmp_path, name="big"
    ).run()

    assert sweep.best_value == data.sum() + 0.5
    assert not list(sweep.path.glob("payload.whole*"))


def test_a_scheduler_that_goes_away_ends_the_sweep_with_one_reason(tmp_path):
    def train(x: nbtune.Real(0.0, 1.0) = 0.5):
        for epoch in range(1, 10_000):
            report(epoch=epoch, loss=x)
            time.sleep(0.01)

    threads = set(threading.enumerate())
    with RealCluster(tmp_path / "cluster") as cluster:
        cluster.add_worker()
        cluster.wait_for_workers(1)
        sweep = nbtune.Sweep(
            train, minimize="loss", trials=2, workers=cluster.address, store=tmp_path / "store"
        ).start()
        wait_until(lambda: len(sweep.reports) > 0)
        cluster.scheduler.kill()
        with pytest.raises(nbtune.SweepError, match=r"Dask scheduler at tcp://.* went away"):
            sweep.wait(PATIENCE)
    assert sweep.status == "failed"
    left = {t for t in threading.enumerate() if t.name.startswith("nbtune")} - threads
    wait_until(lambda: not any(thread.is_alive() for thread in left))


def test_a_trial_whose_worker_is_lost_goes_on_from_its_checkpoint(cluster, tmp_path):
    def train(x: nbtune.Real(0.0, 1.0) = 0.5):
        start = load_checkpoint(0)
        for epoch in range(start + 1, 41):
            save_checkpoint(epoch)
            report(epoch=epoch, loss=x, started=start, pid=os.getpid())
            time.sleep(0.05)

    process = cluster.add_worker("--resources", "GPU=1")
    cluster.wait_for_workers(3)
    sweep = nbtune.Sweep(
        train, minimize="loss", trials=1, retries=1, store=tmp_path, name="retried",
        workers=Dask(cluster.address, 1, gpus=1),
    ).start()  # fmt: skip
    wait_until(lambda: len(sweep.reports) > 5)
    process.kill()
    successor = cluster.add_worker("--resources", "GPU=1")
    sweep.wait(PATIENCE)
    successor.terminate()
    successor.wait(timeout=PATIENCE)

    reports = sweep.reports
    assert sweep.trials.status[0] == "completed"
    assert list(reports.step) == list(range(1, 41))
    assert reports.started.max() >= 5
    assert reports.pid.nunique() == 2


def test_a_cluster_that_is_gone_is_one_clear_error_at_resume(tmp_path, monkeypatch):
    from distributed import LocalCluster

    def train(x: nbtune.Real(0.0, 1.0) = 0.5):
        return {"loss": x}

    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster:
        nbtune.Sweep(
            train, minimize="loss", trials=1, workers=cluster, store=tmp_path, name="gone"
        ).run()
    monkeypatch.setattr("nbtune.workers.dask.cluster.CONNECT_SECONDS", 0.5)

    with pytest.raises(nbtune.SweepError, match="no Dask scheduler answers at inproc://"):
        nbtune.load("gone", store=tmp_path).resume(trials=2).wait(PATIENCE)
