"""Whoever is no worker, or sends what no worker sends, does not disturb a sweep."""

import contextlib
import json
import os
import pickle
import random
import socket
import stat
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path

import pytest
from driving import PATIENCE, wait_until

import nbtune
from nbtune import report
from nbtune.workers import Local
from nbtune.workers.channel import Link


class Stranger:
    """Who knows the address of a sweep's socket, and its key where it says so."""

    def __init__(self, address, key):
        self.address = str(address)
        self.key = key

    @contextlib.contextmanager
    def dial(self):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(self.address)
            with contextlib.suppress(OSError, AuthenticationError):
                yield sock

    @contextlib.contextmanager
    def prove(self):
        """Dial, and prove to hold the key, as a worker does."""
        with self.dial() as sock:
            sock.settimeout(None)
            with Connection(os.dup(sock.fileno())) as connection:
                answer_challenge(connection, self.key)
                deliver_challenge(connection, self.key)
            yield sock


def attacks(stranger, chance):  # noqa: C901 - a table
    """Return what a stranger may do, by name."""

    def noise():
        with stranger.dial() as sock:
            sock.sendall(chance.randbytes(chance.randrange(1, 5000)))

    def half_a_frame():
        with stranger.dial() as sock:
            sock.sendall(struct.pack("!I", 100) + b"x" * 50)

    def a_huge_length():
        with stranger.dial() as sock:
            sock.sendall(struct.pack("!i", -1) + struct.pack("!Q", 2**62) + b"x" * 100)

    def silence():
        with stranger.dial() as sock:
            time.sleep(chance.random() / 5)
            sock.shutdown(socket.SHUT_RDWR)

    def the_wrong_key():
        with stranger.dial() as sock, Connection(os.dup(sock.fileno())) as connection:
            answer_challenge(connection, b"w" * 32)

    def an_old_answer():
        with stranger.dial() as sock:
            sock.recv(4096)
            sock.sendall(ANSWER)
            assert b"WELCOME" not in sock.recv(4096)

    def proved_noise():
        with stranger.prove() as sock:
            sock.sendall(chance.randbytes(chance.randrange(1, 5000)))

    def proved_huge_length():
        with stranger.prove() as sock:
            sock.sendall(struct.pack("!I", 2**31))

    def proved_half_frame():
        with stranger.prove() as sock:
            sock.sendall(struct.pack("!I", 100) + b"[1,")

    def proved_nonsense():
        with stranger.prove() as sock:
            Link(sock).send(json.dumps(chance.choice(NONSENSE)).encode())

    def proved_depth():
        with stranger.prove() as sock:
            Link(sock).send(b"[" * 100_000)

    return {each.__name__: each for each in locals().values() if callable(each)}


ANSWER = struct.pack("!i", 16) + bytes(range(16))
NONSENSE = [
    None,
    {},
    [],
    ["hello"],
    ["hello", 0, 0, 1],
    ["hello", 99, 1, 1],
    ["hello", -1, "x", None],
    ["hello", "0", {}, []],
    ["hello", 0, 10**30, "pid"],
    ["hello", 0, 1, os.getpid()],  # the slot has its process already
    ["ended", 0, "returned", 1.0, {"value": 99.0}, None, False],
    ["reports", 0, False, [[1, 1.0, {"value": 99.0}]]],
]


@pytest.fixture
def live(tmp_path):
    """Yield a stranger to a sweep of two trials that run; they are right in the end."""
    go = tmp_path / "go"

    def train(x: nbtune.Int(1, 2)):
        report(1, value=0.5)
        while not go.exists():
            time.sleep(0.01)
        report(2, value=float(x))

    sweep = nbtune.Sweep(
        train, maximize="value", searcher="grid", workers=Local(2), store=tmp_path / "store"
    ).start()
    wait_until(lambda: sum(trial.count for trial in sweep.snapshot().trials) == 2)
    pool = sweep._engine._workers._pool
    yield Stranger(pool._folder / "socket", pool._listener._key)
    go.touch()
    assert sweep.wait(timeout=PATIENCE)
    trials = sweep.snapshot().trials
    assert [trial.status for trial in trials] == ["completed", "completed"]
    assert [[each.metrics["value"] for each in trial.reports] for trial in trials] == [
        [0.5, 1.0],
        [0.5, 2.0],
    ]


def test_a_thousand_attacks_of_all_kinds_leave_a_sweep_undisturbed(live):
    chance = random.Random(1)
    table = attacks(live, chance)
    names = [*table, *chance.choices(list(table), k=1000)]

    with ThreadPoolExecutor(8) as executor:
        attempts = [executor.submit(table[name]) for name in names]

    for attempt in attempts:
        attempt.result()


def test_two_hundred_silent_strangers_at_once_hold_up_nobody(live, monkeypatch):
    monkeypatch.setattr("nbtune.workers.channel._HANDSHAKE_SECONDS", 1000)  # all are there still
    with contextlib.ExitStack() as strangers:
        for _ in range(200):
            strangers.enter_context(live.dial())

        with live.prove() as sock:  # as the next worker would
            Link(sock).send(b"[]")


def test_a_silent_stranger_is_turned_away_in_the_end(live):
    with live.dial() as sock:
        assert sock.recv(4096)  # the challenge
        assert sock.recv(4096) == b""


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_not_loaded_from_whoever_holds_the_key(live, tmp_path):
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    for frame in bomb, json.dumps(["hello", 0, 0, 1]).encode() + bomb:
        with live.prove() as sock:
            Link(sock).send(frame)
            sock.settimeout(PATIENCE)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""

    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "frame",
    [
        "pickle",
        ["reports", 1, False, [[1, 1.0, {"value": "text"}]]],
        ["reports", 1, False, [[1, 1.0, {"\ud800": 1.0}]]],
        ["reports", 1, False, [[2**70, 1.0, {}]]],
        ["reports", 1, False, [[1, 1.0, []]]],
        ["ended", 1, "exploded", 1.0, None, None, False],
        ["ended", 1, "raised", 1.0, None, "text", False],
    ],
    ids=str,
)
def test_what_no_worker_sends_ends_the_trial_that_sends_it_alone(beside, tmp_path, frame):
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    text = bomb if frame == "pickle" else json.dumps(frame).encode()

    def fault():
        for descriptor in range(3, 64):
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    os.write(descriptor, struct.pack("!I", len(text)) + text)
        time.sleep(1000)

    scene = beside(fault)

    assert scene.fault.status == "failed"
    assert "it sent what no nbtune sends" in scene.fault.reason
    assert not (tmp_path / "exploded").exists()


def test_nobody_else_can_read_what_a_sweep_writes_whatever_the_umask(beside):
    before = os.umask(0)
    try:

        def fault():
            print("secret")
            return 1.0

        scene = beside(fault)
    finally:
        os.umask(before)

    store = scene.sweep.path.parent
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    for path in store.rglob("*"):
        if path.name != ".gitignore":
            wanted = 0o700 if path.is_dir() else 0o600
            assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_threads_of_strangers_end(live):
    before = threading.active_count()
    for _ in range(20):
        with live.dial() as sock:
            sock.sendall(b"x")

    wait_until(lambda: threading.active_count() <= before)
