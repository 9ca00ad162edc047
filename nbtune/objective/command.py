"""A command line as objective: checked against its space before anything starts."""

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbtune.exceptions import ObjectiveError, SpaceError, SpecError, nearest
from nbtune.objective.base import Objective, fixed_max_t
from nbtune.objective.command_call import PYTHONS, CommandCall, search_path
from nbtune.objective.template import TRIAL_NAMES, Template, as_text, split_words
from nbtune.space import Choice, Constant, Domain, Space

__all__ = ["Command"]


class Command:
    """A command line to tune: ``Command("python train.py --lr={{ lr }} --out={{ trial.dir }}")``.

    ``Sweep(Command(...), {"lr": Real(1e-4, 1e-1, log=True)}, maximize="accuracy", trials=20)`` runs
    it once a trial, in a process group of its own, with its output in the trial's log. It succeeds
    when it exits with code 0. A stop is SIGTERM to the whole group, after 3 s SIGKILL; when the
    command ends, what is left of its group is killed.

    A name in ``{{ }}`` stands for its value: a param (``lr``, ``params.lr``, ``model.depth`` in a
    nested space), all of them as JSON (``params``), or ``trial.dir``, ``trial.number``,
    ``trial.seed``. Text comes as it is, all else as JSON (``true``, ``null``, ``0.001``, ``[1]``).
    An argument whose param belongs to a branch that is not chosen is left out, and so is one that
    is an empty value alone, unless an option stands before it (``--name {{ x }}``). A flag is
    written ``{{ --amp if amp }}``: it is there where ``amp`` is true; ``{{ --amp if amp else
    --no-amp }}`` is one or the other.

    ``python`` is the Python of the process that runs the trial, here the kernel's, and programs
    installed beside it are found first, unless `env` sets ``PATH``. The params are also in the
    environment as JSON (``NBTUNE_PARAMS``) and in ``params.json`` in the trial's folder
    (``NBTUNE_TRIAL_DIR``).

    Metrics come back in either of two ways:

    - A Python script calls ``nbtune.report``, ``current_trial``, ``save_checkpoint`` and
      ``load_checkpoint`` as a cell does.
    - Any program prints lines of JSON such as ``{"epoch": 3, "accuracy": 0.91}``. A line counts
      when it is an object that holds the sweep's metric as a number; its other numbers are metrics
      too. Its step is under the sweep's ``step``, or "step"; without one it is the next step, or
      the result where lines before it had one.

    Parameters
    ----------
    line : str or sequence of str
        The program and its arguments. A string is split as a shell would, before values are filled
        in, so that a value is never more than the part of the one argument where it stands.
    env : dict of str, optional
        Variables on top of the worker's own; values may hold names in ``{{ }}``.
    cwd : str or path, optional
        The working folder, which may hold names in ``{{ }}``; by default, and where it is relative,
        from the present one.
    shell : bool, default False
        Give the string to ``/bin/sh``, every value quoted; it may use pipes and ``&&`` then.

    Raises
    ------
    SpecError
        When the line is empty or cannot be split, or an argument is of another type.
    """

    def __init__(
        self,
        line: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        shell: bool = False,
    ) -> None:
        self.line = line if isinstance(line, str) else shlex.join(_texts(line))
        if not isinstance(shell, bool):
            raise SpecError(f"shell={shell!r}: give True or False", "shell")
        if cwd is not None and (not isinstance(cwd, str | os.PathLike) or not os.fspath(cwd)):
            raise SpecError(f"cwd={cwd!r}: give a folder's path", "cwd")
        self._shell = shell
        self._words = [Template(word) for word in _words(line, shell=shell)]
        self._env = {name: Template(text) for name, text in _environment(env).items()}
        self._folder = None if cwd is None else Template(os.fspath(cwd))
        self._base = str(Path.cwd())

    def __repr__(self) -> str:
        return f"Command({self.line!r})"

    @property
    def name(self) -> str:
        """What a sweep of it is called: "train" for ``python train.py``."""
        words = [word.text for word in self._words if not word.names]
        if self._shell:
            words = self._words[0].text.split()
        scripts = [word for word in words if Path(word).suffix in (".py", ".sh", ".R", ".jl")]
        if "-m" in words[:-1]:
            scripts.append(words[words.index("-m") + 1].replace(".", "/"))
        return Path([*scripts, *words, "command"][0]).stem

    def objective(self, space: Mapping[str, Any] | None) -> Objective:
        """Return what a sweep tunes.

        Raises
        ------
        SpecError
            When there is no space, a name in ``{{ }}`` is not known, a searched param is used
            nowhere while others are, or the program does not exist.
        ObjectiveError
            When nothing is searched.
        SpaceError
            When a value cannot be given to a command.
        """
        if not isinstance(space, Mapping):
            given = "none" if space is None else repr(space)
            raise SpecError(
                f"a command needs a space, got {given}. Give one after it: "
                "Sweep(Command(...), {'lr': Real(1e-4, 1e-1, log=True)}, ...)",
                "space",
            )
        whole = Space(space)
        if whole.n_dims == 0:
            raise ObjectiveError(
                f"nothing to search in {whole!r}: give a domain, for instance "
                "{'lr': Real(1e-4, 1e-1, log=True)}"
            )
        _check_values(whole)
        paths = dict(_paths(whole))
        self._check_names(paths)
        self._check_use(whole, paths)
        self._check_optional(paths)
        self._check_program()
        return Objective(
            name=self.name,
            space=whole,
            source=self.line,
            call=CommandCall(
                self._words, self._env, base=self._base, folder=self._folder, shell=self._shell
            ),
            max_t=fixed_max_t(whole, {}),
        )

    @property
    def _templates(self) -> list[Template]:
        return [*self._words, *self._env.values(), *self._folders]

    @property
    def _folders(self) -> list[Template]:
        return [] if self._folder is None else [self._folder]

    def _check_names(self, paths: Mapping[str, bool]) -> None:
        for template in self._templates:
            for name in template.names:
                if name.removeprefix("params.") in paths or name in ("params", *TRIAL_NAMES):
                    continue
                raise SpecError(
                    f"{{{{ {name} }}}} in {template.text!r}: unknown name. "
                    f"{nearest(name, [*paths, *TRIAL_NAMES, 'params'])}",
                    "command",
                )

    def _check_use(self, space: Space, paths: Mapping[str, bool]) -> None:
        """Refuse a searched param that no template uses, unless none is: all go in as JSON."""
        names = {name for template in self._templates for name in template.names}
        used = {name.removeprefix("params.") for name in names if name not in TRIAL_NAMES}
        if not used or "params" in used:
            return
        for path in (dim.path for dim in space.dims):
            inside = any(other.startswith(f"{path}.") for other in paths)
            if not inside and not any(path == use or path.startswith(f"{use}.") for use in used):
                raise SpecError(
                    f"{path}: it is searched, and the command does not use it. Write "
                    f"{{{{ {path} }}}} where it belongs, or {{{{ params }}}} for all as JSON",
                    "command",
                )

    def _check_optional(self, paths: Mapping[str, bool]) -> None:
        """Refuse a param that only some trials have where its argument cannot be left out."""
        firm = [] if self._shell else [self._words[0], *filter(_is_bare, self._words)]
        for template in [*firm, *self._folders]:
            for name in template.names:
                if not paths.get(name.removeprefix("params."), True):
                    raise SpecError(
                        f"{template.text!r}: not every trial has {name}, it belongs to a branch. "
                        f"Write it and its option as one argument, --name={{{{ {name} }}}}, which "
                        "is left out in trials without it",
                        "command",
                    )

    def _check_program(self) -> None:
        program = self._words[0]
        path = self._env.get("PATH")
        if self._shell or program.names or self._folder or (path and path.names):
            return
        if path is None and program.text in PYTHONS:
            return
        if shutil.which(program.text, path=path.text if path else search_path()) is None:
            raise SpecError(
                f"{program.text!r}: there is no such program to be executed, in {self.line!r}. "
                "Give its path, 'python' for this Python, or shell=True for a shell's own",
                "command",
            )


