"""Columns of timestamps, dates and times of day, compared with ISO strings.

Owns how a Python value is converted to a literal of the column's type.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule import nodes
from barbule.errors import ExpressionError
from barbule.relations.columns.managed_column import ManagedColumn
from barbule.types.zones import zone_info

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["TemporalColumn"]

T = TypeVar("T")
Temporal: TypeAlias = datetime.datetime | datetime.date | datetime.time


class TemporalColumn(ManagedColumn):
    """Columns of timestamps, dates and times of day, compared with ISO strings.

    Compared with a column with a time zone, a timestamp without one is in the default zone;
    compared with a column without a zone, a timestamp with one is converted to local time of the
    default zone, as for inserts. A date starts at midnight of the column's zone.
    """

    __slots__ = ()

    def between(self, lower: object, upper: object) -> ir.BooleanValue:
        """Return whether the value is between two times, both included."""
        return super().between(_literal(lower, self), _literal(upper, self))  # type: ignore[misc]

    def isin(self, values: ir.Expr | Iterable[object], /) -> ir.BooleanValue:
        """Return whether the value is one of several times."""
        return super().isin(_literals(values, self))

    def notin(self, values: ir.Expr | Iterable[object], /) -> ir.BooleanValue:
        """Return whether the value is none of several times."""
        return super().notin(_literals(values, self))

    def fill_null(self, fill_value: object, /) -> ir.Value:
        """Replace missing values with a time."""
        literal = _literal(fill_value, self)
        if literal is not fill_value and getattr(self.type(), "timezone", None):
            literal = literal.cast(self.type())
        return super().fill_null(literal)  # type: ignore[misc]


def _comparison(name: str) -> Callable[[TemporalColumn, object], ir.BooleanValue]:
    def method(self: TemporalColumn, other: object) -> ir.BooleanValue:
        return getattr(super(TemporalColumn, self), name)(_literal(other, self))

    method.__name__ = name
    return method


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(TemporalColumn, f"__{_name}__", _comparison(f"__{_name}__"))
TemporalColumn.__hash__ = ir.Value.__hash__  # type: ignore[method-assign]


def _literals(values: ir.Expr | Iterable[object], column: ManagedColumn) -> ir.Expr | list[object]:
    if isinstance(values, ir.Expr):
        return values
    return [_literal(value, column) for value in values]


def _literal(value: Any, column: Any) -> Any:
    """Convert a string or timestamp to a literal of the column's type; return others unchanged."""
    if not isinstance(value, str | datetime.datetime):
        return value
    kind = column.type()
    time = _parsed(value, kind, column) if isinstance(value, str) else value
    if isinstance(kind, dt.Timestamp) and kind.timezone is not None:
        aware = _aware(time, kind.timezone, column)
        return ibis.literal(aware.astimezone(datetime.UTC), dt.Timestamp("UTC"))
    if not isinstance(time, datetime.datetime):
        return ibis.literal(time)
    if time.tzinfo is not None:
        time = time.astimezone(_default_zone(column)).replace(tzinfo=None)
    if getattr(time, "nanosecond", 0):  # of pandas; a literal has microseconds
        return ibis.literal(time.isoformat()).cast(dt.Timestamp(scale=9))
    return ibis.literal(time, dt.timestamp)


def _aware(time: Any, zone: str, column: ir.Column) -> datetime.datetime:
    """Return a timestamp with a zone; a date starts at midnight of the column's zone."""
    if not isinstance(time, datetime.datetime):
        return datetime.datetime(time.year, time.month, time.day, tzinfo=zone_info(zone))
    return time if time.tzinfo else time.replace(tzinfo=_default_zone(column))


def _default_zone(column: ir.Column) -> datetime.tzinfo:
    """Return the zone of timestamps without a zone, for the tables of a column."""
    leaves = column.op().find(nodes.ManagedTable)
    return zone_info(leaves[0].source.zone) if leaves else datetime.UTC


def _parsed(text: str, kind: dt.DataType, column: ir.Column) -> Temporal:
    try:
        if isinstance(kind, dt.Time):
            return datetime.time.fromisoformat(text)
        dates = isinstance(kind, dt.Date) or getattr(kind, "timezone", None) is not None
        if dates and len(text) <= len("2026-01-01"):
            return datetime.date.fromisoformat(text)
        return datetime.datetime.fromisoformat(text)
    except ValueError as error:
        noun, example = _EXAMPLES[type(kind)]
        raise ExpressionError(
            f"this string is not a valid {noun}: {error}.",
            column=column.get_name(),
            value=text,
            hint=f"Write it in ISO 8601: {example!r}.",
        ) from error


_EXAMPLES = {
    dt.Timestamp: ("timestamp", "2026-01-31T09:30:00+02:00"),
    dt.Date: ("date", "2026-01-31"),
    dt.Time: ("time of day", "09:30:00"),
}
