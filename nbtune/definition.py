"""What a sweep is made of, checked: the part of it that is stored."""

import copy
import inspect
import keyword
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any, Literal

import cloudpickle

from nbtune.arguments import check_flag, finite, is_whole
from nbtune.engine import Budget
from nbtune.exceptions import SpaceError, SpecError
from nbtune.objective import Objective
from nbtune.schedulers import Scheduler, StepCap
from nbtune.searchers import Searcher, searcher_for
from nbtune.space import Edit, Space, Timeline, declares_the_same
from nbtune.stopping import StopRule
from nbtune.trial import Goal
from nbtune.warm import Earlier
from nbtune.workers import Local, Workers
from nbtune.workers.dask.cluster import is_cluster

__all__ = [
    "Definition",
    "budget_of",
    "goals_of",
    "identifier",
    "rules_of",
    "seed_of",
    "setup_of",
    "workers_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What rebuilds a sweep in another process, the objective's payload apart.

    Searcher, scheduler and workers are kept as given, before any use: each start works on copies.
    ``space`` is that of the first trial; the store keeps what it became since apart, in ``edits``.
    """

    space: Space
    goals: tuple[Goal, ...]
    searcher: Searcher
    scheduler: Scheduler
    workers: Workers
    budget: Budget
    stop_when: tuple[StopRule, ...]
    step: str
    seed: int
    max_t: int | None
    objective_name: str
    source: str
    deterministic: bool = False
    earlier: tuple[Earlier, ...] = ()
    edits: tuple[Edit, ...] = ()
    setup: Callable[[], object] | None = None

    def __setstate__(self, state: list[Any]) -> None:
        for item in fields(self):  # what came later than a stored sweep has its default
            if item.default is not MISSING:
                object.__setattr__(self, item.name, item.default)
        for item, value in zip(fields(self), state, strict=False):
            # Sweeps that were stored before there could be several goals have one in this place.
            object.__setattr__(self, item.name, (value,) if isinstance(value, Goal) else value)

    @property
    def timeline(self) -> Timeline:
        """The spaces that the sweep has had."""
        return Timeline(self.space, self.edits)

    @property
    def plan(self) -> str:
        """One quiet line: who searches, who schedules, where it runs."""
        names = f"{type(self.searcher).__name__} + {type(self.scheduler).__name__}"
        return " · ".join([names, self.workers.describe(), *self._warmth()])

    def _warmth(self) -> list[str]:
        """Return what the searcher knows of earlier sweeps."""
        if not self.searcher.takes_hints:
            return []
        now = self.timeline.now
        return [f"starts from {earlier.told(now)}" for earlier in self.earlier]

    def within_store(self) -> "Definition":
        """Return the part that is stored as the definition."""
        return replace(self, edits=())

    def recoded(self, objective: Objective, *, name: str) -> "Definition":
        """Return the definition with other code, which declares the same space.

        Parameters
        ----------
        objective : Objective
        name : str
            The sweep's, for the message.

        Raises
        ------
        SpaceError
            When it declares another.
        """
        known = (self.space, self.timeline.now)  # as declared first, as it is
        if not any(declares_the_same(objective.space, space) for space in known):
            raise SpaceError(
                f"sweep {name!r} searches {self.timeline.now!r}, the new code declares "
                f"{objective.space!r}. Keep the space and change it by .edit(name=...), or "
                "start a sweep under another name."
            )
        return replace(self, source=objective.source, max_t=objective.max_t)

    @property
    def window(self) -> int | None:
        """How many runs the searcher may not know of when the next begins; None: as they come.

        With one slot none, so that each suggestion is made with all results. With several as many
        as run, and almost as many that wait for a slower one to end: of trials that take
        log-normal times with sigma 0.5, four slots then work 95 % of the time.
        """
        slots = self.workers.slots
        if not self.deterministic and (slots > 1 or self.workers.elastic):
            return None
        if not self.scheduler.judges_alone:
            return slots - 1  # trials wait for its decision in their slots: more would never come
        if not self.searcher.learns:
            return None
        return 2 * slots - 1 if slots > 1 else 0

    def setup_searcher(self) -> Searcher:
        """Return a copy of the searcher, set up in the space as it is, and told earlier results."""
        searcher = searcher_for(self.goals, copy.deepcopy(self.searcher))
        searcher.set_goals(self.goals)
        now = self.timeline.now
        searcher.setup(now, seed=self.seed)
        if searcher.takes_hints:
            for earlier in self.earlier:
                for hint in earlier.within(now):
                    searcher.hint(hint.params, hint.scores, step=hint.step)
        return searcher

    def setup_scheduler(self) -> Scheduler:
        """Return a copy of the scheduler, set up and ready to use."""
        scheduler = copy.deepcopy(self.scheduler)
        if (most := self.budget.trial_max_steps) is not None:
            scheduler = StepCap(scheduler, most)
        scheduler.setup(seed=self.seed, step_name=self.step, max_t=self.max_t)
        return scheduler

    def setup_rules(self) -> tuple[StopRule, ...]:
        """Return copies of the rules that end the sweep, set up and ready to use."""
        rules = copy.deepcopy(self.stop_when)
        for rule in rules:
            rule.setup(self.goals, trials=self.budget.trials)
        return rules

    def check(self) -> None:
        """Let the parts refuse now what they would refuse at the start; ask for a budget."""
        self._check_storable()
        searcher = self.setup_searcher()
        self.setup_scheduler()
        self.setup_rules()
        self._check_deterministic()
        if self.step in [goal.metric for goal in self.goals]:
            raise SpecError(
                f"step={self.step!r}: is the name of a metric too, so that report({self.step}=3) "
                "could be either. Give one of them another name",
                "step",
            )
        if not self.budget.bounded and not searcher.finite:
            raise SpecError(
                "no budget: the search would never end. Give one of trials=60, time_limit=600 "
                "(seconds), compute_time_limit= or max_total_steps=",
                "budget",
            )

    def _check_storable(self) -> None:
        """Raise a SpecError that names what cannot be pickled, as all that is stored must be."""
        named = "searcher", "scheduler", "stop_when", "setup"
        options = {each: getattr(self, each) for each in named}
        params = {f"space: {name}": domain for name, domain in self.space.items()}
        for name, value in {**options, "workers": self.workers, **params}.items():
            try:
                cloudpickle.dumps(value)
            except Exception as error:
                raise SpecError(
                    f"{name}={value!r} cannot be stored: {error}. Give something that can be "
                    "pickled, so that the sweep can be resumed",
                    name,
                ) from error

    def _check_deterministic(self) -> None:
        if not isinstance(self.deterministic, bool):
            raise SpecError(
                f"deterministic={self.deterministic!r}: give True or False", "deterministic"
            )
        scheduler, slots = type(self.scheduler).__name__, self.workers.slots
        alone, waits = self.scheduler.judges_alone, self.scheduler.synchronous
        if not self.deterministic or (alone and slots) or (slots == 1 and not self.workers.elastic):
            return
        if alone or (waits and self.workers.elastic):
            raise SpecError(
                f"deterministic=True with {scheduler} on {self.workers.describe()}: how far a "
                "suggestion looks back is set by the number of slots, which must be known and "
                "stay. Give workers=4, for instance, or leave deterministic out",
                "deterministic",
            )
        if not waits:
            raise SpecError(
                f"deterministic=True: what {scheduler} decides depends on which trial reports "
                f"first, and {slots} slots run at once. Use scheduler='fifo', 'patience' or "
                "'sync_hyperband', or workers=1, or leave deterministic out",
                "deterministic",
            )


def goals_of(maximize: object, minimize: object, by: object = "last") -> tuple[Goal, ...]:
    """Return the goals that the names stand for: first what is maximised, in the order given."""
    if by not in ("last", "best"):
        raise SpecError(
            f"by={by!r}: give 'last', to rank trials by the last value that they report, or "
            "'best', by the best at any step",
            "by",
        )
    reading: Literal["last", "best"] = by
    given: dict[Literal["maximize", "minimize"], object]
    given = {"maximize": maximize, "minimize": minimize}
    goals = [
        Goal(metric=metric, direction=direction, by=reading)
        for direction, value in given.items()
        for metric in _metrics(value, direction)
    ]
    metrics = [goal.metric for goal in goals]
    if not goals:
        raise SpecError(
            "give maximize= or minimize=, a metric's name or a list of names; got neither",
            "maximize",
        )
    if twice := [metric for metric in metrics if metrics.count(metric) > 1]:
        raise SpecError(
            f"{twice[0]!r} is named twice in maximize={maximize!r}, minimize={minimize!r}; each "
            "metric is one objective, in one direction",
            "maximize" if maximize is not None else "minimize",
        )
    return tuple(goals)


def _metrics(value: object, argument: str) -> list[str]:
    names = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    metrics = [name for name in names if isinstance(name, str) and name]
    if len(metrics) < len(names) or (value is not None and not names):
        raise SpecError(
            f"{argument}={value!r}: give a metric's name, for instance 'accuracy', or for several "
            "objectives a list of names",
            argument,
        )
    return metrics


def workers_of(
    workers: object, *, cpus: int, gpus: float, memory: int | str | None = None
) -> Workers:
    """Return the workers that a number, None, a Dask cluster or an instance stands for."""
    if isinstance(workers, Workers):
        Local(1, cpus=cpus, memory=memory)  # not used, but no less wrong than anywhere else
        if finite(gpus) is None or gpus < 0:
            raise SpecError(f"gpus={gpus!r}: give a number from 0", "gpus")
        return workers
    if workers is None:
        return Local(cpus=cpus, gpus=gpus, memory=memory)
    if is_cluster(workers):
        if memory is not None:
            raise SpecError(
                f"memory={memory!r}: a limit is kept on this machine only. Leave it out: a Dask "
                "worker has a limit of its own.",
                "memory",
            )
        from nbtune.workers import Dask  # noqa: PLC0415 - only who has a cluster needs it

        return Dask(workers, cpus=cpus, gpus=gpus)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise SpecError(
            f"workers={workers!r}: give a number of slots from 1, a Dask cluster (its address, a "
            "client, a cluster object), or workers such as nbtune.workers.Local(2)",
            "workers",
        )
    return Local(workers, cpus=cpus, gpus=gpus, memory=memory)


def budget_of(
    *,
    retries: int = 0,
    retry_exceptions: bool = False,
    at_time_limit: object = "stop",
    **limits: object,
) -> Budget:
    """Return the checked limits, named as in `Budget`."""
    if at_time_limit not in ("stop", "drain"):
        raise SpecError(
            f"at_time_limit={at_time_limit!r}: give 'stop', to stop the trials that run when a "
            "limit of time is reached, or 'drain', to let them run to their end",
            "at_time_limit",
        )
    check_flag("sweep", "Sweep", "retry_exceptions", retry_exceptions)
    if not is_whole(retries, 0):
        raise SpecError(f"retries={retries!r}: give a whole number from 0", "retries")
    for name, value in limits.items():
        whole = name in ("trials", "max_total_steps", "trial_max_steps")
        if value is None:
            continue
        if not is_whole(value, 1) if whole else (finite(value) or 0) <= 0:
            wanted = "a whole number from 1" if whole else "a positive number of seconds"
            raise SpecError(f"{name}={value!r}: give {wanted}", name)
    return Budget(
        retries=retries,
        retry_exceptions=retry_exceptions,
        at_time_limit=at_time_limit,
        **limits,  # type: ignore[arg-type]
    )


def rules_of(stop_when: object) -> tuple[StopRule, ...]:
    """Return the rules that one rule, or a sequence of them, stands for."""
    rules = (stop_when,) if isinstance(stop_when, StopRule) else stop_when
    if not isinstance(rules, list | tuple) or not all(isinstance(r, StopRule) for r in rules):
        raise SpecError(
            f"stop_when={stop_when!r}: give rules of nbtune.stopping, for instance "
            "[MetricThreshold('accuracy', 0.98), Plateau(trials=20)]",
            "stop_when",
        )
    return tuple(rules)


def identifier(value: object, name: str) -> str:
    """Return `value` if it can name a keyword of ``report``."""
    if not isinstance(value, str) or not value.isidentifier() or keyword.iskeyword(value):
        raise SpecError(f"{name}={value!r}: give a name such as 'epoch'", name)
    return value


def setup_of(value: Any) -> Callable[[], object] | None:
    """Return a ``setup``, which is called without arguments.

    Raises
    ------
    SpecError
        When it cannot be.
    """
    if value is None:
        return None
    wanted = "give a function that is called without arguments, once in each worker process"
    if not callable(value):
        raise SpecError(f"setup={value!r}: {wanted}", "setup")
    try:
        inspect.signature(value).bind()
    except TypeError as error:
        raise SpecError(f"setup={value!r}: {error}; {wanted}", "setup") from None
    except ValueError:  # it does not tell its parameters
        pass
    function: Callable[[], object] = value
    return function


def seed_of(value: object) -> int:
    """Return `value` if it can seed a generator."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise SpecError(f"seed={value!r}: give a whole number from 0, below 2**63", "seed")
    return value
