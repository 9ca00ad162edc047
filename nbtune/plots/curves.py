"""Learning curves: what the view shows as arrays, and the figure made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from nbtune.engine import Snapshot
from nbtune.plots import theme
from nbtune.plots.lines import NOTHING, CurveBook, Lines, joined
from nbtune.plots.ticks import better, linear_ticks, value_range, whole_ticks
from nbtune.plots.words import number
from nbtune.trial import Goal, Status

__all__ = ["TRACES", "CurveScene", "CurveView", "axes", "figure", "hover", "traces", "y_ticks"]

MOST_POINTS = 30_000
"""A browser draws this many at 4 Hz without a pause (SVG, one trace)."""

MOST_CURVES = 1_000
MOST_TELLING = 64
TRACES = ("finished", "points", "running", "tips", "selected", "best", "label")
"""The names of the traces, in the order drawn."""

_RUNG_LABEL_ROOM = 0.035
_MOST_ASKED = 100  # trials, for what they report instead of the metric


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CurveScene:
    """All that the view shows at one moment.

    ``by_trial``: no trial reports twice, so x counts trials and ``best`` is the best so far.
    ``x_range`` and ``y_range`` are in the axes' units, log10 where ``y_log``.
    ``message`` says what will appear, while there is nothing to draw.
    """

    finished: Lines = NOTHING
    points: Lines = NOTHING
    running: Lines = NOTHING
    tips: Lines = NOTHING
    selected: Lines = NOTHING
    best: Lines = NOTHING
    label: Lines = NOTHING
    label_text: str = ""
    by_trial: bool = False
    x_title: str = ""
    y_title: str = ""
    x_range: tuple[float, float] = (0.0, 1.0)
    x_ticks: tuple[int, ...] = ()
    y_range: tuple[float, float] = (0.0, 1.0)
    y_log: bool = False
    rungs: tuple[int, ...] = ()
    message: str = ""


class CurveView:
    """Makes a `CurveScene` of each snapshot, at the cost of what has changed since the last.

    Parameters
    ----------
    book : CurveBook
    most_points : int
        How many points all curves together may have; beyond that each is thinned.
    """

    def __init__(self, book: CurveBook, most_points: int = MOST_POINTS) -> None:
        self._book = book
        self._most_points = most_points
        self._joined = -1  # `CurveBook.finished` when the curves were
        self._finished, self._points = NOTHING, NOTHING

    def scene(self, snapshot: Snapshot, selected: int | None = None) -> CurveScene:
        """Return what to show; the book has read the same snapshot's trials."""
        drawn = np.flatnonzero(self._book.points)
        if not drawn.size:
            return CurveScene(
                x_title=snapshot.step_name,
                y_title=snapshot.goal.metric,
                x_range=(0.0, 1.0),
                message=_nothing_yet(snapshot),
            )
        if self._one_report_each(drawn, snapshot):
            return self._history(snapshot, drawn, selected)
        return self._learning(snapshot, drawn, selected)

    def _learning(
        self, snapshot: Snapshot, drawn: NDArray[np.intp], selected: int | None
    ) -> CurveScene:
        curves = self._book.curves
        runs = snapshot.trials.are(Status.RUNNING)[drawn]
        alive = drawn[runs].tolist()
        self._join_finished(drawn[~runs], snapshot.goal)
        best = snapshot.best.number if snapshot.best is not None else None
        chosen = [] if selected is None or selected >= len(snapshot.trials) else [selected]
        running = joined(alive, curves, max(50, self._most_points // (2 * len(alive) + 1)))
        points = np.concatenate([self._finished.y, self._points.y, running.y])
        low, high = _whole_extent(self._finished, self._points, running, rungs=snapshot.rungs)
        telling = self._telling(drawn, snapshot.goal)
        up = snapshot.goal.direction == "maximize"
        y_range, y_log = value_range(telling, points, self._ends(chosen), up=up)
        ends = [] if best is None else [best]
        return CurveScene(
            finished=self._finished,
            points=self._points,
            running=running,
            tips=_last_points(alive, self._book, (y_range, y_log)),
            selected=joined(chosen, curves, 2_000),
            best=joined(ends, curves, 2_000),
            label=self._label(ends, snapshot.goal),
            label_text=number(curves[best].value_for(snapshot.goal)) if best is not None else "",
            x_title=snapshot.step_name,
            y_title=snapshot.goal.metric,
            x_range=(low - 0.012 * (high - low or 1), high + 0.012 * (high - low or 1)),
            x_ticks=tuple(whole_ticks(low, high)),
            y_range=y_range,
            y_log=y_log,
            rungs=tuple(r for r in snapshot.rungs if low <= r <= high),
        )

    def _history(
        self, snapshot: Snapshot, drawn: NDArray[np.intp], selected: int | None
    ) -> CurveScene:
        numbers = drawn.astype(np.int32)
        values = self._book.values(snapshot.goal)[drawn]
        values[np.isinf(values)] = np.nan
        up = snapshot.goal.direction == "maximize"
        so_far = (np.fmax if up else np.fmin).accumulate(values)
        y_range, y_log = value_range(better(values, up=up), values, up=up)
        high = max(int(numbers[-1]), 1)
        picked = numbers == selected
        return CurveScene(
            points=Lines(numbers.astype(np.float32), values.astype(np.float32), numbers),
            selected=Lines(
                numbers[picked].astype(np.float32), values[picked].astype(np.float32), numbers
            ),
            best=Lines(numbers.astype(np.float32), so_far.astype(np.float32), numbers),
            label=Lines(
                numbers[-1:].astype(np.float32), so_far[-1:].astype(np.float32), numbers[-1:]
            ),
            label_text=number(float(so_far[-1])),
            by_trial=True,
            x_title="trial",
            y_title=snapshot.goal.metric,
            x_range=(-0.02 * high, 1.02 * high),
            x_ticks=tuple(whole_ticks(0, high)),
            y_range=y_range,
            y_log=y_log,
        )

    def _one_report_each(self, drawn: NDArray[np.intp], snapshot: Snapshot) -> bool:
        """Whether trials end with one value each: a curve over steps would be a column of dots."""
        if (self._book.points[drawn] > 1).any():
            return False
        return bool(snapshot.trials.are(Status.COMPLETED)[drawn].any())

    def _join_finished(self, finished: NDArray[np.intp], goal: Goal) -> None:
        if self._joined == self._book.finished:
            return
        self._joined = self._book.finished
        curves = self._book.curves
        shown = _most_telling(finished, self._book.scores(goal)[finished])
        single = self._book.points[shown] == 1
        lines = shown[~single].tolist()
        self._finished = joined(lines, curves, max(3, self._most_points // (len(lines) + 1)))
        self._points = joined(shown[single].tolist(), curves, 1)

    def _label(self, numbers: Sequence[int], goal: Goal) -> Lines:
        """Return where the curves of these trials have the value by which they are ranked."""
        curves = [(n, self._book.curves[n]) for n in numbers if self._book.curves[n].values]
        places = [(curve, curve.place_for(goal), n) for n, curve in curves]
        return Lines(
            np.array([curve.steps[place] for curve, place, _ in places], np.float32),
            np.array([curve.values[place] for curve, place, _ in places], np.float32),
            np.array([n for _, _, n in places], np.int32),
        )

    def _telling(self, drawn: NDArray[np.intp], goal: Goal) -> NDArray[np.float64]:
        """Return the values of trials that came at least half as far as any, the worst left out."""
        steps = self._book.steps[drawn]
        far = drawn[steps >= steps.max() / 2]
        keep = min(MOST_TELLING, max(1, 3 * len(far) // 4))
        best = far[np.argsort(-self._book.scores(goal)[far], kind="stable")][:keep].tolist()
        return np.concatenate([np.array(self._book.curves[number].values) for number in best])

    def _ends(self, numbers: Sequence[int]) -> list[float]:
        last = (self._book.curves[n].last for n in numbers)
        return [value for value in last if value is not None and np.isfinite(value)]


def _nothing_yet(snapshot: Snapshot) -> str:
    metric = snapshot.goal.metric
    first = snapshot.trials[:_MOST_ASKED]
    others = sorted({name for trial in first for name in trial.metrics} - {metric})
    if others:
        return f"No trial has reported {metric} yet; reported so far: {', '.join(others[:6])}"
    if snapshot.status.ended:
        return f"No trial reported {metric}"
    return f"Curves appear with the first report of {metric}"


def _most_telling(numbers: NDArray[np.intp], scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the trials to draw when there are too many: half of them the best, half the latest."""
    if len(numbers) <= MOST_CURVES:
        return numbers
    half = MOST_CURVES // 2
    best = np.argsort(-scores[:-half], kind="stable")[:half]
    return np.concatenate([numbers[np.sort(best)], numbers[-half:]])


def _last_points(
    numbers: Sequence[int], book: CurveBook, within: tuple[tuple[float, float], bool] | None = None
) -> Lines:
    """Return where each curve ends; a value out of sight is put on the edge of the y axis."""
    curves = [(n, book.curves[n]) for n in numbers if book.curves[n].values]
    values = np.array([c.values[-1] for _, c in curves], np.float64)
    if within is not None:
        (low, high), log = within
        # A hair inside: rounded to float32 it could lie outside, where Plotly draws nothing.
        low, high = low + 1e-4 * (high - low), high - 1e-4 * (high - low)
        values = np.clip(values, *((10.0**low, 10.0**high) if log else (low, high)))
    return Lines(
        np.array([c.steps[-1] for _, c in curves], np.float32),
        values.astype(np.float32),
        np.array([n for n, _ in curves], np.int32),
    )


def _whole_extent(*groups: Lines, rungs: Sequence[int]) -> tuple[int, int]:
    steps = np.concatenate([group.x for group in groups])
    steps = steps[np.isfinite(steps)]
    low, high = int(steps.min()), int(steps.max())
    # The next rung is where the sweep is heading; far ones would only squeeze what there is.
    ahead = [rung for rung in rungs if high < rung <= 3 * high]
    return low, min(ahead, default=max(high, low + 1))


def hover(scene: CurveScene) -> str:
    """Return what the pointer shows at a point, as Plotly's template."""
    step = "" if scene.by_trial else f" · {scene.x_title} %{{x}}"
    return f"trial %{{customdata}}{step} · %{{y:.4g}}<extra></extra>"


def traces(scene: CurveScene) -> list[dict[str, Any]]:
    """Return the traces as Plotly's dicts, in the order of `TRACES`."""
    step = {"shape": "hv"} if scene.by_trial else {}
    styles: dict[str, dict[str, Any]] = {
        "finished": {"line": {"color": theme.REST, "width": 1}, "opacity": 0.45},
        "points": {"marker": {"color": theme.REST, "size": 5}, "opacity": 0.6},
        "running": {"line": {"color": theme.RUNNING, "width": 1.8}},
        "tips": {"marker": {"color": theme.RUNNING, "size": 7}},
        "selected": {"line": {"color": theme.SELECTED, "width": 2.2}},
        "best": {"line": {"color": theme.BEST, "width": 2.4, **step}},
        "label": {"marker": {"color": theme.BEST, "size": 7}},
    }
    made = []
    for name in TRACES:
        lines: Lines = getattr(scene, name)
        trace = {
            "type": "scatter",
            "name": name,
            "mode": "lines" if "line" in styles[name] else "markers",
            "x": lines.x,
            "y": lines.y,
            "customdata": lines.trial,
            "hovertemplate": hover(scene),
            "connectgaps": False,
            **styles[name],
        }
        made.append(trace)
    made[4]["mode"] = "lines+markers"
    made[4]["marker"] = {"color": theme.SELECTED, "size": 5}
    made[6] |= {
        "mode": "markers+text",
        "text": [scene.label_text],
        "textposition": "middle right",
        "textfont": {"color": theme.BEST, "size": 13, "weight": 600},
        "cliponaxis": False,
    }
    made[3]["cliponaxis"] = False
    return made


def axes(
    scene: CurveScene,
    domain: tuple[float, float] = (0.0, 1.0),
    across: tuple[float, float] = (0.0, 1.0),
) -> dict[str, Any]:
    """Return the layout of both axes, the rung lines and the message, as Plotly's dict.

    `domain` is the share of the figure's height that the curves take, from the bottom, `across`
    that of its width.
    """
    line = {
        "showline": True,
        "linecolor": theme.AXIS,
        "linewidth": 1,
        "gridcolor": theme.GRID,
        "zeroline": False,
        "showticklabels": not scene.message,
    }
    return {
        "xaxis": {
            **line,
            "domain": list(across),
            "title": {"text": scene.x_title, "standoff": 8},
            "range": list(scene.x_range),
            "tickvals": list(scene.x_ticks),
            "tickformat": ",d",
            "showgrid": False,
            "ticks": "outside",
            "ticklen": 4,
            "tickcolor": theme.AXIS,
        },
        "yaxis": {
            **line,
            "showline": False,
            "showgrid": not scene.message,
            "domain": list(domain),
            "title": {"text": scene.y_title, "standoff": 10},
            "type": "log" if scene.y_log else "linear",
            "range": list(scene.y_range),
            "nticks": 6,
            "exponentformat": "e",
            "separatethousands": True,
        },
        "shapes": [_rung_line(rung) for rung in scene.rungs],
        "annotations": [*_rung_labels(scene), *_message(scene, domain, across)],
    }


def _rung_line(rung: int) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": "x",
        "yref": "y domain",
        "x0": rung,
        "x1": rung,
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"color": theme.AXIS, "width": 1, "dash": "dot"},
    }


def _rung_labels(scene: CurveScene) -> list[dict[str, Any]]:
    """Return "rung" in the margin, and the number over each line that has room for it."""
    if not scene.rungs:
        return []
    room = (scene.x_range[1] - scene.x_range[0]) * _RUNG_LABEL_ROOM
    shown: list[int] = []
    for rung in scene.rungs:
        if not shown or rung - shown[-1] >= room:
            shown.append(rung)
    style = {
        "y": 1,
        "yref": "y domain",
        "yanchor": "bottom",
        "yshift": 6,
        "showarrow": False,
        "font": {"size": 11, "color": theme.TEXT},
    }
    word = {"text": "rung", "x": 0, "xref": "x domain", "xanchor": "right", "xshift": -8, **style}
    return [word, *({"text": f"{rung:,}", "x": rung, "xref": "x", **style} for rung in shown)]


def _message(
    scene: CurveScene, domain: tuple[float, float], across: tuple[float, float]
) -> list[dict[str, Any]]:
    if not scene.message:
        return []
    return [
        {
            "text": scene.message,
            "x": sum(across) / 2,
            "y": sum(domain) / 2,
            "xref": "paper",
            "yref": "paper",
            "showarrow": False,
            "font": {"size": 13, "color": theme.TEXT},
        }
    ]


def figure(snapshot: Snapshot) -> go.Figure:
    """Return the learning curves as a figure of their own."""
    book = CurveBook(snapshot.goal.metric)
    book.read(snapshot.trials)
    scene = CurveView(book).scene(snapshot)
    layout = theme.frame(360) | axes(scene)
    return go.Figure(data=traces(scene), layout=layout)


def y_ticks(scene: CurveScene) -> list[float]:
    """Return the round values along the y axis, for a drawing without Plotly."""
    low, high = scene.y_range
    if not scene.y_log:
        return linear_ticks(low, high)
    return [10.0**e for e in range(int(np.ceil(low)), int(np.floor(high)) + 1)]
