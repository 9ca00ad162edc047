"""The file that carries an objective: whole or not at all, mapped afresh for each trial."""

import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nbtune.exceptions import ObjectiveError, StoreError
from nbtune.objective import Payload, from_cell, from_function, write_payload
from nbtune.objective.depot import Depot

BIG = 100_000


def call_with(**variables):
    """Return the call of a cell that reads `variables` into its result through ``check``."""
    source = "\n".join(["lr: Real(0, 1)", *variables, "len([" + ", ".join(variables) + "])"])
    namespace = {"__name__": "__main__", **variables}
    return from_cell(source, namespace, filename="Cell In[1]").call


def loaded(path, name):
    """Return a variable as a trial gets it."""
    return Payload(path).load().parts()[name]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "payload"


def test_file_is_for_its_owner_only(path):
    write_payload(call_with(x=1), path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_writing_again_replaces_the_file_and_leaves_nothing_else(path):
    write_payload(call_with(x=1), path)
    write_payload(call_with(x=2), path)

    assert loaded(path, "x") == 2
    assert list(path.parent.iterdir()) == [path]


def test_loads_do_not_see_what_others_wrote_into_their_arrays(path):
    write_payload(call_with(x=np.zeros(BIG)), path)
    payload = Payload(path)

    first = payload.load().parts()["x"]
    first += 1

    assert payload.load().parts()["x"].max() == 0
    assert first.min() == 1


def test_mapping_lives_as_long_as_its_arrays(path):
    write_payload(call_with(x=np.arange(BIG)), path)

    array = loaded(path, "x")
    path.unlink()

    assert array.sum() == BIG * (BIG - 1) // 2


LAYOUTS = {
    "c": np.arange(BIG, dtype=np.float64),
    "fortran": np.asfortranarray(np.arange(BIG, dtype=np.int32).reshape(100, -1)),
    "gaps": np.arange(2 * BIG, dtype=np.float32).reshape(100, -1)[:, :-1],
    "backwards": np.arange(4 * BIG, dtype=np.int64)[::-3],
    "dates": np.arange(BIG).astype("datetime64[s]"),
    "broadcast": np.broadcast_to(np.arange(BIG, dtype=np.int16), (3, BIG)),
    "records": np.zeros(BIG, dtype=[("a", "f8"), ("b", "i2")]),
    "small": np.arange(5),
    "empty": np.zeros((0, 7)),
    "objects": np.array(["a", None, 3] * BIG, dtype=object),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_of_every_layout_come_back_equal_and_writable(layout, path):
    array = LAYOUTS[layout]
    write_payload(call_with(x=array), path)

    back = loaded(path, "x")

    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1000, 100)),
        np.zeros((1000, 101))[:, :-1],
        np.zeros((1000, 100), dtype="datetime64[ns]"),
    ],
    ids=["contiguous", "gaps", "dates"],
)
def test_large_arrays_lie_outside_the_pickle(array, path):
    write_payload(call_with(x=array), path)

    stream, buffers = Payload(path)._read()

    assert stream.nbytes < 2000
    assert [buffer.nbytes for buffer in buffers] == [array.nbytes]


def test_buffers_begin_at_pages(path):
    write_payload(call_with(x=np.ones(BIG), y=np.ones(BIG + 1)), path)

    addresses = [np.asarray(loaded(path, name)).ctypes.data % 4096 for name in "xy"]

    assert addresses == [0, 0]


def test_data_frames_travel_outside_the_pickle(path):
    frame = pd.DataFrame(np.random.default_rng(0).random((BIG, 5))).assign(
        day=pd.Timestamp("2026-01-01")
    )
    write_payload(call_with(frame=frame), path)

    back = loaded(path, "frame")
    back.iloc[0, 0] = 7

    pd.testing.assert_frame_equal(loaded(path, "frame"), frame)
    assert Payload(path)._read()[0].nbytes < 10_000


def test_one_array_under_two_names_is_written_once(path):
    array = np.ones(BIG)
    write_payload(call_with(x=array, y=array), path)

    parts = Payload(path).load().parts()

    assert parts["x"] is parts["y"]


def test_any_callable_can_be_sent(path):
    write_payload(dict, path)

    assert Payload(path).load()({"lr": 1}) == {"lr": 1}


def test_callable_that_cannot_be_pickled_is_refused(path):
    generator = (n for n in [])

    with pytest.raises(ObjectiveError, match="generator"):
        write_payload(lambda params: generator, path)


def test_missing_file_is_a_store_error(path):
    with pytest.raises(StoreError, match="cannot be read"):
        Payload(path).load()


@pytest.mark.parametrize("kept", [0, 20, 100, -1])
def test_file_that_was_cut_short_is_a_store_error(kept, path):
    write_payload(call_with(x=np.ones(BIG)), path)
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(StoreError, match="cannot be read"):
        Payload(path).load()


def test_full_disk_tells_the_size_and_removes_the_part(path):
    code = f"""
import resource, sys
import numpy as np
from nbtune.objective import from_cell, write_payload
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
call = from_cell("lr: Real(0, 1)\\nX", dict(X=np.zeros(10**6)), filename="c").call
try:
    write_payload(call, {str(path)!r})
except Exception as error:
    sys.stdout.write(f"{{type(error).__name__}}: {{error}}")
"""

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.startswith(f"StoreError: {path} cannot be written: ")
    assert "takes 8.0 MB" in told.stdout
    assert list(path.parent.iterdir()) == []


