# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Operations on plain values and arrays whose SQL differs from that of Ibis' compiler.

Owns that results are those of DuckDB, if that does not depend on how values are stored.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import ibis.backends.sql.compilers as sc
import ibis.common.exceptions as com
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL

from barbule.backends.arithmetic import PythonArithmetic

if TYPE_CHECKING:
    from ibis.common.temporal import TimestampUnit, TimeUnit

__all__ = ["PlainOperations", "fill_template"]

_INT = sge.DataType(this=sge.DataType.Type.INT)
_MAX_TEXT_LENGTH = 2**30  # characters
_DIGESTS = {"sha224", "sha256", "sha384", "sha512"}
_UNIT_INTERVALS = {"s": "1 second", "ms": "1 millisecond", "us": "1 microsecond"}
# https://www.postgresql.org/docs/15/functions-formatting.html, by the directives of strftime.
_PATTERNS = {
    "%Y": "YYYY", "%y": "YY", "%m": "MM", "%-m": "FMMM", "%d": "DD", "%-d": "FMDD", "%j": "DDD",
    "%H": "HH24", "%-H": "FMHH24", "%I": "HH12", "%-I": "FMHH12", "%M": "MI", "%-M": "FMMI",
    "%S": "SS", "%-S": "FMSS", "%f": "US", "%p": "AM", "%B": "FMMonth", "%b": "Mon", "%A": "FMDay",
    "%a": "Dy", "%u": "ID", "%V": "IW", "%G": "IYYY", "%F": "YYYY-MM-DD", "%T": "HH24:MI:SS",
    "%D": "MM/DD/YY", "%R": "HH24:MI",
}  # fmt: skip
_DIRECTIVE = re.compile(r"%-?.|[^%]+|%$", re.DOTALL)


def fill_template(template: str, **parts: sge.Expression) -> sge.Expression:
    """Return a template of SQL with its placeholders (`:name`) replaced by expressions."""
    return sge.replace_placeholders(sg.parse_one(template, read="postgres"), **parts)


def _pattern(node: ops.Value) -> sge.Expression:
    """Write a pattern of strftime as one of Postgres, with other characters quoted.

    Raises
    ------
    UnsupportedOperationError
        If a part of the pattern has no counterpart in Postgres.
    """
    if not isinstance(node, ops.Literal):
        raise com.UnsupportedOperationError("a date pattern that is not a string literal")
    pattern = ""
    for part in _DIRECTIVE.findall(node.value):
        if not part.startswith("%") or part == "%%":
            escaped = part.replace("%%", "%").replace("\\", "\\\\").replace('"', '\\"')
            pattern += f'"{escaped}"'
        elif part in _PATTERNS:
            pattern += _PATTERNS[part]
        else:
            raise com.UnsupportedOperationError(f"{part!r} in a date pattern")
    return sge.convert(pattern)


def _unordered(aggregate: sge.Expression) -> list[sge.Expression]:
    """Remove the order of its rows from an aggregate, and return it."""
    call = aggregate.this if isinstance(aggregate, sge.Filter) else aggregate
    for argument in call.iter_expressions():
        # The order of `argmax` is reversed.
        reversed_order = isinstance(argument, sge.Ordered) and argument.this
        order = reversed_order or argument
        if isinstance(order, sge.Order):
            keys = order.expressions
            if reversed_order:
                keys = [sge.Ordered(this=key, desc=argument.args.get("desc")) for key in keys]
            argument.replace(order.this)
            return list(keys)
    return []