def _is_bare(template: Template) -> bool:
    return template.is_bare


def _words(line: Any, *, shell: bool) -> list[str]:
    if shell:
        if not isinstance(line, str):
            raise SpecError(f"shell=True takes one string, got {line!r}", "command")
        words = [line]
    elif isinstance(line, str):
        try:
            words = split_words(line, shlex.split)
        except ValueError as error:
            raise SpecError(
                f"{line!r} cannot be split into arguments: {error}", "command"
            ) from None
    else:
        words = _texts(line)
    if not words or not words[0].strip():
        raise SpecError(
            f"{line!r} names no program. Write a line such as 'python train.py --lr={{{{ lr }}}}'",
            "command",
        )
    if any("\0" in word for word in words):
        raise SpecError(f"{line!r} holds a NUL, which no argument can", "command")
    return words


def _texts(line: Any) -> list[str]:
    words = list(line) if isinstance(line, Sequence) else [line]
    strange = [word for word in words if not isinstance(word, str | os.PathLike)]
    if strange:
        raise SpecError(
            f"a command is a string or a list of strings, got {strange[0]!r} in {line!r}", "command"
        )
    return [str(os.fspath(word)) for word in words]


def _environment(env: Any) -> dict[str, str]:
    if env is None:
        return {}
    if not isinstance(env, Mapping) or not all(
        isinstance(part, str) for item in env.items() for part in item
    ):
        raise SpecError(f"env={env!r}: give a dict of str to str", "env")
    for name in env:
        if not name or "=" in name or "\0" in name + env[name]:
            raise SpecError(
                f"env: {name!r} cannot be set to {env[name]!r}: give a name without '=', and text "
                "without NUL",
                "env",
            )
    return dict(env)


def _options(domain: Domain) -> tuple[Any, ...]:
    return domain.options if isinstance(domain, Choice) else ()


def _branches(domain: Domain) -> list[Space]:
    return [option for option in _options(domain) if isinstance(option, Space)]


def _paths(space: Space) -> Iterator[tuple[str, bool]]:
    """Yield the dotted name of each param, and whether every trial has it."""
    for name, domain in space.items():
        yield name, True
        branches = [dict(_paths(branch)) for branch in _branches(domain)]
        # Dicts for their order: messages list the names as they were written.
        for inner in dict.fromkeys(path for branch in branches for path in branch):
            in_all = all(branch.get(inner, False) for branch in branches)
            yield f"{name}.{inner}", in_all and len(branches) == len(_options(domain))


def _check_values(space: Space, outer: str = "") -> None:
    """Refuse values that are no text and that JSON cannot say."""
    for name, domain in space.items():
        path = f"{outer}{name}"
        for branch in _branches(domain):
            _check_values(branch, f"{path}.")
        values = (domain.value,) if isinstance(domain, Constant) else _options(domain)
        for value in values:
            if not isinstance(value, Space):
                _check_value(path, value)


def _check_value(path: str, value: Any) -> None:
    try:
        text = as_text(value)
    except (TypeError, ValueError):
        raise SpaceError(
            f"{path}: got {value!r}, a {type(value).__name__}; a command takes text, numbers, "
            "True, False, None, and lists and dicts of them."
        ) from None
    if "\0" in text:
        raise SpaceError(f"{path}: got {value!r}; a command takes no text with a NUL.")
