"""Bayes: a model of the scores says which params are worth a trial.

Everything is modelled anew for each suggestion, so that a suggestion depends on the history, the
seed and the trial's number alone.
"""

from collections.abc import Hashable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from nbtune.arguments import check_flag, check_integer, check_known, check_number
from nbtune.exceptions import SpecError
from nbtune.pareto import Scores
from nbtune.searchers.base import Searcher
from nbtune.searchers.bayes.columns import Columns
from nbtune.searchers.bayes.courses import FEEDS, Courses
from nbtune.searchers.bayes.feasibility import Feasibility, Feasible
from nbtune.searchers.bayes.losses import succeeded
from nbtune.searchers.bayes.models import Fitted, Models
from nbtune.searchers.bayes.reason import expected
from nbtune.searchers.bayes.surrogate import Array, one_thread
from nbtune.searchers.bayes.utility import options_of_utility
from nbtune.searchers.sequences import SEQUENCES, point_of
from nbtune.searchers.untried import draw_untried, drawable, list_untried
from nbtune.space import Space
from nbtune.trial import Goal, Params

if TYPE_CHECKING:
    from nbtune.searchers.bayes.outlook import Outlook

__all__ = ["Bayes"]

_STREAM = 0xBA7E5  # keeps these draws apart from other families' draws for the same trial
_OWNER = "searcher", "Bayes"
_ACQUISITIONS = ("EI", "LCB", "PI")
_ESTIMATORS = ("GP", "ET", "RF")  # "GBRT" raises with scikit-learn 1.9
# What fits of our models, scikit-optimize and scikit-learn have been seen to raise: numerical
# trouble. A TypeError or AttributeError is a mistake of ours, which is not to pass for that.
_MODEL_ERRORS = (ArithmeticError, LookupError, RuntimeError, ValueError)
_LAST = -1e9  # added to the promise of what is flat: better than nothing, and than nothing else
_MOST_SCORED = 2000  # points of a space, of which all are scored


