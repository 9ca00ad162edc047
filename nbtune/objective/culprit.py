"""Which of the things that an objective uses cannot be sent to a worker, and what to do."""

from collections.abc import Callable, Mapping
from typing import Any

from nbtune.objective.names import references

__all__ = ["explain"]

_LONGEST_REASON = 200


def explain(
    parts: Mapping[str, Any],
    why_not: Callable[[Any], Exception | None],
    error: Exception,
    advice: str,
) -> str:
    """Return the message about the innermost thing that cannot be pickled.

    Parameters
    ----------
    parts : dict
        What the objective is made of, by the names that the user knows.
    why_not : callable
        Returns the error that pickling a value on its own raises, None when it can be pickled.
    error : Exception
        What pickling all of it raised.
    advice : str
        What to do.
    """
    for name, value in parts.items():
        reason = why_not(value)
        if reason is not None:
            return _Search(why_not, advice).follow(name, value, reason, "")
    return f"the objective cannot be sent to a worker process ({_short(error)}). {advice}"


class _Search:
    """Follows what cannot be pickled inwards; each object is looked at once."""

    def __init__(self, why_not: Callable[[Any], Exception | None], advice: str) -> None:
        self._why_not = why_not
        self._advice = advice
        self._seen: dict[int, Any] = {}

    def follow(self, name: str, value: Any, reason: Exception, user: str) -> str:
        """Return the sentence about the innermost culprit at or below `value`."""
        self._seen[id(value)] = value
        # Its own inside, a connection to the page, would say nothing to its user.
        if type(value).__module__.partition(".")[0] == "ipywidgets":
            return (
                f"{name!r} is a {_kind(value)}, which lives in the page and cannot be sent to a "
                f"worker process. Take its value in a cell above, value = {name}.value, and use "
                "that."
            )
        for label, inner in references(value):
            if id(inner) in self._seen:
                continue
            why = self._why_not(inner)
            if why is not None:
                by = getattr(value, "__qualname__", "") if label.isidentifier() else user
                by = by.rpartition("<locals>.")[2]
                return self.follow(_joined(name, label), inner, why, by)
        used = f", which {user} uses," if user else ""
        return (
            f"{name!r}{used} is a {_kind(value)} and cannot be sent to a worker process: "
            f"{_short(reason)}. {self._advice}"
        )


def _joined(name: str, label: str) -> str:
    return name + label if not label or label[0] in ".[" else label


def _kind(value: Any) -> str:
    kind = type(value)
    home = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    return home + kind.__qualname__


def _short(reason: Exception) -> str:
    text = " ".join(str(reason).split()) or type(reason).__name__
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."
