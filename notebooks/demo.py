"""Run the quickstart notebook headless, show its trials as they end, and say what came of it."""

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from traitlets.config import Config

import nbtune

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE / "quickstart.ipynb"
OUTPUT = HERE.parent / "build" / "demo"


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def ended_trials(store: Path, seen: set[int]) -> Iterator[str]:
    """Yield a line for each trial of the sweep that has ended and is not in `seen`, and add it."""
    if "digits" not in nbtune.sweeps(store).index:
        return
    trials = nbtune.load("digits", store).trials
    ended = trials[~trials["status"].isin(["pending", "running", "paused"])]
    for number, trial in ended.drop(index=[*seen]).iterrows():
        seen.add(number)
        params = ", ".join(
            f"{name.removeprefix('params.')}={value:.4g}"
            if isinstance(value, float)
            else f"{name.removeprefix('params.')}={value}"
            for name, value in trial.items()
            if name.startswith("params.")
        )
        accuracy = trial.get("metrics.accuracy", float("nan"))
        yield (
            f"  trial {number:2}  {trial['status']:9}  epoch {trial['steps']:2.0f}"
            f"  accuracy {accuracy:.4f}  {params}"
        )


async def show_trials(store: Path) -> None:
    """Print each trial of the notebook's sweep within a second of its end, until cancelled."""
    seen: set[int] = set()
    try:
        while True:
            await asyncio.sleep(1)
            for line in ended_trials(store, seen):
                say(line)
    finally:
        for line in ended_trials(store, seen):
            say(line)


async def executed(store: Path, sockets: str) -> nbformat.NotebookNode:
    """Return the quickstart with the outputs of a fresh run, its sweep stored in `store`.

    Client and kernel talk over `sockets`, a folder of this user: over TCP, which anyone on the
    machine can connect to, ipykernel warns that the traffic is not encrypted.
    """
    shutil.rmtree(store, ignore_errors=True)
    os.environ["NBTUNE_STORE"] = str(store)
    notebook = nbformat.read(QUICKSTART, as_version=4)

    def announce(cell: nbformat.NotebookNode, cell_index: int) -> None:
        say(f"Cell {cell_index + 1} of {len(notebook.cells)}: {cell.source.splitlines()[0]}")

    ipc = {"transport": "ipc", "ip": f"{sockets}/kernel"}  # the address is a path's beginning
    client = NotebookClient(
        notebook,
        config=Config({"KernelManager": ipc}),
        timeout=300,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": str(HERE)}},
        on_cell_execute=announce,
    )
    shown = asyncio.create_task(show_trials(store))
    try:
        await client.async_execute()
    finally:
        shown.cancel()
        await asyncio.wait([shown])
    return notebook


def without_times(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs from run to run and says nothing: the cells' execution times."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


def main() -> None:
    """Run, save, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-place", action="store_true", help="keep the outputs in the notebook")
    in_place = parser.parse_args().in_place

    say("Running notebooks/quickstart.ipynb without a browser; its kernel starts ...")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as sockets:
        notebook = asyncio.run(executed(OUTPUT / "store", sockets))
    seconds = time.monotonic() - began

    OUTPUT.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, OUTPUT / "quickstart.ipynb")
    page = OUTPUT / "quickstart.html"
    page.write_text(HTMLExporter().from_notebook_node(notebook)[0])
    if in_place:
        nbformat.write(without_times(notebook), QUICKSTART)

    sweep = nbtune.load("digits")
    best = sweep.best
    params = ", ".join(f"{name}={value!r}" for name, value in best.params.items())
    say(f"{len(sweep.trials)} trials in {seconds:.0f} s, the notebook's start included.")
    say(f"Best: trial {best.number}, accuracy {sweep.best_value:.4f} at {params}")
    say(f"Look at it: {page.relative_to(HERE.parent)} in a browser, or `make lab` to run it live.")


if __name__ == "__main__":
    main()
