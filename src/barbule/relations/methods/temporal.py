"""Arithmetic of durations, dates and moments, beside what Ibis has of it.

Owns the methods and operators alone. A duration is an interval of a fixed length, counted in
microseconds; months and years are none, and stay Ibis' own.
"""

from __future__ import annotations

import datetime
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.relations.promotion import as_duration
from barbule.types import Duration

__all__ = ["DateMethods", "DurationColumnMethods", "DurationMethods", "TimestampMethods"]

_DAY = datetime.timedelta(days=1)
_TIMES = (ir.DateValue, ir.TimeValue, ir.TimestampValue)


class DurationMethods:
    """What durations can do: compared, computed with, divided by numbers and by each other."""

    __slots__ = ()

    def total_seconds(self) -> ir.FloatingValue:
        """Return the length in seconds, with its fractions.

        Examples
        --------
        >>> import barbule as bb, datetime
        >>> jobs = bb.create_table("jobs", {"took": bb.Duration})
        >>> _ = jobs.insert(took=datetime.timedelta(minutes=1, milliseconds=500))
        >>> jobs.select(s=jobs.took.total_seconds()).collect()[0, "s"]
        60.5
        """
        return _counted(self) / 1_000_000

    def abs(self) -> Any:
        """Return the length without its sign."""
        return _duration_of(_counted(self).abs())

    def between(self, lower: Any, upper: Any) -> Any:
        """Say whether it is between two durations, both included."""
        return _plain(self).between(_duration(lower), _duration(upper))

    def isin(self, values: Any, /) -> Any:
        """Say whether it is one of several durations."""
        return _plain(self).isin(_durations(values))

    def notin(self, values: Any, /) -> Any:
        """Say whether it is none of several durations."""
        return _plain(self).notin(_durations(values))

    def nullif(self, null_if_expr: Any, /) -> Any:
        """Leave out a duration."""
        return _plain(self).nullif(_duration(null_if_expr))

    def fill_null(self, fill_value: Any, /) -> Any:
        """Put a duration where none is."""
        return _plain(self).fill_null(_duration(fill_value))

    def __truediv__(self, other: Any) -> Any:
        """Divide by a number, which gives a duration, or by a duration: how often it fits."""
        return _quotient(self, other, floor=False)

    def __rtruediv__(self, other: Any) -> Any:
        return _quotient(_duration(other), self, floor=False)

    def __floordiv__(self, other: Any) -> Any:
        """Divide by a number or a duration, rounded down as Python does."""
        return _quotient(self, other, floor=True)

    def __rfloordiv__(self, other: Any) -> Any:
        return _quotient(_duration(other), self, floor=True)

    def __mod__(self, other: Any) -> Any:
        """Return what is left when it is divided by a duration; missing for one of no length."""
        return _remainder(self, _duration(other))

    def __rmod__(self, other: Any) -> Any:
        return _remainder(_duration(other), self)


class DurationColumnMethods(DurationMethods):
    """What columns of durations can do: their sums and means too."""

    __slots__ = ()

    def sum(self, where: Any = None) -> ir.IntervalScalar:
        """Add the durations up."""
        return _duration_of(_counted(self).sum(where=where))

    def mean(self, where: Any = None) -> ir.IntervalScalar:
        """Return the mean duration."""
        return _duration_of(_counted(self).mean(where=where).round())


class DateMethods:
    """What dates can do: durations are added to them, and moments subtracted.

    Whole days give a date, as in Ibis. A duration with a time of day, and a column of durations,
    give a timestamp, as in pandas and in databases.
    """

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        """Add a duration."""
        start, other = _start(self, other)
        return type(start).__add__(start, other)

    def __radd__(self, other: Any) -> Any:
        start, other = _start(self, other)
        return type(start).__radd__(start, other)

    def __sub__(self, other: Any) -> Any:
        """Subtract a duration, a date or a moment."""
        start, other = _start(self, other)
        return type(start).__sub__(start, other)

    def __rsub__(self, other: Any) -> Any:
        start, other = _start(self, other)
        return type(start).__rsub__(start, other)


class TimestampMethods:
    """What moments can do: dates are subtracted from them, as of their midnight."""

    __slots__ = ()

    def __sub__(self, other: Any) -> Any:
        """Subtract a duration, a date or a moment."""
        return super().__sub__(_midnight(self, other))  # type: ignore[misc]

    def __rsub__(self, other: Any) -> Any:
        return super().__rsub__(_midnight(self, other))  # type: ignore[misc]


