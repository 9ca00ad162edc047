"""Pickle a notebook's functions and classes by value, as cloudpickle does, with their file names.

cloudpickle 3.1.3 writes ``<dynamic-code>`` in the place of every file name, so that a traceback
from another process would name neither the cell nor the line's text.
"""

import io
import types
from typing import IO, Any

import cloudpickle

__all__ = ["Pickler", "dump", "dumps"]


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle's, whose code objects keep their file names."""

    def filename(self, code: types.CodeType) -> str:
        """Return what tracebacks shall call the file of `code`."""
        return code.co_filename

    def reducer_override(self, obj: Any) -> Any:
        """Reduce code with its file name in it, all else as cloudpickle does."""
        if isinstance(obj, types.CodeType):
            make, arguments = self.dispatch_table[types.CodeType](obj)
            # The first text among the arguments of `types.CodeType`, in each release of Python.
            place = next(n for n, each in enumerate(arguments) if isinstance(each, str))
            return make, (*arguments[:place], self.filename(obj), *arguments[place + 1 :])
        return super().reducer_override(obj)


def dump(value: Any, file: IO[bytes]) -> None:
    """Pickle `value` to a file."""
    Pickler(file).dump(value)


def dumps(value: Any) -> bytes:
    """Return `value` pickled."""
    file = io.BytesIO()
    dump(value, file)
    return file.getvalue()
