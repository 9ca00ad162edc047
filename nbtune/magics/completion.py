"""Completes a ``%%tune`` or ``%tune`` line from the options, the cell and the store."""

import ast
import inspect
import itertools
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from nbtune.exceptions import NbtuneError
from nbtune.magics.line import Parser
from nbtune.magics.options import COMMANDS, cell_parser, command_parser, function_parser
from nbtune.store import Store

__all__ = ["complete", "matcher", "metrics_in"]

_GOALS = ("--maximize", "--minimize")
_LINE = re.compile(r"\s*(?P<magic>%%?tune)\s(?P<before>(?:.*\s)?)(?P<word>\S*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """Where the cursor stands: the words before it, and what the notebook knows."""

    is_cell: bool
    words: list[str]
    cell: str
    namespace: Mapping[str, Any]

    @property
    def command(self) -> str | None:
        first = self.words[0] if self.words else ""
        return first if not self.is_cell and first in COMMANDS else None

    @property
    def parser(self) -> Parser:
        if self.is_cell:
            return cell_parser()
        return command_parser(self.command) if self.command else function_parser()

    @property
    def source(self) -> str:
        """The code to be tuned: the cell, the function named first, the script of a command."""
        if self.is_cell:
            return self.cell
        if "--command" in {word.partition("=")[0] for word in self.words}:
            return _script_in(self.words)
        try:
            return textwrap.dedent(inspect.getsource(self.namespace[self.words[0]]))
        except (LookupError, TypeError, OSError):
            return ""


def _script_in(words: Iterable[str]) -> str:
    """Return the text of the first Python file among `words`."""
    for word in words:
        with suppress(OSError, ValueError):
            if word.endswith(".py"):
                return Path(word).read_text(encoding="utf-8")
    return ""


def complete(text: str, cell: str, namespace: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return what can stand at the end of a magic's line.

    Parameters
    ----------
    text : str
        The line up to the cursor, ``"%%tune digits --sea"``.
    cell : str
        The rest of the cell, from which metrics are read.
    namespace : mapping
        The notebook's variables.

    Returns
    -------
    tuple of str and list of str
        The part of the word that is there already, and the whole words that may take its place;
        none on any other line.
    """
    match = _LINE.fullmatch(text)
    if match is None:
        return "", []
    word, words = match["word"], match["before"].split()
    request = _Request(
        is_cell=match["magic"] == "%%tune", words=words, cell=cell, namespace=namespace
    )
    option, equals, start = word.partition("=")
    if equals:
        return _value(option, start, request)
    previous = request.parser.options.get(words[-1]) if words else None
    if previous is not None and previous.nargs != 0:  # 0: a flag
        return _value(words[-1], word, request)
    return word, _starting(word, _options(request) if word.startswith("-") else _words(request))


def _value(option: str, text: str, request: _Request) -> tuple[str, list[str]]:
    """Return what can end the value of an option: of several metrics or sweeps, the last."""
    if option == "--warm-start":
        *given, start = text.split(",")
        return start, [name for name in _starting(start, _sweeps(request)) if name not in given]
    if option not in _GOALS:
        return text, _starting(text, _values(option, request))
    *given, start = text.split(",")
    given += _goals_given(request.words)
    return start, [name for name in _starting(start, _values(option, request)) if name not in given]


def _goals_given(words: list[str]) -> list[str]:
    """Return the metrics that the words before the cursor name."""
    texts = [word.partition("=")[2] for word in words if word.partition("=")[0] in _GOALS]
    texts += [value for option, value in itertools.pairwise(words) if option in _GOALS]
    return [name for text in texts for name in text.split(",")]


def _starting(start: str, known: Iterable[str]) -> list[str]:
    return [word for word in dict.fromkeys(known) if word.startswith(start)]


def _words(request: _Request) -> list[str]:
    """Return what may stand here other than an option or its value; options where nothing else."""
    place = len(_positional(request))
    if request.command:
        named = request.command != "list" and place == 1
        return _sweeps(request) if named else _options(request)
    if place:
        return _options(request)
    if request.is_cell:
        return _sweeps(request) or _options(request)
    functions = [
        name
        for name, value in request.namespace.items()
        if isinstance(value, types.FunctionType) and not name.startswith("_")
    ]
    return [*COMMANDS, *functions]


def _positional(request: _Request) -> list[str]:
    """Return the words so far that are neither options nor their values."""
    options = request.parser.options
    taken = False
    found = []
    for word in request.words:
        if not (taken or word.startswith("-")):
            found.append(word)
        taken = word in options and options[word].nargs != 0
    return found


def _options(request: _Request) -> list[str]:
    used = {word.partition("=")[0] for word in request.words} - {"--stop-when"}  # repeatable
    used |= {"-h", "--help"}  # offered last
    used.discard("--param")  # may come again
    return [*(name for name in request.parser.options if name not in used), "--help"]


def _values(option: str, request: _Request) -> list[str]:
    match option:
        case _ if option in _GOALS:
            return metrics_in(request.source)
        case "--searcher":
            from nbtune.searchers import registry  # noqa: PLC0415 - brings numpy, not for %load_ext

            return registry.names()
        case "--scheduler":
            from nbtune.schedulers import registry as schedulers  # noqa: PLC0415 - as above

            return schedulers.names()
        case "--stop-when":
            return _rules(request)
    # What one of a few words may follow, as --by.
    return [str(word) for word in request.parser.options[option].choices or ()]


def _rules(request: _Request) -> list[str]:
    """Return how a rule begins: a metric of the cell with a sign, the better side's first."""
    from nbtune.stopping import registry  # noqa: PLC0415 - as above

    words = {word.partition("=")[0] for word in request.words}
    signs = ("<=", ">=") if "--minimize" in words else (">=", "<=")
    thresholds = [f"{metric}{sign}" for sign in signs for metric in metrics_in(request.source)]
    named = [
        f"{name}:{argument}="
        for name in registry.names()
        if name != "metric_threshold"  # it has a sign
        for argument in inspect.signature(registry.find(name)).parameters
    ]
    return [*thresholds, *named]


def _sweeps(request: _Request) -> list[str]:
    sweep = sys.modules.get("nbtune.sweep")  # while it is not imported, the notebook has no sweep
    bound = [
        name
        for name, value in request.namespace.items()
        if sweep and isinstance(value, sweep.Sweep) and not name.startswith("_")
    ]
    words = request.words
    place = words.index("--store") + 1 if "--store" in words[:-1] else None
    with suppress(NbtuneError):  # a store that cannot be read has no names to offer
        return [*bound, *Store(words[place] if place else None).names()]
    return bound


def metrics_in(source: str) -> list[str]:
    """Return the names of the metrics that Python `source` reports, in the order written.

    They are the keywords of calls of ``report``; nothing while `source` is no valid Python.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    reports = [call for call in calls if ast.unparse(call.func).split(".")[-1] == "report"]
    names = [word.arg for call in reports for word in call.keywords if word.arg]
    return [name for name in dict.fromkeys(names) if name not in ("step", "epoch")]


def matcher(namespace: Callable[[], Mapping[str, Any]]) -> Callable[[CompletionContext], Any]:
    """Return an IPython matcher; the other matchers keep silent where it has something to say.

    Of IPython's two ways only this one (version 2 of its matchers) sees the whole cell; the
    ``complete_command`` hook also lets jedi mix names of Python in.
    """

    @context_matcher(identifier="nbtune", priority=1000)  # type: ignore[untyped-decorator]
    def complete_tune(context: CompletionContext) -> dict[str, Any]:
        lines = context.full_text.split("\n")
        cell = "\n".join(lines[context.cursor_line + 1 :])
        fragment, found = complete(context.text_until_cursor, cell, namespace())
        return {
            "completions": [SimpleCompletion(text, type="magic") for text in found],
            "matched_fragment": fragment,
            "ordered": True,
            "suppress": bool(found),
        }

    return complete_tune  # type: ignore[no-any-return]
