"""The three small widgets around the figure: each shows one dict and sends what is pressed."""

from importlib.resources import files
from typing import Any

import anywidget
import traitlets

__all__ = ["Best", "Head", "Table", "asset"]

_ASSETS = files("nbtune.widgets") / "assets"


def asset(name: str) -> str:
    """Return the text of a file that ships with the widgets."""
    return (_ASSETS / name).read_text(encoding="utf-8")


class Head(anywidget.AnyWidget):  # type: ignore[misc] # ships no types
    """Name, state, progress and buttons; ``content`` is what `content.head` returns.

    Sends ``{"do": "pause" | "resume" | "stop"}``, and ``{"do": "hold", "on": True}`` while the
    pointer is where brushes are drawn; sets ``theme`` to "light" or "dark"
    as soon as a page shows it, ``width`` to its own, in pixels, and ``wants_picture`` while the
    page shows no live figure below it, but should have had the time to.
    """

    _esm = asset("head.js")
    _css = asset("nbtune.css")
    content = traitlets.Dict().tag(sync=True)
    theme = traitlets.Unicode("").tag(sync=True)
    width = traitlets.Int(920).tag(sync=True)
    wants_picture = traitlets.Bool(False).tag(sync=True)


class Best(anywidget.AnyWidget):  # type: ignore[misc] # ships no types
    """The best trial so far; ``content`` is what `content.best` returns."""

    _esm = asset("best.js")
    content = traitlets.Dict().tag(sync=True)


class Table(anywidget.AnyWidget):  # type: ignore[misc] # ships no types
    """Trials, and the panel of the selected one.

    ``content`` is what `content.table` returns, ``panel`` what `content.panel` returns, empty when
    no trial is selected; ``brushed`` a line on what the brushes select. Sends
    ``{"do": "select", "trial": 3 | None}``, ``{"do": "kill", "trial": 3}``, ``{"do": "unbrush"}``.
    """

    _esm = asset("table.js")
    content = traitlets.Dict().tag(sync=True)
    panel = traitlets.Dict().tag(sync=True)
    brushed = traitlets.Dict().tag(sync=True)

    def show(self, **changes: dict[str, Any]) -> None:
        """Send those of `content`, `panel`, `brushed` that are not what they were."""
        with self.hold_sync():
            for name, value in changes.items():
                if getattr(self, name) != value:
                    setattr(self, name, value)
