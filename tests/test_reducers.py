"""Frames, tables and tensors outside the pickle, and back: equal, shared, private to the trial."""

import datetime
import decimal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from polars.testing import assert_frame_equal, assert_series_equal
from sklearn.neighbors import KNeighborsRegressor

from nbtune.exceptions import NbtuneWarning, ObjectiveError
from nbtune.objective import Payload, from_cell, write_payload

ROWS = 200_000
SMALL_STREAM = 150_000  # of 400,000 at least: buffers below 64 KB stay in the pickle


def call_with(**variables):
    source = "\n".join(["lr: Real(0, 1)", *variables, "len([" + ", ".join(variables) + "])"])
    return from_cell(source, {"__name__": "__main__", **variables}, filename="Cell In[1]").call


@pytest.fixture
def there_and_back(tmp_path):
    """Return a function that sends variables and returns them as one trial gets them."""

    def send(**variables):
        write_payload(call_with(**variables), tmp_path / "payload")
        return Payload(tmp_path / "payload").load().parts()

    send.payload = Payload(tmp_path / "payload")
    return send


def in_band(payload):
    """Return how many bytes of a payload lie in its pickle."""
    return payload._read()[0].nbytes


@dataclass
class Holder:
    inner: object


def numbers():
    return np.random.default_rng(0).random(ROWS)


def texts():
    return [f"a text that is too long for a view {i}" for i in range(ROWS)]


LARGE = {
    "numpy": numbers,
    "pandas numbers": lambda: pd.DataFrame({"x": numbers()}),
    "pandas text": lambda: pd.DataFrame({"s": pd.array(texts(), dtype="string[pyarrow]")}),
    "pandas categories": lambda: pd.DataFrame({"c": pd.Categorical(["a", "b"] * ROWS)}),
    "pandas dates": lambda: pd.DataFrame({"d": pd.date_range("2026", periods=ROWS, freq="s")}),
    "pandas masked": lambda: pd.DataFrame({"i": pd.array([1, None] * ROWS, dtype="Int64")}),
    "arrow table": lambda: pa.table({"x": numbers(), "s": texts()}),
    "arrow array": lambda: pa.array(numbers()),
    "polars frame": lambda: pl.DataFrame({"x": numbers(), "s": texts()}),
    "polars series": lambda: pl.Series("s", texts()),
    "polars without Arrow type": lambda: pl.DataFrame(
        {"x": pl.arange(ROWS, eager=True, dtype=pl.Int128)}
    ),
    "polars plan": lambda: pl.DataFrame({"x": numbers()}).lazy().filter(pl.col("x") > 0.5),
    "tensor": lambda: torch.zeros(ROWS),
    "tensor with gradient": lambda: torch.zeros(ROWS, requires_grad=True),
    "bfloat16": lambda: torch.zeros(ROWS, dtype=torch.bfloat16),
    "module": lambda: torch.nn.Linear(400, 400),
    "csr": lambda: scipy.sparse.random_array((5000, 5000), density=0.01, format="csr"),
    "coo": lambda: scipy.sparse.random_array((5000, 5000), density=0.01, format="coo"),
}
if pd.DataFrame({"s": ["a"]})["s"].dtype != object:  # before pandas 3 text is plain objects
    LARGE["pandas default text"] = lambda: pd.DataFrame({"s": texts()})


@pytest.mark.parametrize("kind", LARGE)
def test_large_data_lies_outside_the_pickle(kind, there_and_back):
    there_and_back(x=LARGE[kind]())

    assert in_band(there_and_back.payload) < SMALL_STREAM


HOLDERS = {
    "dict": lambda each: {"deep": [{"er": each}]},
    "dataclass": Holder,
    "estimator": lambda each: KNeighborsRegressor(metric_params={"held": each}),
    "closure": lambda each: lambda: each,
    "default": lambda each: [lambda held=each: held],
}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("kind", ["numpy", "polars frame", "tensor", "arrow table", "csr"])
def test_large_data_inside_an_object_lies_outside_the_pickle(kind, holder, there_and_back):
    there_and_back(x=HOLDERS[holder](LARGE[kind]()))

    assert in_band(there_and_back.payload) < SMALL_STREAM


def test_fitted_estimator_predicts_the_same(there_and_back):
    x = np.random.default_rng(0).random((2000, 20))
    model = KNeighborsRegressor().fit(x, x[:, 0])

    back = there_and_back(x=model)["x"]

    np.testing.assert_array_equal(back.predict(x[:50]), model.predict(x[:50]))


# --- polars