class Bayes(Searcher):
    """Model the scores, and try what promises most.

    The first trials spread over the space (`sequences`). Then a Gaussian process (`gaussian`),
    or a forest, is fitted to what was observed, pending trials with the score that it predicts for
    them, and the untried point of best acquisition that is found is suggested (`ascent`); of a
    space of up to 2,000 points, the best of them all. Trials that failed, or whose score is not
    finite, are no part of that model: they say how likely other trials are to fail, and what is
    likely to fail promises less (`feasibility`). Of more than 200 trials the best and the newest
    are modelled. Hints, such as the results of an earlier sweep, are modelled as they are.

    Under a scheduler that judges trials on their way, the results of short runs are modelled too,
    as biased and noisy looks at the scores of full ones (`shortfall`), and the point of best
    acquisition for a full run is suggested. What is best so far is then what the model makes of
    the points that were tried. Pending trials count with the result that they are on their way to.
    Near trials that had equal results at two steps or more, params change nothing: suggestions go
    elsewhere (`flat`).

    Parameters
    ----------
    n_initial : int >= 1
        How many observations to have before the model is used.
    sequence : {"roberts", "sobol", "halton"} or None
        How the trials until then spread over the space: by points that fill it evenly (an additive
        recurrence, or a scrambled Sobol or Halton sequence); None for independent draws.
    base_estimator : {"GP", "ET", "RF"} or scikit-learn regressor
        The model: a Gaussian process, extra trees, a random forest, or any regressor whose
        ``predict`` takes ``return_std=True``.
    acquisition : {"EI", "LCB", "PI", "gp_hedge"}
        What makes a point promising: the expected improvement (its logarithm, which does not
        vanish), the confidence bound, the probability of improvement; "gp_hedge" draws one of the
        three for each trial.
    xi : float
        The improvement that EI and PI look for, in standard deviations of the warped scores.
    kappa : float
        How much LCB makes of uncertainty, in standard deviations of the prediction.
    searcher_data : {"rungs", "all", "rungs_and_last"}
        Which results count under such a scheduler: those at its milestones, and each trial's last;
        every report; or those at milestones and the latest of each trial. "all" makes more to
        model of what says little more; the other two cost about the same.
    maxt_pending : bool
        Whether a running trial is also pending as a full run.
    prefetch : int >= 0
        How many suggestions to have ready before a slot is free. Each knows the results until it
        was made, and takes those under way for pending. With 0 it knows all, and the slot waits for
        it, some 50 ms. On one slot, and in a sweep that is deterministic, suggestions never are
        made ahead.

    Raises
    ------
    SpecError
        When an argument is of the wrong type or not known.
    """

    apart = True
    follows = "milestones"
    searcher_data = "rungs"  # also of one that was pickled before there was a choice
    maxt_pending = False
    sequence: str | None = "roberts"
    _sign = 1.0

    def __init__(
        self,
        n_initial: int = 10,
        *,
        sequence: str | None = "roberts",
        base_estimator: Any = "GP",
        acquisition: str = "EI",
        xi: float = 0.0,
        kappa: float = 1.96,
        searcher_data: str = "rungs",
        maxt_pending: bool = False,
        prefetch: int = 1,
    ) -> None:
        self.n_initial = check_integer(*_OWNER, "n_initial", n_initial, 1)
        self.sequence = sequence
        if sequence is not None:
            check_known(*_OWNER, "sequence", sequence, SEQUENCES)
        self.base_estimator = base_estimator
        self.acquisition = check_known(
            *_OWNER, "acquisition", acquisition, (*_ACQUISITIONS, "gp_hedge")
        )
        self.xi = check_number(*_OWNER, "xi", xi)
        self.kappa = check_number(*_OWNER, "kappa", kappa)
        self.searcher_data = check_known(*_OWNER, "searcher_data", searcher_data, FEEDS)
        self.maxt_pending = check_flag(*_OWNER, "maxt_pending", maxt_pending)
        self.prefetch = check_integer(*_OWNER, "prefetch", prefetch, 0)
        self.follows = "milestones" if searcher_data == "rungs" else "reports"
        if isinstance(base_estimator, str):
            check_known(*_OWNER, "base_estimator", base_estimator, _ESTIMATORS)
        elif not hasattr(base_estimator, "predict"):
            raise SpecError(
                f"Bayes(base_estimator={base_estimator!r}): needs a scikit-learn regressor or one "
                f"of {', '.join(_ESTIMATORS)}",
                "searcher.base_estimator",
            )

    @classmethod
    def from_utility(cls, utility: Mapping[str, Any], n_initial: int = 10) -> "Bayes":
        """Return what Polyaxon's ``utilityFunction`` asks for; `options_of_utility` says how.

        ``n_initial`` is the matrix's ``numInitialRuns``.
        """
        return cls(n_initial, **options_of_utility(utility))

    def __repr__(self) -> str:
        start = f", sequence={self.sequence!r}" if self.sequence != "roberts" else ""
        feed = "" if self.searcher_data == "rungs" else f", searcher_data={self.searcher_data!r}"
        feed += ", maxt_pending=True" if self.maxt_pending else ""
        feed += f", prefetch={self.prefetch}" if self.prefetch != 1 else ""
        return (
            f"Bayes({self.n_initial}{start}, base_estimator={self.base_estimator!r}, "
            f"acquisition={self.acquisition!r}, xi={self.xi}, kappa={self.kappa}{feed})"
        )

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and the seed."""
        super().setup(space, seed=seed)
        self.finite = space.size is not None
        self._courses = Courses(self.searcher_data, maxt_pending=self.maxt_pending)
        self._columns = Columns(space)
        self._models = Models(self._columns, self._courses, self.base_estimator)
        self._feasibility = Feasibility(self._columns)
        self._warned = False
        own = not isinstance(self.base_estimator, str)  # a regressor of the user's raises anything
        self._model_errors = (Exception,) if own else _MODEL_ERRORS

    def warm_up(self) -> None:
        """Import scikit-optimize and SciPy, which takes seconds."""
        from nbtune.searchers.bayes import (  # noqa: F401, PLC0415 - that is it
            ascent,
            gaussian,
            outlook,
            shortfall,
        )

    def set_goals(self, goals: Sequence[Goal]) -> None:
        """Take the direction, so that a reason shows the metric's own values."""
        self._sign = -1.0 if goals[0].direction == "minimize" else 1.0

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return a point that is neither observed nor `pending`; None when there is none."""
        tried = {*self._courses.places, *map(self.space.key, pending)}
        if not self._can_model():
            return self._start(number, tried)
        try:
            with one_thread():
                return self._model(number, pending, tried)
        except self._model_errors as error:
            if not self._warned:
                self._warned = True
                self.warn(
                    "searcher-fallback",
                    "the model of the search failed, and where it does params are drawn at random: "
                    f"{type(error).__name__}: {error}",
                )
            self.why = "random: the model failed"
            return draw_untried(self.space, tried, seed=self.seed, number=number)

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Learn a result: the last of a trial, or one at a milestone from which it goes on."""
        key, place = self.space.key(params), self.space.to_unit(params)
        if not ended:
            self._courses.rung(key, place, step, score)
            return
        if key in self._courses.last:  # it ran again
            self._feasibility = Feasibility(self._columns)
            if not self._courses.judged:
                self._models.forget()
        self._courses.end(key, place, step, score)

    def follow(self, params: Params, scores: Scores | None, *, step: int, until: int) -> None:
        """Learn how far a trial is, and with ``searcher_data`` not "rungs" what it reports."""
        self._courses.longest = self.longest
        key, place = self.space.key(params), self.space.to_unit(params)
        if scores is None:
            self._courses.start(key, place, step, until)
        else:
            self._courses.report(key, place, step, scores[0])

    def hint(self, params: Params, scores: Scores, *, step: int) -> None:
        """Model a result that is no trial of this search; its point is as good as untried."""
        key = self.space.key(params)
        if key not in self._courses.places:  # else it was tried here: that says more
            self._courses.end(("hint", key), self.space.to_unit(params), step, scores[0])

    def size(self) -> int | None:
        """Return the number of points of a finite space, that of the defaults included."""
        return self.space.size

    def _can_model(self) -> bool:
        """Whether there are enough results, and two finite ones."""
        if self._courses.judged:
            scores = [row.score for row in self._courses.rows()]
        else:
            scores = list(self._courses.last.values())
        enough = len(scores) >= self.n_initial <= self._courses.trials
        return enough and int(succeeded(scores).sum()) >= 2

    def _start(self, number: int, tried: Set[Hashable]) -> Params | None:
        """Return the point of trial `number` in the sequence."""
        self.why = "random start" if self.sequence is None else "quasi-random start"
        if self.sequence is not None:
            place = point_of(self.sequence, number, self.space.n_dims, seed=self.seed)
            params = self.space.from_unit(place)
            if self.space.key(params) not in tried and drawable(self.space, params):
                return params
        return draw_untried(self.space, tried, seed=self.seed, number=number)

    def _model(self, number: int, pending: Sequence[Params], tried: Set[Hashable]) -> Params | None:
        """Return the untried point of best acquisition."""
        listed = self.space.size is not None and self.space.size <= _MOST_SCORED
        left = list_untried(self.space, tried) if listed else []
        if listed and len(left) < 2:
            self.why = "the last point that is left"
            return left[0] if left else None
        rng = np.random.default_rng((_STREAM, self.seed, number))
        drawn = _ACQUISITIONS[int(rng.integers(len(_ACQUISITIONS)))]
        kind = drawn if self.acquisition == "gp_hedge" else self.acquisition
        fitted = self._fitted(pending, rng)
        outlook = self._outlook(fitted, kind)
        places = np.array(list(self._courses.last_places()))
        fine = succeeded(list(self._courses.last.values()))
        feasible = self._feasibility.of(outlook, places, fine)
        found = self._most_promising(feasible, fitted, left, tried, rng)
        if found is None:
            self.why = "random: all that the model looked at is tried"
            return draw_untried(self.space, tried, seed=self.seed, number=number)
        at = self.space.to_unit(found)[None]
        self.why = expected(
            kind,
            float(outlook.promise(at)[0]),
            outlook.foreseen(at),
            fitted.losses,
            self._sign * fitted.scores,
            pending=len(pending),
        )
        if isinstance(feasible, Feasible) and (sure := feasible.sure(at)) < 0.995:
            self.why += f", success {sure:.0%} sure"
        return found

    def _most_promising(
        self,
        outlook: "Outlook | Feasible",
        fitted: Fitted,
        left: list[Params],
        tried: Set[Hashable],
        rng: np.random.Generator,
    ) -> Params | None:
        """Return the best of those that are `left`, where they are listed; else what is found."""
        from nbtune.searchers.bayes.ascent import climb  # noqa: PLC0415 - scipy takes half a second

        def promise(places: Array) -> Array:
            promised = outlook.promise(places)
            if fitted.flats is None:
                return promised
            return np.where(fitted.flats.hold(self._columns.of(places)), promised + _LAST, promised)

        if left:
            return left[int(np.argmax(promise(self._to_units(left))))]
        return climb(
            self.space,
            self._columns,
            promise,
            outlook.slope if outlook.has_slope else None,
            fitted.best,
            tried,
            rng,
        )

    def _fitted(self, pending: Sequence[Params], rng: np.random.Generator) -> Fitted:
        """Return what a model makes of the results so far."""
        if not self._courses.judged:
            return self._models.of_last_scores(self._to_units(pending), rng)
        places = {self.space.key(params): self.space.to_unit(params) for params in pending}
        return self._models.of_steps(places, rng)

    def _outlook(self, fitted: Fitted, kind: str) -> "Outlook":
        from nbtune.searchers.bayes.outlook import Outlook  # noqa: PLC0415 - scipy, as above

        return Outlook(
            self._columns, fitted.model, fitted.least, kind=kind, xi=self.xi, kappa=self.kappa
        )

    def _to_units(self, points: Sequence[Params]) -> Array:
        return np.array([self.space.to_unit(params) for params in points]).reshape(
            len(points), self.space.n_dims
        )
