"""Moments with a zone: their parts are those of the clock there.

Owns how operations on moments with a zone become operations on what the clock of that zone shows,
so that no backend goes by the zone of its connection. A moment without a zone is one of the
default zone beside a moment with one. Pure.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.errors import ExpressionError, UnsupportedError
from barbule.types.schemas import refusal
from barbule.types.zones import canonical_zone, fixed_offset, zone_info

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.types as ir

__all__ = ["by_the_clock"]

UTC = "UTC"
_HOUR = 60  # minutes


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, None), dt.timestamp))
def _clock_of(zone: Any, moment: Any) -> Any:
    """Show a moment on the clock of a zone."""


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, None), dt.Timestamp(UTC)))
def _moment_of(zone: Any, clock: Any) -> Any:
    """Find the moment at which the clock of a zone shows this."""


def by_the_clock(node: ops.Node, default: str) -> ops.Node:
    """Let an operation on moments with a zone go by the clock of that zone.

    Parameters
    ----------
    default
        The zone of moments that have none.
    """
    rule = _RULES.get(type(node))
    return node if rule is None else rule(node, default)


def _zone(value: Any) -> str | None:
    """Return the zone of a moment; None for all other values."""
    kind = value.dtype if isinstance(value, ops.Value) else None
    return kind.timezone if isinstance(kind, dt.Timestamp) else None


def _is_bare(value: Any) -> bool:
    """Whether a value is a moment without a zone."""
    return isinstance(value.dtype, dt.Timestamp) and value.dtype.timezone is None


def _clock(value: ops.Value, zone: str | None = None) -> Any:
    """Show a moment on the clock of a zone, its own if None is given."""
    # What Ibis says has a zone may have none in SQL, and the function would do the opposite.
    moment = ops.Cast(value, dt.Timestamp(UTC))
    place, offset = _place(zone or str(_zone(value)))
    clock = _clock_of(place, moment.to_expr()).op()
    return ops.TimestampAdd(clock, offset) if offset else clock


def _moment(clock: ops.Value, zone: str, kind: dt.DataType) -> ops.Value:
    """Find the moment at which the clock of a zone shows this."""
    place, offset = _place(zone)
    shown = ops.Cast(clock, dt.timestamp)
    there = ops.TimestampSub(shown, offset) if offset else shown
    return ops.Cast(_moment_of(place, there.to_expr()).op(), kind)


def _place(zone: str) -> tuple[str, ops.Value | None]:
    """Return a zone that databases know by name, and how far the clock is from it."""
    offset = fixed_offset(zone)
    if offset is not None:  # as a name, it is east to one database and west to the other
        return UTC, ops.Literal(offset // datetime.timedelta(minutes=1), dt.Interval("m"))
    if canonical_zone(zone) is None:
        reason, hint = refusal(dt.Timestamp(zone)) or ("", "")
        raise ExpressionError(reason, hint=hint)
    return zone, None


def _literal(node: ops.Literal, default: str) -> ops.Value:  # noqa: ARG001 - a rule's form
    """Write a moment so that databases read it; what Ibis has of one is the clock there."""
    zone, value = _zone(node), node.value
    if zone is None or value is None:
        return node
    there = value if value.tzinfo is None else value.astimezone(zone_info(zone))
    there = there.replace(tzinfo=None)
    if _place(zone)[0] != zone:
        return _moment(ops.Literal(there, dt.timestamp), zone, node.dtype)
    return node if there == value.replace(tzinfo=None) else node.copy(value=there)


def _part(node: Any, default: str) -> ops.Value:  # noqa: ARG001 - a rule's form
    return node if _zone(node.arg) is None else node.copy(arg=_clock(node.arg))


def _written(node: ops.Strftime, default: str) -> ops.Value:  # noqa: ARG001 - a rule's form
    """Write a moment by a pattern, its zone being written apart."""
    if _zone(node.arg) is None:
        return node
    clock = _clock(node.arg)
    pattern = node.format_str.value if isinstance(node.format_str, ops.Literal) else ""
    pieces = _pieces(pattern)
    if any(directive == "%Z" for directive in pieces):
        raise UnsupportedError(
            "no database writes the name of a zone.",
            value=pattern,
            hint="Write how far it is from UTC, by %z, or the name itself into the pattern.",
        )
    if "%z" not in pieces:
        return node.copy(arg=clock)
    parts = []
    for piece in pieces:
        if piece == "%z":
            sign, hours, minutes = _offset(node.arg)
            parts.append(sign + hours + minutes)
        elif piece:
            parts.append(ops.Strftime(clock, piece).to_expr())
    return _joined(parts)


def _pieces(pattern: str) -> list[str]:
    """Cut a pattern around what names the zone.

    Examples
    --------
    >>> _pieces("%H:%M %z, 100 %%z")
    ['%H:%M ', '%z', ', 100 %%z']
    """
    pieces = [""]
    place = 0
    while place < len(pattern):
        directive = pattern[place : place + 2] if pattern[place] == "%" else pattern[place]
        if directive in {"%z", "%Z"}:
            pieces += [directive, ""]
        else:
            pieces[-1] += directive
        place += len(directive)
    return [piece for piece in pieces if piece]


def _joined(parts: list[ir.StringValue]) -> ops.Value:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole.op()


def _offset(moment: ops.Value) -> tuple[ir.StringValue, ir.StringValue, ir.StringValue]:
    """Say how far the clock is from UTC: the sign, the hours and the minutes."""

    def seconds(clock: ops.Value) -> ir.IntegerValue:
        return clock.to_expr().epoch_seconds().cast("int64")

    minutes = (seconds(_clock(moment)) - seconds(_clock(moment, UTC))).cast("int64") / 60
    minutes = minutes.cast("int64")
    far = minutes.abs()
    hours = (far / _HOUR).floor().cast("int64")

    def two_digits(number: Any) -> ir.StringValue:
        return number.cast("string").lpad(2, "0")

    sign = (minutes < 0).ifelse("-", "+")
    return sign, two_digits(hours), two_digits(far - hours * _HOUR)


def _cast(node: ops.Cast | ops.TryCast, default: str) -> ops.Value:
    wanted = node.to
    if isinstance(wanted, dt.Timestamp) and wanted.timezone is not None:
        _place(wanted.timezone)  # there is one of this name
    if _zone(node.arg) is None:
        return _cast_from_no_zone(node, default)
    if isinstance(wanted, dt.Date | dt.Time):
        return node.copy(arg=_clock(node.arg))
    if isinstance(wanted, dt.String):
        return _text(node.arg)
    if isinstance(wanted, dt.Timestamp) and wanted.timezone is None:
        return ops.Cast(_clock(node.arg, default), wanted)
    return node


def _cast_from_no_zone(node: ops.Cast | ops.TryCast, default: str) -> ops.Value:
    wanted = node.to
    if isinstance(node.arg.dtype, dt.Numeric):  # seconds since 1970
        return _of_utc(node, default)
    if not isinstance(wanted, dt.Timestamp) or wanted.timezone is None:
        return node
    if isinstance(node.arg.dtype, dt.Date):
        return _moment(node.arg, wanted.timezone, wanted)
    if _is_bare(node.arg):
        return _moment(node.arg, default, wanted)
    if isinstance(node.arg.dtype, dt.String) and default != UTC:
        return _read(node, default)
    return node


def _text(moment: ops.Value) -> ops.Value:
    """Write a moment as SQL does: 2026-01-31 09:30:00+02."""
    clock = ops.Cast(_clock(moment), dt.string).to_expr()
    if _zone(moment) == UTC:
        return (clock + "+00").op()
    sign, hours, minutes = _offset(moment)
    return (clock + sign + hours + (minutes == "00").ifelse("", ibis.literal(":") + minutes)).op()


# What ends a text that names its zone.
_NAMES_ZONE = r"([zZ]|[+-]\d{2}(:?\d{2})?|[A-Za-z_]+/[A-Za-z_/]+)\s*$"
_DAY = r"^\s*[+-]?\d+-\d+-\d+\s*$"


def _read(node: ops.Cast | ops.TryCast, default: str) -> ops.Value:
    """Read a moment of a text, which may name its zone."""
    text: Any = node.arg.to_expr()
    named = text.re_search(_NAMES_ZONE) & ~text.re_search(_DAY)
    bare = _moment(node.copy(to=dt.timestamp), default, node.to)
    return named.ifelse(node.to_expr(), bare.to_expr()).op()


def _alike(values: list[Any], default: str) -> list[Any]:
    """Give moments without a zone, and days, one beside moments with a zone."""
    zone = next((zone for value in values if (zone := _zone(value)) is not None), None)
    if zone is None:
        return values

    def change(value: Any) -> Any:
        if isinstance(value.dtype, dt.Date):  # it begins at midnight there
            return _moment(value, zone, dt.Timestamp(UTC))
        return _moment(value, default, dt.Timestamp(UTC)) if _is_bare(value) else value

    return [change(value) for value in values]


def _comparison(node: Any, default: str) -> ops.Value:
    left, right = _alike([node.left, node.right], default)
    same = left is node.left and right is node.right
    return node if same else node.copy(left=left, right=right)


def _between(node: ops.Between, default: str) -> ops.Value:
    arg, lower, upper = _alike([node.arg, node.lower_bound, node.upper_bound], default)
    if arg is node.arg and lower is node.lower_bound and upper is node.upper_bound:
        return node
    return node.copy(arg=arg, lower_bound=lower, upper_bound=upper)


def _membership(node: ops.InValues, default: str) -> ops.Value:
    value, *options = _alike([node.value, *node.options], default)
    given = (node.value, *node.options)
    if all(new is old for new, old in zip((value, *options), given, strict=True)):
        return node
    return node.copy(value=value, options=tuple(options))


# Days, weeks and so on are those of the calendar; the rest is time that passes.
_CALENDAR = {"Y", "Q", "M", "W", "D"}
_CALENDAR_PARTS = {"year", "quarter", "month", "week", "day"}


def _moved(node: ops.TimestampAdd | ops.TimestampSub, default: str) -> ops.Value:  # noqa: ARG001
    zone = _zone(node.left)
    if zone is None or node.right.dtype.unit.short not in _CALENDAR:
        return node
    return _moment(node.copy(left=_clock(node.left)), zone, node.dtype)


def _difference(node: ops.TimestampDiff, default: str) -> ops.Value:
    left, right = _alike([node.left, node.right], default)
    if _zone(left) is None or _zone(right) is None:
        return node
    return node.copy(left=_clock(left, UTC), right=_clock(right, UTC))


def _delta(node: ops.TimestampDelta, default: str) -> ops.Value:
    """Count days and the like by the clock of the first moment, and hours as they pass."""
    left, right = _alike([node.left, node.right], default)
    if _zone(left) is None or _zone(right) is None:
        return node
    part = node.part.value if isinstance(node.part, ops.Literal) else None
    zone = (_zone(node.left) or _zone(node.right)) if part in _CALENDAR_PARTS else UTC
    return node.copy(left=_clock(left, zone), right=_clock(right, zone))


def _today(node: ops.DateNow, default: str) -> ops.Value:
    if default == UTC:
        return node
    now = _moment(ops.TimestampNow(), UTC, dt.Timestamp(UTC))
    return ops.Cast(_clock(now, default), dt.date)


def _of_utc(node: ops.Value, default: str) -> ops.Value:
    """Show a moment that SQL computes in UTC, without a zone, on the clock of the default zone."""
    if default == UTC or not _is_bare(node):
        return node
    return _clock(_moment(node, UTC, dt.Timestamp(UTC)), default)


def _seconds(node: ops.ExtractEpochSeconds, default: str) -> ops.Value:
    if default == UTC or not _is_bare(node.arg):
        return node
    return node.copy(arg=_moment(node.arg, default, dt.Timestamp(UTC)))


def _rules() -> dict[type, Callable[[Any, str], ops.Node]]:
    parts = {
        kind: _part
        for base in (ops.ExtractDateField, ops.ExtractTimeField)
        for kind in base.__subclasses__()
    }
    others = (ops.DayOfWeekIndex, ops.DayOfWeekName, ops.Date, ops.Time)
    parts |= dict.fromkeys((*others, ops.TimestampTruncate, ops.TimestampBucket), _part)
    compared = dict.fromkeys((*ops.Comparison.__subclasses__(), ops.IdenticalTo), _comparison)
    return {
        **parts,
        **compared,
        ops.Between: _between,
        ops.Cast: _cast,
        ops.DateNow: _today,
        ops.ExtractEpochSeconds: _seconds,
        ops.InValues: _membership,
        ops.Literal: _literal,
        ops.Strftime: _written,
        ops.TimestampAdd: _moved,
        ops.TimestampDelta: _delta,
        ops.TimestampDiff: _difference,
        ops.TimestampFromUNIX: _of_utc,
        ops.TimestampNow: _of_utc,
        ops.TimestampSub: _moved,
        ops.TryCast: _cast,
    }


_RULES = _rules()