COLUMNS = {
    "integers": pl.Series([1, None, 3]),
    "text": pl.Series(["a", None, "a text that is too long for a view"]),
    "categories": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
    "enum": pl.Series(["x", "y", "x"], dtype=pl.Enum(["y", "x", "z"])),
    "dates": pl.Series([datetime.date(2026, 1, 1)]),
    "times with zone": pl.Series([datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)]),
    "durations": pl.Series([datetime.timedelta(seconds=1)]),
    "decimals": pl.Series([decimal.Decimal("1.5")], dtype=pl.Decimal(10, 2)),
    "lists": pl.Series([[1, 2], [], None]),
    "structs": pl.Series([{"a": 1, "b": "x"}]),
    "arrays": pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)),
    "nulls": pl.Series([None, None]),
    "bytes": pl.Series([b"x", None]),
    "128 bits": pl.Series([2**100], dtype=pl.Int128),
    "nothing": pl.Series([], dtype=pl.Float32),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_polars_columns_of_every_type_come_back_equal(kind, there_and_back):
    frame = COLUMNS[kind].alias("column").to_frame()

    assert_frame_equal(there_and_back(x=frame)["x"], frame)


def test_polars_column_of_python_objects_is_refused(there_and_back):
    with pytest.raises(ObjectiveError, match="cannot be sent"):
        there_and_back(x=pl.DataFrame({"x": pl.Series([{1}, {2}], dtype=pl.Object)}))


def test_polars_series_keeps_its_name(there_and_back):
    series = pl.Series("loss", [1.5, 2.5])

    assert_series_equal(there_and_back(x=series)["x"], series)


def test_polars_chunks_stay_apart(there_and_back):
    frame = pl.concat([pl.DataFrame({"x": numbers()})] * 2, rechunk=False)

    back = there_and_back(x=frame)["x"]

    assert back.n_chunks() == 2
    assert_frame_equal(back, frame)


def test_polars_frame_without_columns_comes_back(there_and_back):
    assert there_and_back(x=pl.DataFrame())["x"].shape == (0, 0)


def test_polars_plan_comes_back_unevaluated(there_and_back):
    plan = pl.LazyFrame({"x": [1, 2, 3]}).filter(pl.col("x") > 1)

    back = there_and_back(x=plan)["x"]

    assert isinstance(back, pl.LazyFrame)
    assert_frame_equal(back.collect(), plan.collect())


def test_polars_plan_over_much_data_is_warned_of(there_and_back):
    plan = pl.LazyFrame({"x": np.random.default_rng(0).integers(0, 2**62, 5_000_000)})

    with pytest.warns(NbtuneWarning, match=r"LazyFrame holds \d+ MB .* call \.lazy\(\)"):
        there_and_back(x=plan)


def test_polars_frame_is_not_copied_by_a_load(there_and_back):
    back = there_and_back(x=pl.DataFrame({"x": numbers()}))["x"]

    address = back["x"].to_numpy(allow_copy=False).ctypes.data
    mapped = Path("/proc/self/maps").read_text().splitlines()
    at = [line for line in mapped if within(line, address)]

    assert at[0].endswith("/payload")


def within(line, address):
    start, _, end = line.split()[0].partition("-")
    return int(start, 16) <= address < int(end, 16)


