"""What ``%load_ext nbtune`` adds, and what it costs."""

import subprocess
import sys


def test_unload_removes_magic_and_completion(shell):
    shell.run_line_magic("unload_ext", "nbtune")

    assert shell.find_line_magic("tune") is None
    assert shell.find_cell_magic("tune") is None
    assert not shell.Completer.custom_matchers


def test_reload_keeps_one_matcher(shell):
    shell.run_line_magic("reload_ext", "nbtune")

    assert len(shell.Completer.custom_matchers) == 1
    assert shell.find_cell_magic("tune") is not None


def test_load_ext_imports_nothing_heavy():
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell(); before = set(sys.modules)\n"
        "shell.run_line_magic('load_ext', 'nbtune'); print(*(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    packages = {module.partition(".")[0] for module in run.stdout.split()}
    heavy = {"sklearn", "skopt", "pandas", "plotly", "ipywidgets", "numpy", "distributed", "loky"}
    assert "nbtune" in packages
    assert not packages & heavy
