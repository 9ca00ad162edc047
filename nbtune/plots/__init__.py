"""Figures of a sweep, made from its snapshot: pure, one view a file."""

from collections.abc import Callable, Sequence

import plotly.graph_objects as go

from nbtune.engine import Snapshot
from nbtune.plots import curves, parallel, pareto

__all__ = ["Plots"]


class Plots:
    """The views of a sweep, each a Plotly figure of how it stands now: ``sweep.plot.curves()``.

    Parameters
    ----------
    snapshot : callable
        Returns the snapshot to draw.
    """

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def curves(self) -> go.Figure:
        """Return the learning curves; the value of each trial when none reports twice."""
        return curves.figure(self._snapshot())

    def parallel(self, params: Sequence[str] | None = None) -> go.Figure:
        """Return the parallel coordinates of `params` (dotted names), by default of the space.

        Of more than ten dimensions, the ten that say most about the metric are shown.
        """
        return parallel.figure(self._snapshot(), params)

    def pareto(self, x: str | None = None, y: str | None = None) -> go.Figure:
        """Return the trials by their objectives, those on the Pareto front in front.

        Two objectives: one against the other, the front as a line of steps. More: a panel for each
        pair of them, or the one pair that `x` and `y` name; the front is that in all objectives,
        so that in a panel it need not lie at the edge.

        Raises
        ------
        SpecError
            When the sweep has but one objective, or `x` or `y` is none of them.
        """
        return pareto.figure(self._snapshot(), x, y)

    def __repr__(self) -> str:
        return "<plots: curves(), parallel(), pareto()>"