def _with_duration(name: str) -> Any:
    base = getattr(ir.IntervalValue, name)

    def method(self: Any, other: Any) -> Any:
        alike = isinstance(other, ir.IntervalValue) and other.type().unit == self.type().unit
        if alike or name in {"__mul__", "__rmul__"}:
            return base(self.op().to_expr(), other)  # in its unit: days that are added are days
        if isinstance(other, datetime.date):  # moments too
            other = ibis.literal(other)
        if isinstance(other, _TIMES) and name in {"__add__", "__radd__"}:
            start = other.op().to_expr()
            if isinstance(other, ir.DateValue):
                return DateMethods.__add__(start, self)
            return start + _plain(self)
        return base(_plain(self), _duration(other))

    method.__name__ = name
    return method


for _name in ("eq", "ne", "lt", "le", "gt", "ge", "add", "radd", "sub", "rsub", "mul", "rmul"):
    setattr(DurationMethods, f"__{_name}__", _with_duration(f"__{_name}__"))
DurationMethods.__hash__ = ir.Value.__hash__  # type: ignore[method-assign]


def _plain(value: Any) -> Any:
    """Return Ibis' own value, in the unit of durations."""
    return as_duration(value.op()).to_expr()


def _durations(values: Any) -> Any:
    return values if isinstance(values, ir.Expr) else [_duration(each) for each in values]


def _duration(value: Any) -> Any:
    """Give a duration the unit of columns, as Ibis compares none of different units."""
    if isinstance(value, datetime.timedelta):
        return ibis.literal(value // datetime.timedelta(microseconds=1), Duration)
    return _plain(value) if isinstance(value, ir.IntervalValue) else value


def _counted(value: Any) -> Any:
    """Count the microseconds of durations."""
    return ops.Cast(_plain(value).op(), dt.int64).to_expr()


def _duration_of(microseconds: Any) -> Any:
    return microseconds.cast(dt.int64).cast(Duration)


def _quotient(left: Any, right: Any, *, floor: bool) -> Any:
    right = _duration(right)
    if not isinstance(left, ir.IntervalValue):
        return NotImplemented
    if isinstance(right, ir.IntervalValue):
        one, other = _counted(left), _counted(right)
        return one // other if floor else one / other
    number = isinstance(right, int | float) and not isinstance(right, bool)
    if not number and not isinstance(right, ir.NumericValue):
        return NotImplemented
    # Of a division by zero no duration is the result, not even an infinite one.
    divisor = (ibis.literal(right) if number else right).nullif(0)
    count = _counted(left)
    return _duration_of(count // divisor if floor else (count / divisor).round())


def _remainder(left: Any, right: Any) -> Any:
    if not isinstance(left, ir.IntervalValue) or not isinstance(right, ir.IntervalValue):
        return NotImplemented
    return _duration_of(_counted(left) % _counted(right).nullif(0))


def _start(date: Any, other: Any) -> tuple[Any, Any]:
    """Return what is computed with instead of a date: its midnight where a time of day counts."""
    day = date.op().to_expr()
    midnight = day.cast(dt.timestamp)
    if isinstance(other, datetime.timedelta):
        return (midnight, _duration(other)) if other % _DAY else (day, other)
    if isinstance(other, ir.IntervalValue):
        fixed = other.type().unit.is_time() or other.op().find(ops.DateDiff)
        return (midnight, _duration(other)) if fixed else (day, other)
    if isinstance(other, datetime.datetime):
        return (midnight, other) if other.tzinfo is None else (day, other)
    return (midnight, other) if _has_no_zone(other) else (day, other)


def _midnight(moment: Any, other: Any) -> Any:
    """Return the midnight at which a date begins; other values as they are."""
    if not _has_no_zone(moment):
        return other
    if isinstance(other, datetime.date) and not isinstance(other, datetime.datetime):
        return datetime.datetime(other.year, other.month, other.day)  # noqa: DTZ001
    return other.cast(dt.timestamp) if isinstance(other, ir.DateValue) else other


def _has_no_zone(value: Any) -> bool:
    return isinstance(value, ir.TimestampValue) and value.type().timezone is None
