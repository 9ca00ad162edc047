"""The live dashboard: reads a sweep's snapshots a few times a second and shows what changed."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import numpy as np

from nbtune.engine import Snapshot
from nbtune.plots.lines import CurveBook
from nbtune.schedulers import Explanation
from nbtune.sweep import Sweep
from nbtune.trial import Status, Trial
from nbtune.widgets import content
from nbtune.widgets.drawing import Drawing, Look
from nbtune.widgets.expression import expression
from nbtune.widgets.panels import Best, Head, Table
from nbtune.widgets.static import Bundle, Twin

__all__ = ["Dashboard"]

_UNDRAWN = "nbtune-undrawn"

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
TABLE_SECONDS = 0.5
LOG_SECONDS = 1.0
EXPLAIN_SECONDS = 5.0
"""How long an explanation stands that may change; longer where it takes long to find."""
PICTURE_SECONDS = 4.0
"""How often the picture is made anew that stands for a live figure."""
HOLD_SECONDS = 4.0
"""How long the figure stands still for a pointer of which nothing more is heard."""


class Dashboard:
    """A sweep on screen: ``box`` is the widget, `selected` the trials that are brushed.

    A thread of its own reads ``sweep.snapshot()`` at most four times a second until the sweep has
    ended. Buttons call the sweep's methods, which only post to the engine, so that their handlers
    may run on any thread; a lock keeps them and the ticker apart.

    Parameters
    ----------
    sweep : Sweep
    on_end : callable, optional
        Called by the ticker when the sweep has ended and the last of it is drawn.
    """

    def __init__(self, sweep: Sweep, *, on_end: Callable[[], None] | None = None) -> None:
        self.sweep = sweep
        self._on_end = on_end
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._trial: int | None = None
        self._told: tuple[Any, Explanation | None] = (None, None)
        self._told_until = 0.0
        self._brushed: list[int] | None = None
        self._listed: tuple[Any, Any] = (None, None)
        self._picture: ipywidgets.HTML | None = None
        self._picture_at = 0.0
        self._table_at = self._panel_at = self._held_until = 0.0
        snapshot = sweep.snapshot()
        self._book = CurveBook(snapshot.goal.metric)
        self._book.read(snapshot.trials)
        self._drawing: Drawing | None = None
        self.head = Head(content=content.head(snapshot))
        self.best = Best(content=content.best(snapshot, expression(sweep)))
        self.table = Table(content=content.table(snapshot, content.ranked(snapshot, self._book)))
        self.box = ipywidgets.VBox([self.head, self.best, self.table])
        self.box.add_class("nbtune-dashboard")
        self.head.on_msg(self._on_message)
        self.table.on_msg(self._on_message)

    @property
    def figure(self) -> Any:
        """The figure widget, None before the first `refresh`."""
        return self._drawing.figure if self._drawing else None

    @property
    def selected(self) -> list[int]:
        """The numbers of the trials that the brushes let through, empty without a brush."""
        return list(self._brushed or ())

    @property
    def ended(self) -> bool:
        """Whether the sweep has ended and the last of it is drawn."""
        return self._ended.is_set()

    def start(self) -> None:
        """Begin to follow the sweep."""
        name = f"nbtune-dashboard-{self.sweep.name}"
        threading.Thread(target=self._follow, name=name, daemon=True).start()

    def _follow(self) -> None:
        said = ""
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                self.refresh()
            except Exception as error:
                # Whatever goes wrong on the way to the screen must not be felt by the sweep.
                if repr(error) != said:
                    said = repr(error)
                    log.exception("the dashboard of %s could not be drawn", self.sweep.name)
            self.release()
            self._wake.wait(max(TICK_SECONDS - (time.monotonic() - began), TICK_SECONDS / 5))
            self._wake.clear()
        if self._on_end is not None:
            self._on_end()

    def rest(self, bundles: Sequence[Bundle]) -> None:
        """Show an ended sweep in the box itself, and free what the browser holds for the live one.

        Where an output is not replaced once its cell has run (Voila), this is what stays.
        """
        self._ended.set()
        with self._lock:
            live = self.box.children
            self.box.children = [ipywidgets.HTML(bundle["text/html"]) for bundle in bundles]
            if self._drawing is not None:
                self._drawing.forget()
            for widget in live:
                widget.close()

    def refresh(self) -> None:
        """Show the sweep as it stands now; cheap when nothing has changed."""
        with self._lock:
            snapshot = self.sweep.snapshot()
            last = snapshot.status.ended
            self._show_head(snapshot)
            self.release()
            now = time.monotonic()
            self._book.read(snapshot.trials)
            look = Look(self._trial, self.head.theme, self.head.width)
            drawing = self._open_drawing(snapshot)
            if last or now >= self._held_until:
                drawing.draw(snapshot, look, now=now, last=last)
            self._show_picture(snapshot, now)
            self._show_table(snapshot, now, last=last)
            self._show_panel(snapshot, now)
            self.release()
            if last:
                self._ended.set()

    def _open_drawing(self, snapshot: Snapshot) -> Drawing:
        """Return the drawing, made at first use: a kernel's first figure costs it two seconds.

        They are the ticker's then, and not those of the cell that shows the dashboard.
        """
        if self._drawing is None:
            # The searcher's thread may be importing pandas, by way of scikit-learn: Plotly would
            # look into the half of it that is there. This waits for the whole.
            import pandas  # noqa: F401, PLC0415

            self._drawing = Drawing(
                snapshot, self._book, on_select=self.select, on_brush=self._read_brushes
            )
            self._arrange()
        return self._drawing

    def _arrange(self) -> None:
        figure = [self._drawing.figure] if self._drawing else []
        picture = [self._picture] if self._picture else []
        self.box.children = (self.head, self.best, *figure, *picture, self.table)

    def _show_picture(self, snapshot: Snapshot, now: float) -> None:
        """Show the static figure in place of a live one that the page does not get drawn.

        Plotly comes with each figure as a module of 5 MB, and anywidget 0.11 gives up on one that
        takes a slow page over two seconds.
        """
        if not self.head.wants_picture:
            if self._picture is not None:
                self._picture.close()
                self._picture = None
                self.box.remove_class(_UNDRAWN)
                self._arrange()
            return
        if now < self._picture_at:
            return
        self._picture_at = now + PICTURE_SECONDS
        drawing = Twin(snapshot, self.head.theme).drawing()
        if self._picture is None:
            self._picture = ipywidgets.HTML(drawing)
            self.box.add_class(_UNDRAWN)
            self._arrange()
        elif self._picture.value != drawing:
            self._picture.value = drawing

    def _show_head(self, snapshot: Snapshot) -> None:
        best = content.best(snapshot, expression(self.sweep))
        for widget, value in ((self.head, content.head(snapshot)), (self.best, best)):
            if widget.content != value:
                widget.content = value

    def _show_table(self, snapshot: Snapshot, now: float, *, last: bool) -> None:
        version, brushed = self._listed
        if self._book.version == version and self._brushed is brushed:
            return
        if not last and now - self._table_at < TABLE_SECONDS:
            return
        self._listed, self._table_at = (self._book.version, self._brushed), now
        order = content.ranked(snapshot, self._book)
        self.table.show(
            content=content.table(snapshot, order, self._brushed, sweep=expression(self.sweep)),
            brushed=self._brushed_line(snapshot),
        )

    def _brushed_line(self, snapshot: Snapshot) -> dict[str, str]:
        if self._brushed is None:
            return {}
        known = int(np.count_nonzero(self._book.points))
        text = f"{len(self._brushed):,} of {known:,} trials brushed, in"
        return {"text": text, "code": f"{expression(self.sweep)}.selected"}

    def _show_panel(self, snapshot: Snapshot, now: float) -> None:
        number = self._trial
        if number is None or number >= len(snapshot.trials):
            self.table.show(panel={})
            return
        if self.table.panel.get("number") == number and now - self._panel_at < LOG_SECONDS:
            return
        self._panel_at = now
        trial = snapshot.trials[number]
        told = self._explained(trial, now, last=snapshot.status.ended)
        self.table.show(panel=content.panel(snapshot, trial, told=told))

    def _explained(self, trial: Trial, now: float, *, last: bool) -> Explanation | None:
        """Return how a trial stood that was stopped or is paused; it costs a replay of the sweep.

        A stopped one is asked about once. How a paused one stands changes with the others: it is
        asked about again after a while, so that it takes a hundredth of the time at most.
        """
        if trial.status not in (Status.STOPPED, Status.PAUSED):
            return None
        key = (trial.number, trial.status, trial.count, last)
        if self._told[0] != key or (trial.status is Status.PAUSED and now >= self._told_until):
            began = time.monotonic()
            self._told = key, self.sweep.explain(trial)
            took = time.monotonic() - began
            self._told_until = time.monotonic() + max(EXPLAIN_SECONDS, 100 * took)
        return self._told[1]

    def select(self, number: int | None) -> None:
        """Show all about a trial and lead the eye to its curve; None closes the panel."""
        self._trial = number
        self._soon()

    def _read_brushes(self) -> None:
        if self._drawing is None:
            return
        with self._lock:
            brushed = self._drawing.brushed()
        if brushed != self._brushed:
            if (brushed is None) != (self._brushed is None):
                self._drawing.recolour()
            self._brushed = brushed
            self.sweep.selected = brushed
            self._table_at = 0.0
            self._soon()

    def _soon(self) -> None:
        """Show what the person did without waiting for the next tick."""
        if self._ended.is_set():
            self.refresh()
        else:
            self._wake.set()

    def _on_message(self, _widget: Any, message: dict[str, Any], _buffers: Any) -> None:
        acts: dict[str, Callable[[], Any]] = {
            "pause": self.sweep.pause,
            "resume": self.sweep.resume,
            "stop": self.sweep.stop,
            "kill": lambda: self.sweep.kill(int(message["trial"])),
            "select": lambda: self.select(message.get("trial")),
            "unbrush": self._unbrush,
            "hold": lambda: self._hold(message.get("on", False)),
        }
        act = acts.get(str(message.get("do")))
        if act is None:
            return
        try:
            act()
        except Exception:
            # A sweep that ended a moment ago has nothing left to stop; the next tick shows it.
            log.warning("%s could not be done", message, exc_info=True)
        self._soon()

    def _hold(self, on: bool) -> None:
        """Leave the figure as it is while the pointer is at its brushes."""
        self._held_until = time.monotonic() + HOLD_SECONDS if on else 0.0

    def _unbrush(self) -> None:
        if self._drawing is not None:
            self._drawing.unbrush()

    def release(self) -> None:
        """Let clicks through while the kernel is busy with a cell; called after what is sent.

        ipykernel 7.4 hands a widget's messages to the shell that published on it last: from a cell,
        or a thread that a cell began, that is the main shell, which is busy. Without that mark
        they come in on a subshell, as they always do in 7.3
        (``ipykernel.comm.comm._reply_subshell_for``).
        """
        for widget in (self.head, self.table, self.figure):
            with contextlib.suppress(AttributeError):
                widget.comm.__dict__.pop("_reply_subshell_id", None)

    def __repr__(self) -> str:
        return f"<Dashboard of {self.sweep.name!r}>"
