"""The live figure: one FigureWidget kept in step with snapshots, sending only what changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nbtune.engine import Snapshot
from nbtune.plots import curves, overview, parallel, pareto, theme
from nbtune.plots.lines import CurveBook, Lines

__all__ = ["Drawing", "Look"]

SECONDS_A_POINT = 1 / 40_000
"""How long to leave the browser in peace after a drawing, for each of its points: a figure of
10,000 is drawn at 4 Hz, one of 30,000 nearly every second."""

PARALLEL_SECONDS = 1.0

_PARALLEL = len(curves.TRACES)


@dataclass(frozen=True, slots=True)
class Look:
    """How a snapshot is shown.

    ``selected`` is the trial whose curve stands out, ``colours`` the page's theme, "light", "dark"
    or "" while unknown, ``width`` that of the figure in pixels.
    """

    selected: int | None = None
    colours: str = ""
    width: int = 920


class Drawing:
    """Draws snapshots into ``figure``.

    Parameters
    ----------
    snapshot : Snapshot
        What to draw first.
    book : CurveBook
        Has read the snapshot's trials, as before each `draw`.
    on_select : callable
        Called with a trial's number when its curve is clicked.
    on_brush : callable
        Called without arguments when the brushes change.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        book: CurveBook,
        *,
        on_select: Callable[[int], None],
        on_brush: Callable[[], None],
    ) -> None:
        self._book = book
        self._view = curves.CurveView(book)
        scene = self._view.scene(snapshot)
        self._parallel = parallel.scene(snapshot, book, scene)
        self._chosen_at = max(1, len(self._parallel.trials))
        self._read_parallel = book.version
        self._drawn_parallel = self._next = 0.0
        self._look = Look()
        self._snapshot: Snapshot | None = None
        self._shown: dict[str, Lines] = {name: getattr(scene, name) for name in curves.TRACES}
        self._label = scene.label_text
        self._front = pareto.main_panel(snapshot)
        self._sent: dict[str, Any] = {
            f"{axis}.range": settings["range"]
            for axis, settings in overview.axes(scene, self._front).items()
            if axis.startswith(("xaxis", "yaxis"))
        }
        made = overview.assembled(scene, self._parallel, theme.ANY, self._front)
        self.figure = go.FigureWidget(**made)
        self.figure._config = {"displayModeBar": False, "displaylogo": False, "responsive": True}
        self.figure.add_class("nbtune-figure")
        self._on_select, self._on_brush = on_select, on_brush
        for trace in (*self.figure.data[:_PARALLEL], *self.figure.data[_PARALLEL + 1 :]):
            trace.on_click(self._clicked)
        self.figure.data[_PARALLEL].on_change(self._brushed, "dimensions")

    def draw(self, snapshot: Snapshot, look: Look, *, now: float, last: bool) -> None:
        """Bring the figure up to a snapshot, when it is time to.

        Parameters
        ----------
        snapshot : Snapshot
        look : Look
            How to show it; a new look is drawn at once.
        now : float
            Seconds on any clock that never goes back.
        last : bool
            Whether to draw all that is new, however lately something was drawn.
        """
        urgent = last or look != self._look
        if not urgent and (snapshot is self._snapshot or now < self._next):
            return
        if look.width != self._look.width:
            self._read_parallel = -1
        scene = self._view.scene(snapshot, look.selected)
        lines = self._lines(snapshot, scene, look, now, last=last)
        changed = lines is not None and not np.array_equal(lines.trials, self._parallel.trials)
        with self.figure.batch_update():
            self._set("meta", "updated")  # by this the page sees that changes reach it
            self._draw_curves(scene)
            if lines is not None:
                self._draw_parallel(lines)
                self._draw_front(snapshot)
            self._draw_axes(scene)
            if look.colours != self._look.colours:
                self._draw_shades(look.colours)
        self._look, self._snapshot = look, snapshot
        self._next = now + SECONDS_A_POINT * (scene.finished.x.size + scene.running.x.size)
        if changed:
            self._on_brush()

    def brushed(self) -> list[int] | None:
        """Return the numbers of the trials that all brushes let through, None without a brush."""
        keep = np.ones(len(self._parallel.trials), dtype=bool)
        dimensions = self.figure.data[_PARALLEL].dimensions
        ranges = [dim.constraintrange for dim in dimensions]
        if not any(ranges):
            return None
        for axis, chosen in zip(self._parallel.axes, ranges, strict=False):
            if chosen:
                spans = np.atleast_2d(np.asarray(chosen, dtype=np.float64))
                within = [(axis.values >= low) & (axis.values <= high) for low, high in spans]
                keep &= np.any(within, axis=0)
        return self._parallel.trials[keep].tolist()  # type: ignore[no-any-return]

    def recolour(self) -> None:
        """Colour the lines by score; those that a brush lets through are never pale."""
        trace = self.figure.data[_PARALLEL]
        brushed = any(dim.constraintrange for dim in trace.dimensions)
        trace.line.color = parallel.colours(self._parallel, brushed=brushed)

    def unbrush(self) -> None:
        """Take all brushes away."""
        with self.figure.batch_update():
            for dimension in self.figure.data[_PARALLEL].dimensions:
                if dimension.constraintrange is not None:
                    dimension.constraintrange = None
        self._on_brush()

    def forget(self) -> None:
        """Leave nothing of the figure in what a notebook saves of its widgets.

        Papermill and nbclient keep the last state of a widget that was closed: of this one, Plotly
        itself, of five megabytes, and all that it drew.
        """
        told = [name for name in self.figure.keys if name.startswith(("_py2js_", "_js2py_"))]
        state: dict[str, Any] = {**dict.fromkeys(told), "_widget_data": [], "_widget_layout": {}}
        state["_esm"] = "export default {}"
        self.figure.comm.send(data={"method": "update", "state": state, "buffer_paths": []})

    def _lines(
        self, snapshot: Snapshot, scene: curves.CurveScene, look: Look, now: float, *, last: bool
    ) -> parallel.ParallelScene | None:
        """Return the parallel coordinates when it is time to draw them again."""
        fresh = now - self._drawn_parallel < PARALLEL_SECONDS
        if fresh and self._read_parallel >= 0 and not last:
            return None
        if self._book.version == self._read_parallel:
            return None
        self._read_parallel, self._drawn_parallel = self._book.version, now
        # Which dimensions matter is asked anew whenever there are twice as many trials: axes that
        # change places while one reads them are worse than an axis too few.
        paths = None
        if len(self._parallel.trials) < 2 * self._chosen_at:
            paths = self._parallel.paths
        else:
            self._chosen_at = max(1, len(self._parallel.trials))
        return parallel.scene(snapshot, self._book, scene, paths, width=look.width)

    def _draw_curves(self, scene: curves.CurveScene) -> None:
        what = curves.hover(scene)
        for index, name in enumerate(curves.TRACES):
            lines: Lines = getattr(scene, name)
            if lines.same(self._shown[name]):
                continue
            self._shown[name] = lines
            trace = self.figure.data[index]
            trace.x, trace.y, trace.customdata = lines.x, lines.y, lines.trial
            if trace.hovertemplate != what:
                trace.hovertemplate = what
        if scene.label_text != self._label:
            self._label = scene.label_text
            self.figure.data[curves.TRACES.index("label")].text = [scene.label_text]

    def _draw_axes(self, scene: curves.CurveScene) -> None:
        layout = overview.axes(scene, self._front)
        for name in ("shapes", "annotations"):
            self._set(name, layout[name])
        for axis in ("xaxis", "yaxis"):
            settings = layout[axis]
            shape = "hv" if scene.by_trial else "linear"
            self._set(f"{axis}.title.text", settings["title"]["text"])
            self._set(f"{axis}.showticklabels", settings["showticklabels"])
            self._set(f"{axis}.showgrid", settings["showgrid"])
            self._set_range(axis, settings["range"])
        self._set("xaxis.tickvals", layout["xaxis"]["tickvals"])
        self._set("yaxis.type", layout["yaxis"]["type"])
        best = self.figure.data[curves.TRACES.index("best")]
        if best.line.shape != shape:
            best.line.shape = shape
        for axis in [name for name in ("xaxis2", "yaxis2") if name in layout]:
            for name in ("type", "tickmode", "tickvals", "ticktext"):
                self._set(f"{axis}.{name}", layout[axis][name])
            self._set_range(axis, layout[axis]["range"])

    def _set_range(self, axis: str, wanted: list[float]) -> None:
        """Set the range of an axis, unless someone has zoomed in."""
        path = f"{axis}.range"
        if self._sent.get(path) == _plain(self.figure.layout[axis].range):
            self._set(path, wanted)

    def _set(self, path: str, value: Any) -> None:
        """Set a property of the layout, when it is not what was sent last."""
        if self._sent.get(path) != value:
            self._sent[path] = value
            self.figure.layout[path] = value

    def _draw_parallel(self, lines: parallel.ParallelScene) -> None:
        trace = self.figure.data[_PARALLEL]
        if [a.path for a in lines.axes] != [a.path for a in self._parallel.axes]:
            trace.dimensions = [parallel.dimension(axis, lines) for axis in lines.axes]
        else:
            for dimension, axis in zip(trace.dimensions, lines.axes, strict=True):
                made = parallel.dimension(axis, lines)
                dimension.values = made["values"]
                if _plain(dimension.range) != made["range"]:
                    dimension.range, dimension.tickvals = made["range"], made["tickvals"]
                if dimension.label != made["label"]:
                    dimension.label = made["label"]
                if dimension.ticktext is None or list(dimension.ticktext) != made["ticktext"]:
                    dimension.ticktext = made["ticktext"]
        self._parallel = lines
        self.recolour()

    def _draw_front(self, snapshot: Snapshot) -> None:
        self._front = pareto.main_panel(snapshot)
        made = overview.front_traces(self._front)
        for trace, new in zip(self.figure.data[_PARALLEL + 1 :], made, strict=True):
            trace.x, trace.y = new["x"], new["y"]
            if "customdata" in new:
                trace.customdata = new["customdata"]

    def _draw_shades(self, colours: str) -> None:
        shades = theme.SHADES.get(colours, theme.ANY)
        trace = self.figure.data[_PARALLEL]
        trace.line.colorscale = shades.colorscale()
        trace.unselected.line.color = shades.brushed_out

    def _clicked(self, trace: Any, points: Any, _state: Any) -> None:
        if points.point_inds and trace.customdata is not None:
            self._on_select(int(trace.customdata[points.point_inds[0]]))

    def _brushed(self, *_: Any) -> None:
        self._on_brush()


def _plain(values: Any) -> list[Any]:
    return list(values) if values is not None else []
