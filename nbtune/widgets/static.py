"""What stays in the notebook when a sweep has ended: three outputs that need no kernel.

A trusted notebook without widget state shows "model not found" for a widget and hides whatever else
is in its bundle: these three stand in the widget's place and never beside it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

import numpy as np

from nbtune.engine import Snapshot
from nbtune.plots import curves, overview, parallel, pareto, theme
from nbtune.plots.lines import CurveBook
from nbtune.plots.words import plural
from nbtune.schedulers import Explanation
from nbtune.trial import Failure, Status, Trial
from nbtune.widgets import content, svg
from nbtune.widgets.panels import asset

__all__ = ["Bundle", "Twin"]

Bundle = dict[str, Any]
"""A MIME type to its data: one output."""

ROWS = 20
SVG_POINTS = 8_000

_TEXT = "var(--jp-ui-font-color1, var(--vscode-foreground, inherit))"
_QUIET = "color:var(--jp-ui-font-color2, var(--vscode-descriptionForeground, #6b7178))"
_FONT = (
    "font-family:var(--jp-ui-font-family, var(--vscode-font-family, system-ui, sans-serif));"
    "font-size:13px;line-height:1.45;font-variant-numeric:tabular-nums"
)
_LINE = "1px solid rgba(128,134,140,0.25)"


class Twin:
    """A sweep as it stood, without a widget; ``str()`` is its text.

    Parameters
    ----------
    snapshot : Snapshot
    colours : str
        The theme of the page that shows it, "light" or "dark", empty when unknown.
    explain : callable, optional
        As ``sweep.explain``: the table then says how stopped and paused trials stood.
    sweep : str, optional
        How the sweep is written in Python, by default its name.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        colours: str = "",
        explain: Callable[[Trial], Explanation | None] | None = None,
        sweep: str = "",
    ) -> None:
        self._snapshot = snapshot
        self._sweep = sweep or snapshot.name
        self._shades = theme.SHADES.get(colours, theme.ANY)
        self._book = CurveBook(snapshot.goal.metric)
        self._book.read(snapshot.trials)
        order = content.ranked(snapshot, self._book)
        self._head = content.head(snapshot)
        self._best = content.best(snapshot)
        self._table = content.table(snapshot, order[:ROWS], explain=explain)
        self._word = self._best["title"].removesuffix(" SO FAR")
        self._left_out = len(order) - len(order[:ROWS])

    def bundles(self) -> list[Bundle]:
        """Return the outputs, top to bottom: summary, figure, table."""
        return [self.summary(), self.figure(), self.table()]

    def summary(self) -> Bundle:
        """Return name, reason, best value and params, counts."""
        return {"text/html": _summary_html(self), "text/plain": self._summary_text()}

    def figure(self) -> Bundle:
        """Return both views: for Plotly, as an SVG, and as a line of text.

        Where no trial can be drawn, a sentence in place of empty axes.
        """
        scene = curves.CurveView(self._book).scene(self._snapshot)
        lines = parallel.scene(self._snapshot, self._book, scene)
        if scene.message and not lines.trials.size:
            sentence = escape(scene.message)
            look = f"{_FONT};{_QUIET};padding:14px 0"
            return {"text/html": f'<div style="{look}">{sentence}.</div>', "text/plain": sentence}
        front = pareto.main_panel(self._snapshot)
        made = overview.assembled(scene, lines, self._shades, front)
        return {
            "application/vnd.plotly.v1+json": {
                **_plain(made),
                # Not "responsive": JupyterLab fits the figure itself, and a change of its theme
                # would leave the figure without height.
                "config": {"displayModeBar": False, "displaylogo": False},
            },
            "text/html": self.drawing(lines),
            "text/plain": f"[learning curves and parallel coordinates of {self._snapshot.name}]",
        }

    def drawing(self, lines: parallel.ParallelScene | None = None) -> str:
        """Return both views as an SVG in HTML; `lines` where they are at hand."""
        scene = curves.CurveView(self._book, SVG_POINTS).scene(self._snapshot)
        if lines is None:
            lines = parallel.scene(self._snapshot, self._book, scene)
        return f'<div style="color:{_TEXT};{_FONT}">{svg.drawing(scene, lines)}</div>'

    def table(self) -> Bundle:
        """Return the best trials with status and reason, and every different failure once."""
        html = f'<div style="color:{_TEXT};{_FONT};overflow-x:auto">{_table_html(self)}</div>'
        return {"text/html": html, "text/plain": self._table_text()}

    def _summary_text(self) -> str:
        head, best = self._head, self._best
        state = " · ".join(filter(None, [head["standing"], head["why"], head["plan"]]))
        lines = [f"{head['name']}: {state}", head["progress"]]
        if best["value"]:
            lines.append(f"{self._word.lower()} {best['value']} ({best['line']})")
            lines += [f"  {name} = {value}" for name, value in best["params"]]
        lines.append(", ".join(words for _, words in head["counts"]) or "no trials")
        if head["alert"]:
            lines += [head["alert"]["title"] + ": " + head["alert"]["message"]]
        lines += [f"warning: {text}" for text in head["warnings"]]
        return "\n".join(lines)

    def _table_text(self) -> str:
        table = self._table
        rows = [["trial", *table["metrics"], "status", "reason", *table["names"]]]
        rows += [[str(n), *values, s, why, *cells] for n, values, cells, s, why in table["rows"]]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        right = [True, *(True for _ in table["metrics"]), False, False, *table["numeric"]]
        lines = [
            "  ".join(
                cell.rjust(width) if is_right else cell.ljust(width)
                for cell, width, is_right in zip(row, widths, right, strict=True)
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *self._more()])

    def _more(self) -> list[str]:
        more = content.left_out(self._left_out, self._sweep)
        return [more] if more else []

    def __str__(self) -> str:
        return f"{self._summary_text()}\n\n{self._table_text()}"

    __repr__ = __str__


