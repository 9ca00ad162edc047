"""The magics ``%%tune`` and ``%tune``: what ``%load_ext nbtune`` adds to IPython."""

from typing import Any

from IPython.core.error import UsageError

from nbtune.magics.completion import matcher
from nbtune.magics.tune import TuneMagics

__all__ = ["register", "unregister"]

_MATCHER = "nbtune"
_BELOW = "%tune"  # what IPython reads in a %%tune that is not the first line of its cell


def _refuse_below(line: str) -> None:
    """Tell where ``%%tune`` stands."""
    raise UsageError(
        "%%tune must be the first line of its cell: put what stands above it, a comment too, "
        "below it or into a cell of its own"
    )


def register(ipython: Any) -> None:
    """Add the magics and their completion to a shell."""
    unregister(ipython)
    ipython.register_magics(TuneMagics)
    ipython.register_magic_function(_refuse_below, "line", _BELOW)
    ipython.Completer.custom_matchers.append(matcher(lambda: ipython.user_ns))


def unregister(ipython: Any) -> None:
    """Take away what `register` added."""
    for kind in ("line", "cell"):
        ipython.magics_manager.magics[kind].pop("tune", None)
    ipython.magics_manager.magics["line"].pop(_BELOW, None)
    ipython.magics_manager.registry.pop(TuneMagics.__name__, None)
    completer = ipython.Completer
    completer.custom_matchers = [
        known
        for known in completer.custom_matchers
        if getattr(known, "matcher_identifier", None) != _MATCHER
    ]
