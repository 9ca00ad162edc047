"""Where the store is, whose folders it takes, and what it loads."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import nbtune
from nbtune import Real, SpecError, StoreError, Sweep, SweepError
from nbtune.store import Store, default_path
from nbtune.trial import Goal
from nbtune.workers import Inline

OPTIONS = {"minimize": "loss", "searcher": "random", "trials": 1, "workers": Inline(1)}


def train(x: Real(0, 1)):
    return x


def create(store, name="digits"):
    return store.create(
        name,
        goals=[Goal(metric="loss", direction="minimize")],
        step_name="epoch",
        plan="",
        source="",
        seed=0,
        definition=b"",
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder of somebody's, which is the working folder, with a .gitignore of its own."""
    monkeypatch.delenv("NBTUNE_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".gitignore").write_text("*.pyc\n")
    return tmp_path


@pytest.mark.parametrize("place", [".", "", Path()])
def test_a_store_in_an_existing_folder_leaves_its_gitignore(project, place):
    create(Store(place))

    assert (project / ".gitignore").read_text() == "*.pyc\n"


def test_a_store_of_the_environment_in_an_existing_folder_leaves_its_gitignore(
    project, monkeypatch
):
    monkeypatch.setenv("NBTUNE_STORE", ".")

    create(Store())

    assert (project / ".gitignore").read_text() == "*.pyc\n"
    assert (project / "nbtune.sqlite").exists()


def test_an_existing_folder_without_a_gitignore_gets_none(project):
    (project / "results").mkdir()

    create(Store("results"))

    assert not (project / "results" / ".gitignore").exists()


def test_a_folder_that_the_store_makes_is_out_of_gits_sight(project):
    create(Store())

    assert (project / ".nbtune" / ".gitignore").read_text() == "*\n"


def test_the_default_store_stays_where_it_was_first_asked_for(project):
    Sweep(train, **OPTIONS, name="digits").run()
    (project / "below").mkdir()

    os.chdir(project / "below")

    assert nbtune.load("digits").best is not None
    assert not (project / "below" / ".nbtune").exists()


def test_a_relative_store_of_the_environment_stays_too(project, monkeypatch):
    monkeypatch.setenv("NBTUNE_STORE", "results")
    first = default_path()
    (project / "below").mkdir()

    os.chdir(project / "below")

    assert default_path() == first == project / "results"


def test_a_store_that_is_given_is_seen_from_the_present_folder(project):
    default_path()
    (project / "below").mkdir()

    os.chdir(project / "below")

    assert Store("results").path == project / "below" / "results"


def test_a_working_folder_that_is_gone_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("NBTUNE_STORE", raising=False)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    with pytest.raises(StoreError, match="working folder cannot be used"):
        Store()


@pytest.mark.parametrize("path", [3, b"x", "a\0b", "~nobody-of-this-name/x"])
def test_a_store_that_is_no_path_is_refused(path):
    with pytest.raises(StoreError, match="give a folder"):
        Store(path)


def test_a_name_longer_than_a_folders_is_refused(tmp_path):
    with pytest.raises(SpecError, match=r"name='nnn.*has 300 characters: give 128 at most"):
        Sweep(train, **OPTIONS, name="n" * 300, store=tmp_path)

    assert list(nbtune.sweeps(tmp_path).index) == []


def test_a_function_of_any_name_gets_a_name_that_fits(tmp_path):
    def train(x: Real(0, 1)):
        return x

    train.__name__ = "ü" * 200

    sweep = Sweep(train, **OPTIONS, store=tmp_path).run()

    assert len(sweep.name.encode()) <= 128
    assert nbtune.load(sweep.name, tmp_path).status == "completed"


@pytest.mark.parametrize("name", ["n" * 256, "ü" * 128])
def test_a_name_that_makes_no_folder_leaves_no_row(tmp_path, name):
    store = Store(tmp_path)

    with pytest.raises(StoreError, match="File name too long"):
        create(store, name)

    assert store.names() == []


def test_a_file_of_a_sweeps_name_is_left_alone_and_leaves_no_row(tmp_path):
    (tmp_path / "digits").write_text("mine")

    with pytest.raises(SweepError, match="digits exists already, and it is no sweep's"):
        create(Store(tmp_path))

    assert Store(tmp_path).names() == []
    assert (tmp_path / "digits").read_text() == "mine"


def test_a_folder_of_a_sweeps_name_is_left_alone(tmp_path):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "notes.txt").write_text("mine")

    with pytest.raises(SweepError, match="it is no sweep's"):
        Sweep(train, **OPTIONS, name="digits", store=tmp_path).start()

    assert (tmp_path / "digits" / "notes.txt").read_text() == "mine"
    assert Store(tmp_path).names() == []


def test_a_default_name_goes_round_a_folder_of_that_name(tmp_path):
    (tmp_path / "train").mkdir()

    assert Sweep(train, **OPTIONS, store=tmp_path).name == "train-2"


def test_an_empty_folder_that_a_start_left_is_taken(tmp_path):
    (tmp_path / "digits").mkdir()

    create(Store(tmp_path))

    assert Store(tmp_path).names() == ["digits"]


def test_delete_leaves_what_has_taken_the_place_of_a_sweeps_folder(tmp_path):
    sweep = Sweep(train, **OPTIONS, name="digits", store=tmp_path).run()
    sweep.path.rename(tmp_path / "away")
    sweep.path.mkdir()
    (sweep.path / "notes.txt").write_text("mine")

    Store(tmp_path).delete("digits")

    assert (sweep.path / "notes.txt").read_text() == "mine"
    assert Store(tmp_path).names() == []


def test_delete_follows_no_link(tmp_path):
    sweep = Sweep(train, **OPTIONS, name="digits", store=tmp_path / "store").run()
    sweep.path.rename(tmp_path / "away")
    sweep.path.symlink_to(tmp_path / "away")

    Store(tmp_path / "store").delete("digits")

    assert (tmp_path / "away" / "objective.bin").exists()


def test_an_sqlite_file_of_another_program_is_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / "nbtune.sqlite")) as connection:
        connection.execute("CREATE TABLE notes (text)")
    before = (tmp_path / "nbtune.sqlite").read_bytes()

    with pytest.raises(StoreError, match="is not nbtune's"):
        create(Store(tmp_path))

    assert (tmp_path / "nbtune.sqlite").read_bytes() == before


def test_a_store_that_everybody_can_write_is_not_loaded(tmp_path):
    Sweep(train, **OPTIONS, name="digits", store=tmp_path / "store").run()
    (tmp_path / "store" / "nbtune.sqlite").chmod(0o666)

    with pytest.raises(StoreError, match=r"written by every user.*chmod o-w"):
        nbtune.load("digits", tmp_path / "store")


@pytest.mark.parametrize("file", ["nbtune.sqlite", "digits/objective.bin"])
def test_what_another_user_wrote_is_not_loaded(tmp_path, monkeypatch, file):
    Sweep(train, **OPTIONS, name="digits", store=tmp_path).run()
    if os.geteuid() == 0:
        os.chown(tmp_path / file, 12345, 12345)
    else:  # only root can give a file away
        monkeypatch.setattr(os, "geteuid", lambda: 12345)

    with pytest.raises(StoreError, match=r"belongs to another user \(uid \d+\)"):
        nbtune.load("digits", tmp_path)


@pytest.mark.parametrize("name", [None, 3, b"digits"])
def test_a_name_that_is_no_text_is_refused(tmp_path, name):
    with pytest.raises(SweepError, match=r"give a name that nbtune\.sweeps\(\) lists"):
        nbtune.load(name, tmp_path)