def _plain(value: Any) -> Any:
    """Return a figure's dict with lists for arrays: five significant digits, None for NaN.

    Lists are twice as short so, and viewers with an older Plotly cannot read encoded buffers.
    """
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind != "f":
        return value.tolist()
    return [None if math.isnan(item) else float(f"{item:.5g}") for item in value.tolist()]


def _cell(tag: str, text: str, style: str) -> str:
    return f'<{tag} style="padding:3px 10px;border:0;background:none;{style}">{text}</{tag}>'


def _row(cells: Iterable[str]) -> str:
    return f'<tr style="background:none;border-bottom:{_LINE}">{"".join(cells)}</tr>'


def _rows(rows: Iterable[str]) -> str:
    style = "border-collapse:collapse;border:0;margin:0;font-size:12.5px"
    return f'<table style="{style}">{"".join(rows)}</table>'


def _summary_html(twin: Twin) -> str:
    head, best = twin._head, twin._best
    state = " · ".join(escape(t) for t in (head["standing"], head["why"], head["plan"]) if t)
    counts = " · ".join(escape(words) for _, words in head["counts"])
    parts = [
        f'<div><b style="font-size:15px">{escape(head["name"])}</b> '
        f'<span style="{_QUIET}">{state}</span></div>',
        f'<div style="{_QUIET}">{escape(head["progress"])}{" · " * bool(counts)}{counts}</div>',
    ]
    if head["alert"]:
        parts.append(_failure_html(head["alert"]))
    parts += _warnings_html(head["warnings"])
    if best["value"]:
        parts.append(
            f'<div style="margin-top:10px;font-size:11px;letter-spacing:0.06em;{_QUIET}">'
            f"{escape(twin._word)}</div>"
            f'<div style="color:{theme.BEST};font-size:34px;font-weight:650;line-height:1.1">'
            f"{escape(best['value'])}</div>"
            f'<div style="{_QUIET};margin-bottom:6px">{escape(best["line"])}</div>'
        )
        left = "text-align:left;padding-left:0;padding-right:22px;"
        names = [
            _cell("th", escape(n), f"{left}font-weight:400;{_QUIET}") for n, _ in best["params"]
        ]
        values = [_cell("td", escape(v), f"{left}font-size:14px") for _, v in best["params"]]
        rows = [f'<tr style="background:none">{"".join(c)}</tr>' for c in (names, values)]
        parts.append(f'<div style="overflow-x:auto">{_rows(rows)}</div>')
    look = f"<style>{asset('twin.css')}</style>"
    return f'{look}<div class="nbtune-twin" style="color:{_TEXT};{_FONT}">{"".join(parts)}</div>'


