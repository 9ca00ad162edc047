"""Tells the thinker of trials, in terms of the space as it is now."""

from nbtune.engine.ledger import Run
from nbtune.engine.thinker import Thinker
from nbtune.pareto import Scores
from nbtune.space import Recast, Timeline

__all__ = ["Teller"]


class Teller:
    """What stands between the engine's runs and a thinker that knows one space alone.

    A trial that the space holds just as it was is told as it is. One that it holds only roughly
    is a hint once it has ended, and one that it cannot express is not told at all.

    Parameters
    ----------
    thinker : Thinker
    timeline : Timeline
        Its last space is the thinker's.
    """

    def __init__(self, thinker: Thinker, timeline: Timeline) -> None:
        self._thinker = thinker
        self._timeline = timeline
        self._known: dict[int, Recast | None] = {}  # of trials from before the last edit

    def begin(self, run: Run, *, suggestion: int | None = None) -> None:
        """Tell that a trial is entered; `suggestion` is the index under which it was suggested."""
        told = self._told(run)
        if told is not None and told.exact:
            self._thinker.begin(run.number, told.params, suggestion=suggestion)

    def observe(self, run: Run, scores: Scores | None, *, step: int, ended: bool) -> None:
        """Tell a result at a step; `ended` is also true of a trial that is paused."""
        told = self._told(run)
        if told is None:
            return
        if told.exact:
            self._thinker.observe(run.number, told.params, scores, step=step, ended=ended)
        elif run.status.ended and step == run.last_step and ended and scores is not None:
            self._thinker.hint(run.number, told.params, scores, step=step)

    def follow(self, run: Run, scores: Scores | None, *, step: int, until: int) -> None:
        """Tell how far a trial is, to a searcher that follows."""
        told = self._told(run)
        if told is not None and told.exact:
            self._thinker.follow(run.number, told.params, scores, step=step, until=until)

    def _told(self, run: Run) -> Recast | None:
        edits = self._timeline.edits
        if not edits or edits[-1].trial <= run.number:
            return Recast(run.params, True)
        if run.number not in self._known:
            self._known[run.number] = self._timeline.told_now(run.number, run.params)
        return self._known[run.number]
