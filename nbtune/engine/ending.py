"""Ends running trials from outside: asks them, and kills those that do not listen."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from nbtune.ended_by import EndedBy, EndKind
from nbtune.engine.ledger import Ledger, Run
from nbtune.engine.watch import Watch
from nbtune.workers.base import Workers

__all__ = ["Ending"]

STOP_GRACE_SECONDS = 5.0
"""Until a trial is killed that a person or a limit asked to stop, or that goes on all the same."""
CLEAN_UP_SECONDS = 60.0
"""For what a trial does on its way out when its scheduler ended it, such as saving its model."""
KILL_GRACE_SECONDS = 30.0


class Ending:
    """What stops trials before their own end, a scheduler's decisions apart.

    Parameters
    ----------
    ledger : Ledger
    watch : Watch
        Keeps the deadlines.
    workers : Workers
    warn : callable
        Takes the code and the text of a warning.
    """

    def __init__(
        self, ledger: Ledger, watch: Watch, workers: Workers, warn: Callable[[str, str], object]
    ) -> None:
        self._ledger = ledger
        self._watch = watch
        self._workers = workers
        self._warn = warn

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
        """Give a trial that its scheduler ended the time to clean up and save what it has."""
        if self._workers.in_processes:  # a loop's body, and a thread, may take their time
            self._watch.set_deadline(run, CLEAN_UP_SECONDS)

    def went_on(self, run: Run) -> None:
        """Give a trial that reports again, though it was told to end, the grace of a stop."""
        if run.decided and not run.asked and not run.killed:
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
                else:
                    self._warn_of_killing(run)
                self._end_now(run)
            else:
                limit = self._ledger.budget.trial_time_limit
                self._ask(run, EndedBy(kind=EndKind.LIMIT, limit="trial_time_limit", allowed=limit))

    def _warn_of_killing(self, run: Run) -> None:
        self._warn(
            "trial-killed",
            f"trial {run.number} was killed: its scheduler had ended it, and it neither came to "
            f"its end within {CLEAN_UP_SECONDS:g} s nor, where it reported again, within "
            f"{STOP_GRACE_SECONDS:g} s of that",
        )