def test_polars_travels_without_pyarrow(there_and_back, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as Python marks what cannot be imported
    monkeypatch.setattr(pl.DataFrame, "to_arrow", refuse)
    frame = pl.DataFrame({"x": numbers(), "s": texts()})

    back = there_and_back(x=frame)["x"]

    assert_frame_equal(back, frame)
    assert in_band(there_and_back.payload) < SMALL_STREAM


def refuse(*_args, **_options):
    raise ModuleNotFoundError("pyarrow is required")


# --- Arrow, pandas, SciPy


def test_arrow_table_comes_back_equal(there_and_back):
    table = pa.table(
        {"x": numbers(), "s": texts(), "d": pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode()}
    )

    assert there_and_back(x=table)["x"].equals(table)


def test_pandas_text_comes_back_equal(there_and_back):
    frame = pd.DataFrame({"s": texts(), "x": numbers()}).set_index("s")

    pd.testing.assert_frame_equal(there_and_back(x=frame)["x"], frame)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
def test_sparse_matrix_comes_back_equal(form, there_and_back):
    matrix = scipy.sparse.diags_array(np.arange(5000.0) + 1, format=form)

    assert (there_and_back(x=matrix)["x"] != matrix).nnz == 0


def test_changes_to_a_sparse_matrix_are_the_trials_own(there_and_back):
    matrix = scipy.sparse.eye_array(ROWS, format="csr")
    first = there_and_back(x=matrix)["x"]

    first *= 2

    assert there_and_back.payload.load().parts()["x"].max() == 1
    assert matrix.max() == 1


# --- PyTorch

TENSORS = {
    "contiguous": lambda: torch.arange(ROWS, dtype=torch.float64),
    "bfloat16": lambda: torch.arange(ROWS).to(torch.bfloat16),
    "bool": lambda: torch.arange(ROWS) % 2 == 0,
    "complex": lambda: torch.arange(ROWS).to(torch.complex64),
    "transposed": lambda: torch.arange(ROWS).reshape(100, -1).T,
    "with gaps": lambda: torch.arange(ROWS)[::3],
    "expanded": lambda: torch.arange(ROWS).expand(3, ROWS),
    "scalar": lambda: torch.tensor(3.5),
    "empty": lambda: torch.zeros((0, 7)),
    "small": lambda: torch.arange(5),
    "gradient": lambda: torch.arange(ROWS, dtype=torch.float32).requires_grad_(),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_of_every_layout_come_back_equal(kind, there_and_back):
    tensor = TENSORS[kind]()

    back = there_and_back(x=tensor)["x"]

    assert (back.dtype, back.stride(), back.requires_grad) == (
        tensor.dtype,
        tensor.stride(),
        tensor.requires_grad,
    )
    assert torch.equal(back, tensor)


@pytest.mark.parametrize("count", [5, ROWS])
def test_changes_to_a_tensor_are_the_trials_own(count, there_and_back):
    tensor = torch.zeros(count)
    first = there_and_back(x=tensor)["x"]

    first += 1

    assert there_and_back.payload.load().parts()["x"].max() == 0
    assert tensor.max() == 0


def test_views_of_one_storage_stay_views_of_one_storage(there_and_back):
    whole = torch.zeros(100, 1000)
    back = there_and_back(whole=whole, row=whole[3], flipped=whole.T)

    back["row"].fill_(1)

    assert back["whole"].sum() == 1000
    assert back["flipped"][:, 3].sum() == 1000


def test_one_storage_is_written_once(there_and_back):
    whole = torch.zeros(100, 1000)

    there_and_back(whole=whole, row=whole[3], same=whole)

    assert len(there_and_back.payload._read()[1]) == 1


def test_module_computes_the_same_and_can_be_trained(there_and_back):
    model = torch.nn.Sequential(torch.nn.Linear(300, 300), torch.nn.BatchNorm1d(300))
    back = there_and_back(x=model)["x"]

    back(torch.ones(2, 300)).sum().backward()
    model.eval()
    back.eval()

    assert [parameter.grad is not None for parameter in back.parameters()] == [True] * 4
    assert model[0].weight.grad is None
    assert torch.equal(model[0](torch.ones(1, 300)), back[0](torch.ones(1, 300)))


def test_tied_weights_stay_tied(there_and_back):
    model = torch.nn.ModuleDict({"a": torch.nn.Linear(300, 300), "b": torch.nn.Linear(300, 300)})
    model["b"].weight = model["a"].weight

    back = there_and_back(x=model)["x"]

    assert back["a"].weight is back["b"].weight


def test_sparse_tensor_comes_back_equal(there_and_back):
    tensor = torch.eye(500).to_sparse()

    assert torch.equal(there_and_back(x=tensor)["x"].to_dense(), tensor.to_dense())


def test_data_on_another_device_is_refused_by_name_with_the_way_out(tmp_path):
    weights = torch.UntypedStorage(100, device="meta")  # the one such device on every machine

    with pytest.raises(ObjectiveError) as told:
        write_payload(call_with(weights=[weights]), tmp_path / "payload")

    assert str(told.value) == (
        "'weights[0]' is a torch.storage.UntypedStorage and cannot be sent to a worker process: "
        "it lies on the device 'meta'; send it as .cpu(), and move it back where it is used. "
        "Create it inside the cell, or in a function under @nbtune.per_worker, which runs once in "
        "each worker process."
    )


def test_nothing_of_these_libraries_is_imported_for_an_objective_without_them(tmp_path):
    code = (
        "import sys; from pathlib import Path; from nbtune.objective import Payload, write_payload;"
        "write_payload(dict, Path(sys.argv[1])); Payload(Path(sys.argv[1])).load();"
        "print(*{'numpy', 'pandas', 'polars', 'pyarrow', 'torch', 'scipy'} & set(sys.modules))"
    )

    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "payload")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout == "\n"
