"""What the fields of a param kind may hold: each function returns it as a plain object.

Each raises `Refused` for anything else. Numbers may be text, as YAML reads 1e-3.
"""

import re
from datetime import date, datetime, timedelta
from numbers import Integral
from typing import Any

import numpy as np

from nbtune.space.domains import Refused, as_float, as_int

__all__ = [
    "count_of",
    "day_of",
    "days_of",
    "moment_of",
    "number_of",
    "positive_of",
    "real_of",
    "scale_of",
    "span_of",
]


def number_of(value: Any) -> int | float:
    """Return a finite number, also from text; ints stay ints."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
        except ValueError:
            raise Refused("allowed is a number.") from None
    return as_int(value) if isinstance(value, Integral) else as_float(value)


def real_of(value: Any) -> float:
    """Return a finite number as a float."""
    return as_float(number_of(value))


def positive_of(value: Any) -> int | float:
    """Return a number above 0."""
    number = number_of(value)
    if number <= 0:
        raise Refused("allowed is a number above 0.")
    return number


def count_of(value: Any) -> int:
    """Return a whole number of at least 1; 5.0 and "5" are 5."""
    number = as_int(number_of(value))
    if number < 1:
        raise Refused("allowed is a whole number of at least 1.")
    return number


def scale_of(value: Any) -> float:
    """Return a number of at least 0 as a float."""
    number = real_of(value)
    if number < 0:
        raise Refused("allowed is a number of at least 0.")
    return number


def moment_of(value: Any) -> datetime:
    """Return a datetime, of a date its midnight, also from ISO 8601 text."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value.strip())
        except ValueError:
            raise Refused("allowed is a date such as 2026-01-31, or with a time.") from None
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - as naive as given
    raise Refused("allowed is a date such as 2026-01-31.")


def day_of(value: Any) -> date:
    """Return a date, also from a midnight or text."""
    moment = moment_of(value)
    if moment.time() != datetime.min.time():
        raise Refused("allowed is a date without a time, or use datetimerange.")
    return moment.date()


def days_of(value: Any) -> timedelta:
    """Return so many days, at least 1."""
    return span_of(as_int(number_of(value)) * 86_400)


def span_of(value: Any) -> timedelta:
    """Return so many seconds, above 0, or a timedelta as it is."""
    try:
        span = value if isinstance(value, timedelta) else timedelta(seconds=number_of(value))
    except OverflowError:
        raise Refused("which is too long.") from None
    if span <= timedelta(0):
        raise Refused("allowed is a step above 0.")
    return span
