"""Plays curves under a scheduler on virtual time, and keeps all that was said."""

import heapq
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nbtune.decision import Complete, Continue, Decision, Pause, Promote, Sample, Stop
from nbtune.schedulers import Scheduler


class Said(NamedTuple):
    """One call: start, promote, decide or end; of which trial, at which step; and its answer."""

    what: str
    number: int
    step: int
    score: float | None = None
    answer: Decision | None = None


class Play:
    """Runs one trial for each curve, whose i-th entry is the score after step i + 1.

    Parameters
    ----------
    paces : sequence of float
        Time that one step takes, of the trials in turn.
    fails : mapping of int to int
        The step in which a trial fails, by trial.
    between : callable
        Given the scheduler after each call; returns the one to go on with.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        curves: Sequence[Sequence[float]],
        *,
        slots: int = 1,
        paces: Sequence[float] = (1.0,),
        fails: Mapping[int, int] | None = None,
        between: Callable[[Scheduler], Scheduler] = lambda scheduler: scheduler,
    ) -> None:
        self.scheduler = scheduler
        self.log: list[Said] = []
        self._curves, self._slots, self._paces = curves, slots, paces
        self._fails = fails or {}
        self._between = between
        self._steps: dict[int, int] = {}
        self._milestones: dict[int, int | None] = {}
        self._running: list[tuple[float, int, int]] = []
        self._order = itertools.count()
        self._launch(0.0)
        while self._running:
            now, _, number = heapq.heappop(self._running)
            if self._advance(number):
                self._push(now, number)
            self._launch(now)

    def _advance(self, number: int) -> bool:
        """Let a trial take a step; return whether it takes another."""
        curve, until = self._curves[number], self._milestones[number]
        if self._steps[number] == len(curve):  # it was promoted, and had no step left
            return self._end(number, curve[-1])
        self._steps[number] += 1
        step, score = self._steps[number], curve[self._steps[number] - 1]
        if self._fails.get(number) == step:
            self._steps[number] -= 1
            return self._end(number, None)
        if until is not None and step >= until:
            answer = self.scheduler.decide(number, step, score)
            self._say(Said("decide", number, step, score, answer))
            if not isinstance(answer, Continue):
                return False
            self._milestones[number] = answer.until
        return True if step < len(curve) else self._end(number, score)

    def _end(self, number: int, score: float | None) -> bool:
        self.scheduler.end(number, self._steps[number], score)
        self._say(Said("end", number, self._steps[number], score))
        return False

    def _launch(self, now: float) -> None:
        while len(self._running) < self._slots:
            move = self.scheduler.next(new=len(self._steps) < len(self._curves))
            if isinstance(move, Promote):
                number, what = move.number, "promote"
            elif isinstance(move, Sample):
                number, what = len(self._steps), "start"
                self._steps[number] = 0
            else:
                return
            answer = self.scheduler.start(number)
            self._milestones[number] = answer.until
            self._say(Said(what, number, self._steps[number], None, answer))
            self._push(now, number)

    def _push(self, now: float, number: int) -> None:
        pace = self._paces[number % len(self._paces)]
        heapq.heappush(self._running, (now + pace, next(self._order), number))

    def _say(self, said: Said) -> None:
        self.log.append(said)
        self.scheduler = self._between(self.scheduler)

    # --- what became of it

    def of(self, *types: type) -> list[tuple[int, int]]:
        """Return (trial, step) of each decision of these types, in order."""
        return [(s.number, s.step) for s in self.log if isinstance(s.answer, types)]

    @property
    def stopped(self) -> list[tuple[int, int]]:
        return self.of(Stop)

    @property
    def paused(self) -> list[tuple[int, int]]:
        return self.of(Pause)

    @property
    def completed(self) -> list[tuple[int, int]]:
        return self.of(Complete)

    @property
    def promoted(self) -> list[tuple[int, int]]:
        return [(s.number, s.step) for s in self.log if s.what == "promote"]
