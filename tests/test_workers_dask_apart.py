"""Dask workers on other machines: no folder in common, and no way to or from the notebook's.

Where this process may make network namespaces, driver and workers are in two that only the
scheduler reaches, and the workers do not see the sweep's folder. Elsewhere the driver does without.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

import pytest
from dask_cluster import ROOT, RealCluster


class Namespaces:
    """Three network namespaces: driver and workers each reach the scheduler and nothing else."""

    def __init__(self):
        self._names = {part: f"nbt{os.getpid()}{part}" for part in ("d", "s", "w")}

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self):
        for name in self._names.values():
            self._ip("netns", "add", name)
            self._ip("-n", name, "link", "set", "lo", "up")
        for number, part in enumerate(("d", "w"), 1):
            one, other = self._names[part], self._names["s"]
            self._ip(
                "-n", one, "link", "add", "out", "type", "veth",
                "peer", "name", f"to{part}", "netns", other,
            )  # fmt: skip
            for name, link, last in (one, "out", 2), (other, f"to{part}", 1):
                self._ip("-n", name, "addr", "add", f"10.199.{number}.{last}/24", "dev", link)
                self._ip("-n", name, "link", "set", link, "up")

    def __exit__(self, *_):
        for name in self._names.values():
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                self._ip("netns", "del", name)

    def _ip(self, *words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def inside(self, part):
        return ["ip", "netns", "exec", self._names[part]]


@contextlib.contextmanager
def setting(folder, sweep):
    """Yield a cluster, its address for the driver, what comes before a driver, and its mode."""
    sweep.mkdir()
    with contextlib.ExitStack() as stack:
        try:
            spaces = stack.enter_context(Namespaces())
        except (OSError, subprocess.CalledProcessError):
            spaces = None
        if spaces is None or os.environ.get("NBTUNE_NO_NAMESPACES"):
            cluster = stack.enter_context(RealCluster(folder))
            yield cluster, cluster.address, [], ["here"], []
        else:
            cluster = RealCluster(folder, host="0.0.0.0", before=spaces.inside("s"))
            stack.enter_context(cluster)
            port = cluster.address.rpartition(":")[2]
            cluster.address = f"tcp://10.199.2.1:{port}"
            hide = f'mount -t tmpfs tmpfs {sweep} && exec "$@"'
            worker = [*spaces.inside("w"), "sh", "-c", hide, "sh"]
            yield cluster, f"tcp://10.199.1.1:{port}", spaces.inside("d"), [], worker


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What `dask_apart` saw: two workers, of which the first is killed under a trial."""
    folder, sweep = tmp_path_factory.mktemp("dask"), tmp_path_factory.mktemp("home") / "sweep"
    with setting(folder, sweep) as (cluster, address, before, mode, around):
        workers = [
            cluster.add_worker("--name", name, "--worker-port", port, before=around)
            for name, port in (("a", "46101"), ("b", "46102"))
        ]
        driver = subprocess.Popen(
            [
                *before,
                sys.executable,
                str(ROOT / "tests" / "dask_apart.py"),
                address,
                str(sweep),
                *mode,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        with driver:
            try:
                doomed = json.loads(driver.stdout.readline())["kill"]
                process = workers[0 if re.search(":46101$", doomed) else 1]
                os.killpg(process.pid, signal.SIGKILL)
                driver.stdin.write("killed\n")
                driver.stdin.flush()
                seen = json.loads(driver.stdout.readline())
            finally:
                driver.kill()
        yield seen


def test_the_workers_are_reached_through_the_scheduler_alone(seen):  # FEATURES A12
    assert (seen["straight"], seen["shared"]) == (False, False)


def test_a_trial_runs_to_its_end_with_all_reports(seen):
    assert (seen["how"], seen["steps"]) == ("returned", list(range(1, 31)))


def test_the_data_arrives(seen):
    assert seen["total"] == 3_000_000 * 2_999_999 / 2


def test_the_end_of_the_log_comes_back(seen):
    assert seen["log"] == [64 * 1024, "x" * 11 + "\nthe end\n"]


def test_what_the_trial_wrote_comes_back(seen):
    assert seen["weights"] == "1234"


def test_checkpoints_come_back_before_the_reports_that_follow_them(seen):
    assert seen["before_its_report"]


def test_the_newest_checkpoints_are_kept_and_no_others(seen):
    assert seen["checkpoints"] == ["000029-28.pickle", "000030-29.pickle"]


def test_a_lost_worker_ends_its_trial(seen):
    assert seen["lost"] == ["died", "WorkerLost"]


def test_the_trial_goes_on_from_its_checkpoint_on_another_worker(seen):
    assert seen["again"] == ["returned", None]
    assert seen["again_started"] == 10.0
    assert seen["again_steps"] == list(range(11, 21))