class PlainOperations(PythonArithmetic, sc.postgres.PostgresCompiler):
    """Ibis' compiler, with results that do not depend on the database, as far as possible."""

    __slots__ = ()
    SIMPLE_OPS: ClassVar[dict[Any, str]] = {}  # those of the base class are inherited as methods
    UNSUPPORTED_OPS = ()

    def visit_Cast(self, op: ops.Cast, *, arg: sge.Expression, to: dt.DataType) -> sge.Expression:
        """Cast a value; Postgres casts between booleans and INT only."""
        source = op.arg.dtype
        if isinstance(source, dt.Numeric) and isinstance(to, dt.Boolean):
            return arg if isinstance(source, dt.Boolean) else sge.paren(arg).neq(0)
        if isinstance(source, dt.Boolean) and isinstance(to, dt.Numeric):
            return self.cast(sge.Cast(this=arg, to=_INT.copy()), to)
        return super().visit_Cast(op, arg=arg, to=to)

    # Numbers

    def _remainder(
        self, op: ops.Value, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Return the remainder; for floats that of their exact decimals."""
        if any(isinstance(arg.dtype, dt.Floating) for arg in op.args):
            exact = "CAST(CAST(:n AS TEXT) AS NUMERIC)"
            parts = (fill_template(exact, n=sge.paren(side)) for side in (left, right))
            return self.cast(sge.paren(super()._remainder(op, *parts)), dt.float64)
        return super()._remainder(op, left, right)

    def _microseconds(self, duration: sge.Expression) -> sge.Expression:
        return fill_template(
            "CAST(EXTRACT(EPOCH FROM :d) * 1000000 AS BIGINT)", d=sge.paren(duration)
        )

    def _duration(self, microseconds: sge.Expression) -> sge.Expression:
        return fill_template("(:n * INTERVAL '1 microsecond')", n=sge.paren(microseconds))

    def visit_DateDiff(
        self, op: ops.DateDiff, *, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Return the duration between two dates, whose difference is a number in Postgres."""
        return fill_template(
            "((:a - :b) * INTERVAL '1 day')", a=sge.paren(left), b=sge.paren(right)
        )

    def _quotient(
        self, op: ops.Value, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        return self.cast(fill_template("DIV(:a, :b)", a=left, b=right), op.dtype)

    # Windows

    def visit_WindowFunction(
        self, op: ops.WindowFunction, *, func: sge.Expression, **window: Any
    ) -> sge.Expression:
        """Compute a function over a window; an aggregate cannot have another order there.

        A function of an aggregate becomes a function of the aggregate over the window.
        """
        calls = func.find_all(sge.AggFunc) if isinstance(op.func, ops.Reduction) else ()
        aggregates = [
            call.parent if isinstance(call.parent, sge.Filter) else call
            for call in calls
            if call.find_ancestor(sge.AggFunc) is None
        ]
        if not aggregates:
            return super().visit_WindowFunction(op, func=func, **window)
        for aggregate in aggregates:
            parts = {**window, **self._ordered(_unordered(aggregate), window)}
            if aggregate is func:
                return super().visit_WindowFunction(op, func=func, **parts)
            over_window = super().visit_WindowFunction(op, func=aggregate.copy(), **parts)
            aggregate.replace(over_window)
        return func

    @staticmethod
    def _ordered(keys: list[sge.Expression], window: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a window in which an aggregate gets its rows in an order.

        Raises
        ------
        UnsupportedOperationError
            If the window has another order.
        """
        order = window["order_by"]
        if not keys or list(order[: len(keys)]) == keys:
            return {}
        if order or window["start"] is not None or window["end"] is not None:
            raise com.UnsupportedOperationError(
                "an aggregate over a window whose order differs from the window's"
            )
        return {"order_by": keys, "how": "rows"}  # all rows of the partition, as before

    def visit_Divide(
        self, op: ops.Divide, *, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Divide; by zero according to IEEE 754, for which Postgres raises an error."""
        constant = op.right.value if isinstance(op.right, ops.Literal) else None
        if constant or not isinstance(op.dtype, dt.Floating):
            return super().visit_Divide(op, left=left, right=right)
        quotient = super().visit_Divide(op, left=left, right=right)
        return fill_template(
            "CASE WHEN :b <> 0 THEN :quotient WHEN :b IS NULL OR :a IS NULL THEN NULL "
            "WHEN :a = 0 OR CAST(:a AS TEXT) = 'NaN' THEN CAST('NaN' AS DOUBLE PRECISION) "
            "WHEN :a > 0 THEN CAST('Infinity' AS DOUBLE PRECISION) "
            "ELSE CAST('-Infinity' AS DOUBLE PRECISION) END",
            a=sge.paren(left.copy()),
            b=sge.paren(right.copy()),
            quotient=quotient,
        )

    # Texts

    def visit_Repeat(
        self, op: ops.Repeat, *, arg: sge.Expression, times: sge.Expression
    ) -> sge.Expression:
        """Repeat a string; the count is an int32 in Postgres."""
        return self.f.repeat(arg, self._to_int32(op.times, times))

    def visit_Substring(
        self,
        op: ops.Substring,
        *,
        arg: sge.Expression,
        start: sge.Expression,
        length: sge.Expression,
    ) -> sge.Expression:
        """Return a part of a string; positions are int32 in Postgres."""
        width = None if length is None else self._to_int32(op.length, length)
        position = self._to_int32(op.start, start)
        return super().visit_Substring(op, arg=arg, start=position, length=width)

    def _to_int32(self, node: ops.Value, number: sge.Expression) -> sge.Expression:
        if isinstance(node, ops.Literal):
            return number if node.value <= _MAX_TEXT_LENGTH else sge.convert(_MAX_TEXT_LENGTH)
        bounded = self.f.least(self.f.greatest(number, -_MAX_TEXT_LENGTH), _MAX_TEXT_LENGTH)
        return sge.Cast(this=bounded, to=_INT.copy())

    def visit_HexDigest(
        self, op: ops.HexDigest, *, arg: sge.Expression, how: str
    ) -> sge.Expression:
        """Return the digest of a string or of bytes."""
        if how == "md5":
            return self.f.anon.md5(arg)
        if how not in _DIGESTS:
            raise com.UnsupportedOperationError(f"hexdigest() by {how}")
        content = self.f.anon.convert_to(arg, "UTF8") if op.arg.dtype.is_string() else arg
        return self.f.encode(self.f.anon[how](content), "hex")

    def visit_StringSQLLike(
        self,
        op: ops.StringSQLLike,
        *,
        arg: sge.Expression,
        pattern: sge.Expression,
        escape: sge.Expression,
    ) -> sge.Expression:
        """Match a pattern, in which a backslash is an ordinary character."""
        sign = sge.convert("") if escape is None else escape
        return sge.Escape(this=arg.like(pattern), expression=sign)

    def visit_StringSQLILike(
        self,
        op: ops.StringSQLILike,
        *,
        arg: sge.Expression,
        pattern: sge.Expression,
        escape: sge.Expression,
    ) -> sge.Expression:
        """Match a pattern, in upper or lower case."""
        sign = sge.convert("") if escape is None else escape
        return sge.Escape(this=arg.ilike(pattern), expression=sign)

    def visit_StringSplit(
        self, op: ops.StringSplit, *, arg: sge.Expression, delimiter: sge.Expression
    ) -> sge.Expression:
        """Split a string; an empty one has one empty part."""
        parts = self.f.anon.string_to_array(arg, delimiter)
        return self.if_(arg.eq(sge.convert("")), self.f.array(sge.convert("")), parts)

    def visit_FindInSet(
        self, op: ops.FindInSet, *, needle: sge.Expression, values: sge.Expression
    ) -> sge.Expression:
        """Find a string among others; a missing one is not found."""
        position = super().visit_FindInSet(op, needle=needle, values=values)
        return self.if_(needle.is_(NULL), NULL, position)

    # Dates and timestamps

    def visit_TimeTruncate(
        self, op: ops.TimeTruncate, *, arg: sge.Expression, unit: TimeUnit
    ) -> sge.Expression:
        """Truncate a time, which Postgres converts to an interval."""
        return self.cast(super().visit_TimeTruncate(op, arg=arg, unit=unit), dt.time)

    def visit_Strftime(
        self, op: ops.Strftime, *, arg: sge.Expression, format_str: sge.Expression
    ) -> sge.Expression:
        """Format a timestamp by a pattern."""
        return self.f.anon.to_char(arg, _pattern(op.format_str))

    def visit_StringToTimestamp(
        self, op: ops.StringToTimestamp, *, arg: sge.Expression, format_str: sge.Expression
    ) -> sge.Expression:
        """Parse a timestamp by a pattern."""
        return self.f.anon.to_timestamp(arg, _pattern(op.format_str))

    def visit_StringToTime(
        self, op: ops.StringToTime, *, arg: sge.Expression, format_str: sge.Expression
    ) -> sge.Expression:
        """Parse a time by a pattern."""
        return self.cast(self.f.anon.to_timestamp(arg, _pattern(op.format_str)), dt.time)

    def visit_StringToDate(
        self, op: ops.StringToDate, *, arg: sge.Expression, format_str: sge.Expression
    ) -> sge.Expression:
        """Parse a date by a pattern."""
        return self.f.anon.to_date(arg, _pattern(op.format_str))

    def visit_TimestampFromUNIX(
        self, op: ops.TimestampFromUNIX, *, arg: sge.Expression, unit: TimestampUnit
    ) -> sge.Expression:
        """Convert a number since 1970 to a timestamp."""
        if unit.short not in _UNIT_INTERVALS:
            raise com.UnsupportedOperationError(f"timestamps in units of {unit.name.lower()}s")
        step = sge.Cast(
            this=sge.convert(_UNIT_INTERVALS[unit.short]),
            to=sge.DataType(this=sge.DataType.Type.INTERVAL),
        )
        return fill_template(
            "TIMESTAMP '1970-01-01 00:00:00' + :n * :step", n=sge.paren(arg), step=step
        )

    # Arrays

    def visit_ArraySort(self, op: ops.ArraySort, *, arg: sge.Expression) -> sge.Expression:
        """Sort an array, missing elements last; a missing array stays missing."""
        return fill_template(
            "CASE WHEN :a IS NOT NULL THEN "
            "ARRAY(SELECT _bb_e FROM UNNEST(:a) AS _bb_a(_bb_e) ORDER BY _bb_e NULLS LAST) END",
            a=arg,
        )

    def visit_ArrayRepeat(
        self, op: ops.ArrayRepeat, *, arg: sge.Expression, times: sge.Expression
    ) -> sge.Expression:
        """Repeat the values of an array."""
        return fill_template(
            "CASE WHEN :n IS NOT NULL AND :a IS NOT NULL THEN "
            "ARRAY(SELECT _bb_e FROM GENERATE_SERIES(1, :n) AS _bb_t(_bb_n), "
            "UNNEST(:a) WITH ORDINALITY AS _bb_a(_bb_e, _bb_i) ORDER BY _bb_n, _bb_i) END",
            a=arg,
            n=times,
        )

    def visit_ArrayStringJoin(
        self, op: ops.ArrayStringJoin, *, arg: sge.Expression, sep: sge.Expression
    ) -> sge.Expression:
        """Join strings; an empty array returns an empty string."""
        return self.f.array_to_string(arg, sep)

    def _range(
        self, op: ops.Value, start: sge.Expression, stop: sge.Expression, step: sge.Expression
    ) -> sge.Expression:
        array = super().visit_Range(op, start=start, stop=stop, step=step)
        return self.if_(sg.or_(start.is_(NULL), stop.is_(NULL)), NULL, array)

    def visit_IntegerRange(
        self,
        op: ops.IntegerRange,
        *,
        start: sge.Expression,
        stop: sge.Expression,
        step: sge.Expression,
    ) -> sge.Expression:
        """Build an array of numbers; NULL if an end is missing."""
        return self._range(op, start, stop, step)

    def visit_TimestampRange(
        self,
        op: ops.TimestampRange,
        *,
        start: sge.Expression,
        stop: sge.Expression,
        step: sge.Expression,
    ) -> sge.Expression:
        """Build an array of timestamps; NULL if an end is missing."""
        return self._range(op, start, stop, step)
