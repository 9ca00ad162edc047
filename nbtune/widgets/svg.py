"""Both views as an inline SVG, for pages that have no Plotly: nbconvert's HTML, plain viewers."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from nbtune.plots import theme
from nbtune.plots.curves import CurveScene, y_ticks
from nbtune.plots.lines import Lines
from nbtune.plots.parallel import Axis, ParallelScene
from nbtune.plots.words import number

__all__ = ["drawing"]

WIDTH = 960
CURVES_TOP, CURVES_HEIGHT = 24, 270
PARALLEL_TOP, PARALLEL_HEIGHT = 396, 150
LEFT, RIGHT = 64, 70
_INNER = WIDTH - LEFT - RIGHT


def drawing(scene: CurveScene, lines: ParallelScene) -> str:
    """Return the SVG element, as wide as its place, in colours that suit light and dark."""
    height = PARALLEL_TOP + PARALLEL_HEIGHT + 18
    parts = [*_curves(scene), *(_parallel(lines) if lines.trials.size else ())]
    label = f"Learning curves of {escape(scene.y_title)}, and parallel coordinates of the trials"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'style="width:100%;max-width:{WIDTH + 140}px;height:auto;display:block" '
        f'font-family="{escape(theme.FONT)}" font-size="12" fill="currentColor" '
        f'role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle", **attributes: str) -> str:
    given = {"fill-opacity": "0.65", **{k.replace("_", "-"): v for k, v in attributes.items()}}
    extra = " ".join(f'{name}="{value}"' for name, value in given.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(text)}</text>'


def _rule(x0: float, y0: float, x1: float, y1: float, opacity: float, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<path d="M{x0:.1f},{y0:.1f}L{x1:.1f},{y1:.1f}" fill="none" stroke="currentColor" '
        f'stroke-opacity="{opacity}"{dashed}/>'
    )


class _Scale:
    """From the axes' units to pixels within the plot's own box."""

    def __init__(self, scene: CurveScene) -> None:
        self.x0, self.x1 = scene.x_range
        self.y0, self.y1 = scene.y_range
        self.log = scene.y_log

    def x(self, steps: np.ndarray[tuple[int], np.dtype[np.float32]]) -> np.ndarray:
        return (steps - self.x0) / (self.x1 - self.x0) * _INNER

    def y(self, values: np.ndarray[tuple[int], np.dtype[np.float32]]) -> np.ndarray:
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log10(values)
        return (self.y1 - values) / (self.y1 - self.y0) * CURVES_HEIGHT


def _curves(scene: CurveScene) -> Iterable[str]:
    bottom = CURVES_TOP + CURVES_HEIGHT
    yield _rule(LEFT, bottom, LEFT + _INNER, bottom, 0.5)
    yield _text(LEFT + _INNER / 2, bottom + 38, scene.x_title, font_size="13")
    middle = CURVES_TOP + CURVES_HEIGHT / 2
    yield _text(16, middle, scene.y_title, font_size="13", transform=f"rotate(-90 16 {middle:.0f})")
    if scene.message:
        yield _text(LEFT + _INNER / 2, middle, scene.message, font_size="13")
        return
    scale = _Scale(scene)
    yield from _curve_axes(scene, scale)
    step = scene.by_trial
    # A nested SVG clips what leaves the plot, without an id that could occur twice on a page.
    yield f'<svg x="{LEFT}" y="{CURVES_TOP}" width="{_INNER}" height="{CURVES_HEIGHT}">'
    yield _path(scale, scene.finished, theme.REST, 1, 0.45)
    yield _dots(scale, scene.points, theme.REST, 2.5, 0.6)
    yield _path(scale, scene.running, theme.RUNNING, 1.8)
    yield _path(scale, scene.best, theme.BEST, 2.4, steps=step)
    yield "</svg>"
    yield f'<svg x="{LEFT}" y="{CURVES_TOP}" width="{WIDTH}" height="1" overflow="visible">'
    yield _dots(scale, scene.tips, theme.RUNNING, 3.5)
    yield _dots(scale, scene.label, theme.BEST, 3.5)
    if scene.label.x.size:
        x, y = float(scale.x(scene.label.x)[0]), float(scale.y(scene.label.y)[0])
        yield _text(
            x + 8, y + 4, scene.label_text, "start",
            fill=theme.BEST, fill_opacity="1", font_weight="600",
        )  # fmt: skip
    yield "</svg>"


def _curve_axes(scene: CurveScene, scale: _Scale) -> Iterable[str]:
    bottom = CURVES_TOP + CURVES_HEIGHT
    for tick in y_ticks(scene):
        y = CURVES_TOP + float(scale.y(np.array([tick]))[0])
        if CURVES_TOP - 1 <= y <= bottom + 1:
            yield _rule(LEFT, y, LEFT + _INNER, y, 0.12)
            yield _text(LEFT - 8, y + 4, number(tick, 3), "end")
    for tick in scene.x_ticks:
        x = LEFT + float(scale.x(np.array([tick]))[0])
        yield _rule(x, bottom, x, bottom + 4, 0.5)
        yield _text(x, bottom + 18, f"{tick:,}")
    last = -float(WIDTH)
    if scene.rungs:
        yield _text(LEFT - 8, CURVES_TOP - 7, "rung", "end", font_size="10.5")
    for rung in scene.rungs:
        x = LEFT + float(scale.x(np.array([rung]))[0])
        yield _rule(x, CURVES_TOP, x, bottom, 0.4, "2 3")
        if x - last > 28:
            yield _text(x, CURVES_TOP - 7, f"{rung:,}", font_size="10.5")
            last = x


def _path(
    scale: _Scale,
    lines: Lines,
    colour: str,
    width: float,
    opacity: float = 1,
    *,
    steps: bool = False,
) -> str:
    pieces = []
    pen = "M"
    before = 0.0
    for x, y in zip(scale.x(lines.x), scale.y(lines.y), strict=True):
        if np.isnan(y):
            pen = "M"
            continue
        corner = f"L{x:.1f},{before:.1f}" if steps and pen == "L" else ""
        pieces.append(f"{corner}{pen}{x:.1f},{y:.1f}")
        pen, before = "L", y
    if not pieces:
        return ""
    return (
        f'<path d="{"".join(pieces)}" fill="none" stroke="{colour}" stroke-width="{width}" '
        f'stroke-opacity="{opacity}" stroke-linejoin="round"/>'
    )


def _dots(scale: _Scale, lines: Lines, colour: str, radius: float, opacity: float = 1) -> str:
    points = zip(scale.x(lines.x), scale.y(lines.y), strict=True)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>' for x, y in points if not np.isnan(y)
    )
    return f'<g fill="{colour}" fill-opacity="{opacity}">{dots}</g>' if dots else ""


def _parallel(lines: ParallelScene) -> Iterable[str]:
    count = len(lines.axes)
    xs = [LEFT + _INNER * index / max(1, count - 1) for index in range(count)]
    heights = np.array([_heights(axis) for axis in lines.axes])
    # The weak first, so that the strong lie on top.
    for index in sorted(lines.drawn, key=lambda index: lines.strength[index]):
        points = "L".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, heights[:, index], strict=True))
        strength = float(lines.strength[index])
        yield (
            f'<path d="M{points}" fill="none" stroke="{_shade(strength)}" '
            f'stroke-opacity="{0.35 + 0.65 * strength:.2f}"/>'
        )
    for x, axis in zip(xs, lines.axes, strict=True):
        yield from _axis(x, axis)


def _heights(axis: Axis) -> np.ndarray:
    low, high = axis.range
    return PARALLEL_TOP + (high - axis.values) / ((high - low) or 1.0) * PARALLEL_HEIGHT


def _axis(x: float, axis: Axis) -> Iterable[str]:
    yield _rule(x, PARALLEL_TOP, x, PARALLEL_TOP + PARALLEL_HEIGHT, 0.5)
    name, _, log = axis.label.partition("<br>")
    yield _text(x, PARALLEL_TOP - (26 if log else 14), name, fill_opacity="0.9")
    if log:
        yield _text(x, PARALLEL_TOP - 12, log, font_size="10.5")
    low, high = axis.range
    for tick, text in zip(axis.ticks, axis.texts, strict=True):
        y = PARALLEL_TOP + (high - tick) / ((high - low) or 1.0) * PARALLEL_HEIGHT
        yield _rule(x - 4, y, x, y, 0.5)
        yield _text(x - 7, y + 4, text, "end", font_size="10.5")


def _shade(strength: float) -> str:
    """Return the colour at `strength` in [0, 1] along the scale for any background."""
    stops: Sequence[str] = theme.ANY.scale
    place = strength * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    share = place - index
    one, two = ([int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in stops[index : index + 2])
    mixed = (round(a + (b - a) * share) for a, b in zip(one, two, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
