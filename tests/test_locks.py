"""The locks: versions with hashes, no addresses, all that pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ["pip", "demo", "test", "oldest"]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def entries(lock):
    """Return the entries of a lock: a requirement each, with what follows it on its lines."""
    text = (ROOT / "locks" / f"{lock}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def pins(lock):
    """Return the versions of each package in a lock: more than one where they go by Python's."""
    found = {}
    for entry in entries(lock):
        requirement = Requirement(entry.split("--hash=")[0].strip())
        (version,) = requirement.specifier
        found.setdefault(requirement.name, []).append(version.version)
    return found


def declared(*groups):
    """Return what pyproject.toml asks for: the package's own dependencies and those of `groups`."""
    wanted = [Requirement(text) for text in PYPROJECT["project"]["dependencies"]]
    for group in groups:
        for entry in PYPROJECT["dependency-groups"][group]:
            if isinstance(entry, dict):
                wanted += declared(entry["include-group"])
            else:
                wanted.append(Requirement(entry))
    return [entry for entry in wanted if entry.name != "torch"]  # without a hash, so in no lock


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_of_a_lock_is_a_version_with_hashes(lock):
    for entry in entries(lock):
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^\\]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", entry)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_file(lock):
    text = (ROOT / "locks" / f"{lock}.txt").read_text()

    assert not re.search(r"://|file:|index-url|find-links|trusted-host| @ |\.whl|\.tar", text)


@pytest.mark.parametrize(
    ("lock", "groups"),
    [("demo", ["demo"]), ("test", ["test", "check"]), ("oldest", ["test"])],
)
def test_a_lock_has_a_version_of_everything_that_is_declared(lock, groups):
    locked = pins(lock)

    for wanted in declared(*groups):
        assert wanted.name in locked, f"{wanted.name} is not in locks/{lock}.txt: run `make lock`"
        for version in locked[wanted.name]:
            assert wanted.specifier.contains(version), f"run `make lock`: {wanted}, not {version}"


def test_the_oldest_are_the_lower_bounds_themselves():
    locked = pins("oldest")

    for wanted in declared("test"):
        (bound,) = wanted.specifier
        (version,) = locked[wanted.name]
        assert bound.operator == ">="
        assert Requirement(f"x=={bound.version}").specifier.contains(version), wanted


def test_the_demo_is_a_part_of_the_tests_environment():
    demo, tests = pins("demo"), pins("test")

    assert {name: tests.get(name) for name in demo} == demo


def test_the_demo_needs_none_of_the_tests_packages():
    tests = {canonicalize_name(wanted.name) for wanted in declared("test")}
    demo = {canonicalize_name(wanted.name) for wanted in declared("demo")}

    assert not pins("demo").keys() & (tests - demo - {"psutil"})  # ipykernel asks for psutil


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_brings_cuda(lock):
    assert not any(re.match(r"torch|triton|cuda|nvidia-(?!ml-py)", name) for name in pins(lock))


def test_pytorchs_metadata_is_that_of_the_version_that_is_installed():
    (torch,) = (Requirement(text) for text in PYPROJECT["dependency-groups"]["torch"])
    (metadata,) = PYPROJECT["tool"]["uv"]["dependency-metadata"]

    assert str(torch) == f"torch=={metadata['version']}"


def test_binder_installs_the_demos_lock():
    lines = (ROOT / "binder" / "requirements.txt").read_text().splitlines()

    assert [line for line in lines if not line.startswith("#")] == ["-r ../locks/demo.txt"]
