"""Reads a magic's line: words, options, durations; every mistake is one `UsageError`."""

import argparse
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from IPython.core.error import UsageError

from nbtune.exceptions import nearest

__all__ = ["Parser", "duration", "expand", "fraction", "names", "split", "whole_number"]

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_PIECE = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\s+|.""")


def split(line: str) -> list[str]:
    """Return the words of a magic's line.

    Quotes and brackets keep a word together, so ``Hyperband(max_t=27, type="stopping")`` is one
    word without further quoting. Quotes inside brackets are Python's and stay, others are dropped.

    Raises
    ------
    UsageError
        When a quote or a bracket is not closed.
    """
    words: list[str] = []
    word: str | None = None  # None between words: "" is a word too
    expected: list[str] = []  # closing brackets, innermost last
    for piece in _PIECE.findall(line):
        if not expected and piece.isspace():
            words += [] if word is None else [word]
            word = None
            continue
        if piece in ("'", '"'):
            raise UsageError(f"a quote is not closed: {line.strip()}")
        if piece in _CLOSING:
            expected.append(_CLOSING[piece])
        elif expected and piece == expected[-1]:
            expected.pop()
        quoted = piece[0] in "'\"" and not expected
        word = (word or "") + (piece[1:-1] if quoted else piece)
    if expected:
        raise UsageError(f"{expected[-1]!r} is missing: {line.strip()}")
    return words if word is None else [*words, word]


_EXPRESSION = re.compile(
    r"(?P<option>--[\w-]+=)?(?:\{(?!\{)(?P<braces>.+)\}|\$(?P<name>\w+))", re.DOTALL
)


def expand(words: Iterable[str], namespace: Mapping[str, Any]) -> list[str]:
    """Replace each word ``{expression}`` or ``$name`` by its value in the notebook.

    IPython's own expansion would also change a dict inside ``Points([{"lr": 0.1}])``. What begins
    with ``{{`` is a command's template and stays.

    Raises
    ------
    UsageError
        When an expression cannot be evaluated.
    """

    def value(word: str) -> str:
        match = _EXPRESSION.fullmatch(word)
        if match is None:
            return word
        found = evaluate(match["braces"] or match["name"], namespace, word)
        return f"{match['option'] or ''}{found}"

    return [value(word) for word in words]


def evaluate(expression: str, namespace: Mapping[str, Any], where: str) -> Any:
    """Return the value of a Python expression of the user; `where` begins the error message."""
    try:
        return eval(expression, dict(namespace))  # the user's own code
    except Exception as error:
        raise UsageError(f"{where}: {expression} raised {type(error).__name__}: {error}") from error


# --- types of options: argparse shows the message of an ArgumentTypeError


def whole_number(least: int) -> Callable[[str], int]:
    """Return a reader of integers that are at least `least`."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            hint = f"; for a variable write {{{text}}}" if text.isidentifier() else ""
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number{hint}") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is too small, the least is {least}")
        return number

    return read


def names(text: str) -> list[str]:
    """Read names with commas between them: "accuracy", "accuracy,f1"."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise argparse.ArgumentTypeError(
            f"{text!r} lacks a name; write one, or several with commas: accuracy,f1"
        )
    return found


def fraction(text: str) -> float:
    """Read a number that is zero or more."""
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 up")
    return number


_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>{_NUMBER}){unit})?" for unit in _UNITS))


def duration(text: str) -> float:
    """Read a time in seconds: "90", "90s", "10m", "1h30m", "2d"."""
    if re.fullmatch(_NUMBER, text):
        seconds = float(text)
    elif text and (match := _DURATION.fullmatch(text.lower())):
        seconds = sum(float(match[unit] or 0) * _UNITS[unit] for unit in _UNITS)
    else:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time; write seconds (90), or 90s, 10m, 1h30m, 2d"
        )
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all; write seconds (90), or 10m")
    return seconds


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake with one `UsageError` and never exits.

    Positional arguments are declared optional (``nargs="?"``), so that a mistyped option is named
    before a missing word is.
    """

    def __init__(self, *, width: int = 80, **keywords: Any) -> None:
        layout = partial(
            argparse.RawDescriptionHelpFormatter, width=width, max_help_position=width // 3
        )
        super().__init__(add_help=False, allow_abbrev=False, formatter_class=layout, **keywords)
        self.add_argument("-h", "--help", action="store_true", help="Show this text.")

    @property
    def options(self) -> dict[str, argparse.Action]:
        """Every option by its spelling, "--trials"."""
        return dict(self._option_string_actions)

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Return the values of `words`.

        Raises
        ------
        UsageError
            When an option is unknown, a value is missing or wrong, or a word is left over.
        """
        for word in words:
            name = word.partition("=")[0]
            if re.match(r"--?[A-Za-z]", word) and name not in self._option_string_actions:
                known = [option for option in self._option_string_actions if option != "-h"]
                raise UsageError(f"{name}: unknown option. {nearest(name, known)}")
        values, left = self.parse_known_args(words)
        if left:
            raise UsageError(
                f"{left[0]!r} is one word too many. "
                "An option starts with --, and a value with spaces stands in quotes."
            )
        return values

    def error(self, message: str) -> NoReturn:
        """Raise `message` as a `UsageError`, reworded where it speaks of argparse's insides."""
        message = message.removeprefix("argument ")
        option = message.partition(":")[0]
        if message.endswith("expected one argument"):
            metavar = self._option_string_actions[option].metavar
            message = f"{option}: the value is missing, write {option} {metavar}"
        elif "ignored explicit argument" in message:
            message = f"{option} takes no value"
        raise UsageError(message)
