"""A searcher with its account of what is under way, wherever it thinks."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

from nbtune.exceptions import SpaceError
from nbtune.pareto import Scores
from nbtune.searchers.base import Searcher
from nbtune.space.domains import short
from nbtune.trial import Params, shortened_why

__all__ = ["Mind", "Thought"]


class Thought(NamedTuple):
    """What came of asking a searcher."""

    params: Params | None
    pending: int
    """How many trials were under way or handed out when it was asked."""
    why: str = ""
    """Why these params, in the searcher's own words; empty when it has none."""
    warnings: Sequence[tuple[str, str]] = ()
    """What the searcher has to warn of, a code and a text each."""


class Mind:
    """Tells a searcher what happens, and asks it with every trial that is under way.

    Parameters
    ----------
    searcher : Searcher
        Already set up.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._pending: dict[object, Params] = {}

    def begin(self, number: int, params: Params, suggestion: int | None) -> None:
        """Learn that a trial is entered; `suggestion` is the index under which it was suggested."""
        if suggestion is not None:
            self._pending.pop(("suggested", suggestion), None)
        self._pending[number] = params

    def observe(
        self, number: int, params: Params, scores: Scores | None, step: int, ended: bool
    ) -> None:
        """Learn a result."""
        if ended:
            self._pending.pop(number, None)
        self._searcher.learn(params, scores, step=step, ended=ended)

    def follow(
        self, number: int, params: Params, scores: Scores | None, step: int, until: int
    ) -> None:
        """Learn how far a trial is."""
        self._searcher.follow(params, scores, step=step, until=until)

    def hint(self, number: int, params: Params, scores: Scores, step: int) -> None:
        """Learn the result of a trial that the present space holds only roughly."""
        del number
        self._searcher.hint(params, scores, step=step)

    def suggest(self, index: int) -> Thought:
        """Return the suggestion of that index."""
        count = len(self._pending)
        suggested = self._searcher.suggest(index, _Values(self._pending))
        warnings = self._searcher.take_warnings()
        if suggested is None:
            return Thought(None, count, warnings=warnings)
        params = self._checked(suggested)
        self.expect(index, params)
        return Thought(params, count, shortened_why(str(self._searcher.why or "")), warnings)

    def _checked(self, suggested: object) -> Params:
        """Return a suggestion as plain values inside the space: a searcher may be anybody's code.

        Raises
        ------
        SpaceError
            When it is no point of the space.
        """
        if not isinstance(suggested, dict):
            raise SpaceError(
                f"it suggested {short(suggested)}; allowed is a dict of params, or None"
            )
        try:
            strict = self._searcher.keeps_to_listed
            return self._searcher.space.validate(suggested, strict=strict)
        except SpaceError as error:
            raise SpaceError(f"its suggestion has {error}") from None

    def expect(self, index: int, params: Params) -> None:
        """Count a suggestion that was made as under way, until its trial begins."""
        self._pending["suggested", index] = params

    def prepare(self) -> None:
        """Begin what the first suggestion needs: nothing here."""

    def close(self) -> None:
        """Free what it holds: nothing here."""


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
