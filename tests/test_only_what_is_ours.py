"""Every place that removes, renames or writes a file, with the reason why it may.

A new one fails until it is listed here: say whose file it is, and name the test that puts
somebody else's in its way, or why there can be none.
"""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nbtune"
TESTS = Path(__file__).parent

OUR_FOLDER = "in a folder of a random name that this process has made, for its user alone"
OUR_NAME = "a new name, random or with this process's number, that is made just before"
THE_TRIALS = "in the trial's folder, which the sweep has made: under a name of nbtune's"
NO_FILE = "no file: the method of an object of nbtune's"

# By module, then by call: why it may, and the test that shows it with a look-alike, if there can
# be one.
REVIEWED = {
    "checkpoint.py": {
        "path.open('wb')": THE_TRIALS,
        "shutil.copytree(state, draft)": THE_TRIALS,
        "draft.rename(home / name)": THE_TRIALS,
        "draft.rename(home / f'{name}.pickle')": THE_TRIALS,
    },
    "checkpoint_files.py": {
        "shutil.rmtree(path, ignore_errors=True)": (
            "a checkpoint, by its name",
            "test_checkpoint.py::test_a_file_of_the_users_beside_the_checkpoints_stays",
        ),
        "path.unlink(missing_ok=True)": (
            "a checkpoint, by its name",
            "test_checkpoint.py::test_a_file_of_the_users_beside_the_checkpoints_stays",
        ),
    },
    "context.py": {
        "folder.rmdir()": "the temporary folder of code that runs outside a sweep, while empty",
    },
    "engine/apart.py": {
        "os.fdopen(os.dup(1), 'w', encoding='utf-8')": "the pipe to the driver",
    },
    "objective/command_call.py": {
        "(trial.dir / _PARAMS_FILE).write_text(as_json(params), encoding='utf-8')": THE_TRIALS,
        "(trial.dir / 'log.txt').open('ab', buffering=0)": THE_TRIALS,
        "(trial.dir / _PARAMS_FILE).unlink(missing_ok=True)": "written by the same call before",
    },
    "objective/depot.py": {
        "os.open(self.folder / _LOCK, flags, 384)": "opened, its content stays",
        "os.open(part, flags, 384)": OUR_NAME,
        "part.replace(self.folder / name[0])": "a file named by its content: the same, if any",
        "part.unlink(missing_ok=True)": OUR_NAME,
        "path.unlink()": (
            "a buffer that no sweep names, by its name",
            "test_depot.py::test_clearing_leaves_what_a_depot_does_not_make",
        ),
    },
    "objective/memory.py": {
        "shutil.rmtree(self._depot.folder, ignore_errors=True)": OUR_FOLDER,
        "(self._depot.folder / digest).unlink(missing_ok=True)": OUR_FOLDER,
        "folder.rmdir()": OUR_FOLDER,
        "path.unlink()": (
            "a lock or a draft in the folder of a dead process of this user, by its name",
            "test_memory.py::test_what_else_lies_in_a_folder_that_looks_like_a_dead_processs_stays",
        ),
        "path.rename(folder / path.name)": (
            "a buffer in the folder of a dead process of this user, by its name",
            "test_memory.py::test_what_else_lies_in_a_folder_that_looks_like_a_dead_processs_stays",
        ),
        "left.rmdir()": (
            "the same folder, once it is empty",
            "test_memory.py::test_what_else_lies_in_a_folder_that_looks_like_a_dead_processs_stays",
        ),
    },
    "objective/payload.py": {
        "os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 384)": OUR_NAME,
        "os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 384), 'wb')": OUR_NAME,
        "part.replace(path)": "the sweep's own objective.bin, or a file in a folder of ours",
        "part.unlink(missing_ok=True)": OUR_NAME,
    },
    "portable.py": {
        "path.write_bytes(content)": (
            "in the folder of the sweep that is being restored, at a checkpoint's place",
            "test_portable.py::test_a_checkpoint_outside_its_trials_folder_is_refused",
        ),
    },
    "store/lock.py": {
        "os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 384)": "the sweep's lock",
    },
    "store/place.py": {
        "(path / '.gitignore').write_text('*\\n')": (
            "in a store's folder that was made just before",
            "test_store_place.py::test_a_store_in_an_existing_folder_leaves_its_gitignore",
        ),
        "draft.rename(folder)": (
            "to a name that nothing has, or an empty folder",
            "test_store_place.py::test_a_folder_of_a_sweeps_name_is_left_alone",
        ),
    },
    "store/read_only.py": {
        "shutil.copyfile(part, Path(folder) / part.name)": OUR_FOLDER,
    },
    "store/store.py": {
        "part.unlink(missing_ok=True)": OUR_NAME,
        "folder.rename(draft)": "a sweep's folder, which got its name just before",
        "self.file.hardlink_to(part)": "fails where something has that name",
        "shutil.rmtree(folder, ignore_errors=True)": (
            "a sweep's folder, or a draft of one, by its name and the files in it",
            "test_store_place.py::test_delete_leaves_what_has_taken_the_place_of_a_sweeps_folder",
            "test_creation.py::test_what_only_looks_like_a_draft_stays",
        ),
        "folder.rmdir()": (
            "a sweep's folder, while it is empty",
            "test_store_place.py::test_delete_leaves_what_has_taken_the_place_of_a_sweeps_folder",
        ),
    },
    "workers/capture.py": {
        "open(descriptor, 'w', buffering=1, encoding='utf-8', errors='backslashreplace', "
        "closefd=False)": "the trial's log, opened before",
        "os.open(f'{folder}/log.txt', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 384)": THE_TRIALS,
    },
    "workers/dask/agent.py": {
        "os.open(self.duties.payload, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 384)": OUR_FOLDER,
        "os.fdopen(descriptor, 'ab')": OUR_FOLDER,
        "probe.write_text(content)": OUR_NAME,
        "probe.unlink()": OUR_NAME,
    },
    "workers/dask/cargo.py": {
        "paths[0].open('ab')": THE_TRIALS,
        "paths[0].rename(paths[1])": THE_TRIALS,
        "shutil.rmtree(path, ignore_errors=True)": THE_TRIALS,
        "path.unlink(missing_ok=True)": THE_TRIALS,
        "log.open('a')": "the log of a trial in the worker's own temporary folder",
        "shutil.rmtree(home, ignore_errors=True)": "a trial in the worker's own temporary folder",
    },
    "workers/dask/driver.py": {
        "shutil.rmtree(path, ignore_errors=True)": OUR_FOLDER,
        "path.unlink(missing_ok=True)": OUR_NAME,
    },
    "workers/dask/session.py": {
        "path.write_text(secrets.token_hex(16))": OUR_NAME,
    },
    "workers/guard.py": {
        "os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 384)": OUR_FOLDER,
    },
    "workers/leftovers.py": {
        "os.open(new, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 384)": OUR_FOLDER,
        "new.rename(folder / LOCK)": OUR_FOLDER,
        "os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)": (
            "opened to ask for its lock, its content stays",
            "test_workers_leftovers.py::test_somebodys_folder_with_a_lock_of_its_own_stays",
        ),
        "folder.rmdir()": (
            "an empty folder of a pool's name, some minutes old",
            "test_workers_leftovers.py::test_a_folder_that_only_looks_like_a_pools_stays",
        ),
    },
    "workers/reaper.py": {
        "os.unlink(f'{folder}/{name}')": (
            "what a pool makes in its folder, by its name",
            "test_workers_leftovers.py::test_of_a_dead_pools_folder_only_what_a_pool_makes_goes",
        ),
        "os.rmdir(folder)": (
            "a pool's folder, once it is empty",
            "test_workers_leftovers.py::test_of_a_dead_pools_folder_only_what_a_pool_makes_goes",
        ),
    },
    "workers/spawner.py": {
        "log.unlink()": OUR_FOLDER,
        "each.slot.replace(generation)": NO_FILE,
        "each.slot.replace(0)": NO_FILE,
    },
    "workers/supervisor.py": {
        "Path('/proc/self/oom_score_adj').write_text(_OOM_SCORE)": "this process's own",
        "Path(self._last_words).write_text(json.dumps(asdict(words)))": OUR_FOLDER,
        "path.unlink()": OUR_FOLDER,
    },
    "workers/triallog.py": {
        "os.truncate(log, _KEPT)": THE_TRIALS,
        "os.open(path, os.O_RDWR | os.O_APPEND)": THE_TRIALS,
    },
}

