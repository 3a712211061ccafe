"""Arithmetic with durations, dates and timestamps, in addition to that of Ibis.

Owns only the methods and operators. A duration is an interval of a fixed length, stored in
microseconds; months and years are not durations and stay Ibis intervals.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.relations.promotion import as_duration
from barbule.types import Duration as DurationType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["DateMethods", "DurationColumnMethods", "DurationMethods", "TimestampMethods"]

T = TypeVar("T")
Duration: TypeAlias = datetime.timedelta | ir.IntervalValue
Number: TypeAlias = int | float | ir.NumericValue

_DAY = datetime.timedelta(days=1)
_TIMES = (ir.DateValue, ir.TimeValue, ir.TimestampValue)


class DurationMethods:
    """Methods of durations: comparison, arithmetic, division by numbers and by durations."""

    __slots__ = ()

    def total_seconds(self) -> ir.FloatingValue:
        """Return the length in seconds, including fractions.

        Examples
        --------
        >>> import barbule as bb, datetime
        >>> jobs = bb.create_table("jobs", {"took": bb.Duration})
        >>> _ = jobs.insert(took=datetime.timedelta(minutes=1, milliseconds=500))
        >>> jobs.select(s=jobs.took.total_seconds()).collect()[0, "s"]
        60.5
        """
        return _microseconds(self) / 1_000_000

    def abs(self) -> ir.IntervalValue:
        """Return the absolute value."""
        return _duration_of(_microseconds(self).abs())

    def between(self, lower: Duration, upper: Duration) -> ir.BooleanValue:
        """Return whether it is between two durations, both included."""
        return _ibis_interval(self).between(_duration(lower), _duration(upper))

    def isin(self, values: ir.Expr | Iterable[Duration], /) -> ir.BooleanValue:
        """Return whether it is one of several durations."""
        return _ibis_interval(self).isin(_durations(values))

    def notin(self, values: ir.Expr | Iterable[Duration], /) -> ir.BooleanValue:
        """Return whether it is none of several durations."""
        return _ibis_interval(self).notin(_durations(values))

    def nullif(self, null_if_expr: Duration, /) -> ir.IntervalValue:
        """Return a missing value if it equals a duration."""
        return _ibis_interval(self).nullif(_duration(null_if_expr))

    def fill_null(self, fill_value: Duration, /) -> ir.IntervalValue:
        """Replace missing values with a duration."""
        return _ibis_interval(self).fill_null(_duration(fill_value))

    def __truediv__(self, other: Duration | Number) -> ir.Value:
        """Divide by a number, which returns a duration, or by a duration: their ratio."""
        return _quotient(self, other, floor=False)

    def __rtruediv__(self, other: Duration) -> ir.Value:
        return _quotient(_duration(other), self, floor=False)

    def __floordiv__(self, other: Duration | Number) -> ir.Value:
        """Divide by a number or a duration, rounded down as in Python."""
        return _quotient(self, other, floor=True)

    def __rfloordiv__(self, other: Duration) -> ir.Value:
        return _quotient(_duration(other), self, floor=True)

    def __mod__(self, other: Duration) -> ir.IntervalValue:
        """Return the remainder of a division by a duration; missing for a zero duration."""
        return _remainder(self, _duration(other))

    def __rmod__(self, other: Duration) -> ir.IntervalValue:
        return _remainder(_duration(other), self)


class DurationColumnMethods(DurationMethods):
    """Methods of columns of durations: also sums and means."""

    __slots__ = ()

    def sum(self, where: ir.BooleanValue | None = None) -> ir.IntervalScalar:
        """Return the sum of the durations."""
        return _duration_of(_microseconds(self).sum(where=where))

    def mean(self, where: ir.BooleanValue | None = None) -> ir.IntervalScalar:
        """Return the mean duration."""
        return _duration_of(_microseconds(self).mean(where=where).round())


class DateMethods:
    """Methods of dates: adding durations, and subtracting timestamps.

    Whole days return a date, as in Ibis. A duration with a time of day, and a column of durations,
    return a timestamp, as in pandas and in databases.
    """

    __slots__ = ()

    def __add__(self, other: object) -> ir.Value:
        """Add a duration."""
        start, other = _date_operands(self, other)
        return type(start).__add__(start, other)

    def __radd__(self, other: object) -> ir.Value:
        start, other = _date_operands(self, other)
        return type(start).__radd__(start, other)

    def __sub__(self, other: object) -> ir.Value:
        """Subtract a duration, a date or a timestamp."""
        start, other = _date_operands(self, other)
        return type(start).__sub__(start, other)

    def __rsub__(self, other: object) -> ir.Value:
        start, other = _date_operands(self, other)
        return type(start).__rsub__(start, other)


class TimestampMethods:
    """Methods of timestamps: subtracting dates, as of their midnight."""

    __slots__ = ()

    def __sub__(self, other: object) -> ir.Value:
        """Subtract a duration, a date or a timestamp."""
        return super().__sub__(_at_midnight(other, self))  # type: ignore[misc]

    def __rsub__(self, other: object) -> ir.Value:
        return super().__rsub__(_at_midnight(other, self))  # type: ignore[misc]


def _duration_operator(name: str) -> Callable[[ir.IntervalValue, Any], ir.Value]:
    base = getattr(ir.IntervalValue, name)

    def method(self: ir.IntervalValue, other: Any) -> ir.Value:
        same_unit = isinstance(other, ir.IntervalValue) and other.type().unit == self.type().unit
        if same_unit or name in {"__mul__", "__rmul__"}:
            return base(self.op().to_expr(), other)  # in its own unit: added days stay days
        if isinstance(other, datetime.date):  # also datetimes
            other = ibis.literal(other)
        if isinstance(other, _TIMES) and name in {"__add__", "__radd__"}:
            start = other.op().to_expr()
            if isinstance(other, ir.DateValue):
                return DateMethods.__add__(start, self)
            return start + _ibis_interval(self)
        return base(_ibis_interval(self), _duration(other))

    method.__name__ = name
    return method


for _name in ("eq", "ne", "lt", "le", "gt", "ge", "add", "radd", "sub", "rsub", "mul", "rmul"):
    setattr(DurationMethods, f"__{_name}__", _duration_operator(f"__{_name}__"))
DurationMethods.__hash__ = ir.Value.__hash__  # type: ignore[method-assign]


def _ibis_interval(value: ir.IntervalValue) -> ir.IntervalValue:
    """Return Ibis' own value, in the unit of durations."""
    return as_duration(value.op()).to_expr()


