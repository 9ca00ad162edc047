"""Optuna's samplers as searchers."""

import importlib
from collections.abc import Hashable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from nbtune.exceptions import SpaceError
from nbtune.optuna_parts import optuna_part, quiet, require_optuna, spelled
from nbtune.pareto import Scores
from nbtune.searchers.base import Searcher
from nbtune.searchers.optuna_space import Flat, OptunaSpace
from nbtune.searchers.untried import draw_untried, drawable
from nbtune.space import Space
from nbtune.trial import Params

if TYPE_CHECKING:
    from nbtune.searchers.optuna_study import History

__all__ = ["OptunaSearcher"]

_DEFAULT = "TPESampler"
_REDRAWS = 10  # a Gaussian process takes a good part of a second for each


class OptunaSearcher(Searcher):
    """Let one of Optuna's samplers suggest (extra ``optuna``).

    The sampler sees a study of the trials so far: pending ones run in it, scores at a scheduler's
    milestones are intermediate values, trials that failed or ended in NaN have failed. Scores are
    oriented, so that each objective is maximised. With several objectives the study has as many,
    for samplers that take them (TPE, GP, NSGA-II, ...); any other is asked about joined scores, as
    `Scalarised` does. A point that was tried is not suggested again while there are others. Params
    of a branch are suggested only when it is chosen; some samplers (GP, CMA-ES, QMC) draw those at
    random, and what Optuna logs about it at each trial is left out.

    Suggestions depend on the history, the seed and the trial's number alone, and a sweep that
    resumes goes on as it would have: the sampler's random states are seeded anew for each
    suggestion, from its own seed if it has one, else from the sweep's. That holds for every
    sampler that draws from NumPy's generators and keeps what it learnt in its study. Of Optuna's,
    `GridSampler` and ``CmaEsSampler(with_margin=True)`` do not, and are refused; a `QMCSampler`
    given as an instance draws its seed when it is made, and repeats itself in another process only
    with ``seed=``.

    Parameters
    ----------
    sampler : optuna.samplers.BaseSampler or str
        An instance, or the name of a class in ``optuna.samplers``; the default is "TPESampler".
    **options
        Keyword arguments of the class named.

    Raises
    ------
    SpecError
        When Optuna is not installed, or `sampler` is no sampler or refuses its options.
    """

    def __init__(self, sampler: Any = _DEFAULT, **options: Any) -> None:
        self.sampler = sampler
        self.options = options
        self.apart = "GPSampler" in (
            sampler,
            type(sampler).__name__,
        )  # the others take milliseconds
        if not (sampler == _DEFAULT and not options):  # else `setup` asks for Optuna
            optuna_part("OptunaSearcher", "sampler", sampler, options)

    def __repr__(self) -> str:
        return f"OptunaSearcher({spelled(self.sampler, self.options)})"

    @property
    def several(self) -> bool:
        """Whether the sampler takes several objectives itself."""
        border = _border()
        return bool(border.takes_several(self._make(seed=0)))

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and the seed.

        Raises
        ------
        SpecError
            When Optuna is not installed, or the sampler cannot be told a history.
        SpaceError
            When the sampler cannot walk the space.
        """
        super().setup(space, seed=seed)
        self.finite = space.size is not None
        self._optuna_space = OptunaSpace(space)
        self._told: list[tuple[Flat, Scores | None, dict[int, float]]] = []
        self._entered = 0  # of those, how many the study holds
        self._observed: set[Hashable] = set()
        self._reports: dict[Hashable, dict[int, float]] = {}  # of trials that go on
        self._history = self._new_history(1)
        self._name = type(self._make(seed=0)).__name__
        try:
            with quiet():
                next(self._history.ask(0, []))
        except (TypeError, ValueError) as error:
            raise SpaceError(f"{self._name} cannot walk this space: {error}") from error

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return what the sampler suggests, or an untried point drawn where it repeats itself."""
        keys = [self.space.key(params) for params in pending]
        tried = self._observed.union(keys)
        if self.space.size is not None and len(tried) >= self.space.size:
            return None
        running = [
            (self._optuna_space.encode(params), self._reports.get(key, {}))
            for params, key in zip(pending, keys, strict=True)
        ]
        with quiet():
            self._catch_up()
            self.why = self._name
            for params in islice(self._history.ask(number, running), _REDRAWS):
                if self.space.key(params) not in tried and drawable(self.space, params):
                    return params
        self.why = f"random draw: {self._name} had nothing untried"
        return draw_untried(self.space, tried, seed=self.seed, number=number)

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Learn a result in one objective, also on the way."""
        self.learn(params, None if score is None else (score,), step=step, ended=ended)

    def learn(self, params: Params, scores: Scores | None, *, step: int, ended: bool) -> None:
        """Learn a result in every objective; of several, only the last."""
        key = self.space.key(params)
        if not ended:
            if scores is not None:
                self._reports.setdefault(key, {})[step] = scores[0]
            return
        reports = self._reports.pop(key, {})
        if scores is not None and step > 0:
            reports[step] = scores[0]
        self._observed.add(key)
        self._told.append((self._optuna_space.encode(params), scores, reports))

    def hint(self, params: Params, scores: Scores, *, step: int) -> None:
        """Add a result that is no trial of this search to the study; its point may be suggested."""
        reports = {step: scores[0]} if step > 0 else {}
        self._told.append((self._optuna_space.encode(params), scores, reports))

    def size(self) -> int | None:
        """Return the number of points of a finite space, that of the defaults included."""
        return self.space.size

    def _catch_up(self) -> None:
        """Tell the study what it has not been told; the first scores say how many objectives."""
        known = next((scores for _, scores, _ in self._told if scores is not None), (0.0,))
        if len(known) != self._history.n_objectives:
            self._history, self._entered = self._new_history(len(known)), 0
        for flat, scores, reports in self._told[self._entered :]:
            self._history.tell(flat, scores, reports)
        self._entered = len(self._told)

    def _new_history(self, n_objectives: int) -> "History":
        history: type[History] = _border().History
        sampler = self._make(seed=self.seed)
        return history(self._optuna_space, sampler, seed=self.seed, n_objectives=n_objectives)

    def _make(self, *, seed: int) -> Any:
        """Return the sampler: the one given, or one of the class named."""
        plain = int(seed) % 2**32  # more, NumPy's older generators do not take
        return optuna_part("OptunaSearcher", "sampler", self.sampler, self.options, seed=plain)


def _border() -> Any:
    """Return the module that imports Optuna, or raise `SpecError` when there is none."""
    require_optuna("OptunaSearcher", "searcher")
    return importlib.import_module("nbtune.searchers.optuna_study")