_ALWAYS = {
    *("unlink", "rmtree", "rmdir", "rename", "renames", "removedirs", "write_text", "write_bytes"),
    *("symlink_to", "hardlink_to", "symlink", "link", "truncate", "copytree", "copyfile", "copy2"),
    *("move", "savez", "tofile"),
}
_OF_OS = {"remove", "replace", "copy"}  # lists, texts and dicts have methods of these names
_WRITES = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC)\b")


def touches_files(call):
    """Return whether a call removes, renames or writes a file, as far as its text says."""
    function = call.func
    name = getattr(function, "attr", getattr(function, "id", ""))
    of_module = isinstance(function, ast.Attribute) and ast.unparse(function.value)
    if name in _ALWAYS or (name in _OF_OS and of_module in ("os", "shutil")):
        return True
    if name == "replace" and of_module:  # `Path.replace` takes one path, `str.replace` two texts
        return len(call.args) == 1 and not call.keywords
    if name == "open" and of_module == "os":
        flags = ast.unparse(call.args[1])
        return (
            bool(_WRITES.search(flags)) and "devnull" not in ast.unparse(call)
        ) or flags == "flags"
    if name in ("open", "fdopen"):
        return any(_is_write_mode(each) for each in [*call.args, *(k.value for k in call.keywords)])
    return False


