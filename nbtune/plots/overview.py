"""Learning curves above parallel coordinates in one figure: what the dashboard draws.

With several objectives the Pareto front stands beside the curves.
"""

from typing import Any

import plotly.graph_objects as go

from nbtune.engine import Snapshot
from nbtune.plots import curves, parallel, pareto, theme
from nbtune.plots.lines import CurveBook

__all__ = ["HEIGHT", "PARALLEL_SHARE", "assembled", "axes", "figure", "front_traces"]

HEIGHT = 580
CURVES_SHARE = (0.47, 1.0)
PARALLEL_SHARE = (0.0, 0.27)
_CURVES_WIDTH, _FRONT_WIDTH = (0.0, 0.52), (0.66, 1.0)


def axes(scene: curves.CurveScene, front: pareto.Panel | None) -> dict[str, Any]:
    """Return the layout of all axes, with what is written over them, as Plotly's dict."""
    if front is None:
        return curves.axes(scene, CURVES_SHARE)
    layout = curves.axes(scene, CURVES_SHARE, _CURVES_WIDTH)
    shown = (front.x.goal.metric, front.y.goal.metric)
    layout["annotations"].append(pareto.heading(front.cloud, shown, _FRONT_WIDTH[1], "right"))
    layout["xaxis2"] = pareto.axis(front.x, domain=_FRONT_WIDTH, anchor="y2", across=True)
    layout["yaxis2"] = pareto.axis(front.y, domain=CURVES_SHARE, anchor="x2", across=False)
    return layout


def front_traces(front: pareto.Panel | None) -> list[dict[str, Any]]:
    """Return the traces of the front as Plotly's dicts; none where there is one objective."""
    return [] if front is None else pareto.traces(front, ("x2", "y2"))


def assembled(
    scene: curves.CurveScene,
    lines: parallel.ParallelScene,
    shades: theme.Shades,
    front: pareto.Panel | None = None,
) -> dict[str, Any]:
    """Return the figure's data and layout as Plotly's dicts: curves, parallel, front."""
    layout = theme.frame(HEIGHT) | axes(scene, front)
    layout["margin"] = {"l": 60, "r": 62, "t": 30, "b": 16}
    data = [*curves.traces(scene), parallel.trace(lines, PARALLEL_SHARE, shades)]
    return {"data": data + front_traces(front), "layout": layout}


def figure(snapshot: Snapshot, shades: theme.Shades = theme.ANY) -> go.Figure:
    """Return all views of a snapshot as one figure."""
    book = CurveBook(snapshot.goal.metric)
    book.read(snapshot.trials)
    scene = curves.CurveView(book).scene(snapshot)
    lines = parallel.scene(snapshot, book, scene)
    return go.Figure(**assembled(scene, lines, shades, pareto.main_panel(snapshot)))
