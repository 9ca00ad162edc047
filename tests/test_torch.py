"""A PyTorch model goes on from its checkpoint, and its curve as that of a straight run."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from driving import PATIENCE, wait_until
from nbclient import NotebookClient

import nbtune
from nbtune import Real, Sweep, load_checkpoint, report, save_checkpoint
from nbtune.schedulers import FIFO, Hyperband
from nbtune.searchers import Points
from nbtune.store import Store
from nbtune.trial import Status
from nbtune.workers import Local

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "checkpoints.md"
RATES = [0.02, 0.001, 0.002, 0.01, 0.003, 0.005, 0.05, 0.1, 0.03]


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path / "store"))


def fit(lr: Real(1e-3, 1e-1, log=True)):
    import time

    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    order = torch.Generator().manual_seed(0)
    inputs = torch.linspace(-3, 3, 120).unsqueeze(1)
    targets = torch.sin(inputs)
    model = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr)
    began = 0
    if kept := load_checkpoint():
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        order.set_state(kept["order"])
        began = kept["epoch"]
    for epoch in range(began + 1, 10):
        for batch in torch.randperm(len(inputs), generator=order).split(40):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(inputs[batch]), targets[batch])
            loss.backward()
            optimizer.step()
        time.sleep(0.01)
        save_checkpoint(
            {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "order": order.get_state(),
                "epoch": epoch,
            }
        )
        report(epoch=epoch, loss=loss, began=began)


def sweep(scheduler, name, store=None):
    return Sweep(
        fit,
        minimize="loss",
        searcher=Points([{"lr": rate} for rate in RATES]),
        scheduler=scheduler,
        workers=Local(2),
        name=name,
        store=store,
    )


def losses(trial):
    return trial.curve("loss")[1]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The trials of `RATES`, each run to its end in one go."""
    return sweep(FIFO(), "straight", tmp_path_factory.mktemp("straight")).run().snapshot().trials


def test_a_promoted_model_goes_on_as_in_a_straight_run_to_the_last_bit(straight):  # FEATURES A5
    promoted = sweep(Hyperband(max_t=9, type="promotion"), "promoted").run().snapshot().trials

    began = {trial.reports[-1].metrics["began"] for trial in promoted}
    assert began & {1.0, 3.0}
    assert {trial.count for trial in promoted} == {1, 3, 9}
    for trial in promoted:
        assert losses(trial) == losses(straight[trial.number])[: trial.count]


SCRIPT = f"""
import nbtune
from nbtune import Real, load_checkpoint, report, save_checkpoint
from nbtune.searchers import Points

{inspect.getsource(fit).replace("sleep(0.01)", "sleep(0.3)")}

points = Points([{{"lr": rate}} for rate in {RATES[:2]}])
nbtune.Sweep(fit, minimize="loss", searcher=points, workers=2, name="killed").run()
"""


def test_a_model_goes_on_as_in_a_straight_run_after_a_kill(straight, tmp_path):  # FEATURES A8
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen([sys.executable, str(script)]) as process:
        wait_until(lambda: "killed" in Store().names())
        wait_until(lambda: len(nbtune.load("killed").reports) > 5)
        process.kill()
    before = nbtune.load("killed").snapshot().trials

    again = nbtune.load("killed").resume()
    assert again.wait(PATIENCE)

    assert [trial.status for trial in before] == [Status.RUNNING] * 2
    for trial in again.snapshot().trials:
        assert trial.reports[-1].metrics["began"] >= before[trial.number].steps - 2
        assert losses(trial) == losses(straight[trial.number])


def test_the_driver_of_a_model_imports_no_torch():
    code = "import sys, nbtune.sweep, nbtune.checkpoint\nprint('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


def test_the_code_in_the_guide_runs_in_a_notebook(tmp_path):
    cells = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    asked = "[sorted({trial.steps for trial in s.snapshot().trials}) for s in (digits, sine)]"
    notebook.cells.append(nbformat.v4.new_code_cell(asked))

    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()

    assert len(cells) == 3
    assert notebook.cells[-1].outputs[0].data["text/plain"] == "[[1, 3, 9], [1, 3, 9]]"
