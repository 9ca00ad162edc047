"""What time and the stop rules say about a sweep: how long it ran, what is due, what is spent."""

from collections.abc import Iterable, Iterator, Sequence

from nbtune.ended_by import EndedBy
from nbtune.engine.ledger import Ledger, Run
from nbtune.stopping import StopRule
from nbtune.trial import Report, Trial
from nbtune.workers.base import Inbox

__all__ = ["Watch"]


class Watch:
    """The engine's eye on the clock; it decides nothing itself.

    Parameters
    ----------
    ledger : Ledger
    rules : sequence of StopRule
        Set up.
    inbox : Inbox
        Its clock.
    elapsed_before : float
        Seconds that the sweep ran in earlier processes.
    """

    def __init__(
        self, ledger: Ledger, rules: Sequence[StopRule], inbox: Inbox, elapsed_before: float
    ) -> None:
        self._ledger = ledger
        self._rules = rules
        self._inbox = inbox
        self._before = elapsed_before
        self._began: float | None = None
        self._deadlines = ledger.budget.trial_time_limit is not None

    def begin(self) -> None:
        """Start the clock."""
        self._began = self._inbox.clock()

    @property
    def elapsed(self) -> float:
        """Seconds of running, over all resumes."""
        return self._before + (0.0 if self._began is None else self._inbox.clock() - self._began)

    # --- the sweep's limits

    @property
    def has_rules(self) -> bool:
        """Whether there are stop rules: else nobody needs to be told."""
        return bool(self._rules)

    def spent(self) -> EndedBy | None:
        """Return which limit of time ends the sweep now, None where none does."""
        return self._ledger.spent(self._inbox.clock(), self.elapsed)

    def tick(self) -> str:
        """Tell the rules the time; return why one of them ends the sweep now, else ""."""
        return self._first(rule.tick(self.elapsed) for rule in self._rules) if self._rules else ""

    def reported(self, run: Run, reports: Iterable[Report]) -> str:
        """Tell the rules new reports; return why the sweep ends now, else ""."""
        if not self._rules:
            return ""
        now = self.elapsed
        return self._first(
            rule.reported(run.number, report.metrics, now)
            for report in reports
            for rule in self._rules
        )

    def ended(self, trial: Trial) -> str:
        """Tell the rules that a trial is over; return why the sweep ends now, else ""."""
        return self._first(rule.ended(trial, self.elapsed) for rule in self._rules)

    @staticmethod
    def _first(answers: Iterable[str]) -> str:
        # All are asked: a rule that is not told loses count.
        return next(iter([answer for answer in answers if answer]), "")

    # --- single trials

    def set_deadline(self, run: Run, seconds: float | None) -> None:
        """Have `overdue` yield a run in so many seconds; None never."""
        run.deadline = None if seconds is None else self._inbox.clock() + seconds
        self._deadlines |= seconds is not None

    def overdue(self) -> Iterator[Run]:
        """Yield the running trials whose deadline has come."""
        for run in self._timed():
            if run.deadline is not None and self._inbox.clock() >= run.deadline:
                yield run

    def _timed(self) -> list[Run]:
        """Return the runs that may have a deadline; none, cheaply, while there are no deadlines."""
        return list(self._ledger.running.values()) if self._deadlines else []

    # --- when to look again

    def due_in(self, *, stopping: bool) -> float | None:
        """Return the seconds until one of all these is due, None when nothing ever will.

        A sweep that is `stopping` has its end: only its trials have deadlines.
        """
        now = self._inbox.clock()
        left = [run.deadline - now for run in self._timed() if run.deadline is not None]
        if not stopping:
            left.extend(self._time_left())
        return max(0.0, min(left)) if left else None

    def _time_left(self) -> Iterator[float]:
        budget = self._ledger.budget
        if budget.time_limit is not None:
            yield budget.time_limit - self.elapsed
        for rule in self._rules:
            if (until := rule.deadline()) is not None:
                yield until - self.elapsed
        if budget.compute_time_limit is not None and self._ledger.running:
            spent = self._ledger.compute_seconds(self._inbox.clock())
            yield (budget.compute_time_limit - spent) / len(self._ledger.running)
