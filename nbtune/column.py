"""A numpy array that grows at its end."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column"]


class Column:
    """One value, or one row of values, an index; what was never set is `fill`.

    One thread sets values and takes views; any other takes a `copy`, which changes nothing here.

    Parameters
    ----------
    dtype : data-type
    fill : scalar
    width : int, optional
        How many values a row has; None for one value an index.
    """

    __slots__ = ("_array", "_fill")

    def __init__(self, dtype: Any, fill: Any, width: int | None = None) -> None:
        self._fill = fill
        self._array = np.full(64 if width is None else (64, width), fill, dtype)

    def __setitem__(self, index: int | NDArray[np.intp], value: Any) -> None:
        self._make_room(int(np.max(index)) + 1)
        self._array[index] = value

    def __getitem__(self, index: int) -> Any:
        return self._array[index]

    def first(self, count: int) -> NDArray[Any]:
        """Return the first `count` values as a view, shape (count,) or (count, width)."""
        self._make_room(count)
        return self._array[:count]

    def copy(self, count: int) -> NDArray[Any]:
        """Return a copy of the first `count` values, shape (count,) or (count, width)."""
        array = self._array  # another thread may put a larger one in its place
        found = np.full((count, *array.shape[1:]), self._fill, array.dtype)
        found[: len(array)] = array[:count]
        return found

    def _make_room(self, count: int) -> None:
        size = len(self._array)
        if count > size:
            more = np.full((max(count, 2 * size) - size, *self._array.shape[1:]), self._fill)
            self._array = np.concatenate([self._array, more.astype(self._array.dtype)])
