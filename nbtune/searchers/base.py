"""What a searcher must do: three methods, pure, told everything it knows.

A searcher has no clock, does no I/O and uses no global random state. What it suggests is a
function of its arguments, its seed and what it was told, in that order; a sweep that resumes
tells it its history again, so it saves nothing itself. It pickles, its generator included.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from nbtune.pareto import Scores
from nbtune.space import Space
from nbtune.trial import Goal, Params

__all__ = ["Searcher"]


class Searcher(ABC):
    """Says which params come next."""

    starts_with_defaults: bool = True
    """Whether the sweep tries the space's defaults as trial 0, before the first suggestion."""

    finite: bool = False
    """Whether it runs out by itself, so that a sweep needs no other budget."""

    apart: bool = False
    """Whether it thinks so long that a process of its own is worth it: the kernel stays free."""

    quick: bool = False
    """Whether all its methods take microseconds, once it is set up: the sweep's thread calls them.

    To hand a question over to a thread of the searcher's own would take longer than the answer.
    It counts for nbtune's own searchers alone: one of somebody else's may hang.
    """

    learns: bool = True
    """Whether what it suggests depends on results."""

    prefetch: int = 1
    """How many suggestions to have ready before a slot asks.

    Of one that learns, those made ahead know less; with 0 each is made when a slot waits for it.
    """

    end_reason: str = "every suggestion tried"
    """Why it has no more to suggest: the sweep's reason for its end, read when it is exhausted.

    Of a searcher that thinks ``apart`` it is read as `setup` left it.
    """

    editable: bool = True
    """Whether the sweep's space may change once it has started.

    The searcher is then set up anew in the new space and told the trials so far.
    """

    keeps_to_listed: bool = True
    """Whether what it suggests must be among the values that the space lists; otherwise any number
    of a param's type, inside its bounds where it has some, may be suggested."""

    why: str = ""
    """Why the last suggestion was made, in a few words for a person; set by `suggest`, or empty."""

    follows: str = ""
    """What else it wants to be told, by `follow`, of trials that a scheduler judges on their way.

    Empty for nothing, "milestones" for how far each is let go, "reports" for what each reports
    between its milestones as well.
    """

    longest: int | None = None
    """The most steps that one trial may spend, where the scheduler knows; set before it is told."""

    def set_goals(self, goals: Sequence[Goal]) -> None:
        """Take what the sweep optimises; called before `setup`.

        Scores are oriented by the caller, so that only a searcher that needs a metric's name or
        its own values overrides it. `Scalarised` does not pass it on: its scores are joined.
        """
        del goals

    @property
    def several(self) -> bool:
        """Whether it makes use of several objectives itself; here, whether `learn` is its own."""
        return type(self).learn is not Searcher.learn

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and the seed; called once, before all but `set_goals`.

        Raises
        ------
        SpaceError
            When this searcher cannot walk the space; it says why and what to use instead.
        """
        self.space = space
        self.seed = seed

    def warm_up(self) -> None:  # noqa: B027 - most have nothing to import
        """Import ahead what later suggestions need; called on a thread beside the first ones."""

    @abstractmethod
    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return params for trial `number`, or None when there is nothing to try now.

        Parameters
        ----------
        number : int >= 0
            The trial's number. Randomness is drawn from ``(seed, number)``.
        pending : sequence of dict
            The params of every trial that has been started or queued and not yet observed.

        Returns
        -------
        dict or None
            Plain Python values inside the space. None while trials are pending: ask again after
            the next observation; None with nothing pending: the search is exhausted.
        """

    @abstractmethod
    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Learn a result.

        Parameters
        ----------
        params : dict
            As suggested, enqueued, or the defaults.
        score : float or None
            Higher is better, whatever the user's direction; ``-inf`` for NaN; None when the trial
            failed or never reported the metric.
        step : int >= 0
            The step of the score.
        ended : bool
            False for a report at a scheduler's milestone of a trial that goes on; such a call may
            be ignored. True once a trial, with its last score; for a trial that a scheduler paused,
            and that may never go on, at the pause, and if it does go on once more at its end.
        """

    def learn(self, params: Params, scores: Scores | None, *, step: int, ended: bool) -> None:
        """Learn a result in every objective: what the sweep calls; it is passed on to `observe`.

        A searcher that makes use of several objectives itself overrides it; any other that learns
        is given one score, of random weights, by `Scalarised`.

        Parameters
        ----------
        params, step, ended
            As in `observe`.
        scores : tuple of float or None
            One an objective, in the order of the sweep's goals; None when the trial failed or one
            is missing, all ``-inf`` when one value is NaN.
        """
        self.observe(params, None if scores is None else scores[0], step=step, ended=ended)

    def follow(  # noqa: B027 - most have no use for it
        self, params: Params, scores: Scores | None, *, step: int, until: int
    ) -> None:
        """Learn how far a trial is; called where `follows` asks for it and a milestone is ahead.

        Parameters
        ----------
        params : dict
            As in `observe`.
        scores : tuple of float or None
            Of a report below the trial's milestone, as in `learn`. None when the trial starts, at
            step 0 or where it goes on after a pause, and when it goes on from a milestone, whose
            result has been told.
        step : int >= 0
            How far it is.
        until : int
            Its next milestone.
        """

    def hint(self, params: Params, scores: Scores, *, step: int) -> None:  # noqa: B027
        """Learn a result that is no trial of this search: it informs, and nothing counts as tried.

        Those of earlier sweeps (``warm_start=``) come before all else, oldest first, and those of
        trials that a changed space holds only roughly come among the others. A searcher that
        learns from scores overrides it; here they are ignored.

        Parameters
        ----------
        params : dict
            Inside the space.
        scores : tuple of float
            As in `learn`.
        step : int >= 0
            The step of the scores.
        """

    @property
    def takes_hints(self) -> bool:
        """Whether it makes use of hints; here, whether `hint` is its own."""
        return type(self).hint is not Searcher.hint

    def warn(self, code: str, text: str) -> None:
        """Have the sweep show that the search goes on otherwise than meant: a fallback, say.

        Parameters
        ----------
        code : str
            A short fixed name of its kind.
        text : str
            A sentence: what happened, what follows. The same one is shown once.
        """
        self.__dict__.setdefault("_unsaid", []).append((code, text))

    def take_warnings(self) -> list[tuple[str, str]]:
        """Return each code and text that `warn` was given since this was last called."""
        unsaid: list[tuple[str, str]] = self.__dict__.pop("_unsaid", [])
        return unsaid

    def size(self) -> int | None:
        """Return how many trials it will suggest in all, None when unknown or unbounded."""
        return None
