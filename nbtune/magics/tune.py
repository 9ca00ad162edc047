"""``%%tune`` and ``%tune``: parse the line, call the objects, show what they return."""

import builtins
import keyword
import sys
from argparse import Namespace
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from nbtune.exceptions import nearest
from nbtune.magics import cells
from nbtune.magics.line import evaluate, expand, split
from nbtune.magics.options import (
    COMMANDS,
    HELP,
    PARAM,
    cell_parser,
    command_parser,
    function_parser,
)

# Objectives, sweeps and widgets are imported where they are used: %load_ext stays quick.
# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from nbtune.objective import Objective

__all__ = ["TuneMagics"]


@magics_class
class TuneMagics(Magics):  # type: ignore[misc]  # IPython ships no types
    """Turns lines into sweeps and calls of sweeps; its only state is the shell's."""

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def tune(self, line: str, cell: str | None = None) -> Any:
        """Tune a cell, a function or a command line; ``--help`` tells the rest."""
        words = split(line)
        if {"-h", "--help"} & set(words) or (cell is None and not words):
            sys.stdout.write(HELP)
            return None
        words = expand(words, self.shell.user_ns)
        if cell is not None:
            return self._tune_cell(words, cell)
        if "--command" in {word.partition("=")[0] for word in words}:
            return self._tune_command(words)
        if words[0] in COMMANDS:
            return self._command(*words)
        return self._tune_function(words)

    tune.__doc__ = HELP

    def _tune_cell(self, words: list[str], cell: str) -> None:
        options = cell_parser().read(words)
        self._check(options)

        from nbtune.objective import from_cell

        try:
            objective = from_cell(
                cell,
                self.shell.user_ns,
                filename=cells.running_cell(self.shell),
                first_line=cells.first_line(self.shell, cell),
                transform=self.shell.transform_cell,
                title=partial(cells.title, self.shell),
            )
        except SyntaxError as error:
            raise cells.CellSyntaxError(error) from None
        self._run(objective, options)

    def _command(self, command: str, *words: str) -> Any:
        if {"--maximize", "--minimize"} & {word.partition("=")[0] for word in words}:
            raise UsageError(
                f"{command!r} is a command of %tune; to tune a function of that name, write "
                f"f = {command}, then %tune f --name {command}_sweep ..."
            )
        options = command_parser(command).read(words)
        if command != "list" and options.name is None:
            raise UsageError(
                f"which sweep? Write %tune {command} NAME; %tune list shows their names"
            )
        from nbtune.magics.commands import ACTIONS

        return ACTIONS[command](self.shell, options)

    def _tune_function(self, words: list[str]) -> None:
        if not words[0].startswith("-"):
            self._check_known(words[0])  # before its options: it may be a mistyped command
        options = function_parser().read(words)
        if options.function is None:
            raise UsageError("which function? Write %tune FUNCTION --maximize METRIC ...")
        self._check_known(options.function)
        function = evaluate(options.function, self.shell.user_ns, "%tune")
        if not callable(function):
            kind = type(function).__name__
            raise UsageError(f"{options.function} is a {kind}, not a function to tune")
        if options.name is None:
            options.name = f"{options.function.rpartition('.')[2]}_sweep"
        self._check(options)

        from nbtune.objective import declared, from_function

        space = declared(options.param or (), self.shell.user_ns)
        title = partial(cells.title, self.shell)
        self._run(from_function(function, space, title=title), options)

    def _tune_command(self, words: list[str]) -> None:
        options = function_parser().read(words)
        options.name = options.function if options.name is None else options.name
        if options.name is None:
            raise UsageError("the sweep's name is missing: %tune NAME --command LINE ...")
        if not options.param:
            raise UsageError(f"what is searched? Add --param '{PARAM}'")
        self._check(options)

        from nbtune.objective import Command, declared

        space = declared(options.param, self.shell.user_ns)
        self._run(Command(options.command).objective(space), options)

    def _check_known(self, word: str) -> None:
        namespace = self.shell.user_ns
        if word.partition(".")[0] not in namespace:
            functions = [
                name
                for name, value in namespace.items()
                if isinstance(value, FunctionType) and not name.startswith("_")
            ]
            raise UsageError(
                f"{word!r} is neither a command nor a function of this notebook. "
                f"{nearest(word, [*COMMANDS, *functions])}"
            )

    def _check(self, options: Namespace) -> None:
        """Refuse what the line alone shows to be wrong, before anything is imported."""
        name = options.name
        if name is None:
            raise UsageError("the sweep's name is missing: %%tune NAME --maximize METRIC ...")
        if not name.isidentifier() or keyword.iskeyword(name) or hasattr(builtins, name):
            raise UsageError(f"{name!r} cannot name a sweep: pick a word that is free in Python")
        if not (options.maximize or options.minimize or options.resume):
            raise UsageError("what is best? Add --maximize METRIC or --minimize METRIC")
        if options.resume and options.replace:
            raise UsageError("--resume goes on, --replace starts over: keep one")
        cells.refuse_to_shadow(name, self.shell.user_ns)

    def _run(self, objective: "Objective", options: Namespace) -> None:
        if options.name in objective.space:
            raise UsageError(
                f"{options.name!r} is a hyperparameter here: pick another name for the sweep"
            )
        from nbtune.magics.launch import launch

        sweep = launch(objective, options, self.shell.user_ns)
        self.shell.push({options.name: sweep})
        if not options.quiet:
            sweep.dashboard()
        if options.wait:
            sweep.wait()