def _durations(values: ir.Expr | Iterable[Duration]) -> ir.Expr | list[ir.IntervalValue]:
    return values if isinstance(values, ir.Expr) else [_duration(value) for value in values]


def _duration(value: T) -> T | ir.IntervalValue:
    """Convert a duration to the unit of columns, because Ibis does not compare different units."""
    if isinstance(value, datetime.timedelta):
        return ibis.literal(value // datetime.timedelta(microseconds=1), DurationType)
    return _ibis_interval(value) if isinstance(value, ir.IntervalValue) else value


def _microseconds(value: ir.IntervalValue) -> ir.IntegerValue:
    return ops.Cast(_ibis_interval(value).op(), dt.int64).to_expr()


def _duration_of(microseconds: ir.NumericValue) -> ir.IntervalValue:
    return microseconds.cast(dt.int64).cast(DurationType)


def _quotient(left: object, right: object, *, floor: bool) -> ir.Value:
    right = _duration(right)
    if not isinstance(left, ir.IntervalValue):
        return NotImplemented
    if isinstance(right, ir.IntervalValue):
        dividend, divisor = _microseconds(left), _microseconds(right)
        return dividend // divisor if floor else dividend / divisor
    if isinstance(right, int | float) and not isinstance(right, bool):
        right = ibis.literal(right)
    if not isinstance(right, ir.NumericValue):
        return NotImplemented
    # A division by zero has no duration as its result, not even an infinite one.
    divisor = right.nullif(0)
    dividend = _microseconds(left)
    return _duration_of(dividend // divisor if floor else (dividend / divisor).round())


def _remainder(left: object, right: object) -> ir.IntervalValue:
    if not isinstance(left, ir.IntervalValue) or not isinstance(right, ir.IntervalValue):
        return NotImplemented
    return _duration_of(_microseconds(left) % _microseconds(right).nullif(0))


def _date_operands(date: ir.DateValue, other: Any) -> tuple[ir.Value, Any]:
    """Return the operands for Ibis: the midnight of a date if a time of day counts."""
    day = date.op().to_expr()
    midnight = day.cast(dt.timestamp)
    if isinstance(other, datetime.timedelta):
        return (midnight, _duration(other)) if other % _DAY else (day, other)
    if isinstance(other, ir.IntervalValue):
        has_time = other.type().unit.is_time() or other.op().find(ops.DateDiff)
        return (midnight, _duration(other)) if has_time else (day, other)
    if isinstance(other, datetime.datetime):
        return (midnight, other) if other.tzinfo is None else (day, other)
    return (midnight, other) if _is_naive(other) else (day, other)


def _at_midnight(other: T, timestamp: ir.TimestampValue) -> T | datetime.datetime | ir.Value:
    """Return the midnight of a date, to combine with a timestamp; other values unchanged."""
    if not _is_naive(timestamp):
        return other
    if isinstance(other, datetime.date) and not isinstance(other, datetime.datetime):
        return datetime.datetime(other.year, other.month, other.day)  # noqa: DTZ001
    return other.cast(dt.timestamp) if isinstance(other, ir.DateValue) else other


def _is_naive(value: object) -> bool:
    return isinstance(value, ir.TimestampValue) and value.type().timezone is None
