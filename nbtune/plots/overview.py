"""Learning curves above parallel coordinates in one figure: what the dashboard draws."""

from typing import Any

import plotly.graph_objects as go

from nbtune.engine import Snapshot
from nbtune.plots import curves, parallel, theme
from nbtune.plots.lines import CurveBook

__all__ = ["CURVES_SHARE", "HEIGHT", "PARALLEL_SHARE", "assembled", "figure"]

HEIGHT = 580
CURVES_SHARE = (0.47, 1.0)
PARALLEL_SHARE = (0.0, 0.27)


def assembled(
    scene: curves.CurveScene, lines: parallel.ParallelScene, shades: theme.Shades
) -> dict[str, Any]:
    """Return the figure's data and layout as Plotly's dicts."""
    layout = theme.frame(HEIGHT) | curves.axes(scene, CURVES_SHARE)
    layout["margin"] = {"l": 60, "r": 62, "t": 30, "b": 16}
    data = [*curves.traces(scene), parallel.trace(lines, PARALLEL_SHARE, shades)]
    return {"data": data, "layout": layout}


def figure(snapshot: Snapshot, shades: theme.Shades = theme.ANY) -> go.Figure:
    """Return both views of a snapshot as one figure."""
    book = CurveBook(snapshot.goal.metric)
    book.read(snapshot.trials)
    scene = curves.CurveView(book).scene(snapshot)
    return go.Figure(**assembled(scene, parallel.scene(snapshot, book, scene), shades))
