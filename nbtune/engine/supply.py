"""Keeps suggestions ready: asks the thinker ahead of need, and knows when there are no more."""

from collections import deque
from typing import NamedTuple

from nbtune.engine.thinker import Suggested, Thinker
from nbtune.trial import Params

__all__ = ["Suggestion", "Supply"]


class Suggestion(NamedTuple):
    """Params to try, the index under which they were `asked` for, and the searcher's reason."""

    asked: int
    params: Params
    why: str


class Supply:
    """The engine's side of a `Thinker`.

    Parameters
    ----------
    thinker : Thinker
    prefetch : int >= 0
        How many suggestions to have ready before one is needed.
    """

    def __init__(self, thinker: Thinker, prefetch: int) -> None:
        self._thinker = thinker
        self._prefetch = prefetch
        self._ready: deque[Suggestion] = deque()
        self._asked: int | None = None  # the suggestion being computed
        self._next = 0
        self._results = 0  # how many came since the searcher was asked
        self._dry = False  # the searcher had nothing; it is asked again after a result
        self._exhausted = False
        self.end_reason = ""  # the searcher's, once it is exhausted

    def skip(self) -> None:
        """Count a suggestion that was made before a restart."""
        self._next += 1

    def ask(self, room: int | None, *, needed: bool) -> None:
        """Ask for the next suggestion, if one more is wanted and `room` trials may still come.

        It is wanted ahead of need, and where a slot that is free says that it is `needed`.
        """
        if self._asked is not None or self._dry or self._exhausted:
            return
        ready = len(self._ready)
        if ready < max(self._prefetch, needed) and (room is None or ready < room):
            self._asked = self._next
            self._next += 1
            self._results = 0
            self._thinker.ask(self._asked)

    def receive(self, answer: Suggested) -> None:
        """Take in an answer that is no failure."""
        index, self._asked = self._asked, None
        if answer.params is not None and index is not None:
            self._ready.append(Suggestion(index, answer.params, answer.why))
        else:
            self._next -= 1  # the index was not used
            self._exhausted = answer.pending == 0
            self.end_reason = answer.reason
            self._dry = not self._exhausted and not self._results

    def result_came(self) -> None:
        """Note that the searcher has learnt something: it may have a suggestion now."""
        self._results += 1
        self._dry = False

    def take(self) -> Suggestion | None:
        """Return the next suggestion, None when none is ready."""
        return self._ready.popleft() if self._ready else None

    @property
    def dry(self) -> bool:
        """Whether the searcher has nothing before it learns more."""
        return self._dry

    @property
    def exhausted(self) -> bool:
        """Whether the searcher has no more, and all it had was taken."""
        return self._exhausted and not self._ready
