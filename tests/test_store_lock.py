"""The lock of a sweep: who holds it, and what cannot take it away."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
from driving import wait_until

from nbtune.exceptions import StoreError, SweepError
from nbtune.store import Lock, is_locked, stamp_of

PROBE = "import sys; from pathlib import Path; from nbtune.store import is_locked; "
PROBE += "print(is_locked(Path(sys.argv[1])))"


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "store" / "digits"
    folder.mkdir(parents=True)
    return folder / "lock"


@pytest.fixture
def held(path):
    lock = Lock(path)
    yield lock
    lock.close()


def is_locked_elsewhere(path):
    """Return what another process sees."""
    seen = subprocess.run(
        [sys.executable, "-c", PROBE, str(path)], capture_output=True, text=True, check=True
    )
    return seen.stdout.strip() == "True"


def test_reading_the_file_does_not_lose_the_lock(held, path):
    path.read_text()

    assert is_locked_elsewhere(path)


def test_a_copy_of_the_store_does_not_lose_the_lock(held, path, tmp_path):
    shutil.copytree(path.parent.parent, tmp_path / "backup")

    assert is_locked_elsewhere(path)
    assert not is_locked(tmp_path / "backup" / "digits" / "lock")


def test_a_look_through_a_link_or_a_detour_does_not_lose_the_lock(held, path, tmp_path):
    (tmp_path / "link").symlink_to(path.parent.parent)

    seen = [
        is_locked(tmp_path / "link" / "digits" / "lock"),
        is_locked(path.parent / ".." / "digits" / "lock"),
    ]

    assert seen == [True, True]
    assert is_locked_elsewhere(path)


def test_a_second_lock_in_this_process_is_refused_whatever_its_path(held, path, tmp_path):
    (tmp_path / "link").symlink_to(path.parent)

    with pytest.raises(SweepError, match="sweep 'digits' is running: stop it first"):
        Lock(path)
    with pytest.raises(SweepError, match="is running: stop it first"):
        Lock(tmp_path / "link" / "lock")
    assert is_locked_elsewhere(path)


def test_looking_while_another_thread_takes_the_lock_does_not_lose_it(path):
    over = threading.Event()

    def look():
        while not over.is_set():
            is_locked(path)

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(300):
            Lock(path).close()
        lock = Lock(path)
    finally:
        over.set()
        for looker in lookers:
            looker.join()

    assert is_locked_elsewhere(path)
    lock.close()


def test_of_many_threads_one_gets_the_lock(path):
    taken, ready = [], threading.Barrier(8)

    def take():
        ready.wait()
        with suppress(SweepError):
            taken.append(Lock(path))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == 1
    taken[0].close()


FORKS = """
import os, signal, sys
from pathlib import Path
from nbtune.store import Lock
lock = Lock(Path(sys.argv[1]))
child = os.fork()
if child:
    print(child, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
signal.pause()
"""


def test_a_forked_child_does_not_keep_the_lock_of_a_dead_parent(path):
    with subprocess.Popen([sys.executable, "-c", FORKS, str(path)], stdout=-1) as parent:
        child = int(parent.stdout.readline())
        parent.wait()

        try:
            wait_until(lambda: not is_locked(path))  # once the child has come to itself
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_forked_child_that_ends_leaves_its_parent_the_lock(held, path):
    child = os.fork()
    if not child:
        held.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert is_locked_elsewhere(path)


def test_a_program_started_meanwhile_does_not_keep_the_lock(path):
    lock = Lock(path)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as program:
        lock.close()
        locked = is_locked(path)
        program.kill()

    assert not locked


def test_the_lock_of_a_file_that_was_removed_meanwhile_is_taken_on_the_new_one(path):
    first = Lock(path)
    path.unlink()

    second = Lock(path)

    assert is_locked_elsewhere(path)
    first.close()
    assert is_locked_elsewhere(path)
    second.close()


def test_the_stamp_changes_each_time_the_lock_is_taken(path):
    first = Lock(path)
    first.close()
    unchanged = stamp_of(path)
    subprocess.run(
        [sys.executable, "-c", PROBE.replace("is_locked", "Lock"), str(path)], check=True
    )

    assert first.stamp == unchanged
    assert stamp_of(path) != unchanged


def test_a_file_system_without_locks_is_one_clear_error(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.fcntl", refuse)

    with pytest.raises(StoreError, match=r"cannot lock files .* Set NBTUNE_STORE or store= to"):
        Lock(path)
    assert not is_locked(path)


def test_a_folder_that_cannot_be_made_is_one_clear_error(path):
    path.parent.rmdir()
    path.parent.write_text("a file")

    with pytest.raises(StoreError, match="cannot be written"):
        Lock(path)
