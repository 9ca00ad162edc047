"""Reads ``--stop-when``: a threshold, a rule by its name, or a rule in Python.

::

    accuracy>=0.98    loss<=0.01                     a metric reaches a value
    plateau:trials=20    plateau:seconds=10m         a rule of nbtune.stopping, with its arguments
    Plateau(trials=20)    my_rule                    an expression, as for --scheduler
"""

import ast
import inspect
import re
from argparse import ArgumentTypeError
from collections.abc import Mapping
from typing import Any

from IPython.core.error import UsageError

from nbtune.exceptions import SpecError, nearest
from nbtune.magics.line import duration, evaluate, expand
from nbtune.stopping import MetricThreshold, StopRule, registry

__all__ = ["read_rule"]

_THRESHOLD = re.compile(r"(?P<metric>[^<>=!():]+?)\s*(?P<sign>[<>=!]+)\s*(?P<value>.*)")
_NAMED = re.compile(r"(?P<name>\w+)\s*(?::\s*(?P<arguments>.*))?")
_EXAMPLES = "accuracy>=0.98, loss<=0.01, plateau:trials=20, failure_rate:share=0.5"


def read_rule(text: str, namespace: Mapping[str, Any]) -> StopRule:
    """Return the rule that one value of ``--stop-when`` stands for.

    Parameters
    ----------
    text : str
    namespace : mapping
        The names that an expression may use.

    Raises
    ------
    UsageError
        In one line, with what is allowed and the nearest right word.
    """
    if match := _THRESHOLD.fullmatch(text.strip()):
        return _threshold(match["metric"], match["sign"], *expand([match["value"]], namespace))
    match = _NAMED.fullmatch(text.strip())
    if match and (match["arguments"] is not None or match["name"] not in namespace):
        return _named(match["name"], match["arguments"] or "", namespace)
    rule = evaluate(text, namespace, "--stop-when") if text.strip() else None
    if not isinstance(rule, StopRule):
        raise UsageError(f"--stop-when {text!r} is no rule; write one like {_EXAMPLES}")
    return rule


def _threshold(metric: str, sign: str, value: str) -> StopRule:
    if sign not in (">=", "<="):
        meant = f"{metric}{'<=' if '<' in sign else '>='}{value}"
        raise UsageError(
            f"--stop-when {metric}{sign}{value}: a threshold is reached at its value, from below "
            f"(>=) or from above (<=); write {meant}"
        )
    try:
        number = float(value)
        return MetricThreshold(metric, number, direction="maximize" if ">" in sign else "minimize")
    except ValueError:  # nan and infinity too
        raise UsageError(
            f"--stop-when {metric}{sign}{value}: {value!r} is not a number; write one, as in "
            f"{metric}{sign}0.5"
        ) from None


def _named(name: str, arguments: str, namespace: Mapping[str, Any]) -> StopRule:
    if name not in registry.names():
        raise UsageError(
            f"--stop-when: rule {name!r} is not known. {nearest(name, registry.names())} "
            f"For a metric write {name}>=VALUE or {name}<=VALUE"
        )
    rule = registry.find(name)
    known = list(inspect.signature(rule).parameters)
    given = {}
    for part in arguments.split(",") if arguments.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise UsageError(
                f"--stop-when {name}: {part.strip()!r} does not say what it is; write "
                f"{name}:{known[0]}={part.strip()}"
            )
        if key not in known:
            raise UsageError(f"--stop-when {name}: no argument {key!r}. {nearest(key, known)}")
        given[key] = _value(name, key, *expand([value], namespace))
    try:
        inspect.signature(rule).bind(**given)
        return rule(**given)
    except SpecError as error:
        raise UsageError(f"--stop-when {name}: {error}") from None
    except TypeError as error:  # "missing a required argument: 'share'"
        raise UsageError(
            f"--stop-when {name}: {error}; write {name}:{known[0]}=VALUE. "
            f"Known: {', '.join(known)}."
        ) from None


def _value(name: str, key: str, text: str) -> Any:
    """Return a time in seconds for ``seconds``, else a Python literal, else the text itself."""
    try:
        return duration(text) if key == "seconds" else ast.literal_eval(text)
    except ArgumentTypeError as error:
        raise UsageError(f"--stop-when {name}: {key}: {error}") from None
    except (ValueError, SyntaxError):
        return text
