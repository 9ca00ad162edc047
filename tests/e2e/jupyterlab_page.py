"""Drives JupyterLab: starts a server, opens a notebook in a page, runs its cells, reads outputs."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Page

TOKEN = "nbtune-tests"

PATIENCE_SECONDS = 300
"""How long to wait for what must come: a machine under load is slow, and no test fails for that."""


def notebook(*cells: str, path: Path, kernel: str = "python3") -> None:
    """Write a notebook with one code cell for each source."""
    content = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(cells)],
        metadata={"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
    )
    nbformat.write(content, path)


def eventually(claim: Callable[[], Any], *, every: float = 0.2) -> Any:
    """Return what `claim` returns as soon as that is true; fail with its last value."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := claim()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {PATIENCE_SECONDS} s; last value: {value!r}")
        time.sleep(every)
    return value


class LabServer:
    """A JupyterLab server that sees none of the user's settings."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.folder = folder
        self.log = folder / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "LabServer":
        self.root.mkdir()
        config = self.folder / "config"
        # The offer to read news covers a corner of the page.
        announcements = {
            "disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}
        }
        (config / "labconfig").mkdir(parents=True)
        (config / "labconfig" / "page_config.json").write_text(json.dumps(announcements))
        places = {
            "JUPYTER_CONFIG_DIR": str(config),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces"),
            "IPYTHONDIR": str(self.folder / "ipython"),
        }
        command = [
            *(sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser"),
            *("--ip=127.0.0.1", f"--port={self.port}", "--ServerApp.port_retries=0"),
            *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.root}"),
            "--LabApp.expose_app_in_browser=True",
        ]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NBTUNE_", "PYTEST"))}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, env={**inherited, **places}, stdout=log, stderr=subprocess.STDOUT
            )
        eventually(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self.shut_down_kernels()
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"JupyterLab did not start:\n{self.log.read_text()}")
        try:
            self.api("GET", "status")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def api(self, method: str, path: str) -> Any:
        """Call the server's REST interface; return its answer."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            body = response.read()
        return json.loads(body) if body else None

    def shut_down_kernels(self) -> None:
        """Shut down every kernel, as the user's Shut Down All does."""
        for session in self.api("GET", "sessions"):
            self.api("DELETE", f"sessions/{session['id']}")

    def add_kernel(self, name: str, *, python_path: Path) -> None:
        """Add a kernel that imports from `python_path` first."""
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "env": {"PYTHONPATH": str(python_path)},
            "display_name": name,
            "language": "python",
        }
        folder = self.folder / "data" / "kernels" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernel.json").write_text(json.dumps(spec))


class LabPage:
    """A notebook open in JupyterLab, as its user sees it."""

    def __init__(self, server: LabServer, page: Page) -> None:
        self.server = server
        self.page = page
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        self.path = ""

    def open(self, path: str, *, kernel: bool = True) -> None:
        """Open a notebook; wait for its cells and, unless told not to, its kernel."""
        self.path = path
        self.page.goto(f"{self.server.url}/doc/tree/{path}?token={TOKEN}")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        if kernel:
            # Idle alone is said too early: what a page asks before it is ready can get lost.
            self.page.evaluate(
                """async () => {
                    const session = window.jupyterapp.shell.currentWidget.context.sessionContext;
                    await session.ready;
                    await session.session.kernel.info;
                }"""
            )
            self.wait_idle()

    def run_all(self) -> None:
        """Run every cell, without waiting."""
        self._command("notebook:run-all-cells")

    def run_cell(self, index: int) -> None:
        """Run one cell, without waiting."""
        self.page.evaluate(
            """index => {
                const app = window.jupyterapp;
                app.shell.currentWidget.content.activeCellIndex = index;
                app.commands.execute('notebook:run-cell');
            }""",
            index,
        )

    def save(self) -> nbformat.NotebookNode:
        """Save the notebook; return what is then on disk."""
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        return nbformat.read(self.server.root / self.path, as_version=4)

    def interrupt(self) -> None:
        """Press the toolbar's interrupt button."""
        self._command("notebook:interrupt-kernel")

    def restart_kernel(self) -> None:
        """Restart the kernel, as the user does who confirms the question."""
        self.server.api("POST", f"kernels/{self.kernel_id}/restart")

    @property
    def kernel_id(self) -> str:
        """The id of this notebook's kernel."""
        [session] = [s for s in self.server.api("GET", "sessions") if s["path"] == self.path]
        return session["kernel"]["id"]

    @property
    def kernel_status(self) -> str:
        """What the page shows of its kernel: idle, busy, ..., or empty without one."""
        return self.page.evaluate(
            "window.jupyterapp.shell.currentWidget"
            "?.context.sessionContext.session?.kernel?.status ?? ''"
        )

    def wait_idle(self) -> None:
        """Wait until every cell has run and the kernel is idle."""
        eventually(lambda: self.kernel_status == "idle" and not self._pending())

    def _pending(self) -> bool:
        return self.page.evaluate(
            """window.jupyterapp.shell.currentWidget.content.widgets.some(
                cell => cell.promptNode?.innerText.includes('*'))"""
        )

    def is_running(self, index: int) -> bool:
        """Whether the cell waits to run or runs."""
        prompt = self.page.locator(".jp-Cell .jp-InputPrompt").nth(index)
        return "*" in prompt.inner_text()

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """Return a cell's outputs as nbformat has them; none for a cell of text."""
        return self.page.evaluate(
            """index => window.jupyterapp.shell.currentWidget
                .content.widgets[index].model.outputs?.toJSON() ?? []""",
            index,
        )

    def text(self, index: int) -> str:
        """Return what a cell printed and returned, as text without colour."""
        parts = []
        for output in self.outputs(index):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            parts.append(text if isinstance(text, str) else "".join(text))
            parts.extend(output.get("traceback", []))
        return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(parts))

    def click_button(self, text: str) -> None:
        """Click the button that reads `text`, with the mouse."""
        button = self.page.get_by_role("button", name=text, exact=True).first
        button.click(no_wait_after=True)

    def points_drawn(self) -> int:
        """Return how many finite points the first figure's curves have in all."""
        return self.page.evaluate(
            """() => {
                const plot = document.querySelector('.js-plotly-plot');
                if (!plot?._fullData) return 0;
                return plot._fullData.filter(trace => trace.type.startsWith('scatter'))
                    .flatMap(trace => Array.from(trace.y ?? []))
                    .filter(y => Number.isFinite(y)).length;
            }"""
        )

    def screenshot(self, path: Path) -> Path:
        """Write a picture of the page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)
        return path

    def _command(self, name: str) -> None:
        # Not awaited: a command that runs cells is done only when they are.
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)
