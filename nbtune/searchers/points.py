"""Points: a list of params, written by hand."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nbtune.exceptions import SpaceError, SpecError
from nbtune.searchers.base import Searcher
from nbtune.searchers.walk import Walk
from nbtune.space import Space
from nbtune.trial import Params

__all__ = ["Points"]


class Points(Searcher):
    """Try the given params, in the order given, one trial for each, repeats too.

    Parameters
    ----------
    params : iterable of mapping
        Points of the space; a name that is missing takes its default.
    """

    starts_with_defaults = False
    finite = True
    learns = False
    prefetch = 16

    def __init__(self, params: Iterable[Mapping[str, Any]]) -> None:
        if not isinstance(params, Iterable) or isinstance(params, str | bytes | Mapping):
            raise SpecError(f"Points: got {params!r}, not a list of dicts", "searcher.params")
        self.params = list(params)
        for index, point in enumerate(self.params):
            if not isinstance(point, Mapping):
                raise SpecError(
                    f"Points: params[{index}] is {point!r}, not a dict of names and values",
                    f"searcher.params[{index}]",
                )

    def __repr__(self) -> str:
        return f"Points({self.params!r})"

    def setup(self, space: Space, *, seed: int) -> None:
        """Take the space and check every point against it.

        Raises
        ------
        SpaceError
            When a point has a name or a value that the space does not have; it says which point.
        """
        super().setup(space, seed=seed)
        points = []
        for index, point in enumerate(self.params):
            try:
                points.append(space.validate({**space.defaults, **point}))
            except SpaceError as error:
                raise SpaceError(f"Points: params[{index}]: {error}") from error
        self._walk = Walk(space, points.__getitem__, len(points))

    def suggest(self, number: int, pending: Sequence[Params]) -> Params | None:
        """Return the first point not yet tried, None after the last."""
        point = self._walk.next(pending)
        self.why = f"row {self._walk.place + 1} of {self.size()}"
        return point

    def observe(self, params: Params, score: float | None, *, step: int, ended: bool) -> None:
        """Cross `params` off."""
        if ended:
            self._walk.observe(params)

    def size(self) -> int:
        """Return the number of points."""
        return len(self.params)
