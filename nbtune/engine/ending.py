"""Ends running trials from outside: asks them, and kills those that do not listen."""

from collections.abc import Iterator
from dataclasses import replace

from nbtune.ended_by import EndedBy, EndKind
from nbtune.engine.ledger import Ledger, Run
from nbtune.engine.watch import Watch
from nbtune.workers.base import Workers

__all__ = ["Ending"]

STOP_GRACE_SECONDS = 5.0
KILL_GRACE_SECONDS = 30.0


class Ending:
    """What stops trials before their own end, a scheduler's decisions apart.

    Parameters
    ----------
    ledger : Ledger
    watch : Watch
        Keeps the deadlines.
    workers : Workers
    """

    def __init__(self, ledger: Ledger, watch: Watch, workers: Workers) -> None:
        self._ledger = ledger
        self._watch = watch
        self._workers = workers

    def ask_all(self, reason: str) -> None:
        """Ask every running trial to stop, since the sweep ends for that reason."""
        for run in self._ledger.running.values():
            self._ask(run, EndedBy(kind=EndKind.SWEEP, text=reason))

    def _ask(self, run: Run, ended_by: EndedBy) -> None:
        run.asked = ended_by
        self._watch.set_deadline(run, STOP_GRACE_SECONDS)
        self._workers.stop(run.number, ended_by.reason)

    def kill(self, number: int) -> None:
        """End one trial now, if it is running."""
        run = self._ledger.running.get(number)
        if run is not None:
            run.asked = run.asked or EndedBy(kind=EndKind.USER, text="killed by you")
            self._end_now(run)

    def _end_now(self, run: Run) -> None:
        run.killed = True
        self._watch.set_deadline(run, KILL_GRACE_SECONDS)
        self._workers.kill(run.number)

    def decided(self, run: Run) -> None:
        """Give a trial that its scheduler ended the same grace as one that was asked to stop."""
        if self._workers.in_processes:  # a loop's body, and a thread, may take their time
            self._watch.set_deadline(run, STOP_GRACE_SECONDS)

    def pursue(self) -> Iterator[Run]:
        """Ask the trials whose time is over to stop, and kill those that were told in vain.

        Yields
        ------
        Run
            One that was killed and, `KILL_GRACE_SECONDS` later, has not ended: nobody will hear
            of it again.
        """
        for run in self._watch.overdue():
            if run.killed:
                yield run
            elif run.asked or run.decided:
                if run.asked:
                    run.asked = replace(run.asked, killed_after=STOP_GRACE_SECONDS)
                self._end_now(run)
            else:
                limit = self._ledger.budget.trial_time_limit
                self._ask(run, EndedBy(kind=EndKind.LIMIT, limit="trial_time_limit", allowed=limit))
