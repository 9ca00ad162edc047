"""Run the quickstart notebook headless and say what came of it."""

import argparse
import os
import shutil
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE / "quickstart.ipynb"
OUTPUT = HERE.parent / "build" / "demo"


def executed(store: Path) -> nbformat.NotebookNode:
    """Return the quickstart with the outputs of a fresh run, its sweep stored in `store`."""
    shutil.rmtree(store, ignore_errors=True)
    os.environ["NBTUNE_STORE"] = str(store)
    notebook = nbformat.read(QUICKSTART, as_version=4)
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": str(HERE)}},
    ).execute()
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

    print("Running notebooks/quickstart.ipynb ...", flush=True)
    began = time.monotonic()
    notebook = executed(OUTPUT / "store")
    seconds = time.monotonic() - began

    OUTPUT.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, OUTPUT / "quickstart.ipynb")
    page = OUTPUT / "quickstart.html"
    page.write_text(HTMLExporter().from_notebook_node(notebook)[0])
    if in_place:
        nbformat.write(without_times(notebook), QUICKSTART)

    import nbtune

    sweep = nbtune.load("digits")
    best = sweep.best
    params = ", ".join(f"{name}={value!r}" for name, value in best.params.items())
    print(f"{len(sweep.trials)} trials in {seconds:.0f} s, the notebook's start included.")
    print(f"Best: trial {best.number}, accuracy {sweep.best_value:.4f} at {params}")
    print(f"Look at it: {page.relative_to(HERE.parent)} in a browser, or `make lab` to run it live.")


if __name__ == "__main__":
    main()
