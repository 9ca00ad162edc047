"""The package as a whole: what importing it costs, and that what its documents say is true."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import nbtune

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("sklearn", "skopt", "pandas", "plotly", "ipywidgets", "distributed", "torch", "optuna")


def modules_after(code):
    """Return the names of all modules that a fresh interpreter holds after `code`."""
    listing = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", listing], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import nbtune",
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "InteractiveShell.instance().run_line_magic('load_ext', 'nbtune')",
    ],
    ids=["import", "load_ext"],
)
def test_nothing_heavy_is_imported_by(code):
    modules = modules_after(code)

    assert "nbtune" in modules
    assert modules.isdisjoint(HEAVY)


def test_importing_nbtune_leaves_numpy_out():
    assert "numpy" not in modules_after("import nbtune")


@pytest.mark.parametrize("name", nbtune.__all__)
def test_every_public_name_can_be_imported(name):
    assert getattr(nbtune, name) is not None


def test_the_version_is_that_of_the_distribution():
    assert nbtune.__version__ == importlib.metadata.version("nbtune")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Reall'"):
        _ = nbtune.Reall


def test_the_code_in_the_readme_runs_in_a_notebook(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])

    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()

    assert len(cells) == 14
    score = float(notebook.cells[-1].outputs[-1].data["text/plain"])
    assert 0.9 < score <= 1


def test_the_code_about_going_on_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", str(tmp_path))
    text = (ROOT / "docs" / "going-on.md").read_text(encoding="utf-8")
    names: dict = {}

    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(block, names)

    assert len(names["tuesday"].trials) == 14
    assert names["byhand"].status == "completed"


def test_what_the_readme_asks_to_make_can_be_made():
    targets = re.findall(r"^    make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert set(targets) == {"demo", "lab", "test", "check", "newest", "oldest", "lock"}
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_binders_requirements_can_be_installed():
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "-r"]

    subprocess.run([*command, str(ROOT / "binder" / "requirements.txt")], check=True)


@pytest.mark.parametrize("script", ["binder/start", "binder/postBuild", ".ci/run"])
def test_scripts_can_be_executed(script):
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True)

    assert (ROOT / script).stat().st_mode & 0o111
