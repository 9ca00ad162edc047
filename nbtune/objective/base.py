"""What every kind of objective becomes: a space, and a call that can be sent to a worker."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nbtune.objective.call import finish
from nbtune.space import Constant, Space
from nbtune.trial import Params

__all__ = ["Objective", "finish", "fixed_max_t"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What is tuned.

    Attributes
    ----------
    name : str
        What the function is called, "cell" for a cell.
    space : Space
        What is searched, and what is fixed.
    source : str
        Its code as the user wrote it; empty when that is not known.
    call : callable
        Takes params and returns what the user's code returns; `payload.write` sends it.
    max_t : int or None
        The steps of one full trial, where the code fixes them as ``epochs`` or ``max_t``.
    """

    name: str
    space: Space
    source: str
    call: Callable[[Params], Any]
    max_t: int | None = None


def fixed_max_t(space: Mapping[str, Any], plain: Mapping[str, Any]) -> int | None:
    """Return the steps of a full trial where ``epochs`` or ``max_t`` fixes them.

    `plain` holds the values of names that the space does not have.
    """
    for name in ("epochs", "max_t"):
        domain = space.get(name)
        fixed = domain.value if isinstance(domain, Constant) else None
        value = plain.get(name) if domain is None else fixed
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None