def test_folder_that_is_missing_is_a_store_error(tmp_path):
    with pytest.raises(StoreError, match="cannot be written"):
        write_payload(dict, tmp_path / "nowhere" / "payload")


def test_peak_memory_of_writing_is_far_below_a_second_copy(path):
    code = f"""
import resource, sys
import numpy as np
from nbtune.objective import from_cell, write_payload
X = np.ones((4000, 5001))
calls = [from_cell(f"lr: Real(0, 1)\\n{{name}}", dict(X=X, V=X[:, 1:]), filename="c").call
         for name in "XV"]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for call in calls:
    write_payload(call, {str(path)!r})
sys.stdout.write(str((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024))
"""

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert int(told.stdout) < 60  # of 160 MB


def test_loading_without_arrays_takes_well_under_a_millisecond(path):
    import timeit

    write_payload(call_with(x=1), path)
    payload = Payload(path)

    best = min(timeit.repeat(payload.load, number=100, repeat=5)) / 100

    assert best < 1e-3  # 6 us when quiet


def test_worker_that_runs_a_cell_without_arrays_imports_no_numpy(path):
    call = from_cell("lr: Real(0, 1)\nreport(a=lr)", {}, filename="Cell In[1]").call
    write_payload(call, path)
    code = f"""
import sys
from nbtune.objective.payload import Payload
Payload({str(path)!r}).load()(dict(lr=0.5))
sys.stdout.write(str("numpy" in sys.modules))
"""

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "a 0.5\nFalse"


def test_a_worker_that_loads_an_annotated_function_imports_neither_space_nor_numpy(path):
    namespace = {"__name__": "__main__"}
    exec("from nbtune import Real\ndef train(x: Real(0, 1) = 0.5):\n    return x", namespace)
    write_payload(from_function(namespace["train"]).call, path)
    code = (
        "import sys; from pathlib import Path; from nbtune.objective.payload import Payload; "
        "print(Payload(Path(sys.argv[1])).load()({'x': 0.25}), "
        "'numpy' in sys.modules, 'nbtune.space' in sys.modules)"
    )

    seen = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert seen.split() == ["0.25", "False", "False"]


class Shelf:
    """A depot in a folder."""

    def __init__(self, folder):
        self.depot = Depot(folder)
        self.lengths = []

    def put(self, nbytes, pieces):
        self.lengths.append(nbytes)
        return self.depot.add(pieces())


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "shelf")


MB = 2**20
PACKED = {
    "one large": [(20 * MB, 1)],
    "large and small": [(20 * MB, 1), (MB, 2), (17 * MB, 1)],
    "many small": [(MB - 1000, 40)],
    "little": [(100_000, 3)],
}


def arrays(kind):
    sizes = [size for size, count in PACKED[kind] for _ in range(count)]
    return [np.full(size, number, dtype=np.uint8) for number, size in enumerate(sizes)]


@pytest.mark.parametrize("kind", PACKED)
def test_arrays_in_packs_come_back_equal_and_at_pages(kind, path, shelf):
    write_payload(call_with(x=arrays(kind)), path, shelf)

    back = Payload(path, [shelf.depot.folder]).load().parts()["x"]

    np.testing.assert_equal(back, arrays(kind))
    assert {each.ctypes.data % 4096 for each in back} == {0}


def test_large_buffers_have_packs_of_their_own_and_small_ones_share(path, shelf):
    write_payload(call_with(x=arrays("large and small")), path, shelf)

    assert shelf.lengths == [20 * MB, 17 * MB, 2 * MB]


def test_little_is_not_worth_a_pack(path, shelf):
    write_payload(call_with(x=arrays("little")), path, shelf)

    assert shelf.lengths == []


def test_a_payload_names_its_packs(path, shelf):
    write_payload(call_with(x=arrays("one large")), path, shelf)

    assert Payload(path).packs() == {
        each.name: 20 * MB for each in shelf.depot.folder.iterdir() if each.name != ".lock"
    }


def test_equal_arrays_are_stored_once_and_stay_two_arrays(path, shelf):
    write_payload(call_with(x=np.zeros(20 * MB, "u1"), y=np.zeros(20 * MB, "u1")), path, shelf)
    parts = Payload(path, [shelf.depot.folder]).load().parts()

    parts["x"][:] = 1

    assert parts["y"].max() == 0
    assert len(Payload(path).packs()) == 1


def test_thousands_of_arrays_take_few_file_descriptors(path, shelf):
    write_payload(call_with(x=[np.zeros(100_000, "u1") for _ in range(3000)]), path, shelf)
    payload = Payload(path, [shelf.depot.folder])
    before = descriptors()

    call = payload.load()

    assert descriptors() - before < 25
    assert len(call.parts()["x"]) == 3000


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_pack_that_is_gone_is_a_store_error_with_its_size(path, shelf):
    write_payload(call_with(x=arrays("one large")), path, shelf)

    with pytest.raises(StoreError, match=r"21\.0 MB of what the objective .* are gone"):
        Payload(path, [path.parent / "elsewhere"]).load()


def test_gathered_it_needs_no_places(path, shelf):
    write_payload(call_with(x=arrays("large and small")), path, shelf)

    Payload(path, [shelf.depot.folder]).gather(path.parent / "whole")

    whole = Payload(path.parent / "whole")
    assert whole.packs() == {}
    np.testing.assert_equal(whole.load().parts()["x"], arrays("large and small"))
