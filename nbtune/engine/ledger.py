"""The engine's books: every trial as it runs, what has been spent, who is best."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from nbtune.ended_by import EndedBy, EndKind
from nbtune.engine.front import Front
from nbtune.engine.leader import Leader
from nbtune.engine.runs import Run, Runs
from nbtune.engine.trials import TrialBook
from nbtune.pareto import Scores, scores_by
from nbtune.trial import Goal, Params, Report, Status

__all__ = ["Budget", "Ledger", "Run", "Spending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a sweep, or one of its trials, may spend; None is no limit. Times are seconds.

    ``trial_max_steps`` is the most steps of one trial, whatever the scheduler says. ``retries`` is
    how often a trial whose process died starts again; with ``retry_exceptions`` also one that
    raised. ``at_time_limit`` says what becomes of running trials when ``time_limit`` or
    ``compute_time_limit`` is reached: they are asked to stop, or run to their end.
    """

    trials: int | None = None
    time_limit: float | None = None
    trial_time_limit: float | None = None
    compute_time_limit: float | None = None
    max_total_steps: int | None = None
    retries: int = 0
    retry_exceptions: bool = False
    trial_max_steps: int | None = None
    at_time_limit: Literal["stop", "drain"] = "stop"

    def __setstate__(self, state: Sequence[Any]) -> None:
        for item in fields(self):  # what came later than a stored sweep has its default
            object.__setattr__(self, item.name, item.default)
        for item, value in zip(fields(self), state, strict=False):
            object.__setattr__(self, item.name, value)

    @property
    def bounded(self) -> bool:
        """Whether any limit ends the sweep."""
        limits = (self.trials, self.time_limit, self.compute_time_limit, self.max_total_steps)
        return any(limit is not None for limit in limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """How one limit on the whole sweep stands.

    ``name`` is that of the limit in `Budget`; ``left`` is what remains of it in its own unit, never
    below 0, and ``seconds`` estimates when it ends the sweep, None without anything to go by.
    """

    name: str
    left: float
    seconds: float | None


def _by_limit(limit: str, allowed: float, used: float) -> EndedBy:
    return EndedBy(kind=EndKind.LIMIT, limit=limit, allowed=allowed, used=used)


class Ledger:
    """All runs of a sweep, by number, with running totals.

    Parameters
    ----------
    goals : sequence of Goal
    budget : Budget
    trials : TrialBook
        Where the trials are of runs that have been put away.
    """

    def __init__(self, goals: Sequence[Goal], budget: Budget, trials: TrialBook) -> None:
        self.goals = tuple(goals)
        self.budget = budget
        self.runs = Runs(trials)
        self.running: dict[int, Run] = {}
        self.ended = 0
        self.paused = 0
        self.steps = 0
        self.seconds = 0.0
        self._leaders: Leader | Front = Leader() if len(self.goals) == 1 else Front()

    def add(self, params: Params, origin: str, why: str = "") -> Run:
        """Enter a new trial under the next number."""
        run = Run(len(self.runs), params, origin, why)
        self.runs.append(run)
        return run

    def adopt(self, run: Run) -> None:
        """Enter a trial of an earlier process, over or to start again; numbers come in order."""
        self.runs.append(run)
        self.steps += run.last_step
        if run.started is not None and run.ended is not None:
            self.seconds += max(0.0, run.ended - run.started)
        self._count_end(run)

    def start(self, run: Run, slot: int, now: float, clock: float | None = None) -> None:
        """Enter that a trial starts, or goes on after a pause.

        `now` is the time of day; durations are measured by `clock`, where there is another.
        """
        self.paused -= run.status is Status.PAUSED
        run.status, run.slot = Status.RUNNING, slot
        run.began = now if clock is None else clock
        run.reason, run.asked, run.ended = "", None, None
        run.ended_by = None
        run.decision, run.killed = None, False
        if run.started is None:
            run.started = now
        self.running[run.number] = run
        run.touch()

    def report(self, run: Run, reports: Iterable[Report]) -> None:
        """Enter new reports of a running trial."""
        before = run.last_step
        run.extend(reports)
        self.steps += run.last_step - before
        self._leaders.update(run.number, self.scores(run))
        run.touch()

    def end(
        self,
        run: Run,
        status: Status,
        ended_by: EndedBy,
        now: float,
        clock: float | None = None,
    ) -> None:
        """Enter that a trial is over, or paused; `now` and `clock` are those of `start`."""
        run.status, run.ended = status, now
        run.ended_by, run.reason = ended_by, ended_by.reason
        self.running.pop(run.number, None)
        run.touch()
        self.seconds += max(0.0, (now if clock is None else clock) - run.began)
        self._count_end(run)

    def _count_end(self, run: Run) -> None:
        self.ended += run.status.ended
        self.paused += run.status is Status.PAUSED
        self._leaders.update(run.number, self.scores(run))

    def score(self, run: Run) -> float | None:
        """Return the first objective's score; None without a value of it."""
        return self.goals[0].score(run.value_for(self.goals[0]))

    def scores(self, run: Run) -> Scores | None:
        """Return the scores of a run; None when a value is missing or the run failed."""
        return None if run.status is Status.FAILED else scores_by(self.goals, run.value_for)

    def scores_after(self, run: Run, count: int) -> Scores | None:
        """Return the scores that a run had after its first `count` reports."""
        return scores_by(self.goals, lambda goal: run.value_for(goal, count))

    def missing(self, run: Run) -> str:
        """Return the first objective's name that the run has no value of, empty when it has all."""
        return next((g.metric for g in self.goals if run.value(g.metric) is None), "")

    @property
    def front(self) -> list[int]:
        """The number of the best run so far, the earliest of equals; failed ones are out.

        With several objectives those on the Pareto front, best in the first objective first.
        """
        return self._leaders.numbers

    @property
    def best(self) -> Run | None:
        """The first of the front, None while nobody is on it."""
        return next((self.runs[number] for number in self.front), None)

    def compute_seconds(self, now: float) -> float:
        """Return the seconds spent in trials, summed over slots, running ones included."""
        running = sum(now - run.began for run in self.running.values())
        return self.seconds + running

    def room(self) -> int | None:
        """Return how many more trials may be entered; None without a limit."""
        if self.budget.max_total_steps is not None and self.steps >= self.budget.max_total_steps:
            return 0
        if self.budget.trials is None:
            return None
        return max(0, self.budget.trials - len(self.runs))

    def spent(self, now: float, elapsed: float) -> EndedBy | None:
        """Return which budget of time is used up, None while none is."""
        limit, compute_limit = self.budget.time_limit, self.budget.compute_time_limit
        if limit is not None and elapsed >= limit:
            return _by_limit("time_limit", limit, elapsed)
        if compute_limit is not None and (used := self.compute_seconds(now)) >= compute_limit:
            return _by_limit("compute_time_limit", compute_limit, used)
        return None

    def used_up(self) -> EndedBy | None:
        """Return which budget of trials or steps is used up, None while none is."""
        trials, steps = self.budget.trials, self.budget.max_total_steps
        if trials is not None and len(self.runs) >= trials:
            return _by_limit("trials", trials, len(self.runs))
        if steps is not None and self.steps >= steps:
            return _by_limit("max_total_steps", steps, self.steps)
        return None

    def remaining(self, now: float, elapsed: float) -> tuple[Spending, ...]:
        """Return how each limit on the sweep stands; estimates go on at the pace so far."""
        budget = self.budget
        left: dict[str, tuple[float, float | None]] = {}
        if budget.trials is not None:
            over = self.ended + self.paused
            left["trials"] = budget.trials - over, self._seconds_to_trials(budget.trials, elapsed)
        if budget.time_limit is not None:
            left["time_limit"] = budget.time_limit - elapsed, budget.time_limit - elapsed
        if budget.compute_time_limit is not None:
            unspent = budget.compute_time_limit - self.compute_seconds(now)
            running = len(self.running)  # each spends a second in a second
            left["compute_time_limit"] = unspent, unspent / running if running else None
        if budget.max_total_steps is not None:
            unspent = budget.max_total_steps - self.steps
            left["max_total_steps"] = unspent, self._seconds_to_steps(unspent, elapsed)
        return tuple(
            Spending(name=name, left=max(0, rest), seconds=None if s is None else max(0.0, s))
            for name, (rest, s) in left.items()
        )

    def _seconds_to_trials(self, trials: int, elapsed: float) -> float | None:
        """Estimate when so many trials are over; one that runs counts as half done."""
        over = self.ended + self.paused
        if over < 2:
            return None
        done = over + len(self.running) / 2
        return (trials - done) * elapsed / done

    def _seconds_to_steps(self, steps: int, elapsed: float) -> float | None:
        """Estimate when so many more steps are spent, and then what runs has run to its end.

        That takes half of what a trial took in the mean.
        """
        if not self.steps:
            return None
        over = self.ended + self.paused
        to_end = self.seconds / over / 2 if over and self.running else 0.0
        return max(0, steps) * elapsed / self.steps + to_end
