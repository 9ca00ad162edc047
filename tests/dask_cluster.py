"""A real Dask cluster in processes of its own, for tests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from driving import PATIENCE

ROOT = Path(__file__).parents[1]


class RealCluster:
    """A scheduler and workers, each a process, in `folder`; a context manager.

    ``before`` is what stands before a command, such as ``("ip", "netns", "exec", "name")``.
    """

    def __init__(self, folder, host="127.0.0.1", before=()):
        self.folder = folder
        self._host = host
        self._before = list(before)
        self._processes = []
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        self._file = self.folder / "scheduler.json"
        self.scheduler = self._run(
            "scheduler", "--port", "0", "--host", self._host, "--scheduler-file", str(self._file),
            "--no-dashboard", "--no-show", before=self._before,
        )  # fmt: skip
        try:
            self.address = self._wait_for_address()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _run(self, what, *options, before=(), environment=None):
        log = (self.folder / f"{what}.log").open("ab")
        with log:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "dask", what, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "PYTHONWARNINGS": "default",
                    **(environment or {}),
                },
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def _wait_for_address(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                return json.loads(self._file.read_text())["address"]
            assert self.scheduler.poll() is None, self.log("scheduler")
            time.sleep(0.05)
        raise AssertionError("the scheduler did not come up: " + self.log("scheduler"))

    def log(self, what):
        return (self.folder / f"{what}.log").read_text()

    def add_worker(self, *options, threads=1, nanny=False, before=(), environment=None):
        """Start a worker; return its process (the nanny's, when there is one)."""
        return self._run(
            "worker", self.address, "--nthreads", str(threads), "--no-dashboard",
            "--nanny" if nanny else "--no-nanny", "--local-directory", str(self.folder / "local"),
            *options, before=before, environment=environment,
        )  # fmt: skip

    def wait_for_workers(self, count):
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=PATIENCE)

    def close(self):
        while self._processes:
            process = self._processes.pop()
            family = []
            with contextlib.suppress(psutil.NoSuchProcess):
                family = psutil.Process(process.pid).children(recursive=True)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for child in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
