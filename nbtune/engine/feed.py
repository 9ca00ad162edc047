"""What the searcher is told of trials: each in its turn, and once more when a sweep is resumed."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from nbtune.engine.history import Retold, What
from nbtune.engine.ledger import Ledger, Run
from nbtune.engine.telling import Teller
from nbtune.engine.turns import Turns
from nbtune.pareto import Scores
from nbtune.trial import Report, Status

__all__ = ["Feed"]


class Feed:
    """Passes results to a `Teller`, and what happens between them to a searcher that follows.

    Parameters
    ----------
    ledger : Ledger
    turns : Turns
        Says when.
    """

    def __init__(self, ledger: Ledger, turns: Turns) -> None:
        self._ledger = ledger
        self._turns = turns
        self._until: dict[int, int] = {}  # the next milestones, for a searcher that follows

    def use(self, teller: Teller, follows: str, result_came: Callable[[], None]) -> None:
        """Tell this teller from now on.

        Its searcher `follows` as much; `result_came` is called when it was told how a trial ended.
        """
        self._teller = teller
        self._result_came = result_came
        self._follows = follows
        self.hears_reports = follows == "reports"

    def start(self, run: Run, until: int | None) -> None:
        """Tell that a trial starts, or goes on after a pause or from a milestone."""
        self._go_on(run, run.last_step, until)

    def report(self, run: Run, reports: Iterable[Report]) -> None:
        """Tell reports below a milestone, to a searcher that hears them."""
        for report in reports:
            self._pass_by(run, bisect_right(run.reports, report.step, key=_step))

    def milestone(self, run: Run, until: int | None) -> None:
        """Tell the result of a trial that goes on from a milestone."""
        self._observe(run, self._ledger.scores(run), run.last_step, ended=False)
        self._go_on(run, run.last_step, until)

    def end(self, run: Run) -> None:
        """Tell a trial's last result, for good or until it is promoted."""
        self._until.pop(run.number, None)
        self._observe(run, self._ledger.scores(run), run.last_step, ended=True)

    def tell_all(self) -> None:
        """Tell a searcher that is new how all trials stand, but those whose turn is to come."""
        runs = self._ledger.runs
        over = [run for run in runs if run.status.ended or run.status is Status.PAUSED]
        for run in sorted(over, key=lambda run: run.ended or 0.0):
            if run.number not in self._turns:
                self.end(run)
        for number, until in [*self._until.items()]:
            self.start(runs[number], until)

    def tell_again(self, story: Sequence[Retold]) -> None:
        """Tell what happened in earlier processes, in the same order."""
        last: dict[int, What] = {}
        for told in story:
            run = self._ledger.runs[told.number]
            if len(run.reports) >= told.reports:  # else it starts anew, and will report that again
                last[run.number] = told.what
                self._tell_again(run, told)
        for run in self._ledger.runs:
            over = run.status.ended or run.status is Status.PAUSED
            if over and last.get(run.number) is not What.END:  # interrupted on its way out
                self.end(run)

    def _tell_again(self, run: Run, told: Retold) -> None:
        what, count = told.what, told.reports
        step = run.reports[count - 1].step if count else 0
        if what is What.REPORT:
            if self.hears_reports:
                self._pass_by(run, count)
        elif what is What.END and count == len(run.reports):
            self.end(run)
        else:
            if what is not What.START:
                scores = self._ledger.scores_after(run, count)
                self._observe(run, scores, step, ended=what is What.END)
            self._go_on(run, step, told.until)

    def _go_on(self, run: Run, step: int, until: int | None) -> None:
        if self._follows and until is not None:
            self._until[run.number] = until
            self._follow(run, None, step, until)

    def _pass_by(self, run: Run, count: int) -> None:
        """Tell a run's report number `count`, from 1, unless it lacks a metric."""
        until, report = self._until.get(run.number), run.reports[count - 1]
        if until is None or any(goal.metric not in report.metrics for goal in self._ledger.goals):
            return
        self._follow(run, self._ledger.scores_after(run, count), report.step, until)

    def _follow(self, run: Run, scores: Scores | None, step: int, until: int) -> None:
        def act() -> None:
            self._teller.follow(run, scores, step=step, until=until)

        self._turns.tell(run.number, act)

    def _observe(self, run: Run, scores: Scores | None, step: int, *, ended: bool) -> None:
        def act() -> None:
            self._teller.observe(run, scores, step=step, ended=ended)
            if ended:
                self._result_came()

        self._turns.tell(run.number, act, last=ended)


def _step(report: Report) -> int:
    return report.step
