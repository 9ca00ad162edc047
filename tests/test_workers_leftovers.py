"""What dead kernels left is removed; what living ones use is not."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from driving import PATIENCE, Driver, is_gone, wait_until

from nbtune.workers import Local
from nbtune.workers.leftovers import claim, remove_leftovers

OWNER = """
import sys, time
from pathlib import Path
from nbtune.workers.leftovers import claim
folder = Path(sys.argv[1])
folder.mkdir(mode=0o700)
held = claim(folder, "0123456789abcdef")
(folder / "socket").touch()
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def owner(tmp_path):
    """Start a process that holds a pool's folder; return the two."""
    started = []

    def start(folder=tmp_path / "nbtune-0123456789abcdef"):
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process, folder

    yield start
    for process in started:
        process.kill()
        process.communicate()


def dead_pid():
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


def test_the_folder_of_a_dead_pool_goes(tmp_path, owner):
    process, folder = owner()
    process.kill()
    process.wait()

    remove_leftovers([tmp_path])

    assert not folder.exists()


def test_the_folder_of_a_living_pool_stays(tmp_path, owner):
    _, folder = owner()

    remove_leftovers([tmp_path])

    assert (folder / "socket").exists()


def test_what_still_runs_of_a_dead_pool_ends(tmp_path, owner):
    process, _ = owner()
    process.kill()
    process.wait()
    orphan = subprocess.Popen(
        ["sleep", "1000"], env={"NBTUNE_POOL": "0123456789abcdef.0.1."}, start_new_session=True
    )

    remove_leftovers([tmp_path])

    assert orphan.wait(timeout=PATIENCE) < 0


def test_a_folder_in_the_making_stays(tmp_path):
    (tmp_path / "nbtune-00000000000000ff").mkdir()

    remove_leftovers([tmp_path])

    assert (tmp_path / "nbtune-00000000000000ff").exists()


def test_an_empty_folder_that_was_never_claimed_goes(tmp_path):
    folder = tmp_path / "nbtune-00000000000000ff"
    folder.mkdir()
    os.utime(folder, (0, 0))

    remove_leftovers([tmp_path])

    assert not folder.exists()


def test_a_folder_that_only_looks_like_a_pools_stays(tmp_path):
    folder = tmp_path / "nbtune-thesis"
    folder.mkdir()
    (folder / "chapter1.tex").touch()
    os.utime(folder, (0, 0))

    remove_leftovers([tmp_path])

    assert (folder / "chapter1.tex").exists()


def test_a_link_is_not_followed(tmp_path, owner):
    process, folder = owner(tmp_path / "elsewhere")
    (tmp_path / "nbtune-00000000000000ff").symlink_to(folder)
    process.kill()
    process.wait()

    remove_leftovers([tmp_path])

    assert (folder / "socket").exists()


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("nbtune-environment", b""),
        ("nbtune-environment", b"0123456789abcdef"),
        ("nbtune-0123456789abcdef", b""),
        ("nbtune-0123456789abcdef", b"fedcba9876543210"),
        ("nbtune-0123456789abcdef", b"0123456789abcdef\n"),
    ],
)
def test_somebodys_folder_with_a_lock_of_its_own_stays(tmp_path, name, token):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "lock").write_bytes(token)
    (folder / "socket").touch()

    remove_leftovers([tmp_path])

    assert sorted(path.name for path in folder.iterdir()) == ["lock", "socket"]


def test_of_a_dead_pools_folder_only_what_a_pool_makes_goes(tmp_path, owner):
    process, folder = owner()
    for name in "slot-0.log", "slot-0.end", ".payload.12", "payload":
        (folder / name).touch()
    for name in "slot-a.log", "socket.txt", ".payload.bak", "results.csv":
        (folder / name).touch()
    (folder / "payload-copy").mkdir()
    process.kill()
    process.wait()

    remove_leftovers([tmp_path])

    assert sorted(path.name for path in folder.iterdir()) == [
        ".payload.bak",
        "payload-copy",
        "results.csv",
        "slot-a.log",
        "socket.txt",
    ]


def test_semaphores_of_other_containers_stay():
    elsewhere = Path(f"/dev/shm/sem.loky-{dead_pid()}-{os.getpid()}")
    elsewhere.touch()

    remove_leftovers()

    assert elsewhere.exists()
    elsewhere.unlink()


def test_a_pool_makes_no_semaphores(tmp_path):
    before = set(Path("/dev/shm").glob(f"sem.loky-{os.getpid()}-*"))

    with Driver(Local(1), lambda params: 1, tmp_path / "sweep") as driver:
        driver.run()
        made = set(Path("/dev/shm").glob(f"sem.loky-{os.getpid()}-*")) - before

    assert not made


def test_a_pool_that_opens_removes_what_a_dead_one_left(tmp_path, short_path, owner, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(short_path))
    process, folder = owner(short_path / "nbtune-0123456789abcdef")
    process.kill()
    process.wait()

    with Driver(Local(1), lambda params: 1, tmp_path / "sweep") as driver:
        driver.run()
        wait_until(lambda: not folder.exists())

        assert len(list(short_path.glob("nbtune-*"))) == 1


SHIPPING = """
import sys, time
from nbtune.objective.memory import Memory
memory, holder = Memory(), set
memory.add(3, lambda: [memoryview(b"abc")], holder)
print(memory.folder, flush=True)
time.sleep(1000)
"""


def test_a_pool_that_opens_removes_the_data_of_a_dead_kernel(tmp_path):
    kernel = subprocess.Popen([sys.executable, "-c", SHIPPING], stdout=subprocess.PIPE, text=True)
    folder = Path(kernel.stdout.readline().strip())
    assert list(folder.iterdir())
    kernel.kill()
    kernel.communicate()

    with Driver(Local(1), lambda params: 1, tmp_path / "sweep") as driver:
        driver.run()
        wait_until(lambda: not folder.exists())


LIVING = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from driving import Driver
    from nbtune.workers import Local
    driver = Driver(Local(1), lambda params: 1, Path(sys.argv[1]))
    driver.run()
    print("ready", flush=True)
    sys.stdin.readline()
    print(driver.run().how, flush=True)
    driver.workers.close()
    """
)


def test_another_living_kernel_goes_on_undisturbed(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", LIVING, str(tmp_path / "other"), str(Path(__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "ready\n"

    remove_leftovers()
    out, _ = other.communicate("go\n", timeout=PATIENCE)

    assert (out, other.returncode) == ("returned\n", 0)
    assert is_gone(other.pid)


def test_a_claim_is_released_with_its_descriptor(tmp_path):
    folder = tmp_path / "nbtune-0123456789abcdef"
    folder.mkdir()
    os.close(claim(folder, "0123456789abcdef"))

    remove_leftovers([tmp_path])

    assert not folder.exists()
