"""Buffers in files named by their content: once each, whole or not at all."""

import resource
import stat
import subprocess
import sys

import pytest

from nbtune.objective.depot import Depot, digest_of

CONTENT = bytes(range(256)) * 10_000


def pieces(content=CONTENT):
    half = len(content) // 2
    return [memoryview(content)[:half], memoryview(content)[half:]]


@pytest.fixture
def depot(tmp_path):
    return Depot(tmp_path / "depot")


@pytest.fixture
def full():
    """No file can grow beyond 1 MB, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def names(depot):
    return sorted(path.name for path in depot.folder.iterdir() if path.name != ".lock")


def test_name_is_that_of_the_content_however_it_is_cut(depot):
    assert depot.add(pieces()) == digest_of([memoryview(CONTENT)]) == digest_of(pieces())


def test_file_holds_the_content(depot):
    digest = depot.add(pieces())

    assert (depot.folder / digest).read_bytes() == CONTENT
    assert depot.has(digest, len(CONTENT))


def test_the_same_content_is_one_file(depot):
    depot.add(pieces())
    depot.add(pieces())

    assert names(depot) == [digest_of(pieces())]


def test_folder_and_files_are_for_their_owner_only(depot):
    digest = depot.add(pieces())

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (depot.folder, depot.folder / digest)]

    assert modes == [0o700, 0o600]


def test_a_file_of_another_length_does_not_count(depot):
    digest = depot.add(pieces())
    with (depot.folder / digest).open("ab") as file:
        file.truncate(100)

    assert not depot.has(digest, len(CONTENT))


def test_content_that_changes_while_it_is_written_is_named_by_what_was_written(depot):
    array = bytearray(CONTENT)

    def changing():
        half = len(array) // 2
        yield memoryview(array)[:half]
        array[half] ^= 1  # as a thread of the user's might
        yield memoryview(array)[half:]

    digest = depot.add(changing())

    assert digest == digest_of([memoryview(array)])
    assert (depot.folder / digest).read_bytes() == array


def test_copy_has_the_content_under_the_same_name(depot, tmp_path):
    other = Depot(tmp_path / "other")
    digest = depot.add(pieces())

    other.copy(depot.folder / digest)

    assert (other.folder / digest).read_bytes() == CONTENT


@pytest.mark.usefixtures("full")
def test_what_cannot_be_written_leaves_nothing(depot):
    with pytest.raises(OSError, match="too large"):
        depot.add(pieces())

    assert names(depot) == []


def test_a_planted_link_is_not_followed(depot, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (depot.folder / ".lock").unlink(missing_ok=True)
    (depot.folder / ".lock").symlink_to(victim)

    with pytest.raises(OSError, match="symbolic links"):
        depot.add(pieces())

    assert victim.read_bytes() == b"mine"


def test_clear_keeps_what_is_named_and_removes_parts_of_the_dead(depot):
    kept, lost = depot.add(pieces()), depot.add(pieces(CONTENT[::-1]))
    (depot.folder / f".{'01' * 8}").write_bytes(b"a part")

    depot.clear(lambda: {kept})

    assert lost not in names(depot)
    assert names(depot) == [kept]


def test_clear_does_nothing_while_another_process_uses_the_depot(depot):
    digest = depot.add(pieces())
    code = (
        "import sys; from pathlib import Path; from nbtune.objective.depot import Depot\n"
        "with Depot(Path(sys.argv[1])).in_use():\n    print('in', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(depot.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as user:
        user.stdout.readline()
        depot.clear(set)
        before = names(depot)
        user.stdin.close()
    depot.clear(set)

    assert before == [digest]
    assert names(depot) == []


def test_clearing_leaves_what_a_depot_does_not_make(depot):
    depot.add(pieces())
    (depot.folder / "notes.txt").write_text("mine")
    (depot.folder / ".hidden").write_text("mine")
    (depot.folder / ("a" * 32)).mkdir()

    depot.clear(set)

    assert names(depot) == [".hidden", "a" * 32, "notes.txt"]
