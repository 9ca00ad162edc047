"""Draws runs of ``quality.py``: regret against evaluations, a panel a problem, as an SVG.

No library of this project's environment writes still pictures; this one needs only text.
"""

import math
from html import escape

import numpy as np

__all__ = ["mean_ranks", "picture", "quartiles"]

COLOURS = {
    "nbtune": "#0b7a5c",
    "optuna-gp": "#c4364b",
    "optuna-tpe": "#d98a00",
    "skopt-gp": "#4166b0",
    "skopt-rf": "#8b5fbf",
    "hyperopt-tpe": "#777777",
}
OTHERS = ["#a0522d", "#2f4f4f", "#b03a9c"]
INK, FAINT, GRID = "#222222", "#767676", "#e6e6e6"
ACROSS, WIDTH, HEIGHT = 5, 168, 104  # panels in a row; a panel's size
LEFT, GAP, ABOVE, BELOW = 44, 40, 26, 24
TOP = 250  # what the overall panel takes


def curves(rows):
    """Return the curves of each (problem, searcher), shape (n_seeds, n_evaluations)."""
    found = {}
    for row in rows:
        curve = [math.inf if value is None else value for value in row["curve"]]
        found.setdefault((row["problem"], row["searcher"]), []).append(curve)
    shortest = {key: min(map(len, each)) for key, each in found.items()}
    return {key: np.array([c[: shortest[key]] for c in each]) for key, each in found.items()}


def quartiles(runs):
    """Return the quartiles of runs, shape (n_seeds, n), at each evaluation: shape (3, n)."""
    return np.quantile(runs, [0.25, 0.5, 0.75], axis=0, method="nearest")


def mean_ranks(rows):
    """Return each searcher's mean rank by the median regret, shape (n_evaluations,), 1 the best.

    Over the problems that all of them ran; equal ones share the mean of their ranks.
    """
    found = curves(rows)
    names = list(dict.fromkeys(row["searcher"] for row in rows))
    problems = dict.fromkeys(row["problem"] for row in rows)
    shared = [p for p in problems if all((p, name) in found for name in names)]
    length = min((found[p, name].shape[1] for p in shared for name in names), default=0)
    medians = np.array(
        [[np.median(found[p, name][:, :length], axis=0) for name in names] for p in shared]
    ).reshape(len(shared), len(names), length)
    better = (medians[:, None] < medians[:, :, None]).sum(axis=2)
    equal = (medians[:, None] == medians[:, :, None]).sum(axis=2)
    ranks = (better + 0.5 * (equal + 1)).mean(axis=0) if shared else np.empty((len(names), 0))
    return dict(zip(names, ranks, strict=True)), len(shared)


class Panel:
    """Axes with a corner at (x, y), which turn values into places on the paper."""

    def __init__(self, x, y, width, height, most, low, high, *, log):
        self.x, self.y, self.width, self.height = x, y, width, height
        self.most, self.log = most, log
        self.low, self.high = (math.log10(low), math.log10(high)) if log else (low, high)

    def across(self, count):
        return self.x + self.width * (count - 1) / (self.most - 1)

    def up(self, value):
        level = math.log10(value) if self.log else value
        share = (level - self.low) / (self.high - self.low)
        return self.y + self.height * (1 - min(max(share, 0.0), 1.0))

    def line(self, values):
        """Return the points of values, the first of which belongs to one evaluation."""
        return [
            (self.across(count), self.up(value))
            for count, value in enumerate(values, start=1)
            if math.isfinite(value)
        ]


def text(x, y, words, *, size=10, colour=INK, anchor="start", weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'
    )


def path(points, **style):
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    kind = "polyline" if style.get("fill", "none") == "none" else "polygon"
    written = " ".join(f'{key.replace("_", "-")}="{value}"' for key, value in style.items())
    return f'<{kind} points="{places}" {written}/>'


def rule(panel, level, label):
    y = panel.up(level)
    ends = [(panel.x, y), (panel.x + panel.width, y)]
    drawn = path(ends, fill="none", stroke=GRID, stroke_width=1)
    return drawn + text(panel.x - 5, y + 3, label, size=9, colour=FAINT, anchor="end")


def counts(panel, every):
    marks = range(every, panel.most + 1, every)
    y = panel.y + panel.height + 13
    return "".join(
        text(panel.across(n), y, str(n), size=9, colour=FAINT, anchor="middle") for n in marks
    )


def curve(panel, values, colour, *, leading):
    return path(
        panel.line(values),
        fill="none",
        stroke=colour,
        stroke_width=2.2 if leading else 1.4,
        stroke_linejoin="round",
    )


