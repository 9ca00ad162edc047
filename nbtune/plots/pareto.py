"""The trade-off between objectives: each trial a point, the Pareto front in front of the others."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from nbtune.engine import Snapshot
from nbtune.exceptions import SpecError, nearest
from nbtune.plots import theme
from nbtune.plots.ticks import better, value_range
from nbtune.plots.words import number
from nbtune.trial import Goal, Status

__all__ = [
    "TRACES",
    "Cloud",
    "Panel",
    "Span",
    "axis",
    "cloud",
    "figure",
    "heading",
    "main_panel",
    "panel",
    "traces",
]

TRACES = ("others", "running", "line", "front")
"""The names of the traces of a panel, in the order drawn."""

_ROW_HEIGHT = 230
_SINGLE_HEIGHT = 400
_GAP = 0.05
_MARGIN = 0.04
_FEW_DECADES = 2.5


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """What an axis shows: an objective from low to high, in log10 where ``log``."""

    goal: Goal
    range: tuple[float, float]
    log: bool

    def hides(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which values lie outside."""
        with np.errstate(divide="ignore", invalid="ignore"):
            places = np.log10(values) if self.log else values
        return (places < self.range[0]) | (places > self.range[1])

    @property
    def worst(self) -> float:
        """The end of the axis that is worse, in the metric's own unit."""
        end = self.range[0 if self.goal.direction == "maximize" else 1]
        return float(10.0**end) if self.log else end


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cloud:
    """Every trial with a finite value of each objective.

    Attributes
    ----------
    trials : array of int32, shape (n_trials,)
        Their numbers.
    values : dict of str to array of float, shape (n_trials,)
        By metric, in its own unit.
    running, front : array of bool, shape (n_trials,)
        Which of them still run, and which are on the front.
    spans : dict of str to Span
        By metric. The whole front lies within, the hopeless may not.
    """

    trials: NDArray[np.int32]
    values: dict[str, NDArray[np.float64]]
    running: NDArray[np.bool_]
    front: NDArray[np.bool_]
    spans: dict[str, Span]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """One objective against another.

    Attributes
    ----------
    line : array of float, shape (n_points, 2)
        The corners of the front, from the worse end of one axis to that of the other: between it
        and the worse corner everything is surpassed. Empty when there are further objectives.
    """

    cloud: Cloud
    x: Span
    y: Span
    line: NDArray[np.float64]


def cloud(snapshot: Snapshot) -> Cloud:
    """Return what there is to show of a sweep with several objectives."""
    numbers, scores = snapshot.trials.scored(snapshot.goals)
    is_finite = np.isfinite(scores).all(axis=1)
    shown = numbers[is_finite]
    front = np.isin(shown, [trial.number for trial in snapshot.front])
    values: dict[str, NDArray[np.float64]] = {}
    spans: dict[str, Span] = {}
    for goal, column in zip(snapshot.goals, scores[is_finite].T, strict=True):
        up = goal.direction == "maximize"
        own = column if up else -column
        values[goal.metric] = own
        spans[goal.metric] = _span(goal, own, front)
    return Cloud(
        trials=shown.astype(np.int32),
        values=values,
        running=snapshot.trials.are(Status.RUNNING)[shown],
        front=front,
        spans=spans,
    )


def _span(goal: Goal, values: NDArray[np.float64], front: NDArray[np.bool_]) -> Span:
    up = goal.direction == "maximize"
    (low, high), log = value_range(better(values, up=up), values, values[front].tolist(), up=up)
    margin = _MARGIN * (high - low)  # nobody stands on the edge
    return Span(goal, (low - margin, high + margin), log)


def panel(of: Cloud, x: str, y: str) -> Panel:
    """Return what to show of two objectives, by metric."""
    across, up = of.spans[x], of.spans[y]
    line = np.empty((0, 2))
    if len(of.spans) == 2 and of.front.any():
        points = np.column_stack([of.values[x][of.front], of.values[y][of.front]])
        points = points[np.argsort(points[:, 0])]
        if across.goal.direction == "maximize":
            points = points[::-1]
        # From the best in x, straight down the axis of y, to the best in y, far along that of x.
        start, end = (points[0, 0], up.worst), (across.worst, points[-1, 1])
        line = np.vstack([start, points, end])
    return Panel(cloud=of, x=across, y=up, line=line)


