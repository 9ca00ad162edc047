"""Every trial of a sweep as a sequence, most of them outside of memory once there are many."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from nbtune.engine.archive import STATUSES, Archive, row_of_scores
from nbtune.pareto import scores_table
from nbtune.space import Timeline
from nbtune.trial import Goal, Status, Trial

__all__ = ["TrialBook", "TrialList"]

IN_MEMORY = 500
"""So many ended trials stay in memory, the latest; up to twice as many until they are moved."""


class TrialList(Sequence[Trial]):
    """The trials of a snapshot, by number; immutable, and read only when they are asked for.

    Going through all of them makes each anew: what counts, ranks or selects uses `statuses`,
    `scored` and `changed`, which do not.

    Parameters
    ----------
    kept : mapping of int to Trial
        Those in memory, by number.
    archive : Archive, optional
        Has all others.
    count : int, optional
        How many there are in all; by default those in memory.
    """

    def __init__(
        self, kept: Mapping[int, Trial], archive: Archive | None = None, count: int | None = None
    ) -> None:
        self._kept = kept
        self._archive = archive
        self._count = len(kept) if count is None else count
        self._statuses: NDArray[np.int8] | None = None

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> "TrialList":
        """Return these trials, which are in memory and in the order of their numbers."""
        return trials if isinstance(trials, cls) else cls(dict(enumerate(trials)))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Trial]:
        return map(self._at, range(self._count))

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> list[Trial]: ...
    def __getitem__(self, index: int | slice) -> Trial | list[Trial]:
        if isinstance(index, slice):
            return [self._at(each) for each in range(self._count)[index]]
        return self._at(range(self._count)[index])

    def _at(self, number: int) -> Trial:
        found = self._kept.get(number)
        if found is not None:
            return found
        assert self._archive is not None
        return self._archive.read(number)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TrialList) and self._archive is other._archive:
            differ = self.changed(other)
            return len(self) == len(other) and all(each == other[each.number] for each in differ)
        if isinstance(other, Sequence):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return TrialList.of, (list(self),)  # the file stays here

    def __repr__(self) -> str:
        return f"<{self._count:,} trials>"

    def statuses(self) -> NDArray[np.int8]:
        """Return the status of each trial, as places in `STATUSES`, shape (n_trials,)."""
        if self._statuses is None:
            known = self._archive.statuses(self._count) if self._archive else None
            table = np.zeros(self._count, np.int8) if known is None else known
            for number, trial in self._kept.items():
                table[number] = STATUSES.index(trial.status)
            table.flags.writeable = False
            self._statuses = table
        return self._statuses

    def counts(self) -> dict[Status, int]:
        """Return the number of trials by status, every status present."""
        counted = np.bincount(self.statuses(), minlength=len(STATUSES)).tolist()
        return dict(zip(STATUSES, counted, strict=True))

    def are(self, status: Status) -> NDArray[np.bool_]:
        """Return which trials have this status, shape (n_trials,)."""
        have: NDArray[np.bool_] = self.statuses() == STATUSES.index(status)
        return have

    def with_status(self, status: Status) -> Iterator[Trial]:
        """Yield the trials with this status."""
        return map(self._at, np.flatnonzero(self.are(status)).tolist())

    def scored(self, goals: Sequence[Goal]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the numbers of the trials that can be compared, and their scores by goal.

        Those that failed, and those without a value for each goal, are left out, as by
        `nbtune.pareto.scores_table`; the scores have the shape (n_compared, n_goals).
        """
        if self._archive is None or self._archive.goals != tuple(goals):
            compared, scores = scores_table(self, goals)
            return np.array([trial.number for trial in compared], np.intp), scores
        table = self._archive.scores(self._count)
        for number, trial in self._kept.items():
            table[number] = row_of_scores(trial, goals)
        comparable = ~np.isnan(table).any(axis=1) & ~self.are(Status.FAILED)
        scores = table[comparable]
        scores[np.isneginf(scores).any(axis=1)] = -np.inf
        return np.flatnonzero(comparable), scores

    def changed(self, before: "TrialList | None") -> Iterator[Trial]:
        """Yield the trials that are new, or stand otherwise, since an earlier list of the sweep."""
        if before is None or before._archive is not self._archive or before._count > self._count:
            yield from self
            return
        for number, trial in self._kept.items():
            if before._kept.get(number) is not trial:
                yield trial
        for number, trial in before._kept.items():
            if number not in self._kept and not trial.status.ended:
                yield self._at(number)
        for number in range(before._count, self._count):
            if number not in self._kept:
                yield self._at(number)


class TrialBook:
    """Every trial as it stands, for an engine: it hands out a `TrialList` of each moment.

    Parameters
    ----------
    archive : Archive, optional
        Takes ended trials when there are many; without one all stay in memory.
    """

    def __init__(self, archive: Archive | None = None) -> None:
        self._archive = archive
        self._kept: dict[int, Trial] = {}
        self._over: dict[int, None] = {}  # of these the ones that may be moved, in order
        self._count = 0
        self._limit = 2 * IN_MEMORY
        self._list: TrialList | None = None
        self._best: dict[int, Trial] = {}

    def __getitem__(self, number: int) -> Trial:
        found = self._kept.get(number)
        if found is not None:
            return found
        if self._archive is None:
            raise IndexError(number)
        return self._archive.read(number)

    def edit(self, timeline: Timeline) -> None:
        """Take the spaces that the trials are of, after one more edit."""
        if self._archive is not None:
            self._archive.timeline = timeline

    def show(self, trial: Trial) -> None:
        """Enter a trial as it stands now."""
        self._kept[trial.number] = trial
        self._count = max(self._count, trial.number + 1)
        self._list = None

    def settle(self, numbers: Iterable[int]) -> None:
        """Note that these have ended and change no more: they may leave memory."""
        self._over.update(dict.fromkeys(numbers))
        if self._archive is None or len(self._over) < self._limit:
            return
        oldest = list(self._over)[:-IN_MEMORY]
        try:
            taken = self._archive.add(self._kept[number] for number in oldest)
        except OSError:  # no room, or no descriptor; memory keeps them for the time being
            self._limit = 2 * len(self._over)
            return
        for number in oldest:
            del self._over[number]
        for number in taken:
            del self._kept[number]
        self._limit, self._list = 2 * IN_MEMORY, None

    def best(self, numbers: Iterable[int]) -> tuple[Trial, ...]:
        """Return these trials; those that were asked for the last time are not read again."""
        before = {number: trial for number, trial in self._best.items() if trial.status.ended}
        self._best = {
            number: self._kept.get(number) or before.get(number) or self[number]
            for number in numbers
        }
        return tuple(self._best.values())

    def listed(self) -> TrialList:
        """Return all trials as they stand; the same list until something changes."""
        if self._list is None:
            self._list = TrialList(dict(self._kept), self._archive, self._count)
        return self._list
