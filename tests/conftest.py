"""What all tests share."""

from hypothesis import settings

# A machine that is busy makes an example slow, not wrong.
settings.register_profile("nbtune", deadline=None)
settings.load_profile("nbtune")