def main_panel(snapshot: Snapshot) -> Panel | None:
    """Return the first objective over the second, None where there is but one."""
    if len(snapshot.goals) == 1:
        return None
    return panel(cloud(snapshot), snapshot.goals[1].metric, snapshot.goals[0].metric)


def traces(of: Panel, axes: tuple[str, str] = ("x", "y")) -> list[dict[str, Any]]:
    """Return the traces as Plotly's dicts, in the order of `TRACES`, on the axes of these names."""
    all_of = of.cloud
    x, y = all_of.values[of.x.goal.metric], all_of.values[of.y.goal.metric]
    template = (
        f"trial %{{customdata}}<br>{of.x.goal.metric} %{{x:.4g}}<br>"
        f"{of.y.goal.metric} %{{y:.4g}}<extra></extra>"
    )
    styles: dict[str, tuple[NDArray[np.bool_], dict[str, Any]]] = {
        "others": (
            ~all_of.front & ~all_of.running,
            {"marker": {"color": theme.REST, "size": 6}, "opacity": 0.6},
        ),
        "running": (
            ~all_of.front & all_of.running,
            {"marker": {"color": theme.RUNNING, "size": 7}},
        ),
        "front": (all_of.front, {"marker": {"color": theme.BEST, "size": 9}, "cliponaxis": False}),
    }
    made = {
        name: {
            "mode": "markers",
            "x": x[mask],
            "y": y[mask],
            "customdata": all_of.trials[mask],
            "hovertemplate": template,
            **style,
        }
        for name, (mask, style) in styles.items()
    }
    made["line"] = {
        "mode": "lines",
        "x": of.line[:, 0],
        "y": of.line[:, 1],
        "line": {"color": theme.BEST, "width": 1.6, "shape": "hv"},
        "hoverinfo": "skip",
    }
    place = {"type": "scatter", "xaxis": axes[0], "yaxis": axes[1]}
    return [{**place, "name": name, **made[name]} for name in TRACES]


def axis(span: Span, *, domain: Sequence[float], anchor: str, across: bool) -> dict[str, Any]:
    """Return an axis as Plotly's dict; `across` for x."""
    wanted = "higher" if span.goal.direction == "maximize" else "lower"
    return {
        "domain": list(domain),
        "anchor": anchor,
        "title": {"text": f"{span.goal.metric} · {wanted} is better", "standoff": 10},
        "type": "log" if span.log else "linear",
        "range": list(span.range),
        **_ticks(span),
        "automargin": True,
        "zeroline": False,
        "showgrid": True,
        "gridcolor": theme.GRID,
        "showline": across,
        "linecolor": theme.AXIS,
        "ticks": "outside" if across else "",
        "tickcolor": theme.AXIS,
    }


def _ticks(span: Span) -> dict[str, Any]:
    """Return where the axis is labelled; of a log axis Plotly would label every digit."""
    if not span.log:
        auto = {"tickmode": "auto", "tickvals": None, "ticktext": None, "nticks": 6}
        return {**auto, "exponentformat": "e", "separatethousands": True}
    low, high = span.range
    factors = (1, 2, 5) if high - low <= _FEW_DECADES else (1,)
    powers = range(math.floor(low), math.ceil(high))
    texts = [f"{factor}e{power}" for power in powers for factor in factors]
    inside = [text for text in texts if low <= math.log10(float(text)) <= high]
    return {
        "tickmode": "array",
        "tickvals": [float(text) for text in inside],
        # 100000 and 1e7 side by side would read as different things.
        "ticktext": [number(float(t)) if 1e-4 < float(t) < 1e5 else t for t in inside],
    }


