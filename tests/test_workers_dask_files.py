"""A trial's files on their way from a Dask worker's machine, while the trial goes on."""

import socket

import pytest

from nbtune.trial import Report
from nbtune.workers.base import Ended, Reported
from nbtune.workers.channel import Link
from nbtune.workers.dask.cargo import Courier, fields, unpack
from nbtune.workers.dask.host import _Host


@pytest.fixture
def checkpoints(tmp_path):
    """The folder of trial 0's checkpoints: of the first only the name is left, as it is dropped."""
    home = tmp_path / "worker" / "0" / "checkpoints"
    home.mkdir(parents=True)
    (home / "000001-0.pickle").symlink_to(home / "gone")
    (home / "000002-1.pickle").write_bytes(b"newer")
    return home


@pytest.fixture
def host(checkpoints):
    """A host that brings files home, and the other end of its link."""
    here, there = socket.socketpair()
    host, other = _Host(Link(here)), Link(there)
    host._courier = Courier(checkpoints.parents[1])
    yield host, other
    here.close()
    there.close()


def kinds(link, last):
    """Return the kinds of frames that come, up to one of kind `last`."""
    found = []
    link.patience(receive=10, send=10)
    while last not in found:
        found += [fields(data)[0][0] for data in link.receive()]
    return found


def arrived(frames, folder):
    for data in frames:
        (kind, number, *names), body = fields(data)
        unpack(folder / str(number), kind, names, body)
    return {path.name for path in (folder / "0" / "checkpoints").iterdir()}


def test_a_report_arrives_whatever_becomes_of_a_checkpoint_before_it(host):
    sender, link = host

    sender._post(Reported(number=0, reports=[Report(17, {"loss": 1.0}, 0.0)]))

    assert kinds(link, "reports")[-1] == "reports"


def test_an_end_arrives_whatever_becomes_of_the_files(host):
    sender, link = host

    sender._post(Ended(number=0, slot=0, how="returned", time=0.0))

    assert kinds(link, "ended")[-1] == "ended"


def test_a_checkpoint_that_is_dropped_meanwhile_is_passed_over(checkpoints, tmp_path):
    frames = Courier(checkpoints.parents[1]).news(0)

    assert arrived(frames, tmp_path / "home") == {"000002-1.pickle"}


def test_a_folder_that_is_dropped_meanwhile_does_not_arrive_in_part(checkpoints, tmp_path):
    folder = checkpoints / "000003-2"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_text(name)
    frames = []

    for data in Courier(checkpoints.parents[1]).news(0):
        frames.append(data)
        (folder / "a").unlink(missing_ok=True) if b"000003-2.draft/a" in data else None

    assert arrived(frames, tmp_path / "home") == {"000002-1.pickle"}
