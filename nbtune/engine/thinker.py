"""Runs a searcher off the engine's thread, so that thinking never holds up a worker."""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nbtune.engine.apart import DistantMind, SearcherRaised
from nbtune.engine.mind import Mind
from nbtune.pareto import Scores
from nbtune.searchers.base import Searcher
from nbtune.trial import Failure, Params
from nbtune.workers.outcome import failure_of

__all__ = ["Suggested", "Thinker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested:
    """The searcher's answer: params, None for nothing now, or the failure that it raised."""

    params: Params | None
    pending: int
    """How many trials were under way or handed out when it answered."""
    why: str = ""
    """Why these params, in the searcher's own words; empty when it has none."""
    warnings: Sequence[tuple[str, str]] = ()
    """What it has to warn of, a code and a text each."""
    failure: Failure | None = None
    reason: str = ""
    """Why the searcher has no more; counts when it answered None with nothing pending."""


class Thinker:
    """Passes what happens to a searcher, in order, and posts its suggestions.

    One of nbtune's own whose thoughts are quick thinks in the caller's thread. Any other may hang,
    or call what hangs, and would hold the sweep: it has a thread.

    Parameters
    ----------
    searcher : Searcher
        Already set up.
    post : callable
        Receives each `Suggested`.
    virtual : bool
        Whether time is virtual: it stands while a searcher thinks, so no process is worth it.
    """

    def __init__(
        self, searcher: Searcher, post: Callable[[Suggested], None], *, virtual: bool
    ) -> None:
        self._searcher = searcher
        self.name = type(searcher).__name__
        self._inline = searcher.quick and _is_own(searcher)
        apart = searcher.apart and not virtual and not self._inline
        self._mind: Mind | DistantMind = DistantMind(searcher) if apart else Mind(searcher)
        self._post = post
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._asked = self._done = 0  # what the thread is to do, and has done
        self._began: float | None = None
        self._through = threading.Event()
        self._through.set()

    def start(self) -> None:
        """Begin the thread, where there is one; what is asked before waits for it."""
        if not self._inline:
            threading.Thread(target=self._run, name="nbtune-thinker", daemon=True).start()

    def _do(self, act: Callable[[], None]) -> None:
        if self._inline:
            act()
        else:
            self._asked += 1
            self._through.clear()
            self._queue.put(act)

    def _run(self) -> None:
        while (act := self._queue.get()) is not None:
            self._began = time.monotonic()
            act()
            self._began = None
            self._done += 1
            if self._done == self._asked:
                self._through.set()

    def settled(self, seconds: float) -> bool:
        """Wait until all that was asked is done, `seconds` at most; return whether it is."""
        while self._done < self._asked:
            if not self._through.wait(seconds):
                return False
            self._through.clear()
        return True

    @property
    def busy_seconds(self) -> float:
        """How long the searcher has been at what it does now."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def prepare(self) -> None:
        """Begin what the first suggestion needs, beside the first trials."""
        self._do(self._mind.prepare)

    def begin(self, number: int, params: Params, *, suggestion: int | None = None) -> None:
        """Tell that a trial is entered; `suggestion` is the index under which it was suggested."""
        self._do(lambda: self._mind.begin(number, params, suggestion))

    def observe(
        self, number: int, params: Params, scores: Scores | None, *, step: int, ended: bool
    ) -> None:
        """Tell a result."""
        self._do(lambda: self._guard(self._mind.observe, number, params, scores, step, ended))

    def hint(self, number: int, params: Params, scores: Scores, *, step: int) -> None:
        """Tell the result of a trial that the present space holds only roughly."""
        self._do(lambda: self._guard(self._mind.hint, number, params, scores, step))

    def follow(
        self, number: int, params: Params, scores: Scores | None, *, step: int, until: int
    ) -> None:
        """Tell how far a trial is; only for a searcher that follows."""
        self._do(lambda: self._guard(self._mind.follow, number, params, scores, step, until))

    def ask(self, index: int) -> None:
        """Ask for the suggestion of that index; the answer is posted."""

        def act() -> None:
            if answer := self._guard(self._mind.suggest, index):
                end = "" if answer.params is not None else self._guard(self._end_reason)
                if end is not None:
                    params, pending, why, warnings = answer
                    self._post(
                        Suggested(
                            params=params, pending=pending, why=why, warnings=warnings, reason=end
                        )
                    )

        self._do(act)

    def _end_reason(self) -> str:
        return str(self._searcher.end_reason)

    def _guard(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a call returns; post what it raises, and return None."""
        # A searcher may be the user's own code: its errors end the sweep, not this thread.
        try:
            return call(*arguments)
        except SearcherRaised as error:
            failure = error.failure
        except BaseException as error:  # noqa: BLE001 - the border where the user's code is called
            failure = failure_of(error)
        self._post(Suggested(params=None, pending=0, failure=failure))
        return None

    def close(self) -> None:
        """End the thread; what it has not done by now stays undone."""
        self._queue.put(None)
        self._mind.close()


def _is_own(searcher: Searcher) -> bool:
    return type(searcher).__module__.partition(".")[0] == "nbtune"
