"""The spaces that a sweep has had, one after the other, and from which trial on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nbtune.space.choice import Constant
from nbtune.space.domains import spell
from nbtune.space.hull import hull
from nbtune.space.recast import Recast, recast
from nbtune.space.space import Space

__all__ = ["Edit", "Timeline"]

_MOST_TOLD = 2  # edits, in `Timeline.remark`


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change of the space: trials from number `trial` on are of `space`.

    ``time`` is when it was made, in seconds since the epoch.
    """

    time: float
    trial: int
    space: Space = field(repr=False)


class Timeline:
    """A sweep's spaces.

    Parameters
    ----------
    first : Space
        That of trial 0.
    edits : sequence of Edit
        In order of time.
    """

    def __init__(self, first: Space, edits: Sequence[Edit] = ()) -> None:
        self.first = first
        self.edits = tuple(edits)

    @property
    def now(self) -> Space:
        """The space as it is."""
        return self.edits[-1].space if self.edits else self.first

    @property
    def spaces(self) -> tuple[Space, ...]:
        """All of them, oldest first."""
        return (self.first, *(edit.space for edit in self.edits))

    @cached_property
    def hull(self) -> Space:
        """A space that holds the params of all trials; the only one where there was no edit."""
        return hull(self.spaces)

    def at(self, trial: int) -> Space:
        """Return the space that held when trial `trial` was entered."""
        for edit in reversed(self.edits):
            if edit.trial <= trial:
                return edit.space
        return self.first

    def told_now(self, trial: int, params: dict[str, Any]) -> Recast | None:
        """Return a trial's params in terms of the space as it is; the same object where they are.

        None where they cannot be expressed, as `recast` says.
        """
        if not self.edits or self.edits[-1].trial <= trial:
            return Recast(params, True)
        return recast(params, self.at(trial), self.now)

    def edited(self, edit: Edit) -> "Timeline":
        """Return the timeline with one more edit."""
        return Timeline(self.first, (*self.edits, edit))

    def changes(self) -> Iterator[tuple[Edit, str, str, str]]:
        """Yield ``(edit, name, before, after)`` of each domain that changed, as text."""
        for old, edit in zip(self.spaces, self.edits, strict=False):
            for name in {**old, **edit.space}:
                before, after = _spelt(old, name), _spelt(edit.space, name)
                if before != after:
                    yield edit, name, before, after

    @property
    def remark(self) -> str:
        """The edits in a few words, the last ones where there were many; empty without."""
        names: dict[int, list[str]] = {}
        for edit, name, _, _ in self.changes():
            names.setdefault(edit.trial, []).append(name)
        told = [f"{', '.join(changed)} at trial {trial}" for trial, changed in names.items()]
        return f"space edited: {'; '.join(told[-_MOST_TOLD:])}" if told else ""


def _spelt(space: Space, name: str) -> str:
    domain = space.get(name)
    if domain is None:
        return ""
    return spell(domain.value) if isinstance(domain, Constant) else repr(domain)
