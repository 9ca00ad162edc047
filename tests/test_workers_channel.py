"""The socket between driver and workers: whoever is no worker is harmless."""

import os
import socket
import stat
import struct
import threading
from multiprocessing import AuthenticationError
from pathlib import Path

import pytest
from driving import Driver, wait_until

from nbtune import report
from nbtune.decision import Continue
from nbtune.workers import Local
from nbtune.workers.channel import ChannelError, Link, Listener, connect


@pytest.fixture
def served():
    return []


@pytest.fixture
def listener(tmp_path, served):
    listener = Listener(tmp_path / "socket", b"k" * 32, lambda link: served.append(link.receive()))
    yield listener
    listener.close()


def stranger(tmp_path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(tmp_path / "socket"))
    return sock


def test_a_frame_arrives_whole_however_it_is_cut():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(ours)
        data = struct.pack("!I", 5) + b"hello" + struct.pack("!I", 3) + b"you"
        frames = []

        for byte in data:
            theirs.send(bytes([byte]))
            frames += link.receive()

        assert frames == [b"hello", b"you"]


def test_several_frames_may_arrive_at_once():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Link(theirs).send(b"one")
        Link(theirs).send(b"")
        Link(theirs).send(b"three")

        assert Link(ours).receive() == [b"one", b"", b"three"]


def test_a_frame_longer_than_the_limit_is_refused():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Link(theirs).send(b"x" * 11)

        with pytest.raises(ChannelError, match="11 bytes, the limit is 10"):
            Link(ours, limit=10).receive()


def test_the_end_of_the_other_side_is_told():
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()

        with pytest.raises(EOFError):
            Link(ours).receive()


def test_whoever_has_the_key_is_served(listener, tmp_path, served):
    link = connect(str(tmp_path / "socket"), b"k" * 32)
    link.send(b"[1]")
    wait_until(lambda: served)
    link.close()

    assert served == [[b"[1]"]]


def test_whoever_has_the_wrong_key_is_turned_away(listener, tmp_path, served):
    with pytest.raises(AuthenticationError, match="rejected"):
        connect(str(tmp_path / "socket"), b"w" * 32)

    assert served == []


def test_a_silent_stranger_holds_up_nobody(listener, tmp_path, served):
    with stranger(tmp_path), stranger(tmp_path):
        link = connect(str(tmp_path / "socket"), b"k" * 32)
        link.send(b"[]")
        wait_until(lambda: served)
        link.close()


@pytest.mark.parametrize(
    "noise",
    [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 300, struct.pack("!I", 2**31 - 1), os.urandom(4096)],
    ids=["http", "ones", "length", "random"],
)
def test_noise_is_harmless(listener, tmp_path, served, noise):
    with stranger(tmp_path) as sock:
        sock.sendall(noise)

        link = connect(str(tmp_path / "socket"), b"k" * 32)
        link.send(b"[]")
        wait_until(lambda: served)
        link.close()


def test_closing_does_not_wait_for_silent_strangers(tmp_path):
    threads = set(threading.enumerate())
    listener = Listener(tmp_path / "socket", b"k", lambda link: None)

    with stranger(tmp_path):
        wait_until(lambda: len(threading.enumerate()) > len(threads) + 1)
        listener.close()

    assert set(threading.enumerate()) == threads


def test_the_socket_lies_where_only_its_owner_can_reach_it(tmp_path, short_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(short_path))
    with Driver(Local(1), lambda params: 1, tmp_path / "sweep"):
        (folder,) = short_path.glob("nbtune-*")

        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_long_path_to_the_temporary_folder_is_no_obstacle(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))

    with Driver(Local(1), lambda params: 1, tmp_path) as driver:
        assert driver.run().how == "returned"


def test_a_trial_that_sends_noise_to_the_driver_dies_alone(tmp_path):
    def scribble(params):
        if params["bad"]:
            for descriptor in range(3, 64):
                try:
                    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                        os.write(descriptor, struct.pack("!I", 4) + b"boom")
                except OSError:
                    continue
            import time

            time.sleep(1000)
        return 1

    with Driver(Local(1), scribble, tmp_path) as driver:
        ended = driver.run({"bad": True})

        assert (ended.how, ended.failure.type) == ("died", "ProcessDied")
        assert "sent what no nbtune sends" in ended.failure.message
        assert driver.run({"bad": False}).how == "returned"


def test_a_trial_that_closes_its_connection_dies_alone(tmp_path):
    def close(params):
        if params["bad"]:
            os.closerange(3, 256)
            import time

            time.sleep(1000)
        return 1

    with Driver(Local(1), close, tmp_path) as driver:
        assert driver.run({"bad": True}).how == "died"
        assert driver.run({"bad": False}).how == "returned"


def test_reports_of_many_metrics_arrive_while_nobody_listens(tmp_path):
    def flood(params):
        for step in range(1, 5_001):
            report(step, **{f"metric_{i}": float(i) for i in range(20)})

    with Driver(Local(1), flood, tmp_path) as driver:
        number = driver.start(milestone=5_000)
        driver.reported(number, waiting=True)
        driver.workers.answer(number, Continue())
        driver.ended(number)

        assert len(driver.reports(number)) == 5_000
        assert Path(tmp_path / "0").is_dir()
