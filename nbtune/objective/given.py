"""Whatever a user gives to be tuned, as an `Objective`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nbtune.exceptions import ObjectiveError, SpecError
from nbtune.objective.base import Objective
from nbtune.objective.command import Command
from nbtune.objective.function import from_function
from nbtune.objective.names import Title

__all__ = ["as_objective"]


def as_objective(
    given: Callable[..., Any] | Command | Objective | None,
    space: Mapping[str, Any] | None = None,
    *,
    title: Title | None = None,
) -> Objective:
    """Return a function or a command with its space, or an objective as it is.

    None stands for what a loop over ``sweep.iterate()`` does.

    `title` gives the name by which the user knows a file of code, such as "Cell In[3]".

    Raises
    ------
    SpecError, ObjectiveError, SpaceError
        When it cannot be tuned.
    """
    if given is None:
        return replace(from_function(_no_objective, space), name="sweep", source="")
    if isinstance(given, Command):
        return given.objective(space)
    if not isinstance(given, Objective):
        return from_function(given, space, title=title)
    if space is not None:
        raise SpecError(
            "space= goes with a function or a Command; an Objective has its own space", "space"
        )
    return given


def _no_objective(**params: Any) -> Any:
    raise ObjectiveError(
        f"this sweep has no objective to run on {', '.join(params)}. Give it one, or run its "
        "trials yourself: for trial in sweep.iterate(): ..."
    )
