"""The magics in a real Jupyter kernel: what only its event loop and its messages can show."""

import asyncio
import re
import subprocess
import sys

import nbformat
import pytest
from driving import PATIENCE
from jupyter_client.manager import start_new_async_kernel

from magics import CELL, tune

LINE = "--maximize score --trials 2 --searcher random --workers 1 --quiet"
SLOW = """\
import time
x: Real(0, 1) = 0.25
for epoch in range(1, 100_000):
    time.sleep(0.01)
    report(epoch=epoch, score=x)"""


class Kernel:
    """A kernel on an event loop of its own: jupyter_client's blocking one leaves its loop open."""

    def __init__(self, folder):
        self.loop = asyncio.new_event_loop()
        self.manager, self.client = self.finish(start_new_async_kernel(cwd=str(folder)))

    def finish(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def run(self, code):
        """Run a cell; return its status and the text that it shows, without colours."""
        shown = []

        def show(message):
            content = message["content"]
            shown.append(content.get("text", ""))
            shown.append("\n".join([*content.get("traceback", []), *content.get("data", {})]))

        execution = self.client.execute_interactive(code, timeout=PATIENCE, output_hook=show)
        reply = self.finish(execution)
        return reply["content"]["status"], re.sub(r"\x1b\[[\d;]*m", "", "".join(shown)).strip()

    def complete(self, code, position):
        self.client.complete(code, position)
        return self.finish(self.client.get_shell_msg(timeout=PATIENCE))["content"]

    def close(self):
        self.client.stop_channels()
        self.finish(self.manager.shutdown_kernel(now=True))
        self.loop.close()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("notebook"))
    kernel.run("%load_ext nbtune")
    yield kernel
    kernel.close()


@pytest.fixture
def run(kernel):
    return kernel.run


def test_sweep_runs_while_other_cells_run(run):
    run(tune(f"beside {LINE}", SLOW))
    status, shown = run("import time; time.sleep(0.5); print(beside.status)")

    assert (status, shown) == ("ok", "running")
    run("beside.stop(); beside.wait()")


@pytest.mark.parametrize(("option", "shown"), [("", True), ("--quiet", False)])
def test_dashboard_is_shown_unless_quiet(run, option, shown):
    line = LINE.replace("--quiet", option)

    outputs = run(tune(f"drawn {line} --replace", SLOW))[1]

    assert ("application/vnd.jupyter.widget-view+json" in outputs) is shown
    run("drawn.stop(); drawn.wait()")


def test_show_draws_a_sweep_that_is_only_in_the_store(run):
    run(tune(f"stored {LINE} --wait"))
    run("del stored")

    assert "application/vnd.plotly.v1+json" in run("%tune show stored")[1]


INTERRUPT_THE_WAIT = """
import os, signal, sys, threading, time

def waits(frame):
    here = frame is not None and frame.f_globals["__name__"] == "nbtune.waiting"
    return here or (frame is not None and waits(frame.f_back))

def interrupt():
    while not waits(sys._current_frames()[threading.main_thread().ident]):
        time.sleep(0.1)
    os.killpg(0, signal.SIGINT)

threading.Thread(target=interrupt).start()
"""


def test_interrupted_wait_shows_one_line_and_trials_go_on(run):
    run(tune(f"waited {LINE}", SLOW))
    run("import time\nwhile not waited.running: time.sleep(0.1)")
    run(INTERRUPT_THE_WAIT)
    _, shown = run("%tune wait waited")

    assert len(shown.splitlines()) == 1
    assert "goes on in the background" in shown
    assert run("print(waited.status)")[1] == "running"
    run("waited.stop(); waited.wait()")


def test_cell_that_awaits_is_run_on_the_best_params(run):
    cell = f"{CELL}\nimport asyncio\nawaited = await asyncio.sleep(0, [x, depth])"
    run(tune(f"waiting {LINE} --wait", cell))

    assert run("%tune apply waiting --run")[0] == "ok"
    assert run("print(awaited == list(waiting.best_params.values()))")[1] == "True"


def test_refusal_is_one_line_of_an_error(run):
    status, shown = run(tune("wrong --maximise score"))

    assert status == "error"
    assert shown.startswith("UsageError: --maximise: unknown option.")
    assert len(shown.splitlines()) == 1


def test_completion_reads_the_whole_cell(kernel):
    code = tune("digits --maximize ", "report(epoch=1, accuracy=0.5, loss=2)")

    found = kernel.complete(code, code.index("\n"))

    assert found["matches"] == ["accuracy", "loss"]
    assert found["cursor_start"] == found["cursor_end"] == code.index("\n")


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ("%tune nonsense", "UsageError"),
        (tune(f"a {LINE}", "report(score=1)"), "ObjectiveError"),
        (tune(f"a {LINE}", "x: Real(0, 1)\nreport("), "SyntaxError"),
    ],
)
def test_headless_run_stops_at_a_refusal(cell, error, tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in ("%load_ext nbtune", cell)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebook.ipynb")

    command = [sys.executable, "-c", "from nbclient.cli import main; main()", "notebook.ipynb"]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    assert run.returncode != 0
    assert f"{error}: " in run.stderr
