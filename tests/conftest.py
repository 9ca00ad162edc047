"""What all tests share."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from nbtune.store import starting_folder

# A machine that is busy makes an example slow, not wrong.
settings.register_profile("nbtune", deadline=None)
settings.load_profile("nbtune")


@pytest.fixture
def short_path():
    """A folder in which a socket finds room: its path has at most 107 bytes, of all its folders."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def _started_afresh():
    """Let each test's store be where the test begins, as each kernel's is."""
    starting_folder.cache_clear()