def levels(low, high):
    """Return round numbers within the bounds: powers of ten, at most four; of few, also 2 and 5."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / 4))
    powers = [10.0**power for power in range(first, last + 1, step)]
    if len(powers) > 1:
        return powers
    near = [m * 10.0**power for power in range(first - 1, last + 1) for m in (1, 2, 5)]
    return [level for level in near if low <= level <= high]


def tick(value):
    return f"{value:g}" if 1e-3 <= value <= 1e3 else f"1e{round(math.log10(value))}"


def problem_panel(x, y, title, found, most, paint):
    """Draw one problem: the medians, and between the quartiles a shade."""
    spread = {name: quartiles(runs) for name, runs in found.items()}
    settled = np.concatenate([each[:, 4:].ravel() for each in spread.values()])
    settled = settled[np.isfinite(settled)]
    low, high = float(settled.min()) / 1.3, float(settled.max()) * 1.3
    high = max(high, low * 10)
    panel = Panel(x, y, WIDTH, HEIGHT, most, low, high, log=True)
    parts = [text(x, y - 8, title, size=11, weight="bold")]
    parts += [rule(panel, level, tick(level)) for level in levels(low, high)]
    parts.append(counts(panel, 20 if most <= 60 else 50))
    for name, (lower, _, upper) in spread.items():
        around = panel.line(lower) + panel.line(upper)[::-1]
        parts.append(path(around, fill=paint[name], fill_opacity=0.13, stroke="none"))
    for name in sorted(spread, key="nbtune".__eq__):
        parts.append(curve(panel, spread[name][1], paint[name], leading=name == "nbtune"))
    return parts


def labels(ends, gap=14):
    """Return the heights of labels, moved apart so that none covers another."""
    placed = []
    for name, y in sorted(ends.items(), key=lambda item: item[1]):
        placed.append((name, max(y, placed[-1][1] + gap) if placed else y))
    return placed


def overall_panel(rows, width, paint):
    ranks, count = mean_ranks(rows)
    most = max((len(each) for each in ranks.values()), default=0)
    if most < 2:
        return []
    first = min(10, most)  # before that all of them draw at random, more or less
    seen = np.array([each[first - 1 :] for each in ranks.values()])
    low, high = math.floor(seen.min() * 2) / 2, math.ceil(seen.max() * 2) / 2
    panel = Panel(LEFT, 62, width - LEFT - 120, TOP - 112, most, high, low, log=False)
    parts = [
        text(LEFT, 22, "Regret against evaluations", size=16, weight="bold"),
        text(LEFT, 42, f"mean rank by median regret, over {count} problems; 1 is best", size=11),
        counts(panel, 10),
        text(
            panel.x + panel.width + 8,
            panel.y + panel.height + 13,
            "evaluations",
            size=9,
            colour=FAINT,
        ),
    ]
    parts += [rule(panel, level, f"{level:g}") for level in np.arange(low, high + 0.1, 0.5)]
    for name in sorted(ranks, key="nbtune".__eq__):
        parts.append(curve(panel, ranks[name], paint[name], leading=name == "nbtune"))
    for name, y in labels({name: panel.up(each[-1]) for name, each in ranks.items()}):
        weight = "bold" if name == "nbtune" else "normal"
        parts.append(
            text(panel.x + panel.width + 8, y + 4, name, size=12, colour=paint[name], weight=weight)
        )
    return parts


def legend(paint):
    words = "median regret and its quartiles, by problem (log scale):"
    parts, x = [text(LEFT, TOP - 14, words, size=11)], LEFT + 310
    for name, colour in paint.items():
        parts.append(
            path([(x, TOP - 18), (x + 18, TOP - 18)], fill="none", stroke=colour, stroke_width=2)
        )
        parts.append(text(x + 23, TOP - 14, name, size=11, colour=colour))
        x += 44 + 7 * len(name)
    return parts


def picture(rows):
    """Return the SVG of rows of one mode: mean ranks on top, then a panel for each problem."""
    names = list(dict.fromkeys(row["searcher"] for row in rows))
    spare = iter(OTHERS * len(names))
    paint = {name: COLOURS.get(name) or next(spare) for name in names}
    found = curves(rows)
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    width = LEFT + ACROSS * (WIDTH + GAP)
    down = ABOVE + HEIGHT + BELOW
    height = TOP + math.ceil(len(problems) / ACROSS) * down + 8
    parts = overall_panel(rows, width, paint)
    parts += legend(paint)
    for index, problem in enumerate(problems):
        x = LEFT + index % ACROSS * (WIDTH + GAP)
        y = TOP + index // ACROSS * down + ABOVE
        mine = {name: found[problem, name] for name in names if (problem, name) in found}
        most = max(runs.shape[1] for runs in mine.values())
        parts += problem_panel(x, y, problem, mine, most, paint)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" '
            'font-family="Inter, Helvetica, Arial, sans-serif">',
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )
