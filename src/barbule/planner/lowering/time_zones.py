"""Timestamps with a time zone: their parts are those of the local time in the zone.

Owns how operations on timestamps with a time zone become operations on the local time of that zone,
so that no backend uses the zone of its connection. Combined with a timestamp with a zone, a
timestamp without one is in the default zone. Pure.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import ExpressionError, UnsupportedError
from barbule.types.schemas import unsupported_reason
from barbule.types.zones import canonical_zone, fixed_offset, zone_info

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.types as ir

__all__ = ["in_local_time"]

UTC = "UTC"
_SECONDS_PER_MINUTE = 60
_MINUTES_PER_HOUR = 60


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, None), dt.timestamp))
def _timezone_to_local(zone: ir.Value, timestamp: ir.Value) -> ir.Value:
    """Return the local time of a timestamp in a zone."""


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, None), dt.Timestamp(UTC)))
def _timezone_from_local(zone: ir.Value, local_time: ir.Value) -> ir.Value:
    """Return the timestamp of a local time in a zone."""


def in_local_time(node: ops.Node, default_zone: str) -> ops.Node:
    """Let an operation on timestamps with a zone use the local time of that zone.

    Parameters
    ----------
    default_zone
        The zone of timestamps that have none.
    """
    rule = _RULES.get(type(node))
    return node if rule is None else rule(node, default_zone)


def _zone(value: object) -> str | None:
    """Return the zone of a timestamp; None for all other values."""
    kind = value.dtype if isinstance(value, ops.Value) else None
    return kind.timezone if isinstance(kind, dt.Timestamp) else None


def _is_naive(value: ops.Value) -> bool:
    """Whether a value is a timestamp without a zone."""
    return isinstance(value.dtype, dt.Timestamp) and value.dtype.timezone is None


def _local_time(value: ops.Value, zone: str | None = None) -> ops.Value:
    """Return a timestamp in the local time of a zone, its own if None is given."""
    # A timestamp with a zone in Ibis may have none in SQL, and the function would do the opposite.
    timestamp = ops.Cast(value, dt.Timestamp(UTC))
    database_zone, offset = _database_zone(zone or str(_zone(value)))
    local_time = _timezone_to_local(database_zone, timestamp.to_expr()).op()
    return ops.TimestampAdd(local_time, offset) if offset else local_time


def _timestamp(local_time: ops.Value, zone: str, kind: dt.DataType) -> ops.Value:
    """Return the timestamp of a local time in a zone."""
    database_zone, offset = _database_zone(zone)
    local_time = ops.Cast(local_time, dt.timestamp)
    if offset:
        local_time = ops.TimestampSub(local_time, offset)
    return ops.Cast(_timezone_from_local(database_zone, local_time.to_expr()).op(), kind)


def _database_zone(zone: str) -> tuple[str, ops.Value | None]:
    """Return a zone name that databases support, and the offset of the zone from it."""
    offset = fixed_offset(zone)
    if offset is not None:  # as a name, it is east for one database and west for the other
        return UTC, ops.Literal(offset // datetime.timedelta(minutes=1), dt.Interval("m"))
    if canonical_zone(zone) is None:
        reason, hint = unsupported_reason(dt.Timestamp(zone)) or ("", "")
        raise ExpressionError(reason, hint=hint)
    return zone, None


def _literal(node: ops.Literal, default_zone: str) -> ops.Value:
    """Write a timestamp so that databases read it; Ibis holds the local time."""
    zone, value = _zone(node), node.value
    if zone is None or value is None:
        return node
    local_time = value if value.tzinfo is None else value.astimezone(zone_info(zone))
    local_time = local_time.replace(tzinfo=None)
    if _database_zone(zone)[0] != zone:
        return _timestamp(ops.Literal(local_time, dt.timestamp), zone, node.dtype)
    return node if local_time == value.replace(tzinfo=None) else node.copy(value=local_time)


def _part(node: ops.Value, default_zone: str) -> ops.Value:
    """Read a part of a timestamp, such as its hour."""
    return node if _zone(node.arg) is None else node.copy(arg=_local_time(node.arg))


def _strftime(node: ops.Strftime, default_zone: str) -> ops.Value:
    """Format a timestamp by a pattern; the zone is formatted separately."""
    if _zone(node.arg) is None:
        return node
    local_time = _local_time(node.arg)
    pattern = node.format_str.value if isinstance(node.format_str, ops.Literal) else ""
    pieces = _split_pattern(pattern)
    if "%Z" in pieces:
        raise UnsupportedError(
            "databases cannot format the name of a time zone.",
            value=pattern,
            hint="Use %z for the offset from UTC, or write the name itself in the pattern.",
        )
    if "%z" not in pieces:
        return node.copy(arg=local_time)
    texts = []
    for piece in pieces:
        if piece == "%z":
            sign, hours, minutes = _utc_offset(node.arg)
            texts.append(sign + hours + minutes)
        elif piece:
            texts.append(ops.Strftime(local_time, piece).to_expr())
    return _concatenated(texts)


def _split_pattern(pattern: str) -> list[str]:
    """Split a pattern around the parts that name the zone.

    Examples
    --------
    >>> _split_pattern("%H:%M %z, 100 %%z")
    ['%H:%M ', '%z', ', 100 %%z']
    """
    pieces = [""]
    position = 0
    while position < len(pattern):
        is_directive = pattern[position] == "%"
        token = pattern[position : position + 2] if is_directive else pattern[position]
        if token in {"%z", "%Z"}:
            pieces += [token, ""]
        else:
            pieces[-1] += token
        position += len(token)
    return [piece for piece in pieces if piece]


def _concatenated(texts: list[ir.StringValue]) -> ops.Value:
    concatenation = texts[0]
    for text in texts[1:]:
        concatenation = concatenation + text
    return concatenation.op()


def _utc_offset(timestamp: ops.Value) -> tuple[ir.StringValue, ir.StringValue, ir.StringValue]:
    """Return the offset of the local time from UTC: the sign, the hours and the minutes."""

    def seconds(local_time: ops.Value) -> ir.IntegerValue:
        return local_time.to_expr().epoch_seconds().cast("int64")

    difference = seconds(_local_time(timestamp)) - seconds(_local_time(timestamp, UTC))
    minutes = difference.cast("int64") / _SECONDS_PER_MINUTE
    minutes = minutes.cast("int64")
    distance = minutes.abs()
    hours = (distance / _MINUTES_PER_HOUR).floor().cast("int64")

    def two_digits(number: ir.IntegerValue) -> ir.StringValue:
        return number.cast("string").lpad(2, "0")

    sign = (minutes < 0).ifelse("-", "+")
    return sign, two_digits(hours), two_digits(distance - hours * _MINUTES_PER_HOUR)


def _cast(node: ops.Cast | ops.TryCast, default_zone: str) -> ops.Value:
    target = node.to
    if isinstance(target, dt.Timestamp) and target.timezone is not None:
        _database_zone(target.timezone)  # raises if there is no zone with this name
    if _zone(node.arg) is None:
        return _cast_naive(node, default_zone)
    if isinstance(target, dt.Date | dt.Time):
        return node.copy(arg=_local_time(node.arg))
    if isinstance(target, dt.String):
        return _to_string(node.arg)
    if isinstance(target, dt.Timestamp) and target.timezone is None:
        return ops.Cast(_local_time(node.arg, default_zone), target)
    return node


def _cast_naive(node: ops.Cast | ops.TryCast, default_zone: str) -> ops.Value:
    """Cast a value that has no zone."""
    target = node.to
    if isinstance(node.arg.dtype, dt.Numeric):  # seconds since 1970
        return _from_utc(node, default_zone)
    if not isinstance(target, dt.Timestamp) or target.timezone is None:
        return node
    if isinstance(node.arg.dtype, dt.Date):
        return _timestamp(node.arg, target.timezone, target)
    if _is_naive(node.arg):
        return _timestamp(node.arg, default_zone, target)
    if isinstance(node.arg.dtype, dt.String) and default_zone != UTC:
        return _from_string(node, default_zone)
    return node


def _to_string(timestamp: ops.Value) -> ops.Value:
    """Format a timestamp as SQL does: 2026-01-31 09:30:00+02."""
    local_time = ops.Cast(_local_time(timestamp), dt.string).to_expr()
    if _zone(timestamp) == UTC:
        return (local_time + "+00").op()
    sign, hours, minutes = _utc_offset(timestamp)
    minutes = (minutes == "00").ifelse("", ibis.literal(":") + minutes)
    return (local_time + sign + hours + minutes).op()


# The end of a string that names its zone.
_ZONE_PATTERN = r"([zZ]|[+-]\d{2}(:?\d{2})?|[A-Za-z_]+/[A-Za-z_/]+)\s*$"
_DATE_PATTERN = r"^\s*[+-]?\d+-\d+-\d+\s*$"


def _from_string(node: ops.Cast | ops.TryCast, default_zone: str) -> ops.Value:
    """Read a timestamp from a string, which may name its zone."""
    text = node.arg.to_expr()
    names_zone = text.re_search(_ZONE_PATTERN) & ~text.re_search(_DATE_PATTERN)
    naive = _timestamp(node.copy(to=dt.timestamp), default_zone, node.to)
    return names_zone.ifelse(node.to_expr(), naive.to_expr()).op()


def _with_zones(values: list[ops.Value], default_zone: str) -> list[ops.Value]:
    """Add a zone to timestamps and dates that are combined with timestamps with a zone."""
    zone = next((zone for value in values if (zone := _zone(value)) is not None), None)
    if zone is None:
        return values

    def with_zone(value: ops.Value) -> ops.Value:
        if isinstance(value.dtype, dt.Date):  # it starts at midnight there
            return _timestamp(value, zone, dt.Timestamp(UTC))
        naive = _is_naive(value)
        return _timestamp(value, default_zone, dt.Timestamp(UTC)) if naive else value

    return [with_zone(value) for value in values]


def _comparison(node: ops.Comparison, default_zone: str) -> ops.Value:
    left, right = _with_zones([node.left, node.right], default_zone)
    same = left is node.left and right is node.right
    return node if same else node.copy(left=left, right=right)


def _between(node: ops.Between, default_zone: str) -> ops.Value:
    operands = [node.arg, node.lower_bound, node.upper_bound]
    arg, lower, upper = _with_zones(operands, default_zone)
    if arg is node.arg and lower is node.lower_bound and upper is node.upper_bound:
        return node
    return node.copy(arg=arg, lower_bound=lower, upper_bound=upper)


def _membership(node: ops.InValues, default_zone: str) -> ops.Value:
    operands = [node.value, *node.options]
    new_operands = _with_zones(operands, default_zone)
    if all(new is old for new, old in zip(new_operands, operands, strict=True)):
        return node
    value, *options = new_operands
    return node.copy(value=value, options=tuple(options))


# Days, weeks and longer units follow the calendar; hours and shorter units are elapsed time.
_CALENDAR_UNITS = {"Y", "Q", "M", "W", "D"}
_CALENDAR_PARTS = {"year", "quarter", "month", "week", "day"}


def _shift(node: ops.TimestampAdd | ops.TimestampSub, default_zone: str) -> ops.Value:
    """Add or subtract an interval; days and longer units follow the calendar of the zone."""
    zone = _zone(node.left)
    if zone is None or node.right.dtype.unit.short not in _CALENDAR_UNITS:
        return node
    return _timestamp(node.copy(left=_local_time(node.left)), zone, node.dtype)


def _difference(node: ops.TimestampDiff, default_zone: str) -> ops.Value:
    left, right = _with_zones([node.left, node.right], default_zone)
    if _zone(left) is None or _zone(right) is None:
        return node
    return node.copy(left=_local_time(left, UTC), right=_local_time(right, UTC))


def _delta(node: ops.TimestampDelta, default_zone: str) -> ops.Value:
    """Count days and longer units by the zone of the first timestamp, and hours as elapsed time."""
    left, right = _with_zones([node.left, node.right], default_zone)
    if _zone(left) is None or _zone(right) is None:
        return node
    part = node.part.value if isinstance(node.part, ops.Literal) else None
    zone = (_zone(node.left) or _zone(node.right)) if part in _CALENDAR_PARTS else UTC
    return node.copy(left=_local_time(left, zone), right=_local_time(right, zone))


def _today(node: ops.DateNow, default_zone: str) -> ops.Value:
    if default_zone == UTC:
        return node
    now = _timestamp(ops.TimestampNow(), UTC, dt.Timestamp(UTC))
    return ops.Cast(_local_time(now, default_zone), dt.date)


def _from_utc(node: ops.Value, default_zone: str) -> ops.Value:
    """Return in the default zone a value that SQL computes in UTC, without a zone."""
    if default_zone == UTC or not _is_naive(node):
        return node
    return _local_time(_timestamp(node, UTC, dt.Timestamp(UTC)), default_zone)


def _epoch_seconds(node: ops.ExtractEpochSeconds, default_zone: str) -> ops.Value:
    if default_zone == UTC or not _is_naive(node.arg):
        return node
    return node.copy(arg=_timestamp(node.arg, default_zone, dt.Timestamp(UTC)))


def _rules() -> dict[type[ops.Node], Callable[[ops.Node, str], ops.Node]]:
    part_types = [
        part_type
        for base in (ops.ExtractDateField, ops.ExtractTimeField)
        for part_type in base.__subclasses__()
    ]
    part_types += [ops.DayOfWeekIndex, ops.DayOfWeekName, ops.Date, ops.Time]
    part_types += [ops.TimestampTruncate, ops.TimestampBucket]
    comparisons = (*ops.Comparison.__subclasses__(), ops.IdenticalTo)
    return {
        **dict.fromkeys(part_types, _part),
        **dict.fromkeys(comparisons, _comparison),
        ops.Between: _between,
        ops.Cast: _cast,
        ops.DateNow: _today,
        ops.ExtractEpochSeconds: _epoch_seconds,
        ops.InValues: _membership,
        ops.Literal: _literal,
        ops.Strftime: _strftime,
        ops.TimestampAdd: _shift,
        ops.TimestampDelta: _delta,
        ops.TimestampDiff: _difference,
        ops.TimestampFromUNIX: _from_utc,
        ops.TimestampNow: _from_utc,
        ops.TimestampSub: _shift,
        ops.TryCast: _cast,
    }


_RULES = _rules()
