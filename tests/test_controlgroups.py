"""The control groups that a process is in."""

import pytest

from nbtune.controlgroups import groups_of


@pytest.fixture
def groups(tmp_path):
    """Return what is found under a root for the lines of a membership file."""

    def find(controller, *lines, folders=()):
        for folder in folders:
            (tmp_path / "root" / folder).mkdir(parents=True)
        (tmp_path / "membership").write_text("".join(f"{line}\n" for line in lines))
        found = groups_of(controller, tmp_path / "root", tmp_path / "membership")
        return [path.relative_to(tmp_path / "root").as_posix() for path in found]

    return find


def test_the_one_tree_of_version_2_is_walked_from_the_own_group_up(groups):
    assert groups("memory", "0::/user.slice/app") == ["user.slice/app", "user.slice", "."]


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_in_version_1_the_controllers_own_tree_is_walked(groups, mount):
    lines = ["5:memory:/docker/b", "4:cpu,cpuacct:/docker/a"]

    found = groups("cpu", *lines, folders=[mount])

    assert found == [f"{mount}/docker/a", f"{mount}/docker", mount]


def test_without_a_membership_there_are_none(tmp_path):
    assert list(groups_of("cpu", tmp_path, tmp_path / "missing")) == []
