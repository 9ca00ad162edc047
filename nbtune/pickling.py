"""Pickle a notebook's functions and classes by value, as cloudpickle does, with their file names.

cloudpickle 3.1.3 writes ``<dynamic-code>`` in the place of every file name, so that a traceback
from another process would name neither the cell nor the line's text.
"""

import io
import types
from collections.abc import Callable
from typing import IO, Any

import cloudpickle

__all__ = ["Pickler", "dump", "dumps"]


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, whose code objects keep their file names."""

    def filename(self, code: types.CodeType) -> str:
        """Return what tracebacks shall call the file of `code`."""
        return code.co_filename

    def reducer_override(self, obj: Any) -> Any:
        """Reduce code with its file name beside it, all else as cloudpickle does."""
        if isinstance(obj, types.CodeType):
            make, arguments = self.dispatch_table[types.CodeType](obj)
            return _code, (make, arguments, self.filename(obj))
        return super().reducer_override(obj)


def _code(make: Callable[..., types.CodeType], arguments: tuple[Any, ...], name: str) -> Any:
    """Return code as it was, whatever file name cloudpickle has written."""
    return make(*arguments).replace(co_filename=name)


def dump(value: Any, file: IO[bytes]) -> None:
    """Pickle `value` to a file."""
    Pickler(file).dump(value)


def dumps(value: Any) -> bytes:
    """Return `value` pickled."""
    file = io.BytesIO()
    dump(value, file)
    return file.getvalue()
