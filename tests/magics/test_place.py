"""Where a notebook's sweeps are stored."""

import os

from nbtune.store import default_path


def test_load_ext_fixes_the_store_in_the_folder_of_that_moment(shell, tmp_path):
    (tmp_path / "below").mkdir()

    os.chdir(tmp_path / "below")

    assert default_path() == tmp_path / ".nbtune"


def test_sweeps_are_still_there_after_a_change_of_folder(shell, swept, tmp_path):
    (tmp_path / "below").mkdir()

    shell.run_cell("import os; os.chdir('below')").raise_error()
    shell.run_cell("import nbtune; found = nbtune.load('quick').status").raise_error()

    assert shell.user_ns["found"] == "completed"
