"""Finds one of a family (a searcher, a scheduler) by instance, class or name."""

import importlib
import importlib.metadata
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from nbtune.exceptions import SpecError, nearest

__all__ = ["Registry"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry(Generic[T]):
    """The named members of one family.

    Parameters
    ----------
    word : str
        What a member is called in messages and options, "searcher".
    base : type
        The class that every member subclasses.
    group : str
        The entry-point group by which other packages add members.
    builtin : mapping of str to str
        Names to "module:attribute". They win over entry points of the same name, and work from a
        source tree that is not installed.
    elsewhere : mapping of str to str, optional
        Names that other libraries have, in lower case, to what does the same here.
    """

    word: str
    base: type[T]
    group: str
    builtin: Mapping[str, str]
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return every known name, built-in ones first, nothing imported."""
        return list(dict.fromkeys([*self.builtin, *self._entry_points()]))

    def find(self, name: str) -> type[T]:
        """Return the class registered as `name`.

        Raises
        ------
        SpecError
            When the name is unknown, its module cannot be imported, or it is no `base`.
        """
        targets = {**self._entry_points(), **self.builtin}
        if name not in targets:
            hint = self.elsewhere.get(name.lower())
            here = f": here it is {hint}" if hint else ""
            known = nearest(name, self.names())
            raise self._error(f"{self.word} {name!r} is not known{here}. {known}")
        module, _, attribute = targets[name].partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise self._error(
                f"{self.word} {name!r} ({targets[name]}) cannot be imported: {error}. "
                "Repair or remove the package that registers it."
            ) from error
        if not (inspect.isclass(found) and issubclass(found, self.base)):
            raise self._error(
                f"{self.word} {name!r} ({targets[name]}) is {found!r}, "
                f"not a subclass of {self.base.__name__}."
            )
        return found

    def build(self, value: object) -> T:
        """Return `value` itself if it is an instance, else one made from a class or a name.

        Raises
        ------
        SpecError
            When `value` is none of the three, its name is unknown, or it needs arguments.
        """
        if isinstance(value, self.base):
            return value
        found: object = self.find(value) if isinstance(value, str) else value
        if not (inspect.isclass(found) and issubclass(found, self.base)):
            raise self._error(
                f"{self.word}={value!r} is a {type(value).__name__}; give a name "
                f"({', '.join(self.names())}), a {self.base.__name__} or a subclass of it."
            )
        if inspect.isabstract(found):
            raise self._error(f"{self.word}={value!r}: {found.__name__} is abstract, subclass it.")
        signature = inspect.signature(found)
        try:
            signature.bind()
        except TypeError as error:
            named = [n for n, each in signature.parameters.items() if each.kind != each.VAR_KEYWORD]
            call = f"{found.__name__}({', '.join(named)})"
            raise self._error(
                f"{self.word}={value!r}: {error}. Make it yourself: {self.word}={call}."
            ) from error
        return found()

    def _entry_points(self) -> dict[str, str]:
        return {e.name: e.value for e in importlib.metadata.entry_points(group=self.group)}

    def _error(self, message: str) -> SpecError:
        return SpecError(message, path=self.word)
