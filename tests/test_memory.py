"""Buffers of this process on /dev/shm: shared, bounded, gone with it, inherited from the dead."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from driving import PATIENCE

from nbtune.objective.memory import Memory, _memory_left, remove_leftovers, room_in

MB = 10**6


class Holder:
    """Stands for a sweep."""


@pytest.fixture
def root():
    folder = Path(tempfile.mkdtemp(prefix="nbtune-test-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def memory(root):
    memory = Memory(root, bound=2 * MB)
    yield memory
    memory.close()


def fill(memory, byte, holder, nbytes=MB):
    content = memoryview(bytes([byte]) * nbytes)
    return memory.add(nbytes, lambda: [content], holder)


def lying(memory):
    return {path.name for path in memory.folder.iterdir() if path.name != ".lock"}


def test_a_buffer_that_lies_there_can_be_held_by_another(memory):
    digest = fill(memory, 1, Holder())

    assert memory.hold(digest, MB, Holder())
    assert not memory.hold("0" * 32, MB, Holder())


def test_folder_is_for_its_owner_only(memory):
    fill(memory, 1, Holder())

    assert stat.S_IMODE(memory.folder.stat().st_mode) == 0o700


def test_nothing_is_made_before_it_is_needed(memory, root):
    memory.room()

    assert list(root.iterdir()) == []


@pytest.mark.parametrize(("room", "fits"), [(2 * MB, True), (2 * MB - 1, False)])
def test_a_buffer_takes_half_of_the_room_at_most(room, fits, root):
    memory = Memory(root, room=lambda _root: room)

    digest = fill(memory, 1, Holder())
    memory.close()

    assert (digest is not None) is fits


def test_without_the_file_system_there_is_no_room(tmp_path):
    memory = Memory(tmp_path / "nowhere")

    assert memory.room() == 0
    assert fill(memory, 1, Holder()) is None


def test_unused_buffers_stay_up_to_the_bound_the_last_used_longest(memory):
    holder = Holder()
    digests = [fill(memory, byte, holder) for byte in range(4)]
    memory.hold(digests[0], MB, holder)

    memory.release(holder)

    assert lying(memory) == {digests[0], digests[3]}


def test_held_buffers_stay_beyond_the_bound(memory):
    holder, other = Holder(), Holder()
    digests = {fill(memory, byte, holder) for byte in range(4)}

    memory.release(other)

    assert lying(memory) == digests


def test_a_buffer_stays_until_its_last_holder_has_gone(root):
    memory = Memory(root, bound=0)
    one, other = Holder(), Holder()
    digest = fill(memory, 1, one)
    memory.hold(digest, MB, other)

    memory.release(one)
    after_one = lying(memory)
    memory.release(other)
    after_both = lying(memory)
    memory.close()

    assert after_one == {digest}
    assert after_both == set()


def test_unused_buffers_make_room_for_new_ones(root):
    memory = Memory(root, room=lambda root: 3 * MB - sum(f.stat().st_size for f in root.rglob("*")))
    holder = Holder()
    old = fill(memory, 1, holder)
    memory.release(holder)

    new = fill(memory, 2, holder)
    seen = lying(memory)
    memory.close()

    assert new is not None
    assert seen == {new} != {old}


def test_close_removes_the_folder(memory, root):
    fill(memory, 1, Holder())

    memory.close()

    assert list(root.iterdir()) == []


SCRIPT = """
import os, sys
from pathlib import Path
from nbtune.objective.memory import Memory
memory = Memory(Path(sys.argv[1]))
memory.add(1000, lambda: [memoryview(bytes(1000))], memory)
print("there", flush=True)
input()
"""


def run(root, *, then=""):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + then, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()
    return process


def end(process, *, kill=False):
    if kill:
        process.kill()
    process.communicate(b"\n")


def test_the_folder_goes_with_its_process(root):
    end(run(root))

    assert list(root.iterdir()) == []


def test_a_child_that_the_process_forks_takes_nothing_away(root):
    then = "if os.fork() == 0: sys.exit()\nos.wait(); print('folder', memory.folder.exists())"
    process = run(root, then=then)

    told, _ = process.communicate(b"\n")

    assert told == b"folder True\n"


def test_a_killed_process_leaves_its_buffers_to_the_next(root, memory):
    end(run(root), kill=True)
    left = [path for path in root.iterdir() if path.is_dir()]

    fill(memory, 1, Holder())

    assert len(left) == 1
    assert list(root.iterdir()) == [memory.folder]
    assert len(lying(memory)) == 2


def test_what_a_killed_process_left_goes_without_new_data_too(root):
    end(run(root), kill=True)
    left = list(root.iterdir())

    remove_leftovers(root)

    assert len(left) == 1
    assert list(root.iterdir()) == []


def test_a_living_process_keeps_its_buffers_when_leftovers_go(root):
    process = run(root)

    remove_leftovers(root)
    (folder,) = root.iterdir()
    buffers = [path for path in folder.iterdir() if not path.name.startswith(".")]
    end(process)

    assert len(buffers) == 1


def test_leftovers_of_somebody_else_stay(root):
    other = root / f"nbtune-data-{os.getuid()}-thesis_1"
    other.mkdir(mode=0o700)
    for name in "results.csv", "lock", "0" * 31:
        (other / name).touch()

    remove_leftovers(root)

    assert len(list(other.iterdir())) == 3


def test_a_living_process_keeps_its_own(root, memory):
    process = run(root)

    fill(memory, 1, Holder())
    folders = len(list(root.iterdir()))
    end(process)

    assert folders == 2
    assert len(lying(memory)) == 1


def test_a_planted_link_is_neither_followed_nor_emptied(root, memory, tmp_path):
    (tmp_path / "precious").write_bytes(b"mine")
    tmp_path.chmod(0o700)
    (root / f"nbtune-data-{os.getuid()}-planted").symlink_to(tmp_path)

    fill(memory, 1, Holder())

    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert len(lying(memory)) == 1


def test_a_folder_that_others_can_write_to_is_left_alone(root, memory):
    planted = root / f"nbtune-data-{os.getuid()}-planted"
    planted.mkdir()
    planted.chmod(0o777)
    (planted / ("0" * 32)).write_bytes(b"theirs")

    fill(memory, 1, Holder())

    assert not memory.hold("0" * 32, 6, Holder())


def test_room_is_the_least_of_file_system_machine_and_control_groups(tmp_path):
    group = tmp_path / "cgroup" / "slice" / "pod"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("1000000\n")
    (group / "memory.current").write_text("900000\n")
    (group / "memory.stat").write_text("anon 5\ninactive_file 300000\n")
    (group.parent / "memory.max").write_text("max\n")
    (group.parent / "memory.current").write_text("900000\n")
    (group.parent / "memory.stat").write_text("anon 5\n")
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    7000 kB\n")
    (proc / "self" / "cgroup").write_text("0::/slice/pod\n")

    assert list(_memory_left(tmp_path / "cgroup", proc)) == [7_168_000, 400_000]


def test_room_here_is_no_more_than_is_free(tmp_path):
    assert 0 < room_in(tmp_path) <= shutil.disk_usage(tmp_path).free + MB


def test_a_folder_that_cannot_be_opened_is_removed_and_nothing_lies_in_memory(root):
    code = f"""
import resource, sys
from pathlib import Path
from nbtune.objective.memory import Memory
memory = Memory(Path({str(root)!r}))
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
kept = memory.add(3, lambda: [memoryview(b"abc")], memory)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
sys.stdout.write(repr(kept))
"""

    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )

    assert told.stdout == "None"
    assert list(root.iterdir()) == []


def test_what_else_lies_in_a_folder_that_looks_like_a_dead_processs_stays(root, memory):
    left = root / f"nbtune-data-{os.getuid()}-mine"
    (left / "deep").mkdir(parents=True, mode=0o700)
    left.chmod(0o700)
    (left / "notes.txt").write_text("mine")
    (left / ("0" * 32)).write_bytes(b"a buffer")

    fill(memory, 1, Holder())

    assert sorted(path.name for path in left.iterdir()) == ["deep", "notes.txt"]
    assert "0" * 32 in lying(memory)
