"""Parallel coordinates: one axis a dimension, the objectives last, one line a trial."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from nbtune.column import Column
from nbtune.engine import Snapshot
from nbtune.exceptions import SpecError
from nbtune.pareto import front_numbers
from nbtune.plots import theme
from nbtune.plots.curves import CurveScene, CurveView
from nbtune.plots.lines import CurveBook
from nbtune.plots.ticks import (
    better,
    linear_ticks,
    log_ticks,
    rounded_out,
    value_range,
    whole_ticks,
)
from nbtune.plots.words import number, shortened
from nbtune.space import Choice, Dimension, Domain, Int, LogNormal, Range, Real, Space
from nbtune.trial import Goal, Status

__all__ = [
    "MOST_AXES",
    "Axis",
    "ParallelScene",
    "colours",
    "dimension",
    "figure",
    "relevant",
    "scene",
    "trace",
]

MOST_AXES = 10
"""More dimensions than this and their labels run into each other at 800 pixels."""

MOST_LINES = 300
LETTER_PIXELS = 7.2
_STAND_OUT = 5
_BRUSHED = 0.6
_UNKNOWN = math.inf  # no trial crosses an axis there
_ABSENT = 0.12
"""Share of an axis kept below its range for trials where the dimension is not active."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axis:
    """One axis, in drawing units: log10 of the value where ``log``, positions of categories.

    Attributes
    ----------
    values : array of float32, shape (n_trials,)
        Where each trial crosses the axis.
    """

    path: str
    label: str
    values: NDArray[np.float32]
    range: tuple[float, float]
    ticks: tuple[float, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParallelScene:
    """All that the view shows at one moment.

    Attributes
    ----------
    trials : array of int, shape (n_trials,)
        The numbers of the trials drawn, in the order of the values on every axis.
    strength : array of float32, shape (n_trials,), in [0, 1]
        How good each trial is among all, as `strengths`: 1 is the best.
    drawn : array of int, shape (n_drawn,)
        Positions of the trials that have a line: all, or the best and the latest `MOST_LINES`.
    paths : tuple of str
        The dimensions that have an axis; the objectives' axes follow theirs.
    hidden : int
        How many dimensions are left out because there is no room.
    """

    axes: tuple[Axis, ...]
    paths: tuple[str, ...]
    trials: NDArray[np.intp]
    strength: NDArray[np.float32]
    drawn: NDArray[np.intp]
    hidden: int = 0


def scene(
    snapshot: Snapshot,
    book: CurveBook,
    within: CurveScene,
    paths: Sequence[str] | None = None,
    *,
    width: int = 920,
) -> ParallelScene:
    """Return what to show; the book has read the same snapshot's trials.

    Parameters
    ----------
    snapshot : Snapshot
    book : CurveBook
        Where the trials' values come from.
    within : CurveScene
        The learning curves beside them: the first objective's axis has their range.
    paths : sequence of str, optional
        The dimensions to show; by default all of them, or the most relevant when there are more
        than `MOST_AXES`.
    width : int
        Of the figure in pixels: so long may labels be.
    """
    shown, scores = _drawable(snapshot)
    dims = _one_a_path(snapshot.space)
    if paths is None:
        paths = relevant(snapshot, shown, scores[:, 0], book)
    chosen = [dim for dim in dims if dim.path in paths]
    gaps = len(chosen) + len(snapshot.goals) - 1
    letters = max(6, int((width - 122) / max(1, gaps) / LETTER_PIXELS))
    strength = strengths(scores)
    axes = [_axis(dim, _positions(dim, shown, snapshot, book), letters) for dim in chosen]
    return ParallelScene(
        axes=(*axes, *_objective_axes(snapshot.goals, scores, within, letters)),
        paths=tuple(dim.path for dim in chosen),
        trials=shown,
        strength=strength,
        drawn=_most_telling(strength),
        hidden=len(dims) - len(chosen),
    )


def _drawable(snapshot: Snapshot) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the trials with a finite value of each objective, and their scores."""
    numbers, scores = snapshot.trials.scored(snapshot.goals)
    drawn = np.isfinite(scores).all(axis=1) & ~snapshot.trials.are(Status.PENDING)[numbers]
    return numbers[drawn], scores[drawn]


def _most_telling(strength: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return which lines to draw: more than `MOST_LINES` cover each other, and cost as much."""
    count = strength.size
    if count <= MOST_LINES:
        return np.arange(count)
    best = np.argsort(strength)[-2 * MOST_LINES // 3 :]
    return np.union1d(best, np.arange(count - MOST_LINES // 3, count))


def _one_a_path(space: Space) -> list[Dimension]:
    """Return the dimensions, the first of each path: two branches may have a param of one name."""
    found: dict[str, Dimension] = {}
    for dim in space.dims:
        found.setdefault(dim.path, dim)
    return list(found.values())


def relevant(
    snapshot: Snapshot,
    shown: NDArray[np.intp],
    values: NDArray[np.float64],
    book: CurveBook,
) -> list[str]:
    """Return the paths to show: all, or the `MOST_AXES` that say most about the metric.

    What a dimension says is the share of the variance of the trials' ranks that lies between four
    groups of its values (the correlation ratio, eta squared, Fisher 1925).
    """
    dims = _one_a_path(snapshot.space)
    if len(dims) <= MOST_AXES:
        return [dim.path for dim in dims]
    if len(shown) < 2 * MOST_AXES:
        return [dim.path for dim in dims[:MOST_AXES]]
    ranks = values.argsort().argsort().astype(np.float64)
    told = {dim.path: _told(_positions(dim, shown, snapshot, book), ranks) for dim in dims}
    best = sorted(told, key=lambda path: told[path], reverse=True)[:MOST_AXES]
    return [dim.path for dim in dims if dim.path in best]


def _told(positions: NDArray[np.float64], ranks: NDArray[np.float64]) -> float:
    """Return eta squared of ranks over quarters of the positions."""
    order = np.nan_to_num(positions, nan=-1.0)
    edges = np.unique(np.quantile(order, [0.25, 0.5, 0.75]))
    groups = np.searchsorted(edges, order, side="left")
    total = float(ranks.var()) or 1.0
    within = sum(float(ranks[groups == g].var()) * (groups == g).sum() for g in np.unique(groups))
    return 1.0 - float(within) / ranks.size / total


def _position(domain: Domain, value: Any) -> float:
    """Return where a value lies on its axis, NaN for what is not there."""
    if value is None and not isinstance(domain, Choice):
        return math.nan
    if isinstance(domain, Choice):
        try:
            return float(domain.index(value))
        except ValueError:
            return math.nan
    try:
        place = float(value)
    except (TypeError, ValueError):  # of an earlier space, which had something else here
        return math.nan
    if _is_log(domain):
        return math.log10(place) if place > 0 else math.nan
    return place


def _positions(
    dim: Dimension, numbers: NDArray[np.intp], snapshot: Snapshot, book: CurveBook
) -> NDArray[np.float64]:
    """Return where each trial crosses the dimension's axis; params never change: asked once."""
    # By the domain too: an edit of the space may change it.
    key = f"{dim.path}: {dim.domain!r}"
    known = book.positions.setdefault(key, Column(np.float64, _UNKNOWN))
    positions = known.first(len(snapshot.trials))
    for index in numbers[np.isposinf(positions[numbers])].tolist():
        positions[index] = _position(dim.domain, dim.value_in(snapshot.trials[index].params))
    return positions[numbers]


def _is_log(domain: Domain) -> bool:
    return isinstance(domain, LogNormal) or bool(getattr(domain, "log", False))


def _axis(dim: Dimension, positions: NDArray[np.float64], letters: int) -> Axis:
    low, high, ticks, texts = _scale(dim.domain, positions)
    absent = np.isnan(positions)
    if not absent.all():  # a tuner may have gone beyond the numbers that are listed
        low = min(low, float(np.nanmin(positions)))
        high = max(high, float(np.nanmax(positions)))
    if absent.any() or dim.condition:
        below = low - _ABSENT * (high - low)
        positions[absent] = below
        low, ticks, texts = below, [below, *ticks], ["—", *texts]
    suffix = "<br>(log)" if _is_log(dim.domain) else ""
    return Axis(
        path=dim.path,
        label=_name(dim.path, letters) + suffix,
        values=positions.astype(np.float32),
        range=(low, high),
        ticks=tuple(ticks),
        texts=tuple(texts),
    )


def _name(path: str, letters: int) -> str:
    """Return a dimension's name in at most `letters`: its last part, its beginning."""
    if len(path) > letters:
        path = path.rpartition(".")[2]
    return path if len(path) <= letters else path[: letters - 1] + "…"


def _scale(
    domain: Domain, positions: NDArray[np.float64]
) -> tuple[float, float, list[float], list[str]]:
    """Return low, high, ticks (in drawing units) and their texts."""
    if isinstance(domain, Choice):
        return _category_scale([shortened(label, 14) for label in domain.labels])
    if isinstance(domain, (Real, Int, Range)):
        whole = isinstance(domain, Int) or (isinstance(domain, Range) and domain.whole)
        low, high = _ends(domain)
        if domain.log:
            ticks = log_ticks(low, high, whole=whole)
            positions_of = [math.log10(tick) for tick in ticks]
            return positions_of[0], positions_of[-1], positions_of, [number(t, 3) for t in ticks]
        if whole:
            counted = whole_ticks(int(low), int(high), 6)
            return low, high, [float(t) for t in counted], [str(t) for t in counted]
        return low, high, *_labelled(_with_ends(low, high))
    if domain.size is not None:
        return _category_scale([str(value) for value in domain.grid()])
    return _open_scale(positions, log=_is_log(domain))


def _ends(domain: Real | Int | Range) -> tuple[float, float]:
    """Return the ends of an axis; on a log one no value may be drawn at 0."""
    low, high = (domain.low, domain.high) if isinstance(domain, Range) else domain.ends
    return float(low if low > 0 or not domain.log else domain.low), float(high)


def _category_scale(labels: Sequence[str]) -> tuple[float, float, list[float], list[str]]:
    last = max(1, len(labels) - 1)
    # A margin at both ends: categories are places on the axis, not its ends.
    return -0.1 * last, 1.1 * last, [float(i) for i in range(len(labels))], list(labels)


def _open_scale(
    positions: NDArray[np.float64], *, log: bool
) -> tuple[float, float, list[float], list[str]]:
    """Return the scale of a domain without bounds, from what was tried."""
    known = positions[np.isfinite(positions)]
    low, high = (float(known.min()), float(known.max())) if known.size else (-1.0, 1.0)
    low, high = rounded_out(low, high)
    if not log:
        return low, high, *_labelled(linear_ticks(low, high))
    ticks = log_ticks(10.0**low, 10.0**high)
    return low, high, [math.log10(tick) for tick in ticks], [number(tick, 2) for tick in ticks]


def _labelled(ticks: list[float]) -> tuple[list[float], list[str]]:
    return ticks, [number(tick, 3) for tick in ticks]


def _with_ends(low: float, high: float) -> list[float]:
    room = 0.11 * (high - low)
    inner = [t for t in linear_ticks(low, high, 5) if t - low > room and high - t > room]
    return [low, *inner, high]


def _objective_axes(
    goals: Sequence[Goal], scores: NDArray[np.float64], within: CurveScene, letters: int
) -> list[Axis]:
    axes: list[Axis] = []
    for goal, column in zip(goals, scores.T, strict=True):
        up = goal.direction == "maximize"
        values = column if up else -column
        span = within.y_range, within.y_log
        if axes:  # the curves show the first
            span = value_range(better(values, up=up), values, up=up)
        axes.append(_metric_axis(goal.metric, values, *span, letters))
    return axes


def _metric_axis(
    metric: str, values: NDArray[np.float64], span: tuple[float, float], log: bool, letters: int
) -> Axis:
    """Return an objective's axis over a range, in log10 where `log`.

    Values beyond the range are drawn at its end, which then says so.
    """
    low, high = span
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.log10(values) if log else values
    if log:
        tried = log_ticks(10.0**low, 10.0**high)
        ticks, texts = [math.log10(tick) for tick in tried], [number(tick, 2) for tick in tried]
    else:
        ticks, texts = _labelled(_with_ends(low, high))
    if (places < low).any():
        texts[0] = f"≤ {texts[0]}"
    if (places > high).any():
        texts[-1] = f"≥ {texts[-1]}"
    return Axis(
        path=metric,
        label=_name(metric, letters) + "<br>(log)" * log,
        values=np.clip(places, low, high).astype(np.float32),
        range=(low, high),
        ticks=tuple(ticks),
        texts=tuple(texts),
    )


def strengths(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return how much each trial stands out, in [0, 1], shape (n_trials,): 1 is the best.

    By rank, so that it holds for metrics of any scale, and steeper the more trials there are:
    a handful stand out, the others recede. With several objectives by front: the first has 1.

    Parameters
    ----------
    scores : array of float, shape (n_trials, n_objectives)
        Higher is better.
    """
    count = len(scores)
    if count < 2:
        return np.ones(count, np.float32)
    merit = -front_numbers(scores)
    place = np.searchsorted(np.sort(merit), merit, "right")
    share = (place - 1) / (count - 1)
    handful = 1.0 - min(_STAND_OUT / count, 0.5)
    return np.power(share, max(1.0, math.log(0.7) / math.log(handful))).astype(np.float32)


def trace(
    scene: ParallelScene, domain: tuple[float, float], shades: theme.Shades
) -> dict[str, Any]:
    """Return the trace as Plotly's dict; `domain` is its share of the height, from the bottom."""
    return {
        "type": "parcoords",
        "name": "parallel",
        "domain": {"x": [0.0, 1.0], "y": list(domain)},
        "dimensions": [dimension(axis, scene) for axis in scene.axes],
        "line": {
            "color": colours(scene),
            "cmin": 0.0,
            "cmax": 1.0,
            "colorscale": shades.colorscale(),
            "showscale": False,
        },
        "unselected": {"line": {"color": shades.brushed_out, "opacity": 1}},
        "labelfont": {"size": 12, "color": theme.TEXT},
        "tickfont": {"size": 11, "color": theme.TEXT},
        "rangefont": {"size": 1, "color": "rgba(0,0,0,0)"},
        "labelside": "top",
    }


def colours(scene: ParallelScene, *, brushed: bool = False) -> NDArray[np.float32]:
    """Return a number in [0, 1] for each line that is drawn; under a brush none is pale."""
    if not scene.trials.size:
        return np.zeros(1, np.float32)
    shown = scene.strength[scene.drawn]
    return np.float32(_BRUSHED) + np.float32(1 - _BRUSHED) * shown if brushed else shown


def dimension(axis: Axis, scene: ParallelScene) -> dict[str, Any]:
    """Return one axis of a scene as Plotly's dict."""
    crossings = axis.values[scene.drawn]
    return {
        "label": axis.label,
        # Plotly draws no axes without a line: one that crosses none stands in for it.
        "values": crossings if crossings.size else np.full(1, np.nan, np.float32),
        "range": list(axis.range),
        "tickvals": list(axis.ticks),
        "ticktext": list(axis.texts),
    }


def figure(snapshot: Snapshot, paths: Sequence[str] | None = None) -> go.Figure:
    """Return the parallel coordinates as a figure of their own.

    Raises
    ------
    SpecError
        When `paths` is no list of params of the space.
    """
    known = [dim.path for dim in snapshot.space.dims]
    if paths is not None and (
        not isinstance(paths, list | tuple) or not paths or not all(path in known for path in paths)
    ):
        raise SpecError(
            f"params={paths!r}: give a list of params. Known: {', '.join(known)}.",
            "params",
        )
    book = CurveBook(snapshot.goal.metric)
    book.read(snapshot.trials)
    made = scene(snapshot, book, CurveView(book).scene(snapshot), paths)
    layout = theme.frame(340) | {"margin": {"l": 60, "r": 62, "t": 56, "b": 24}}
    return go.Figure(data=[trace(made, (0.0, 1.0), theme.ANY)], layout=layout)