def _is_write_mode(node):
    text = node.value if isinstance(node, ast.Constant) else None
    return (
        isinstance(text, str)
        and bool(re.fullmatch(r"[rwaxbt+]{1,4}", text))
        and bool(set(text) & set("wax+"))
    )


def found():
    """Return the calls that touch files, by module."""
    calls = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and touches_files(node):
                module = path.relative_to(PACKAGE).as_posix()
                calls.setdefault(module, set()).add(ast.unparse(node))
    return calls


def test_whatever_removes_or_writes_a_file_is_listed():
    unlisted = {
        module: calls - set(REVIEWED.get(module, {}))
        for module, calls in found().items()
        if calls - set(REVIEWED.get(module, {}))
    }

    assert unlisted == {}


def test_what_is_listed_is_still_there():
    calls = found()

    gone = {m: set(known) - calls.get(m, set()) for m, known in REVIEWED.items()}

    assert {module: rest for module, rest in gone.items() if rest} == {}


@pytest.mark.parametrize(
    "test",
    sorted(
        {
            t
            for calls in REVIEWED.values()
            for w in calls.values()
            if type(w) is tuple
            for t in w[1:]
        }
    ),
)
def test_the_look_alike_that_is_named_is_tried(test):
    file, _, name = test.partition("::")

    assert f"def {name}(" in (TESTS / file).read_text()


@pytest.mark.parametrize(
    "text",
    [
        "path.unlink()",
        "shutil.rmtree(folder)",
        "os.remove(path)",
        "path.replace(other)",
        "path.write_text('x')",
        "open(path, 'w')",
        "path.open('ab')",
        "path.open(mode='x')",
        "os.open(path, os.O_CREAT | os.O_RDWR)",
    ],
)
def test_a_new_one_is_found(text):
    assert touches_files(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize(
    "text", ["text.replace('a', 'b')", "some.remove(3)", "open(path)", "replace(trial, dir=None)"]
)
def test_what_touches_no_file_is_not(text):
    assert not touches_files(ast.parse(text, mode="eval").body)
