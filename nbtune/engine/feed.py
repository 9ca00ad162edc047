"""What a searcher is told of trials as they run, and once more when a sweep is resumed."""

from collections.abc import Iterable, Sequence

from nbtune.engine.history import Retold, What
from nbtune.engine.ledger import Run
from nbtune.engine.thinker import Thinker
from nbtune.pareto import Scores, scores_of
from nbtune.trial import Goal, Report, Status

__all__ = ["Feed"]


class Feed:
    """Passes results to a `Thinker`, and what happens between them to a searcher that follows.

    Parameters
    ----------
    thinker : Thinker
    follows : str
        The searcher's own.
    goals : sequence of Goal
    """

    def __init__(self, thinker: Thinker, follows: str, goals: Sequence[Goal]) -> None:
        self._thinker = thinker
        self._follows = follows
        self._goals = tuple(goals)
        self._until: dict[int, int] = {}  # the next milestones, for a searcher that follows
        self._story: list[Retold] = []
        self.hears_reports = follows == "reports"

    def start(self, run: Run, until: int | None) -> None:
        """Tell that a trial starts, or goes on after a pause or from a milestone."""
        self._go_on(run, run.last_step, until)

    def report(self, run: Run, reports: Iterable[Report]) -> None:
        """Tell reports below a milestone, to a searcher that hears them."""
        for report in reports:
            self._pass_by(run, scores_of(self._goals, report.metrics.get), report.step)

    def milestone(self, run: Run, scores: Scores | None, until: int | None) -> None:
        """Tell the result of a trial that goes on from a milestone."""
        self._observe(run, scores, run.last_step, ended=False)
        self._go_on(run, run.last_step, until)

    def end(self, run: Run, scores: Scores | None) -> None:
        """Tell a trial's last result, for good or until it is promoted."""
        self._until.pop(run.number, None)
        self._observe(run, scores, run.last_step, ended=True)

    def remember(self, told: Retold) -> None:
        """Keep what happened in an earlier process, if it is to be told again."""
        if self.hears_reports or told.what is not What.REPORT:
            self._story.append(told)

    def tell_again(self, runs: Sequence[Run]) -> set[int]:
        """Tell what is remembered; return of which trials it was their last result, too."""
        ended = set()
        story, self._story = self._story, []
        for told in story:
            run, scores = runs[told.number], scores_of(self._goals, told.values.get)
            match told.what:
                case What.START:
                    ended.discard(run.number)
                    self._go_on(run, told.step, told.until)
                case What.REPORT:
                    self._pass_by(run, scores, told.step)
                case What.MILESTONE:
                    self._observe(run, scores, told.step, ended=False)
                    self._go_on(run, told.step, told.until)
                case What.END:
                    ended.add(run.number)
                    self._until.pop(run.number, None)
                    failed = run.status is Status.FAILED
                    self._observe(run, None if failed else scores, told.step, ended=True)
        return ended

    def _go_on(self, run: Run, step: int, until: int | None) -> None:
        if self._follows and until is not None:
            self._until[run.number] = until
            self._thinker.follow(run.number, run.params, None, step=step, until=until)

    def _pass_by(self, run: Run, scores: Scores | None, step: int) -> None:
        until = self._until.get(run.number)
        if scores is not None and until is not None:
            self._thinker.follow(run.number, run.params, scores, step=step, until=until)

    def _observe(self, run: Run, scores: Scores | None, step: int, *, ended: bool) -> None:
        self._thinker.observe(run.number, run.params, scores, step=step, ended=ended)
