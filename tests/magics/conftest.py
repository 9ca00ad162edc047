"""A real IPython with nbtune loaded, in a working folder of its own."""

import pytest
from driving import PATIENCE
from shells import ipython

from magics import LINE, tune


@pytest.fixture
def shell(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("NBTUNE_STORE", raising=False)
    with ipython() as shell:
        shell.run_line_magic("load_ext", "nbtune")
        yield shell
        for value in list(shell.user_ns.values()):
            if type(value).__name__ == "Sweep" and value.running_here:
                value.stop()
                value.wait(PATIENCE)


@pytest.fixture
def refusal(shell, capsys):
    """Run a line or cell that must fail; return the one line that it shows."""

    def run(text):
        capsys.readouterr()
        result = shell.run_cell(text, store_history=True)
        shown = capsys.readouterr()
        assert not result.success
        lines = [line for line in (shown.out + shown.err).splitlines() if line]
        assert len(lines) == 1, lines
        return lines[0]

    return run


@pytest.fixture
def swept(shell):
    """A sweep named "quick" that has ended, bound in the notebook."""
    shell.run_cell(tune(f"quick {LINE} --wait")).raise_error()
    return shell.user_ns["quick"]
