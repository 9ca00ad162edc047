"""Puts a sweep on screen: the live dashboard, and its static twin once the sweep has ended."""

import logging
import threading
import time
import weakref

from IPython import get_ipython
from IPython.display import DisplayHandle, display

from nbtune.sweep import Sweep
from nbtune.widgets.dashboard import Dashboard
from nbtune.widgets.expression import expression
from nbtune.widgets.static import Twin

__all__ = ["Screen", "show"]

log = logging.getLogger(__name__)

WAITED_SECONDS = 1.0
"""Who waits for the sweep and ticked within this time puts the twin in place, not the ticker."""

_screens: "weakref.WeakKeyDictionary[Sweep, Screen]" = weakref.WeakKeyDictionary()


def show(sweep: Sweep) -> "Screen | Twin":
    """Show a sweep in the notebook: live while it runs, else as it ended.

    Outside a kernel there is nothing to draw on: what comes back prints as text.
    """
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return _twin(sweep)
    screen = _screens.get(sweep)
    if screen is None or screen.over:
        screen = _screens[sweep] = Screen(sweep)
    screen.show()
    return screen


def _twin(sweep: Sweep, colours: str = "") -> Twin:
    return Twin(sweep.snapshot(), colours, sweep.explain, expression(sweep))


class Screen:
    """The outputs of one sweep in this notebook.

    Three outputs stand one below the other: while the sweep runs the first holds the widget and
    two are empty; when it has ended they are replaced by summary, figure and table. As the last
    line of a cell it shows itself, but not twice in one cell.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._lock = threading.Lock()
        self._handles: list[list[DisplayHandle]] = []
        self._shown_in: int | None = None
        self._waited = 0.0
        self._settled_by: set[bool] = set()
        self._dashboard: Dashboard | None = None
        if not sweep.snapshot().status.ended:
            self._dashboard = Dashboard(sweep, on_end=self._ticker_ended)

    @property
    def over(self) -> bool:
        """Whether this shows, or will from now on show, a sweep that has ended."""
        return self._dashboard is None or self._dashboard.ended

    @property
    def selected(self) -> list[int]:
        """The numbers of the trials that the brushes let through, empty without a brush."""
        return self._dashboard.selected if self._dashboard is not None else []

    @property
    def dashboard(self) -> Dashboard | None:
        """The live dashboard, None when the sweep had ended before it was shown."""
        return self._dashboard

    def show(self) -> None:
        """Display the outputs here, under the cell that runs."""
        self._shown_in = getattr(get_ipython(), "execution_count", None)
        if self._dashboard is None or self._dashboard.ended:
            for bundle in _twin(self._sweep).bundles():
                display(bundle, raw=True)
            return
        # The text is what a viewer without widgets shows, and all that is in a notebook saved now.
        text = str(Twin(self._sweep.snapshot(), sweep=expression(self._sweep)))
        live = {**self._dashboard.box._repr_mimebundle_(), "text/plain": text}
        first = display(live, raw=True, display_id=True)
        others = [display({}, raw=True, display_id=True) for _ in range(2)]
        with self._lock:
            self._handles.append([first, *others])
        if len(self._handles) == 1:
            self._sweep.while_waiting(self._waiting)
            self._dashboard.start()

    def _waiting(self) -> None:
        """Keep the buttons alive under a wait; at its end put the twin in place from its thread."""
        self._waited = time.monotonic()
        if self._dashboard is None:
            return
        if self._sweep.snapshot().status.ended:
            # Also when the ticker has done so: nbclient hears only the cell that runs.
            self._settle(by_ticker=False)
        else:
            self._dashboard.release()

    def _ticker_ended(self) -> None:
        deadline = time.monotonic() + 2 * WAITED_SECONDS
        while time.monotonic() - self._waited < WAITED_SECONDS and time.monotonic() < deadline:
            if self._settled_by:
                return
            time.sleep(0.05)
        self._settle(by_ticker=True)

    def _settle(self, *, by_ticker: bool) -> None:
        with self._lock:
            if by_ticker in self._settled_by or False in self._settled_by:
                return
            self._settled_by.add(by_ticker)
            colours = self._dashboard.head.theme if self._dashboard is not None else ""
            bundles = _twin(self._sweep, colours).bundles()
            for handles in self._handles:
                for handle, bundle in zip(handles, bundles, strict=True):
                    handle.update(bundle, raw=True)
            if self._dashboard is not None:
                self._dashboard.rest(bundles)

    def _ipython_display_(self) -> None:
        if self._shown_in != getattr(get_ipython(), "execution_count", None):
            self.show()

    def __repr__(self) -> str:
        return f"<dashboard of {self._sweep.name!r}>"
