"""What all tests share."""

import pytest
from hypothesis import settings

from nbtune.store import starting_folder

# A machine that is busy makes an example slow, not wrong.
settings.register_profile("nbtune", deadline=None)
settings.load_profile("nbtune")


@pytest.fixture(autouse=True)
def _started_afresh():
    """Let each test's store be where the test begins, as each kernel's is."""
    starting_folder.cache_clear()
