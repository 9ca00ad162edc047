"""Text with places for values: ``--lr={{ lr }} --out={{ trial.dir }}``."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from nbtune.context import CurrentTrial
from nbtune.exceptions import SpecError
from nbtune.trial import Params

__all__ = ["TRIAL_NAMES", "Template", "Values", "as_json", "as_text", "split_words"]

TRIAL_NAMES = ("trial.dir", "trial.number", "trial.seed")
_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_LITERAL = re.compile(r"""(["'])(.*)\1""", re.DOTALL)
_FLAG = re.compile(r"(\S+)\s+if\s+(\S+)(?:\s+else\s+(\S+))?")


class Template:
    """A text and the names that stand in ``{{ }}`` in it; ``{{ "{{" }}`` gives what is quoted.

    ``{{ --amp if amp }}`` is ``--amp`` where the param is true, and nothing where it is not;
    ``{{ --amp if amp else --no-amp }}`` one or the other.

    Raises
    ------
    SpecError
        When a ``{{`` is not closed, or nothing stands in it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._pieces = [piece.strip() if odd else piece for odd, piece in _pieces(text)]
        if any("{{" in piece for piece in self._pieces[::2]):
            raise SpecError(f"{text!r}: a '{{{{' is not closed. Write {{{{ name }}}}", "command")
        if "" in self._pieces[1::2]:
            raise SpecError(f"{text!r}: no name in '{{{{ }}}}'. Write {{{{ name }}}}", "command")

    @property
    def names(self) -> list[str]:
        """The names in it, in order."""
        return [_name_in(piece) for piece in self._pieces[1::2] if not _LITERAL.fullmatch(piece)]

    @property
    def is_bare(self) -> bool:
        """Whether it is one name and nothing else."""
        return self._is_one_place and not _FLAG.fullmatch(self._pieces[1])

    @property
    def _is_one_place(self) -> bool:
        return len(self._pieces) == 3 and not self._pieces[0] and not self._pieces[2]

    def fill(self, values: "Values") -> str | None:
        """Return the text with a value in each place; None when there is nothing to say.

        That is when a name has no value, or a flag alone is not set.
        """
        filled = []
        for odd, piece in enumerate(self._pieces):
            text = _filled(piece, values) if odd % 2 else piece
            if text is None and self._is_one_place:
                return None
            if text is None and not _FLAG.fullmatch(piece):
                return None
            filled.append(text or "")
        return "".join(filled)


def _name_in(piece: str) -> str:
    flag = _FLAG.fullmatch(piece)
    return flag[2] if flag else piece


def _filled(piece: str, values: "Values") -> str | None:
    """Return what stands in the place of ``{{ piece }}``; None for nothing."""
    literal, flag = _LITERAL.fullmatch(piece), _FLAG.fullmatch(piece)
    if literal:
        return str(literal[2])
    if flag:
        return flag[1] if any(values.find(flag[2])) else flag[3]
    return next((values.quote(as_text(value)) for value in values.find(piece)), None)


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield texts and names in turn, the names marked by a 1."""
    return ((index % 2, piece) for index, piece in enumerate(_PLACE.split(text)))


def split_words(line: str, split: Callable[[str], list[str]]) -> list[str]:
    """Split a line by a shell's rules, each place for a value kept whole as part of its word."""
    places = _PLACE.findall(line)
    marked = iter(range(len(places)))
    # A NUL cannot be part of an argument: none is mistaken for a mark.
    hidden = _PLACE.sub(lambda _: f"\0{next(marked)}\0", line)
    return [
        re.sub("\0(\\d+)\0", lambda mark: f"{{{{{places[int(mark[1])]}}}}}", word)
        for word in split(hidden)
    ]


def as_text(value: Any) -> str:
    """Return a value as a command gets it: text, paths, dates as they are, all else as JSON."""
    if isinstance(value, str | os.PathLike | date):
        return _as_it_is(value)
    return as_json(value)


def as_json(value: Any) -> str:
    """Return a value as JSON, paths and dates as text; NaN is ``NaN``, infinity ``Infinity``.

    Raises
    ------
    TypeError
        When JSON cannot say it.
    """
    return json.dumps(value, ensure_ascii=False, default=_as_it_is)


def _as_it_is(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(os.fspath(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What the names in a template stand for in one trial; `quote` gives a value its last form."""

    params: Params
    trial: CurrentTrial
    quote: Callable[[str], str] = str

    def find(self, name: str) -> list[Any]:
        """Return the value of a name as the only item; no item when its branch is not chosen."""
        if name in TRIAL_NAMES:
            return [getattr(self.trial, name.removeprefix("trial."))]
        if name == "params":
            return [self.params]
        return list(_found(name.removeprefix("params."), self.params))[:1]


def _found(path: str, params: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the value at a dotted path; names may themselves have dots."""
    for name, value in params.items():
        if name == path:
            yield value
        elif path.startswith(f"{name}.") and isinstance(value, dict):
            yield from _found(path[len(name) + 1 :], value)
