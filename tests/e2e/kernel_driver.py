"""Drives a kernel without a browser, and finds what processes it leaves."""

import os
import re
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.manager import KernelManager
from jupyterlab_page import PATIENCE_SECONDS

MARK = "NBTUNE_TEST_MARK"


class Kernel:
    """A kernel of its own; it and all that descends from it carry a mark in their environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.manager = KernelManager()

    def __enter__(self) -> "Kernel":
        self.manager.start_kernel(cwd=str(self.folder), env={**os.environ, MARK: self.mark})
        self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()
        for process in self.processes():
            process.kill()

    def _connect(self) -> None:
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE_SECONDS)

    def run(self, source: str) -> str:
        """Run a cell; return what it printed, returned or raised, without colour."""
        self.begin(source)
        return self.finish()

    def begin(self, source: str) -> None:
        """Send a cell, without waiting."""
        self.request = self.client.execute(source, store_history=True)

    def finish(self) -> str:
        """Wait for the cell sent last; return what it printed, returned or raised."""
        parts, deadline = [], time.monotonic() + PATIENCE_SECONDS
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != self.request:
                continue
            content: dict[str, Any] = message["content"]
            match message["msg_type"]:
                case "stream":
                    parts.append(content["text"])
                case "execute_result" | "display_data":
                    parts.append(content["data"].get("text/plain", "") + "\n")
                case "error":
                    parts.append("\n".join(content["traceback"]))
                case "status" if content["execution_state"] == "idle":
                    return re.sub(r"\x1b\[[\d;]*m", "", "".join(parts)).strip()

    def restart(self) -> None:
        """Restart it, as the notebook's Restart does."""
        self.client.stop_channels()
        self.manager.restart_kernel()
        self._connect()

    def processes(self) -> list[psutil.Process]:
        """Return every living process that carries the mark."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def workers(self) -> list[psutil.Process]:
        """Return the marked processes other than the kernel itself."""
        kernel = self.manager.provisioner.pid if self.manager.has_kernel else None
        return [process for process in self.processes() if process.pid != kernel]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                process.environ().get(MARK) == self.mark
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            return False
