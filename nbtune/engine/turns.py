"""Who is told what when: results in the order in which trials began, not in which they ended.

With it, what a suggestion may see is a function of the trials' numbers, never of the clock.
"""

from collections import deque
from collections.abc import Callable

__all__ = ["Turns"]


class Turns:
    """A queue of runs in the order of their begin, each with what it has to tell.

    The next run may begin once at most `window` are in the queue: the oldest leave it, and are told
    of, no sooner than that. So the run that begins as number n has been chosen with the results of
    exactly those before n - `window`, however fast the others were. A trial that is paused and goes
    on has a turn for each run.

    Parameters
    ----------
    window : int >= 0, optional
        How many runs that the searcher has not been told of may precede one that begins; None
        tells all at once, as it comes, and holds up nothing.
    """

    def __init__(self, window: int | None) -> None:
        self.window = window
        self._queue: dict[int, _Turn] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._queue

    def begin(self, number: int) -> None:
        """Give trial `number` the next turn, unless it has one: it was started again."""
        if self.window is not None and number not in self._queue:
            self._queue[number] = _Turn()

    def tell(self, number: int, act: Callable[[], None], *, last: bool = False) -> None:
        """Call `act` in the turn of trial `number`, at once without one; `last` ends the turn."""
        turn = self._queue.get(number)
        if turn is None:
            act()
            return
        turn.acts.append(act)
        turn.over = last
        self.advance()

    def advance(self) -> bool:
        """Tell what is due; return whether the next run may begin."""
        if self.window is None:
            return True
        while len(self._queue) > self.window and self.tell_next():
            pass
        return len(self._queue) <= self.window

    def tell_next(self) -> bool:
        """Tell one thing of the oldest run, due or not; return whether it had any."""
        number = next(iter(self._queue), None)
        if number is None or not self._queue[number].acts:
            return False
        turn = self._queue[number]
        act = turn.acts.popleft()
        if turn.over and not turn.acts:
            del self._queue[number]
        act()
        return True


class _Turn:
    """What a run has to tell, oldest first, and whether that is all."""

    __slots__ = ("acts", "over")

    def __init__(self) -> None:
        self.acts: deque[Callable[[], None]] = deque()
        self.over = False
