"""Hints of what to write where two values do not go together.

Owns the hints alone: of a text and a number, a timestamp and a duration and so on.
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
    "Texts are put together with texts: t.n.cast('string') of a column, str(x) of a value."
)
_ADDITION_HINTS = (
    (
        {"text", "number"},
        f"{_CONCATENATION} Numbers in texts are added by .cast('float64') of the text.",
    ),
    (
        {"text", "time"},
        (
            f"{_CONCATENATION} A moment is written by .strftime('%Y-%m-%d') too; what is added to "
            "it is a datetime.timedelta(days=1)."
        ),
    ),
    (
        {"text", "duration"},
        f"{_CONCATENATION} What is added to a duration is another, datetime.timedelta(hours=1).",
    ),
    ({"text", "list"}, "Put the items of a list of texts together first: t.tags.join(', ')."),
    ({"text", "file"}, "A file is no text; t.img.uri() is the text that refers to it."),
    ({"file"}, "A file is no text; t.img.uri() is the text that refers to it."),
)
_COMPARISON_HINTS = (
    (
        {"time", "number"},
        (
            "Write a moment: datetime.date(2026, 1, 31), or the text '2026-01-31'. A column of "
            "numbers such as 20260131 is read by t.n.cast('string').as_date('%Y%m%d'), one of "
            "seconds since 1970 by t.n.as_timestamp('s')."
        ),
    ),
)
_CONVERSION_HINTS = (
    (
        {"time", "number"},
        (
            "Write a length of time: datetime.timedelta(days=1), ibis.interval(days=1), or "
            "t.n.as_interval('D') of whole numbers."
        ),
    ),
    (
        {"duration", "number"},
        "Write a duration, datetime.timedelta(hours=1), or compare t.took.total_seconds().",
    ),
    ({"duration", "text"}, "Write a duration: datetime.timedelta(hours=1)."),
    (
        {"duration", "time"},
        "A duration is added to a moment or subtracted from it, and compared with durations.",
    ),
    (
        {"duration"},
        "Durations are added, subtracted, compared and divided; one is multiplied by a number.",
    ),
    (
        {"time", "text"},
        (
            "Write datetime.datetime(2026, 1, 31), or convert a column of texts by "
            ".cast('timestamp'); .try_cast('timestamp') gives no value where there is no moment."
        ),
    ),
    (
        {"text", "number"},
        (
            "Convert one of them: .cast('float64') of the text, .try_cast('float64') where some "
            "texts are no numbers, or .cast('string') of the number."
        ),
    ),
    ({"truth", "number"}, "Count what is true: t.ok.cast('int64') is 1 or 0."),
    ({"truth"}, "Count what is true: t.ok.cast('int64') is 1 or 0; & and | combine conditions."),
    ({"text"}, "Convert texts to numbers: .cast('float64'), or .try_cast('float64')."),
    ({"time"}, "A moment is subtracted from another; what is added is a datetime.timedelta."),
)


def sort_of(value: object) -> str:
    """Say of which sort an operand is, as far as conversions differ."""
    kind = value.type() if isinstance(value, ir.Value) else None
    for python_type, data_type, sort in _SORTS:
        if isinstance(kind, data_type) if kind is not None else isinstance(value, python_type):
            return sort
    return "other"


def conversion(left: object, right: object, symbol: str) -> str:
    """Say what to write where an operator does not take two values.

    Examples
    --------
    >>> conversion("a", 1, "+")[:40]
    'Texts are put together with texts: t.n.c'
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
        return "A list is compared with isin(), and t.tags.contains(x) looks into one."
    return "Convert one of them, with .cast('float64') or .cast('string')."


_COMPARISONS = {"<", "<=", ">", ">=", "==", "!="}
