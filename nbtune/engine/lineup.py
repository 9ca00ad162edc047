"""Which run starts next: one that waits, one that is promoted, or one that is new."""

from collections import deque
from pathlib import Path

from nbtune.checkpoint import discard_checkpoints
from nbtune.decision import Move, Promote, Sample, Wait
from nbtune.engine.clerk import Clerk
from nbtune.engine.ledger import Ledger, Run
from nbtune.engine.supply import Supply
from nbtune.engine.telling import Teller
from nbtune.engine.turns import Turns
from nbtune.schedulers.base import Scheduler
from nbtune.trial import Params, noted

__all__ = ["Lineup"]


class Lineup:
    """The trials that are entered and have not started, and where further ones come from.

    Parameters
    ----------
    scheduler : Scheduler
        Says whether a new trial is next or one that is paused.
    ledger : Ledger
    turns : Turns
        Says when the next may begin.
    clerk : Clerk
    folder : Path
        The sweep's.
    """

    def __init__(
        self, scheduler: Scheduler, ledger: Ledger, turns: Turns, clerk: Clerk, folder: Path
    ) -> None:
        self._scheduler = scheduler
        self._ledger = ledger
        self._turns = turns
        self._clerk = clerk
        self._folder = folder
        self._waiting: deque[Run] = deque()

    def use(self, supply: Supply, teller: Teller) -> None:
        """Take new trials from this supply, and tell its searcher of all trials there are."""
        self._supply = supply
        self._teller = teller
        for run in self._ledger.runs:
            teller.begin(run)
            if run.origin == "suggested":
                supply.skip()

    def enter(
        self, params: Params, origin: str, *, why: str, suggestion: int | None = None
    ) -> None:
        """Enter a new trial, which waits; `suggestion` is the index under which it was asked."""
        run = self._ledger.add(params, origin, why)
        self._waiting.append(run)
        self._teller.begin(run, suggestion=suggestion)
        self._clerk.mark(run)

    def wait(self, run: Run) -> None:
        """Have a trial start again, after those that wait already."""
        self._waiting.append(run)

    def wait_first(self, run: Run) -> None:
        """Have a trial start again before all others."""
        self._waiting.appendleft(run)

    def ask_ahead(self, *, needed: bool) -> None:
        """Have the searcher think, in turn only when it is clear that its answer comes next.

        A slot that is free says that it is `needed`.
        """
        if self._turns.window is not None:
            while self._supply.dry and self._turns.tell_next():
                pass
            if self._waiting or not isinstance(self._move(), Sample):
                return
        self._supply.ask(self._ledger.room(), needed=needed)

    def next(self) -> Run | None:
        """Return what is to start now, None while nothing is."""
        if self._waiting and self._waiting[0].number in self._turns:  # it starts again
            return self._waiting.popleft()
        match self._move():
            case None:
                return None
            case Promote(number):
                return self._promoted(number)
            case Sample():
                return self._new()
        # What a person enqueued is not held up by a schedule that has no place for it.
        return self._waiting.popleft() if self._waiting else None

    def _move(self) -> Move | None:
        """Return what the next run is to be, None while those before it are not through."""
        while self._turns.advance():
            move = self._scheduler.next(new=self._has_new())
            if not (isinstance(move, Wait) and self._turns.tell_next()):
                return move
        return None

    def _has_new(self) -> bool:
        """Whether a trial that has never run is there or may still come."""
        return bool(self._waiting) or not (self._ledger.room() == 0 or self._supply.exhausted)

    def _promoted(self, number: int) -> Run | None:
        run = self._ledger.runs[number]
        if number in self._ledger.running:
            return None  # paused a moment ago, its worker is still on the way out
        if not self._scheduler.resume:
            discard_checkpoints(self._folder / str(number))
        run.why = noted(run.why, f"promoted from rung {run.last_step}")
        return run

    def _new(self) -> Run | None:
        if not self._waiting and self._ledger.room() != 0 and (taken := self._supply.take()):
            self.enter(taken.params, "suggested", why=taken.why, suggestion=taken.asked)
        return self._waiting.popleft() if self._waiting else None

    def spent_out(self) -> str:
        """Return why no further trial can start, empty while one can."""
        budget = self._ledger.budget
        if self._waiting or not isinstance(self._move(), Wait):
            return ""
        if self._has_new():
            return "the schedule is complete"
        if self._ledger.room() == 0:
            if budget.trials is not None and len(self._ledger.runs) >= budget.trials:
                return f"{len(self._ledger.runs):,} of {budget.trials:,} trials"
            return f"{self._ledger.steps} of {budget.max_total_steps} steps"
        return self._supply.end_reason
