"""Synchronous Hyperband: a rung is decided when all of its trials are there."""

import bisect
import itertools
import math
from dataclasses import dataclass, field
from typing import TypeAlias

from nbtune.arguments import check_flag, check_integer
from nbtune.decision import (
    Complete,
    Continue,
    Decision,
    Move,
    Pause,
    Promote,
    Reject,
    Sample,
    Stop,
    Wait,
)
from nbtune.exceptions import SpecError
from nbtune.schedulers.base import Explanation, RungRow, Scheduler
from nbtune.schedulers.rungs import BracketPlan, bracket_plans

__all__ = ["SyncHyperband"]

_Key: TypeAlias = tuple[float, int, int]  # (-score, place of arrival, trial): the best comes first


@dataclass(slots=True, eq=False)
class _Rung:
    level: int
    size: int | None = None  # trials to wait for; None while the rung below is undecided
    joined: int = 0  # trials that run towards it, or have been there
    left: int = 0  # of them: recorded, failed, or stopped from outside
    ranked: list[_Key] = field(default_factory=list)
    over: set[int] = field(default_factory=set)  # of the recorded: those that cannot go on
    passed: set[int] = field(default_factory=set)
    is_decided: bool = False
    due: list[int] = field(default_factory=list)  # paused trials that are to go on, best first

    @property
    def is_complete(self) -> bool:
        return self.size is not None and self.left >= self.size

    @property
    def has_room(self) -> bool:
        return self.size is not None and self.joined < self.size

    @property
    def is_idle(self) -> bool:
        """Whether it is undecided, has trials, and none of them is on its way."""
        return not self.is_decided and 0 < self.joined == self.left

    def best(self, count: int) -> list[int]:
        """Return at most `count` trials that could go on, best first."""
        able = (n for score, _, n in self.ranked if n not in self.over and score != math.inf)
        return list(itertools.islice(able, count))