def figure(snapshot: Snapshot, x: str | None = None, y: str | None = None) -> go.Figure:
    """Return the front as a figure of its own.

    Raises
    ------
    SpecError
        When there is but one objective, or `x` or `y` is none of them.
    """
    metrics = [goal.metric for goal in snapshot.goals]
    if len(metrics) == 1:
        raise SpecError(
            f"pareto() shows the trade-off between several objectives; {snapshot.name!r} has "
            f"one, {metrics[0]!r}: see curves()",
            "pareto",
        )
    rows, columns = metrics[:-1], metrics[:0:-1]
    if x is not None or y is not None:
        rows, columns = _pair(metrics, x, y)
    of = cloud(snapshot)
    height = _SINGLE_HEIGHT if len(rows) == 1 else 80 + _ROW_HEIGHT * len(rows)
    layout = theme.frame(height) | {"margin": {"l": 60, "r": 30, "t": 38, "b": 50}}
    data: list[dict[str, Any]] = []
    # Each objective has one axis, which its row or column of panels shares: a triangle of them.
    for i, row in enumerate(rows):
        for j, column in enumerate(columns[: len(columns) - i]):
            x_name, y_name = _named("x", j), _named("y", i)
            data += traces(panel(of, column, row), (x_name, y_name))
            lowest, leftmost = _named("y", len(columns) - 1 - j), _named("x", 0)
            layout[_axis_key(x_name)] = axis(
                of.spans[column], domain=_share(j, len(columns)), anchor=lowest, across=True
            )
            layout[_axis_key(y_name)] = axis(
                of.spans[row],
                domain=_share(len(rows) - 1 - i, len(rows)),
                anchor=leftmost,
                across=False,
            )
    layout["annotations"] = [heading(of, {*rows, *columns})]
    return go.Figure(data=data, layout=layout)


def _pair(metrics: Sequence[str], x: str | None, y: str | None) -> tuple[list[str], list[str]]:
    """Return the rows and columns of one panel: the objectives asked for, else the first free."""
    for name, value in (("x", x), ("y", y)):
        if value is not None and value not in metrics:
            raise SpecError(
                f"{name}={value!r} is none of the objectives. {nearest(str(value), metrics)}", name
            )
    row = y or next(metric for metric in metrics if metric != x)
    column = x or next(metric for metric in metrics if metric != row)
    if row == column:
        raise SpecError(f"x and y are both {x!r}: give two objectives", "y")
    return [row], [column]


def _named(letter: str, index: int) -> str:
    return letter if index == 0 else f"{letter}{index + 1}"


def _axis_key(name: str) -> str:
    return f"{name[0]}axis{name[1:]}"


def _share(index: int, count: int) -> tuple[float, float]:
    """Return the share of the figure that panel `index` of `count` takes, in [0, 1]."""
    width = (1 - _GAP * (count - 1)) / count
    start = index * (width + _GAP)
    return start, min(1.0, start + width)


def heading(
    of: Cloud, metrics: Iterable[str], x: float = 0.0, anchor: str = "left"
) -> dict[str, Any]:
    """Return the legend at the top of the figure, at `x` of its width, as Plotly's annotation.

    `metrics` are those that have an axis: it says how many trials lie outside of one.
    """
    return {
        "text": _legend(of, metrics),
        "xref": "paper",
        "yref": "paper",
        "x": x,
        "y": 1,
        "xanchor": anchor,
        "yanchor": "bottom",
        "yshift": 10,
        "showarrow": False,
        "font": {"size": 12, "color": theme.TEXT},
    }


def _legend(of: Cloud, metrics: Iterable[str]) -> str:
    """Return what the colours mean, with the numbers of trials, in Plotly's HTML."""
    if not of.trials.size:
        return "No trial has a value of each yet"
    hidden = [of.spans[metric].hides(of.values[metric]) for metric in metrics]
    groups = {
        "front": (theme.BEST, of.front),
        "running": (theme.RUNNING, of.running & ~of.front),
        "surpassed": (theme.REST, ~of.running & ~of.front),
    }
    words = [
        f'<span style="color:{colour}">●</span> {name} {int(members.sum()):,}'
        for name, (colour, members) in groups.items()
        if members.any()
    ]
    outside = int(np.any(hidden, axis=0).sum())
    return "   ".join([*words, *([f"outside {outside:,}"] if outside else [])])
