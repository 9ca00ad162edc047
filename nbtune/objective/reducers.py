"""How frames and tensors are taken apart so that their bytes lie outside the pickle.

NumPy, SciPy, pandas and Arrow do so by themselves, but for text that pandas holds as Python
objects, as pandas 2 does by default: it has no buffers, and stays in the pickle. A library is
looked at only where it is loaded: an object of its types cannot exist otherwise.
"""

import io
import pickle
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

from nbtune.exceptions import NbtuneWarning

__all__ = ["reduce"]

_Reduced: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]

_LARGE_PLAN = 32 * 1024 * 1024


def reduce(obj: Any) -> _Reduced | None:
    """Return ``(function, arguments)`` that make `obj` again, None for what needs no help.

    Raises
    ------
    ValueError
        For a tensor that is not in the CPU's memory.
    """
    library = type(obj).__module__.partition(".")[0]
    if library == "polars" and library in sys.modules:
        return _reduce_polars(sys.modules[library], obj)
    if library == "torch" and library in sys.modules:
        return _reduce_torch(sys.modules[library], obj)
    return None


# --- polars: its own pickles take 5 s for 500 MB, its Arrow buffers as good as nothing


def _reduce_polars(polars: Any, obj: Any) -> _Reduced | None:
    if type(obj) is polars.DataFrame:
        return _reduce_frame(polars, obj)
    if type(obj) is polars.Series:
        return _first_column, (obj.to_frame(),)
    if type(obj) is polars.LazyFrame:
        return _reduce_plan(obj)
    return None


def _reduce_frame(polars: Any, frame: Any) -> _Reduced | None:
    if polars.Object in frame.dtypes or not frame.width:
        return None  # Python objects are beyond Arrow, and so are rows without columns
    newest = polars.CompatLevel.newest()  # the one that copies no text
    try:
        return _frame_of_table, (frame.to_arrow(compat_level=newest),)
    except Exception:  # noqa: BLE001 - no pyarrow, or a type that it lacks, as 26.0 lacks Int128
        stream = frame.write_ipc(None, compat_level=newest)
        return _frame_of_stream, (pickle.PickleBuffer(stream.getbuffer()),)


def _frame_of_table(table: Any) -> Any:
    import polars  # noqa: PLC0415 - the objects of its user need it, nothing else does

    return polars.from_arrow(table, rechunk=False)


def _frame_of_stream(buffer: Any) -> Any:
    """Return the frame, copied: polars 2.1 maps files, but no memory."""
    import polars  # noqa: PLC0415 - as above

    return polars.read_ipc(io.BytesIO(buffer))


def _first_column(frame: Any) -> Any:
    return frame.to_series()


def _reduce_plan(plan: Any) -> _Reduced:
    stream = plan.serialize()
    if len(stream) > _LARGE_PLAN:
        warnings.warn(
            f"a polars LazyFrame holds {len(stream) / 1e6:,.0f} MB of data, which each trial reads "
            "anew, at about 0.1 GB/s. Use the DataFrame, and call .lazy() where it is used.",
            NbtuneWarning,
            stacklevel=2,
        )
    return _plan_of_stream, (pickle.PickleBuffer(stream),)


def _plan_of_stream(buffer: Any) -> Any:
    import polars  # noqa: PLC0415 - as above

    return polars.LazyFrame.deserialize(io.BytesIO(buffer))


# --- PyTorch: tensors name their storage, and views of one storage name the same one


def _reduce_torch(torch: Any, obj: Any) -> _Reduced | None:
    if type(obj) is torch.storage.TypedStorage:
        return _typed, (obj._untyped_storage, obj.dtype)
    if type(obj) is torch.UntypedStorage:
        if obj.device.type != "cpu":
            raise ValueError(
                f"it lies on the device {str(obj.device)!r}; send it as .cpu(), and move it back "
                "where it is used"
            )
        whole = torch.empty(0, dtype=torch.uint8).set_(obj)
        return _storage, (pickle.PickleBuffer(whole.numpy()),)
    return None


def _typed(storage: Any, dtype: Any) -> Any:
    import torch  # noqa: PLC0415 - the objects of its user need it, nothing else does

    return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def _storage(buffer: Any) -> Any:
    """Return a storage on the memory of `buffer`, not a copy."""
    import torch  # noqa: PLC0415 - as above

    if not len(buffer):
        return torch.UntypedStorage(0)
    return torch.frombuffer(buffer, dtype=torch.uint8).untyped_storage()
