"""What moves on screen: the live dashboard of a sweep, and its static twin."""

from nbtune.widgets.dashboard import Dashboard
from nbtune.widgets.screen import Screen, show
from nbtune.widgets.static import Twin

__all__ = ["Dashboard", "Screen", "Twin", "show"]
