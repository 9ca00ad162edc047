"""Tells the thinker of trials, in terms of the space as it is now."""

from nbtune.engine.ledger import Run
from nbtune.engine.thinker import Thinker
from nbtune.exceptions import SpaceError
from nbtune.pareto import Scores
from nbtune.space import Recast, Timeline, recast

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
    keeps_to_listed : bool
        Whether its searcher knows no other values than those that are listed: a tuner before it
        may have suggested others.
    """

    def __init__(
        self, thinker: Thinker, timeline: Timeline, *, keeps_to_listed: bool = True
    ) -> None:
        self._thinker = thinker
        self._timeline = timeline
        self._keeps_to_listed = keeps_to_listed
        # Of trials from before the last edit, and of those with values that are not listed.
        self._known: dict[int, Recast | None] = {}

    def begin(self, run: Run, *, suggestion: int | None = None) -> None:
        """Tell that a trial is entered; `suggestion` is the index under which it was suggested."""
        if self._keeps_to_listed and suggestion is None:
            self._look_for_unlisted(run)
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
        if run.number in self._known:
            return self._known[run.number]
        if self._is_of_now(run):
            return Recast(run.params, True)
        told = self._known[run.number] = self._timeline.told_now(run.number, run.params)
        return told

    def _is_of_now(self, run: Run) -> bool:
        edits = self._timeline.edits
        return not edits or edits[-1].trial <= run.number

    def _look_for_unlisted(self, run: Run) -> None:
        now = self._timeline.now
        if self._is_of_now(run):
            try:
                now.validate(run.params)
            except SpaceError:
                self._known[run.number] = recast(run.params, now, now)
