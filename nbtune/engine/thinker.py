"""Runs a searcher off the engine's thread, so that thinking never holds up a worker."""

import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from nbtune.pareto import Scores
from nbtune.searchers.base import Searcher
from nbtune.trial import Failure, Params

__all__ = ["Suggested", "Thinker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested:
    """The searcher's answer: params, None for nothing now, or the failure that it raised."""

    params: Params | None
    pending: int
    """How many trials were under way or handed out when it answered."""
    failure: Failure | None = None


class _Values(Sequence[Params]):
    """A dict's values as a sequence; nothing is copied before it is indexed."""

    def __init__(self, source: dict[object, Params]) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Params]:
        return iter(self._source.values())

    @overload
    def __getitem__(self, index: int) -> Params: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Params]: ...
    def __getitem__(self, index: int | slice) -> Params | Sequence[Params]:
        return tuple(self._source.values())[index]


class Thinker:
    """Passes what happens to a searcher, in order, and posts its suggestions.

    Parameters
    ----------
    searcher : Searcher
        Already set up.
    post : callable
        Receives each `Suggested`.
    inline : bool
        Think in the caller's thread: on virtual time nothing may happen meanwhile.
    """

    def __init__(
        self, searcher: Searcher, post: Callable[[Suggested], None], *, inline: bool
    ) -> None:
        self._searcher = searcher
        self._post = post
        self._pending: dict[object, Params] = {}
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._inline = inline
        if not inline:
            threading.Thread(target=self._run, name="nbtune-thinker", daemon=True).start()

    def _do(self, act: Callable[[], None]) -> None:
        if self._inline:
            act()
        else:
            self._queue.put(act)

    def _run(self) -> None:
        while (act := self._queue.get()) is not None:
            act()

    def begin(self, number: int, params: Params, *, suggestion: int | None = None) -> None:
        """Tell that a trial is entered; `suggestion` is the index under which it was suggested."""

        def act() -> None:
            if suggestion is not None:
                self._pending.pop(("suggested", suggestion), None)
            self._pending[number] = params

        self._do(act)

    def observe(
        self, number: int, params: Params, scores: Scores | None, *, step: int, ended: bool
    ) -> None:
        """Tell a result."""

        def act() -> None:
            if ended:
                self._pending.pop(number, None)
            self._guard(lambda: self._searcher.learn(params, scores, step=step, ended=ended))

        self._do(act)

    def ask(self, index: int) -> None:
        """Ask for the suggestion of that index; the answer is posted."""

        def act() -> None:
            params = self._guard(lambda: self._searcher.suggest(index, _Values(self._pending)))
            if isinstance(params, Failure):
                return
            count = len(self._pending)
            if params is not None:
                self._pending["suggested", index] = params
            self._post(Suggested(params=params, pending=count))

        self._do(act)

    def _guard(self, call: Callable[[], Any]) -> Any:
        # A searcher may be the user's own code: its errors end the sweep, not this thread.
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the border where the user's code is called
            failure = Failure(
                type=type(error).__name__, message=str(error), traceback=traceback.format_exc()
            )
            self._post(Suggested(params=None, pending=0, failure=failure))
            return failure

    def close(self) -> None:
        """End the thread once it has done what it was told."""
        self._queue.put(None)
