"""What a worker process does before its trials: the notebook's modules, settings and ``setup``."""

import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import os
import pickle
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbtune import pickling
from nbtune.objective.settings import Settings, numeric, set_again, taken

__all__ = ["Preparation", "packed"]

_MOST_BYTES = 4_000_000  # of modules that travel; what is beyond is read from its file


@dataclass(frozen=True, slots=True)
class _Module:
    """A module of the notebook's folder, as its file was when the sweep started."""

    name: str
    path: str
    text: str

    @property
    def is_package(self) -> bool:
        return Path(self.path).name == "__init__.py"


def packed(setup: Callable[[], object] | None = None) -> bytes:
    """Return what this process has set, its folder's modules and `setup`, for a `Preparation`."""
    by_value = None if setup is None else pickling.dumps(setup)
    return pickle.dumps((_modules_here(), dict(taken()), by_value))


class Preparation:
    """Prepares this process for trials, by what `packed` took in another.

    Parameters
    ----------
    content : bytes
        Empty for nothing.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._settings: Settings = {}
        self._error: BaseException | None = None

    def begin(self) -> None:
        """Do what is done once in a process; what it raises each trial will raise."""
        if not self._content:
            return
        modules, settings, setup = pickle.loads(self._content)
        sys.meta_path.insert(0, _Finder(modules))
        try:
            set_again(settings)
            if setup is not None:
                pickle.loads(setup)()
        except BaseException as error:  # noqa: BLE001 - the border where the user's code is called
            self._error = error
        # What `setup` has set counts for trials.
        self._settings = {**numeric(settings), **numeric(taken())}

    def __call__(self) -> None:
        """Set again what a trial before may have set otherwise."""
        if self._error is not None:
            raise self._error
        set_again(self._settings)

    def in_thread(self) -> None:
        """Give a further thread of the process itself what its first one computes by."""
        if self._content:
            set_again(numeric(pickle.loads(self._content)[1]))


def _modules_here() -> list[_Module]:
    """Return the modules that this process has imported from its working folder.

    A module that is edited while trials run would give the next worker process other code.
    """
    try:
        folder = Path.cwd()
    except FileNotFoundError:  # it was deleted: nothing is imported from it
        return []
    paths = {
        name: Path(path)
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] not in ("__main__", "nbtune")
        and (path := _file_of(module))
        and _is_own(Path(path), folder)
    }
    found: list[_Module] = []
    left = _MOST_BYTES
    for name, file in paths.items():
        try:
            text = importlib.util.decode_source(file.read_bytes())
        except (OSError, SyntaxError, UnicodeDecodeError):
            continue
        left -= len(text)
        if left < 0:
            break
        found.append(_Module(name, str(file), text))
    return found


def _file_of(module: Any) -> str | None:
    spec = getattr(module, "__spec__", None)
    if not isinstance(module, types.ModuleType) or spec is None:
        return None
    return spec.origin if isinstance(spec.loader, importlib.machinery.SourceFileLoader) else None


def _is_own(path: Path, folder: Path) -> bool:
    """Whether a file belongs to the user's project and not to an environment inside it."""
    if not path.is_relative_to(folder):
        return False
    return not path.is_relative_to(sys.prefix) and "site-packages" not in path.parts


class _Finder(importlib.abc.MetaPathFinder):
    """Imports modules from the text that came with the sweep."""

    def __init__(self, modules: Sequence[_Module]) -> None:
        self._modules = {module.name: module for module in modules}

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how to import a module, None for one that did not come along."""
        del path, target
        module = self._modules.get(fullname)
        if module is None:
            return None
        return importlib.util.spec_from_file_location(
            fullname,
            module.path,
            loader=_Loader(module),
            submodule_search_locations=[os.path.dirname(module.path)]  # noqa: PTH120
            if module.is_package
            else None,
        )


class _Loader(importlib.machinery.SourceFileLoader):
    """Runs a module's text under the name of its file; data files beside it stay within reach."""

    def __init__(self, module: _Module) -> None:
        super().__init__(module.name, module.path)
        self._text = module.text

    def exec_module(self, module: types.ModuleType) -> None:
        """Run it; tracebacks show its lines, whatever its file holds by then."""
        text = self._text
        linecache.cache[self.path] = len(text), None, text.splitlines(keepends=True), self.path
        super().exec_module(module)

    def get_code(self, fullname: str) -> types.CodeType:
        """Compile the text, whatever the file and its cache hold."""
        del fullname
        code: types.CodeType = self.source_to_code(self._text, self.path)
        return code

    def get_source(self, fullname: str) -> str:
        """Return the text."""
        del fullname
        return self._text
