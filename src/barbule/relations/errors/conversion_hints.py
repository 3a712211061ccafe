"""Hints for two values whose types do not match.

Owns only the hints: for a string and a number, a timestamp and a duration and so on.
"""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.types.data_types import Media

__all__ = ["conversion", "sort_of"]

_SORTS: tuple[tuple[Any, type[dt.DataType], str], ...] = (
    (bool, dt.Boolean, "truth"),
    ((), Media, "file"),
    (str, dt.String, "text"),
    (int | float | decimal.Decimal, dt.Numeric, "number"),
    (datetime.timedelta, dt.Interval, "duration"),
    (datetime.date | datetime.time, dt.Temporal, "time"),
    (list | tuple, dt.Array, "list"),
)
_CONCATENATION = (
    "Concatenate strings with strings: convert a column with t.n.cast('string'), a value "
    "with str(x)."
)
_ADDITION_HINTS = (
    (
        {"text", "number"},
        f"{_CONCATENATION} To add numbers that are stored as strings, use .cast('float64').",
    ),
    (
        {"text", "time"},
        (
            f"{_CONCATENATION} .strftime('%Y-%m-%d') also formats a timestamp or a date; add a "
            "datetime.timedelta(days=1) to it."
        ),
    ),
    (
        {"text", "duration"},
        f"{_CONCATENATION} Add a duration to a duration: datetime.timedelta(hours=1).",
    ),
    ({"text", "list"}, "Join the items of a list of strings first: t.tags.join(', ')."),
    (
        {"text", "file"},
        ("A media file is not a string; t.img.uri() is the string that refers to it."),
    ),
    ({"file"}, "A media file is not a string; t.img.uri() is the string that refers to it."),
)
_COMPARISON_HINTS = (
    (
        {"time", "number"},
        (
            "Write a date or a timestamp: datetime.date(2026, 1, 31), or the string "
            "'2026-01-31'. Convert a column of numbers such as 20260131 with "
            "t.n.cast('string').as_date('%Y%m%d'), and a column of seconds since 1970 with "
            "t.n.as_timestamp('s')."
        ),
    ),
)
_CONVERSION_HINTS = (
    (
        {"time", "number"},
        (
            "Write an interval: datetime.timedelta(days=1), ibis.interval(days=1), or "
            "t.n.as_interval('D') for a column of integers."
        ),
    ),
    (
        {"duration", "number"},
        "Write a duration, datetime.timedelta(hours=1), or compare t.took.total_seconds().",
    ),
    ({"duration", "text"}, "Write a duration: datetime.timedelta(hours=1)."),
    (
        {"duration", "time"},
        "A duration can be added to or subtracted from a timestamp, and compared with durations.",
    ),
    (
        {"duration"},
        (
            "Durations can be added, subtracted, compared and divided; multiply a duration by a "
            "number."
        ),
    ),
    (
        {"time", "text"},
        (
            "Write datetime.datetime(2026, 1, 31), or convert a column of strings with "
            ".cast('timestamp'); .try_cast('timestamp') returns NULL for strings that are not "
            "timestamps."
        ),
    ),
    (
        {"text", "number"},
        (
            "Convert one of them: the string with .cast('float64') (.try_cast('float64') if some "
            "strings are not numbers), or the number with .cast('string')."
        ),
    ),
    ({"truth", "number"}, "Count true values with t.ok.cast('int64'), which is 1 or 0."),
    (
        {"truth"},
        ("Count true values with t.ok.cast('int64'), which is 1 or 0; & and | combine conditions."),
    ),
    ({"text"}, "Convert strings to numbers: .cast('float64'), or .try_cast('float64')."),
    ({"time"}, "Subtract a timestamp from a timestamp; add a datetime.timedelta."),
)


def sort_of(value: object) -> str:
    """Return the category of an operand, as far as conversions differ."""
    kind = value.type() if isinstance(value, ir.Value) else None
    for python_type, data_type, sort in _SORTS:
        if isinstance(kind, data_type) if kind is not None else isinstance(value, python_type):
            return sort
    return "other"


def conversion(left: object, right: object, symbol: str) -> str:
    """Return a hint for an operator that does not accept two values.

    Examples
    --------
    >>> conversion("a", 1, "+")[:40]
    'Concatenate strings with strings: conver'
    """
    sorts = {sort_of(left), sort_of(right)}
    hints: list[tuple[set[str], str]] = []
    if symbol == "+":
        hints += _ADDITION_HINTS
    elif symbol in _COMPARISONS:
        hints += _COMPARISON_HINTS
    for hint_sorts, hint in (*hints, *_CONVERSION_HINTS):
        if sorts == hint_sorts:
            return hint
    if symbol == "+" and "text" in sorts:
        return _CONCATENATION
    if "list" in sorts:
        return "Compare with a list by isin(); t.tags.contains(x) tests whether a list contains x."
    return "Convert one of them, with .cast('float64') or .cast('string')."


_COMPARISONS = {"<", "<=", ">", ">=", "==", "!="}