def _warnings_html(warnings: Sequence[str]) -> list[str]:
    """Return the latest warning in a line, which opens where there are several."""
    if not warnings:
        return []
    line, *others = [escape(text) for text in reversed(warnings)]
    edge = f"padding-left:9px;border-left:3px solid {theme.WARNING}"
    look = f'style="margin-top:6px;{edge};overflow-wrap:anywhere;{_QUIET}"'
    if not others:
        return [f"<div {look}>{line}</div>"]
    apart = 'style="margin-top:3px;padding-left:26px;text-indent:-13px"'
    rest = "".join(f"<div {apart}>{text}</div>" for text in others)
    more = plural(len(others), "more warning")
    return [f"<details {look}><summary>{line} (and {more})</summary>{rest}</details>"]


def _failure_html(alert: dict[str, str]) -> str:
    trace = f'<pre style="font-size:12px;overflow:auto">{escape(alert["traceback"])}</pre>'
    return (
        f'<div style="margin-top:8px;padding:6px 12px;border-left:3px solid {theme.FAILED}">'
        f'<b>{escape(alert["title"])}</b><br><span style="color:{theme.FAILED}">'
        f"{escape(alert['message'])}</span>{trace if alert['traceback'] else ''}</div>"
    )


def _table_html(twin: Twin) -> str:
    table = twin._table
    sides = ["right", *("right" for _ in table["metrics"]), "left", "left"]
    sides += ["right" if numeric else "left" for numeric in table["numeric"]]
    names = ["trial", *table["metrics"], "status", "reason", *table["names"]]
    header = _row(
        _cell("th", escape(name), f"text-align:{side};font-weight:400;white-space:nowrap;{_QUIET}")
        for name, side in zip(names, sides, strict=True)
    )
    rows = [header]
    for number, values, cells, status, why in table["rows"]:
        colour = f";color:{theme.BEST}" if number in table["best"] else ""
        shown = [
            _cell("td", str(number), "text-align:right"),
            *(
                _cell("td", f"<b>{escape(value)}</b>", f"text-align:right{colour}")
                for value in values
            ),
            _cell("td", status, "text-align:left;" + _status_style(status)),
            _cell("td", escape(why), f"text-align:left;white-space:nowrap;{_QUIET}"),
            *(
                _cell("td", escape(cell), f"text-align:{side};white-space:nowrap")
                for cell, side in zip(cells, sides[len(sides) - len(cells) :], strict=True)
            ),
        ]
        rows.append(_row(shown))
    more = "".join(
        f'<div style="{_QUIET};padding:4px 10px">{escape(t)}</div>' for t in twin._more()
    )
    return _rows(rows) + more + "".join(_failures_html(twin._snapshot))


def _status_style(status: str) -> str:
    return f"color:{theme.FAILED}" if status == "failed" else _QUIET if status == "stopped" else ""


def _failures_html(snapshot: Snapshot) -> Sequence[str]:
    """Return each different failure once, closed, with the trials that it struck."""
    struck: dict[tuple[str, str], tuple[Failure, list[int]]] = {}
    for trial in snapshot.trials.with_status(Status.FAILED):
        if trial.failure is not None:
            key = (trial.failure.type, trial.failure.message)
            struck.setdefault(key, (trial.failure, []))[1].append(trial.number)
    return [
        f'<details style="padding:4px 10px"><summary style="color:{theme.FAILED};cursor:pointer">'
        f"{plural(len(numbers), 'trial')} failed: {escape(content.worded(failure))} "
        f'<span style="{_QUIET}">({", ".join(map(str, numbers[:8]))}{"…" * (len(numbers) > 8)})'
        f'</span></summary><pre style="font-size:12px;overflow:auto">'
        f"{escape(failure.traceback.rstrip())}</pre></details>"
        for failure, numbers in list(struck.values())[:5]
    ]
