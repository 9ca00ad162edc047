"""A study of Optuna that is told a history; this module imports Optuna.

What it does depends on what it was told alone. A sampler keeps what it needs of the past in the
study (the generation of a trial, the state of an optimiser), so each step of the history is asked
of a fresh copy of it, and each suggestion of a copy of study and sampler.
"""

import copy
import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import optuna
from optuna.pruners import NopPruner
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    RandomSampler,
    TPESampler,
)
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.trial import TrialState

from nbtune.exceptions import SpecError
from nbtune.optuna_parts import STUDY, create_storage
from nbtune.pareto import Scores
from nbtune.searchers.optuna_space import Flat, OptunaSpace
from nbtune.trial import Params

__all__ = ["History", "takes_several"]

Reports: TypeAlias = Mapping[int, float]
"""Scores on the way, by step."""

_STREAM = 0x0971A  # keeps these draws apart from other families' draws for the same trial
_SUGGEST, _REPLAY = 0, 1
# These look at params and values of the past and leave no marks of their own in the study.
_UNMARKED = (TPESampler, GPSampler, RandomSampler)


class _Study(optuna.Study):  # type: ignore[misc]  # Optuna is untyped at this border
    """A study that no sampler ends: nbtune itself asks for what is untried."""

    def stop(self) -> None:
        """Go on."""


class History:
    """A study in memory with the trials told so far.

    Parameters
    ----------
    space : OptunaSpace
    sampler : optuna.samplers.BaseSampler
        Copied, never changed.
    seed : int >= 0
        Seeds the random states of a sampler that has no seed of its own.
    n_objectives : int >= 1
        All are maximised.

    Raises
    ------
    SpecError
        When the sampler remembers what it drew itself, which a history does not tell.
    """

    def __init__(
        self, space: OptunaSpace, sampler: Any, *, seed: int, n_objectives: int = 1
    ) -> None:
        _refuse(sampler)
        self.space = space
        self.n_objectives = n_objectives
        self._sampler = copy.deepcopy(sampler)
        self._seeds = [_seed_of(state, seed) for state in _random_states(self._sampler)]
        self._storage = create_storage(n_objectives)
        self._length = 0

    def tell(self, flat: Flat, scores: Scores | None, reports: Reports) -> None:
        """Add a trial that has ended; without finite scores it has failed."""
        study = self._study(self._storage, _REPLAY, self._length)
        self._length += 1
        trial = self._enter(study, flat, reports)
        if scores is not None and all(map(math.isfinite, scores)):
            study.tell(trial, list(scores))
        else:
            study.tell(trial, state=TrialState.FAIL)

    def ask(self, number: int, running: Sequence[tuple[Flat, Reports]]) -> Iterator[Params]:
        """Yield suggestions, one after another in the same study, with these trials `running`.

        Parameters
        ----------
        number : int >= 0
            With the seed, what randomness is drawn from.
        running : sequence of (Flat, Reports)
        """
        storage = pickle.loads(pickle.dumps(self._storage))  # faster than deepcopy
        study = self._study(storage, _SUGGEST, number)
        for flat, reports in running:
            self._enter(study, flat, reports)
        while True:
            yield self.space.suggest(study.ask())

    def _study(self, storage: Any, purpose: int, number: int) -> Any:
        """Return the study with a copy of the sampler whose randomness is that of `number`."""
        sampler = copy.deepcopy(self._sampler)
        states = zip(_random_states(sampler), self._seeds, strict=True)
        for place, (state, seed) in enumerate(states):
            _reseed(state, np.random.SeedSequence((_STREAM, seed, purpose, number, place)))
        return _Study(STUDY, storage, sampler=sampler, pruner=NopPruner())

    def _enter(self, study: Any, flat: Flat, reports: Reports) -> Any:
        """Start a trial on given values, as if the sampler had suggested them."""
        study.enqueue_trial(flat)
        trial = study.ask()
        if not isinstance(self._sampler, _UNMARKED):
            _ = trial.relative_params  # asked for its marks; what it suggests is not used
        self.space.suggest(trial)
        if self.n_objectives == 1:  # Optuna takes no reports of several
            for step, score in reports.items():
                trial.report(score, step)
        return trial


def _refuse(sampler: Any) -> None:
    if isinstance(sampler, GridSampler):
        raise SpecError(
            "OptunaSearcher: a GridSampler tells no points apart that it did not suggest itself. "
            "Use searcher='grid'.",
            "searcher",
        )
    if isinstance(sampler, CmaEsSampler) and sampler._with_margin:
        raise SpecError(
            "OptunaSearcher: CmaEsSampler(with_margin=True) learns from draws that a sweep which "
            "resumes has not. Drop with_margin.",
            "searcher",
        )


def takes_several(sampler: Any) -> bool:
    """Return whether a sampler suggests for several objectives; Optuna's own refuse when not."""
    study = _Study(STUDY, create_storage(2), sampler=copy.deepcopy(sampler), pruner=NopPruner())
    try:
        _ = study.ask().relative_params
    except ValueError:
        return False
    return True


def _random_states(part: Any, seen: set[int] | None = None) -> list[Any]:
    """Return the random states of a sampler and of what it is made of, each once."""
    seen = {id(part)} if seen is None else seen
    found: list[Any] = []
    for value in vars(part).values():
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, LazyRandomState | np.random.RandomState | np.random.Generator):
            found.append(value)
        elif isinstance(value, BaseSampler) or _is_of_optuna(value):
            found += _random_states(value, seen)
    return found


def _is_of_optuna(value: Any) -> bool:
    return type(value).__module__.startswith("optuna.samplers") and hasattr(value, "__dict__")


def _seed_of(state: Any, seed: int) -> int:
    """Return `seed` for a random state that has none, else a number that its own one gives."""
    if isinstance(state, LazyRandomState):
        if state._rng is None:
            return seed
        state = state.rng
    copied = copy.deepcopy(state)
    draw = copied.integers if isinstance(copied, np.random.Generator) else copied.randint
    return int(draw(2**31 - 1))


def _reseed(state: Any, seeds: np.random.SeedSequence) -> None:
    if isinstance(state, np.random.Generator):
        state.bit_generator.state = type(state.bit_generator)(seeds).state
        return
    legacy = state.rng if isinstance(state, LazyRandomState) else state
    legacy.seed(seeds.generate_state(8))
