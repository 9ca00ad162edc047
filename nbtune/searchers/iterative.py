"""Iterative: the user's own function proposes params, in rounds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nbtune.arguments import LARGEST
from nbtune.exceptions import SpaceError, SpecError
from nbtune.pareto import Scores
from nbtune.searchers.base import Searcher
from nbtune.searchers.tuner import Tuner, arguments_taken, find_tuner
from nbtune.searchers.walk import Walk
from nbtune.space import Space
from nbtune.trial import Goal, Params

__all__ = ["Iterative"]

_STREAM = 0x17E6A7  # keeps these seeds apart from other families' draws


@dataclass(frozen=True, slots=True)
class _Ended:
    """A trial that has ended; its scores are None when it failed or lacks a metric."""

    params: Params
    scores: Scores | None


class Iterative(Searcher):
    """Ask a function for params, round after round; each round sees what all before it gave.

    A round's trials start once all its suggestions have been checked; the next round is asked for
    when they all have ended, or were paused by the scheduler. A tuner that raises is asked once
    more, then the sweep fails with the traceback and keeps its trials.

    Parameters
    ----------
    tuner : callable or str
        ``tuner(params, configs, metrics, iteration, seed)``, of which it is passed, by name, what
        it names; or "module:function", or a name registered as an entry point ``nbtune.tuners``.

        - params: the `Space`;
        - configs: list of dict, the params of all trials that have ended with the metric when the
          round begins, and of the sweeps to start from (``warm_start=``), best first;
        - metrics: list of float, their last values, NaN (last) for one that is not finite; with
          several objectives lists of tuples, in the order of the goals, best in the first first;
        - iteration: int, the round, from 0;
        - seed: int below 2**32, of the sweep's seed and the round.

        It returns a list of dicts, points of the space (a name that is left out takes its default,
        NumPy scalars become plain values, repeats run again; where the space lists numbers, by
        steps or one by one, another of their type will do), or None or an empty list to end the
        search. Its answer must depend on its arguments alone: a sweep that resumes asks it
        for the rounds so far again, and runs only what has not been run.
    iterations : int >= 1
        How many rounds there are.
    **tuner_params
        Passed to the tuner, as they are, in every round.

    Raises
    ------
    SpecError
        When the tuner cannot be found, or called with these arguments.
    """

    starts_with_defaults = False
    finite = True
    keeps_to_listed = False
    editable = False  # its rounds so far are asked for again, and would be others

    def __init__(self, tuner: Tuner | str, iterations: int, **tuner_params: Any) -> None:
        whole = isinstance(iterations, int | np.integer) and not isinstance(iterations, bool)
        if not whole or not 1 <= iterations <= LARGEST:
            raise SpecError(
                f"Iterative(iterations={iterations!r}): give a whole number of rounds from 1",
                "searcher.iterations",
            )
        self.tuner = tuner
        self.iterations = int(iterations)
        self.tuner_params = tuner_params
        self._call = find_tuner(tuner)
        self._taken = arguments_taken(self._call, tuner_params)
        self._goals: tuple[Goal, ...] = ()

    def __repr__(self) -> str:
        own = "".join(f", {name}={value!r}" for name, value in self.tuner_params.items())
        shown = getattr(self.tuner, "__qualname__", repr(self.tuner))
        return f"Iterative({shown}, {self.iterations}{own})"

    def set_goals(self, goals: Sequence[Goal]) -> None:
        """Take the goals: the tuner sees a metric's own values, whichever way is better."""
        self._goals = tuple(goals)

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and the seed; no round is asked for yet."""
        super().setup(space, seed=seed)
        self._points: list[Params] = []  # the suggestions of all rounds so far
        self._walk = Walk(space, self._points.__getitem__, 0)
        self._told: list[_Ended] = []
        self._hints: list[tuple[Params, Scores]] = []
        self._read = 0  # how many of those the rounds so far have taken in
        self._rounds = 0
        self._over = False
        self.end_reason = f"{self.iterations} of {self.iterations} rounds"

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return the round's next point; None while its trials run, and after the last round.

        Raises
        ------
        SpaceError, SpecError
            When the tuner returns something else than a list of points of the space; it names
            the round.
        """
        self._advance()
        self.why = f"round {self._rounds} of {self.iterations}"
        return self._walk.next(pending)

    def _advance(self) -> None:
        """Take in what has ended; ask for the next round where one is over.

        A round sees just what had ended when the last trial of the round before ended: so it is
        asked the same again when a resumed sweep tells the whole history at once.
        """
        while True:
            while not self._walk.finished and self._read < len(self._told):
                self._walk.observe(self._told[self._read].params)
                self._read += 1
            if not self._walk.finished or self._over or self._rounds == self.iterations:
                return
            points = self._checked(self._ask())
            self._over = not points
            if self._over:
                self.end_reason = f"the tuner ended the search in {self._round}"
            self._rounds += 1
            self._points.extend(points)
            self._walk.extend(len(points))

    @property
    def _round(self) -> str:
        return f"round {self._rounds + 1} of {self.iterations} (iteration={self._rounds})"

    def _ask(self) -> list[Any]:
        """Return the tuner's suggestions for the next round."""
        answer = self._call_twice()
        if answer is None or isinstance(answer, list):
            return answer or []
        raise SpecError(
            f"Iterative: {self._round}: the tuner returned {answer!r}; return a list of dicts "
            "of params, or None to end the search",
            "searcher.tuner",
        )

    def _call_twice(self) -> Any:
        """Return the tuner's answer; where it raises, call it once more."""
        try:
            return self._call_once()
        except Exception:  # noqa: BLE001 - the user's code may raise anything
            pass  # and what fails for good fails again
        try:
            return self._call_once()
        except Exception as error:
            error.add_note(f"The tuner raised this, twice, in {self._round}.")
            raise

    def _call_once(self) -> Any:
        """Return the tuner's answer, any kind of sequence as a list."""
        given = self._arguments()
        answer = self._call(**{name: given[name] for name in self._taken}, **self.tuner_params)
        is_other = isinstance(answer, str | bytes | Mapping) or not isinstance(answer, Iterable)
        return answer if is_other else list(answer)  # here: a generator may raise, too

    def _arguments(self) -> dict[str, Any]:
        known = [*self._hints]
        known += [
            (trial.params, trial.scores)
            for trial in self._told[: self._read]
            if trial.scores is not None
        ]
        known.sort(key=lambda trial: trial[1], reverse=True)  # equal ones stay in order
        return {
            "params": self.space,
            "configs": [self.space.validate(params, strict=False) for params, _ in known],
            "metrics": [self._values(scores) for _, scores in known],
            "iteration": self._rounds,
            "seed": round_seed(self.seed, self._rounds),
        }

    def _values(self, scores: Scores) -> float | tuple[float, ...]:
        """Return the metrics' own values; told no goals, a score is one that is maximised."""
        signs = [1 if goal.direction == "maximize" else -1 for goal in self._goals] or [1]
        values = tuple(
            sign * score if math.isfinite(score) else math.nan
            for sign, score in zip(signs, scores, strict=True)
        )
        return values if len(values) > 1 else values[0]

    def _checked(self, suggestions: Sequence[Any]) -> list[Params]:
        points = []
        for index, point in enumerate(suggestions):
            if not isinstance(point, Mapping):
                raise SpecError(
                    f"Iterative: {self._round}: suggestion {index} is {point!r}, not a dict of "
                    "names and values",
                    "searcher.tuner",
                )
            try:
                given = {**self.space.defaults, **point}
                points.append(self.space.validate(given, strict=False))
            except SpaceError as error:
                raise SpaceError(
                    f"Iterative: {self._round}: suggestion {index}: {error}"
                ) from error
        return points

    def learn(self, params: Params, scores: Scores | None, *, step: int, ended: bool) -> None:
        """Keep the result of a trial that has ended, or its latest where it went on since."""
        if not ended:
            return
        # A trial that a scheduler paused and promoted ends twice, on the very same params.
        places = (place for place, told in enumerate(self._told) if told.params is params)
        place = next(places, len(self._told))
        self._told[place : place + 1] = [_Ended(params, scores)]

    def hint(self, params: Params, scores: Scores, *, step: int) -> None:
        """Show the tuner a result that is no trial of this search, among the others."""
        self._hints.append((params, scores))

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Keep the result, in one objective, of a trial that has ended."""
        self.learn(params, None if score is None else (score,), step=step, ended=ended)


def round_seed(seed: int, iteration: int) -> int:
    """Return the seed of a round, from 0 to 2**32 - 1."""
    return int(np.random.SeedSequence((_STREAM, seed, iteration)).generate_state(1)[0])