@dataclass(slots=True, eq=False)
class _Bracket:
    index: int
    quotas: list[int]  # how many trials are to pass each rung
    rungs: list[_Rung]

    def cut(self, reduction_factor: int) -> None:
        """Make do with the trials that it has: it gets no more."""
        size = self.rungs[0].size = self.rungs[0].joined
        last = len(self.rungs) - 1
        self.quotas = [max(1, size // reduction_factor ** (k + 1)) for k in range(last)] + [0]


@dataclass(slots=True, eq=False)
class _Place:
    """Where a trial stands: the rung that it runs towards or, when paused, is recorded in."""

    bracket: _Bracket
    index: int = 0
    is_paused: bool = False
    is_over: bool = False

    @property
    def rung(self) -> _Rung:
        return self.bracket.rungs[self.index]


class SyncHyperband(Scheduler):
    """Run brackets of trials; let the best of a rung go on once all of the rung are there.

    The brackets are those of `bracket_plans`. A trial waits, paused, for the rest of its rung,
    and the best ``1 / reduction_factor`` then go on; one that fails or is stopped from outside
    counts as last, so that no rung waits for it, and a score of ``-inf`` never goes on. New
    trials join the brackets in order. The trials of a later bracket are started when an earlier
    one has nothing to do for a free slot: brackets share no trial and no rung, so that this
    changes no decision, and an earlier bracket always goes first.

    When the sweep has no further trials to offer, a bracket that is not full goes on with the
    trials that it has, and keeps at least one at each rung.

    Parameters
    ----------
    max_t : int >= 1, optional
        The most steps that one trial may spend (R in the paper). By default the objective's own
        ``epochs`` or ``max_t``.
    reduction_factor : int >= 2
        Keep one trial in this many (eta in the paper).
    resume : bool
        Whether a trial that goes on continues from its checkpoint; when False it starts over.
    rounds : int >= 1 or None
        How many times all brackets are run; None: again and again, until the sweep's budget ends.
    grace_period : int >= 1
        No trial is compared, and so none is stopped, before this step.

    Raises
    ------
    SpecError
        When an argument is of the wrong type or out of range.
    """

    synchronous = True
    grace_period = 1  # of one that was stored without

    def __init__(
        self,
        max_t: int | None = None,
        reduction_factor: int = 3,
        resume: bool = False,
        *,
        rounds: int | None = 1,
        grace_period: int = 1,
    ) -> None:
        name = "SyncHyperband"
        self.grace_period = check_integer("scheduler", name, "grace_period", grace_period, 1)
        self.max_t = None if max_t is None else check_integer("scheduler", name, "max_t", max_t, 1)
        self.reduction_factor = check_integer(
            "scheduler", name, "reduction_factor", reduction_factor, 2
        )
        self.resume = check_flag("scheduler", name, "resume", resume)
        self.rounds = (
            None if rounds is None else check_integer("scheduler", name, "rounds", rounds, 1)
        )

    def __repr__(self) -> str:
        rounds = "" if self.rounds == 1 else f", rounds={self.rounds}"
        grace = "" if self.grace_period == 1 else f", grace_period={self.grace_period}"
        return (
            f"SyncHyperband(max_t={self.max_t}, reduction_factor={self.reduction_factor}, "
            f"resume={self.resume}{rounds}{grace})"
        )

    def setup(self, *, seed: int, step_name: str = "epoch", max_t: int | None = None) -> None:
        """Take the step's name, and the objective's own ``epochs`` where no ``max_t`` was given.

        Raises
        ------
        SpecError
            When nobody knows ``max_t``, or the grace period is longer.
        """
        super().setup(seed=seed, step_name=step_name, max_t=max_t)
        limit = max_t if self.max_t is None else self.max_t
        if limit is None:
            raise SpecError(
                "SyncHyperband(): needs to know how long a trial can be; give max_t, for instance "
                "SyncHyperband(max_t=81)",
                "scheduler.max_t",
            )
        if self.grace_period > limit:
            raise SpecError(
                f"SyncHyperband(grace_period={self.grace_period}): longer than max_t={limit}; "
                "give at most that",
                "scheduler.grace_period",
            )
        self._limit = self.longest = limit
        self._plans = bracket_plans(limit, self.reduction_factor, self.grace_period)
        self._brackets: list[_Bracket] = []
        self._opened = 0  # brackets of the plan
        self._newest: _Bracket | None = None  # of the plan: no other can have room
        self._ready: list[tuple[int, int]] = []  # brackets and rungs with trials due, ascending
        self._places: dict[int, _Place] = {}
        self._recorded: dict[int, tuple[_Bracket, int, _Key]] = {}  # each trial's last comparison

    def start(self, number: int) -> Continue:
        """Admit trial `number` to the first bracket with room, or let it go on if it is paused."""
        place = self._places.get(number)
        if place is None:
            self._join(number, self._filling() or self._open())
        elif place.is_paused:
            if place.index == 0 and place.rung.has_room:  # it goes on: so no more were to come
                place.bracket.cut(self.reduction_factor)
                self._settle(place.bracket, 0)
            self._go_on(number, place)
        elif place.is_over:
            self._start_again(number, place)
        return Continue(self._places[number].rung.level)

    def decide(self, number: int, step: int, score: float) -> Decision:
        """Judge trial `number` at `step`: it waits for its rung, unless it is the last to come."""
        place = self._places[number]
        rung = place.rung
        if step >= self._limit:
            self._leave(number, place, score if rung.level == self._limit else None)
            return Complete(f"max_t={self._limit} reached")
        if step < rung.level:
            return Continue(rung.level)
        if step > rung.level:
            self._leave(number, place, None)
            return Reject(self._skipped(step, rung.level))
        place.is_paused = True
        self._record(number, place, score)
        if not rung.is_decided:
            return Pause(f"rung {rung.level}: {rung.left} of {rung.size} trials are there")
        if number in rung.due:
            self._go_on(number, place)
            return Continue(place.rung.level)
        place.is_paused, place.is_over = False, True
        rung.over.add(number)
        rank, keep = _rank(rung, number), place.bracket.quotas[place.index]
        return Stop(f"rung {rung.level}: {rank} of {len(rung.ranked)}, the best {keep} go on")

    def end(self, number: int, step: int, score: float | None) -> None:
        """Count trial `number` as last of its rung, or with its score if it ended exactly there."""
        place = self._places[number]
        if place.is_over:
            return
        if not place.is_paused:
            self._leave(number, place, score if step == place.rung.level else None)
            return
        place.is_paused, place.is_over = False, True
        rung = place.rung
        rung.over.add(number)
        if self._take_from_due(number, place):  # the rung above is not to wait for it
            above = place.bracket.rungs[place.index + 1]
            above.size = (above.size or 0) - 1
            self._settle(place.bracket, place.index + 1)

    def next(self, *, new: bool = True) -> Move:
        """Let the trials of a rung that is decided go on, the earliest bracket first."""
        if self._ready:
            bracket, index = self._ready[0]
            return Promote(self._brackets[bracket].rungs[index].due[0])
        if new:
            return Sample() if self._filling() or self._plans_left() else Wait()
        if self._newest and len(self._newest.rungs) > 1 and self._newest.rungs[0].is_idle:
            best = self._newest.rungs[0].best(1)
            return Promote(best[0]) if best else Wait()
        return Wait()

    def rungs(self) -> list[int]:
        """Return the steps at which trials are compared in any bracket, ascending."""
        return sorted({level for plan in self._plans for level in plan.levels})

    def rungs_table(self) -> list[RungRow]:
        """Return every rung that a trial has reached, by bracket (in order of start) and level."""
        return [
            RungRow(
                bracket=bracket.index,
                level=rung.level,
                trials=len(rung.ranked),
                passed=len(rung.passed),
                cutoff=_cutoff(bracket, index),
            )
            for bracket in self._brackets
            for index, rung in enumerate(bracket.rungs)
            if rung.ranked
        ]

    def explain(self, number: int) -> Explanation | None:
        """Return how trial `number` stands in the last rung that it reached."""
        if number not in self._recorded:
            return None
        bracket, index, key = self._recorded[number]
        rung = bracket.rungs[index]
        return Explanation(
            bracket=bracket.index,
            rung=rung.level,
            rank=bisect.bisect_left(rung.ranked, key) + 1,
            of=len(rung.ranked),
            score=-key[0],
            cutoff=_cutoff(bracket, index),
        )

    # --- brackets

    def _plans_left(self) -> bool:
        return self.rounds is None or self._opened < self.rounds * len(self._plans)

    def _filling(self) -> _Bracket | None:
        """Return the bracket that has room for a new trial."""
        return self._newest if self._newest and self._newest.rungs[0].has_room else None

    def _open(self) -> _Bracket:
        """Open the next bracket of the plan; when all have run, one for a single trial."""
        if not self._plans_left():
            return self._single()
        self._opened += 1
        self._newest = self._add(self._plans[(self._opened - 1) % len(self._plans)])
        return self._newest

    def _single(self) -> _Bracket:
        """Open a bracket beside the plan, for one trial that runs to its end."""
        return self._add(BracketPlan((1,), (self._limit,)))

    def _add(self, plan: BracketPlan) -> _Bracket:
        rungs = [_Rung(level) for level in plan.levels]
        rungs[0].size = plan.sizes[0]
        bracket = _Bracket(len(self._brackets), [*plan.sizes[1:], 0], rungs)
        self._brackets.append(bracket)
        return bracket

    def _join(self, number: int, bracket: _Bracket) -> None:
        self._places[number] = _Place(bracket)
        bracket.rungs[0].joined += 1

    def _start_again(self, number: int, place: _Place) -> None:
        """Take back a trial that had ended; by itself, if its rung is decided without it."""
        if not place.rung.is_decided and number not in place.rung.over:
            place.is_over = False
            place.rung.left -= 1
        else:
            self._join(number, self._single())

    # --- rungs

    def _record(self, number: int, place: _Place, score: float) -> None:
        rung = place.rung
        key = (-score, len(rung.ranked), number)
        bisect.insort(rung.ranked, key)
        self._recorded[number] = (place.bracket, place.index, key)
        rung.left += 1
        self._settle(place.bracket, place.index)

    def _leave(self, number: int, place: _Place, score: float | None) -> None:
        """Count a trial that is over; its rung waits for it no longer."""
        place.is_over = True
        if score is None:
            place.rung.left += 1
            self._settle(place.bracket, place.index)
        else:
            place.rung.over.add(number)
            self._record(number, place, score)

    def _settle(self, bracket: _Bracket, index: int) -> None:
        """Decide a rung if all of its trials are there, and those above if they get none."""
        for k in range(index, len(bracket.rungs)):
            rung = bracket.rungs[k]
            if rung.is_decided or not rung.is_complete:
                return
            rung.is_decided = True
            rung.due = [n for n in rung.best(bracket.quotas[k]) if n not in rung.passed]
            if rung.due:
                bisect.insort(self._ready, (bracket.index, k))
            if k + 1 < len(bracket.rungs):
                bracket.rungs[k + 1].size = len(rung.due) + len(rung.passed)

    def _go_on(self, number: int, place: _Place) -> None:
        rung = place.rung
        self._take_from_due(number, place)
        rung.passed.add(number)
        place.index += 1
        place.is_paused = False
        place.rung.joined += 1

    def _take_from_due(self, number: int, place: _Place) -> bool:
        """Take a trial out of those that are to go on; return whether it was among them."""
        due = place.rung.due
        if number not in due:
            return False
        due.remove(number)
        if not due:
            self._ready.remove((place.bracket.index, place.index))
        return True

    def _skipped(self, step: int, level: int) -> str:
        name = self.step_name
        return (
            f"{name} {step} was reported without {name} {level}, a rung at which trials are "
            f"compared. Report every {name}, or choose max_t so that the rungs "
            f"{', '.join(map(str, self.rungs()))} fall on your reports"
        )


def _rank(rung: _Rung, number: int) -> int:
    return 1 + next(place for place, key in enumerate(rung.ranked) if key[2] == number)


def _cutoff(bracket: _Bracket, index: int) -> float | None:
    """Return the score of the last trial that goes on; None while the rung is undecided."""
    rung, quota = bracket.rungs[index], bracket.quotas[index]
    if not rung.is_decided or not quota:
        return None
    return -rung.ranked[min(quota, len(rung.ranked)) - 1][0] if rung.ranked else None
