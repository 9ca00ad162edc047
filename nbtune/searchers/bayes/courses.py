"""What a searcher has been told of trials that are judged on their way: results by step."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

__all__ = ["FEEDS", "Courses", "Row"]

Array: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

FEEDS = ("rungs", "all", "rungs_and_last")


class Row(NamedTuple):
    """A result that counts: of which trial, at which step; the score is None for a failure."""

    key: Hashable
    step: int
    score: float | None


class _Told(NamedTuple):
    """A result as it was told: at a rung, between two of them ("report"), or at the "end"."""

    what: str
    key: Hashable
    step: int
    score: float | None


class Courses:
    """Keeps every result, says which of them count, and to where running trials are under way.

    A trial is known by a key; a second one of the same params goes on with the first one's.

    Parameters
    ----------
    feed : {"rungs", "all", "rungs_and_last"}
        Which results count: those at rungs and the last one; every one; those at rungs and, of the
        others, each trial's latest.
    maxt_pending : bool
        Whether a running trial is pending at the most steps as well.

    Attributes
    ----------
    longest : int or None
        The most steps that one trial may spend; None where nobody knows.
    judged : bool
        Whether any trial has had a milestone: without one, a step says nothing.
    places : dict
        Where each trial that has begun lies, by key, in the order in which they were first told.
    last : dict
        The score with which each trial ended last, by key, in the order of their first ends.
    """

    def __init__(self, feed: str, *, maxt_pending: bool) -> None:
        self._feed = feed
        self._maxt_pending = maxt_pending
        self.longest: int | None = None
        self.judged = False
        self.places: dict[Hashable, Array] = {}
        self.last: dict[Hashable, float | None] = {}
        self._told: list[_Told] = []
        self._rows = _Rows(feed)
        self._heading: dict[Hashable, int] = {}  # of running trials: the next result's step
        self._since: dict[Hashable, int] = {}  # where they started or went on
        self._first: int | None = None  # the lowest first milestone

    def start(self, key: Hashable, place: Array, step: int, until: int) -> None:
        """Learn that a trial starts at `step`, 0 or where it was paused, or goes on from a rung."""
        self.places.setdefault(key, place)
        self.judged = True
        is_running = key in self._heading
        self._since[key] = step
        self._heading[key] = until if self._feed == "rungs" or not is_running else step + 1
        if step == 0:
            self._first = until if self._first is None else min(self._first, until)

    def report(self, key: Hashable, place: Array, step: int, score: float) -> None:
        """Learn a result between two rungs."""
        if self._feed == "rungs" or step <= self._since.get(key, 0):
            return
        if key in self._heading:
            self._heading[key] = step + 1
        self._add(_Told("report", key, step, score), place)

    def rung(self, key: Hashable, place: Array, step: int, score: float | None) -> None:
        """Learn a result at a rung, from which the trial goes on."""
        self.judged = True
        if step > self._since.get(key, 0):
            self._add(_Told("rung", key, step, score), place)

    def end(self, key: Hashable, place: Array, step: int, score: float | None) -> None:
        """Learn a trial's last result, so far or for good."""
        self._heading.pop(key, None)
        self._since.pop(key, None)
        self.last[key] = score
        self._add(_Told("end", key, step, score), place)

    def _add(self, told: _Told, place: Array) -> None:
        self.places.setdefault(told.key, place)
        self._told.append(told)
        self._rows.add(told)

    @property
    def count(self) -> int:
        """How many results have been told, those included that count no more."""
        return len(self._told)

    def last_places(self) -> Iterator[Array]:
        """Return where the trials that have ended lie, in the order of `last`."""
        return (self.places[key] for key in self.last)

    @property
    def furthest(self) -> int:
        """The largest step of a result, at least 1."""
        return max((row.step for row in self.rows()), default=1)

    @property
    def trials(self) -> int:
        """How many trials have a result."""
        return len(self._rows)

    def rows(self, count: int | None = None) -> list[Row]:
        """Return the results that count, or that counted after the first `count` were told."""
        if count is None or count == len(self._told):
            return self._rows.listed()
        rows = _Rows(self._feed)
        for told in self._told[:count]:
            rows.add(told)
        return rows.listed()

    def pending(self, keys: Iterable[Hashable]) -> list[tuple[Hashable, int]]:
        """Return at which steps results are awaited: of running trials, and of `keys` to start.

        At the next milestone, or at the next step where all results count and one was told since
        the trial began; with ``maxt_pending`` at the most steps, too.
        """
        awaited = dict.fromkeys(keys, self._first) | self._heading
        steps = [(key, step) for key, step in awaited.items() if step is not None]
        if self._maxt_pending and self.longest is not None:
            steps += [(key, self.longest) for key, step in steps if step != self.longest]
        return steps


class _Rows:
    """The results that count, as they come."""

    def __init__(self, feed: str) -> None:
        self._feed = feed
        self._scores: dict[Hashable, dict[int, float | None]] = {}
        self._passing: dict[Hashable, int] = {}  # the step of a result that the next one replaces

    def __len__(self) -> int:
        return len(self._scores)

    def add(self, told: _Told) -> None:
        scores = self._scores.setdefault(told.key, {})
        if told.what == "end" and (told.score is None or not np.isfinite(told.score)):
            scores.clear()  # what it did before it failed recommends it no more
        passed = self._passing.pop(told.key, None)
        if passed is not None:
            scores.pop(passed, None)
        if told.what == "report" and self._feed == "rungs_and_last":
            self._passing[told.key] = told.step
        scores[max(told.step, 1)] = told.score

    def listed(self) -> list[Row]:
        return [
            Row(key, step, score)
            for key, scores in self._scores.items()
            for step, score in scores.items()
        ]
