"""The colours and the frame that all figures share, legible on light and on dark.

Figures are transparent. In the dashboard a style sheet replaces these colours by those of the
page's theme; elsewhere they stand as they are, so each is a middle tone with contrast on both.
"""

from dataclasses import dataclass
from typing import Any

__all__ = [
    "ANY",
    "BEST",
    "FAILED",
    "REST",
    "RUNNING",
    "SELECTED",
    "SHADES",
    "TEXT",
    "WARNING",
    "Shades",
    "frame",
]

RUNNING = "#2b86d9"
BEST = "#e8700a"
REST = "#8c9299"
SELECTED = "#9a5fd0"
FAILED = "#d6423b"
WARNING = "#c79100"
TEXT = "#7b8087"
GRID = "rgba(128, 134, 140, 0.18)"
AXIS = "rgba(128, 134, 140, 0.55)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Shades:
    """Colours from the worst to the best, for lines that no style sheet can reach (WebGL)."""

    scale: tuple[str, ...]
    brushed_out: str

    def colorscale(self) -> list[list[Any]]:
        """Return what Plotly calls a colorscale."""
        last = len(self.scale) - 1
        return [[index / last, colour] for index, colour in enumerate(self.scale)]


ANY = Shades(("#8a9097", "#a38d78", "#cb864a", BEST), "rgba(140,146,153,0.07)")
LIGHT = Shades(("#dfe2e6", "#d9c9b8", "#eba45c", "#d9540b"), "rgba(120,126,133,0.06)")
DARK = Shades(("#33373d", "#5b4d41", "#b67a38", "#ffb454"), "rgba(150,156,163,0.06)")

SHADES = {"light": LIGHT, "dark": DARK}
"""By what the page says of its theme; `ANY` where it says nothing."""


def frame(height: int) -> dict[str, Any]:
    """Return the layout that every figure starts from."""
    return {
        "template": "none",
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12, "color": TEXT},
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"font": {"family": FONT, "size": 12}, "align": "left"},
        "margin": {"l": 60, "r": 62, "t": 30, "b": 44},
    }
