"""The buffers of a run: in memory at once, in the store by its end, or told of."""

import resource
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from nbtune.exceptions import StoreError
from nbtune.objective import cargo as cargo_module
from nbtune.objective.cargo import Cargo
from nbtune.objective.depot import digest_of
from nbtune.objective.memory import Memory

MB = 10**6
CONTENT = memoryview(bytes(range(250)) * 12_000)


@pytest.fixture
def root():
    folder = Path(tempfile.mkdtemp(prefix="nbtune-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def memory(root):
    memory = Memory(root)
    yield memory
    memory.close()


@pytest.fixture
def kept(tmp_path):
    return tmp_path / ".data"


def put(cargo, content=CONTENT):
    return cargo.put(len(content), lambda: [content])


def test_a_buffer_lies_in_memory_at_once_and_in_the_store_at_the_end(kept, memory):
    cargo = Cargo(kept, memory)
    digest = put(cargo)
    before = (memory.folder / digest).exists(), (kept / digest).exists()

    cargo.keep()
    cargo.close()

    assert before == (True, False)
    assert (kept / digest).read_bytes() == CONTENT
    assert cargo.places == (memory.folder, kept)


def test_a_buffer_in_memory_is_not_written_again(kept, memory):
    digest = put(Cargo(kept, memory))
    before = (memory.folder / digest).stat().st_ino

    put(Cargo(kept, memory))

    assert (memory.folder / digest).stat().st_ino == before


def test_a_buffer_without_room_in_memory_goes_to_the_store_and_is_told_of(kept, root):
    cargo = Cargo(kept, Memory(root, room=lambda _root: 4 * MB))

    digest = put(cargo)

    assert (kept / digest).read_bytes() == CONTENT
    assert cargo.remark == "3 MB of data on disk (/dev/shm can take 2 MB)"


def test_data_in_memory_is_not_remarked_on(kept, memory):
    cargo = Cargo(kept, memory)

    put(cargo)

    assert cargo.remark == ""


def test_a_store_in_the_same_file_system_has_the_only_copy(root, memory):
    cargo = Cargo(root / "store", memory)

    digest = put(cargo)
    cargo.keep()
    cargo.close()

    assert (root / "store" / digest).exists()
    assert cargo.places == (root / "store",)
    assert cargo.remark == ""


def test_a_store_without_room_refuses_at_once(kept, memory, monkeypatch):
    nearly_full = SimpleNamespace(disk_usage=lambda _path: SimpleNamespace(free=2 * MB))
    monkeypatch.setattr(cargo_module, "shutil", nearly_full)

    with pytest.raises(OSError, match="No space left"):
        put(Cargo(kept, memory))


def test_a_copy_that_fails_is_told_and_made_good_at_the_end_when_there_is_room(kept, memory):
    cargo = Cargo(kept, memory)
    digest = put(cargo)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MB, before[1]))  # as on a full disk
    try:
        cargo.keep()
        cargo._thread.join()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    told = cargo.trouble

    cargo.close()

    assert told == (
        "3 MB of its data are not in the store (File too large): "
        "it cannot be resumed once this process is gone"
    )
    assert cargo.trouble == ""
    assert (kept / digest).read_bytes() == CONTENT


def test_what_the_store_has_is_taken_up_without_memory(kept, root):
    digest = put(Cargo(kept, Memory(root, room=lambda _root: 0)))
    memory = Memory(root)

    Cargo(kept, memory).take_up({digest: len(CONTENT)})
    seen = memory.folder / digest
    memory.close()

    assert not seen.exists()


def test_what_is_only_in_memory_is_taken_up_and_kept(kept, memory):
    digest = put(Cargo(kept, memory))

    cargo = Cargo(kept, memory)
    cargo.take_up({digest: len(CONTENT)})
    cargo.keep()
    cargo.close()

    assert (kept / digest).exists()


def test_what_is_nowhere_is_an_error_that_says_how_to_go_on(kept, memory):
    with pytest.raises(StoreError, match=r"3\.0 MB .* \.resume\(objective=\.\.\.\)"):
        Cargo(kept, memory).take_up({digest_of([CONTENT]): len(CONTENT)})
