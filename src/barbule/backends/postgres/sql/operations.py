# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Operations on plain values and arrays that Ibis has no SQL of Postgres for, or another one.

Owns what gives the same here as in DuckDB without knowing in which form a cell is kept; what has
to know that is in `compiler`.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import ibis.backends.sql.compilers as sc
import ibis.common.exceptions as com
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL

from barbule.backends.arithmetic import PythonArithmetic

__all__ = ["PlainOperations", "filled"]

_INT = sge.DataType(this=sge.DataType.Type.INT)
_LONGEST = 2**30  # characters that a text of Postgres may have
_DIGESTS = {"sha224", "sha256", "sha384", "sha512"}
_UNITS = {"s": "1 second", "ms": "1 millisecond", "us": "1 microsecond"}
# https://www.postgresql.org/docs/15/functions-formatting.html, by the directives of strftime.
_PATTERNS = {
    "%Y": "YYYY", "%y": "YY", "%m": "MM", "%-m": "FMMM", "%d": "DD", "%-d": "FMDD", "%j": "DDD",
    "%H": "HH24", "%-H": "FMHH24", "%I": "HH12", "%-I": "FMHH12", "%M": "MI", "%-M": "FMMI",
    "%S": "SS", "%-S": "FMSS", "%f": "US", "%p": "AM", "%B": "FMMonth", "%b": "Mon", "%A": "FMDay",
    "%a": "Dy", "%u": "ID", "%V": "IW", "%G": "IYYY", "%F": "YYYY-MM-DD", "%T": "HH24:MI:SS",
    "%D": "MM/DD/YY", "%R": "HH24:MI",
}  # fmt: skip
_DIRECTIVE = re.compile(r"%-?.|[^%]+|%$", re.DOTALL)


def filled(template: str, **parts: sge.Expression) -> sge.Expression:
    """Fill expressions into the places (`:name`) of a piece of SQL."""
    found = sg.parse_one(template, read="postgres")
    return sge.replace_placeholders(found, **parts)


def _pattern(node: ops.Value) -> sge.Expression:
    """Write a pattern of strftime as one of Postgres, in which bare letters would mean something.

    Raises
    ------
    UnsupportedOperationError
        When a part of the pattern has no counterpart there.
    """
    if not isinstance(node, ops.Literal):
        raise com.UnsupportedOperationError("a pattern of a date that is not written as a text")
    made = ""
    for part in _DIRECTIVE.findall(node.value):
        if not part.startswith("%") or part == "%%":
            escaped = part.replace("%%", "%").replace("\\", "\\\\").replace('"', '\\"')
            made += f'"{escaped}"'
        elif part in _PATTERNS:
            made += _PATTERNS[part]
        else:
            raise com.UnsupportedOperationError(f"{part!r} in the pattern of a date")
    return sge.convert(made)


def _unordered(aggregate: sge.Expression) -> list[sge.Expression]:
    """Take the order of its rows from an aggregate, and return it."""
    call = aggregate.this if isinstance(aggregate, sge.Filter) else aggregate
    for argument in call.iter_expressions():
        # That of `argmax` is turned around as a whole.
        turned = isinstance(argument, sge.Ordered) and argument.this
        order = turned or argument
        if isinstance(order, sge.Order):
            keys = order.expressions
            if turned:
                keys = [sge.Ordered(this=key, desc=argument.args.get("desc")) for key in keys]
            argument.replace(order.this)
            return list(keys)
    return []


class PlainOperations(PythonArithmetic, sc.postgres.PostgresCompiler):
    """Ibis' compiler, with results that do not depend on the database where that can be."""

    __slots__ = ()
    SIMPLE_OPS: ClassVar[dict[Any, str]] = {}  # those of the base class are inherited as methods
    UNSUPPORTED_OPS = ()

    def visit_Cast(self, op: Any, *, arg: Any, to: dt.DataType) -> Any:
        """Change the type of a value; between numbers and truths there are casts of INT alone."""
        kind = op.arg.dtype
        if isinstance(kind, dt.Numeric) and isinstance(to, dt.Boolean):
            return arg if isinstance(kind, dt.Boolean) else sge.paren(arg).neq(0)
        if isinstance(kind, dt.Boolean) and isinstance(to, dt.Numeric):
            return self.cast(sge.Cast(this=arg, to=_INT.copy()), to)
        return super().visit_Cast(op, arg=arg, to=to)

    # Numbers

    def _remainder(self, op: Any, left: Any, right: Any) -> Any:
        """Return the remainder; that of floats by way of all their digits, as there is no other."""
        if any(isinstance(arg.dtype, dt.Floating) for arg in op.args):
            exact = "CAST(CAST(:n AS TEXT) AS NUMERIC)"
            parts = (filled(exact, n=sge.paren(each)) for each in (left, right))
            return self.cast(sge.paren(super()._remainder(op, *parts)), dt.float64)
        return super()._remainder(op, left, right)

    def _microseconds(self, duration: Any) -> Any:
        return filled("CAST(EXTRACT(EPOCH FROM :d) * 1000000 AS BIGINT)", d=sge.paren(duration))

    def _duration(self, microseconds: Any) -> Any:
        return filled("(:n * INTERVAL '1 microsecond')", n=sge.paren(microseconds))

    def visit_DateDiff(self, op: Any, *, left: Any, right: Any) -> Any:
        """Return the duration between two days, which Postgres counts."""
        return filled("((:a - :b) * INTERVAL '1 day')", a=sge.paren(left), b=sge.paren(right))

    def _quotient(self, op: Any, left: Any, right: Any) -> Any:
        return self.cast(filled("DIV(:a, :b)", a=left, b=right), op.dtype)

    # Windows

    def visit_WindowFunction(self, op: Any, *, func: Any, **window: Any) -> Any:
        """Put a function over a window, whose order is the only one that an aggregate has there.

        What is made of an aggregate is made of it over the window.
        """
        found = func.find_all(sge.AggFunc) if isinstance(op.func, ops.Reduction) else ()
        aggregates = [
            each.parent if isinstance(each.parent, sge.Filter) else each
            for each in found
            if each.find_ancestor(sge.AggFunc) is None
        ]
        if not aggregates:
            return super().visit_WindowFunction(op, func=func, **window)
        for aggregate in aggregates:
            parts = {**window, **self._ordered(_unordered(aggregate), window)}
            if aggregate is func:
                return super().visit_WindowFunction(op, func=func, **parts)
            inside = super().visit_WindowFunction(op, func=aggregate.copy(), **parts)
            aggregate.replace(inside)
        return func

    @staticmethod
    def _ordered(keys: list[sge.Expression], window: dict[str, Any]) -> dict[str, Any]:
        """Return what a window has to be for an aggregate to get its rows in an order.

        Raises
        ------
        UnsupportedOperationError
            When its rows are in another one.
        """
        order = window["order_by"]
        if not keys or list(order[: len(keys)]) == keys:
            return {}
        if order or window["start"] is not None or window["end"] is not None:
            raise com.UnsupportedOperationError(
                "an aggregate over a window in another order than the window's"
            )
        return {"order_by": keys, "how": "rows"}  # all rows of the partition, as before

    def visit_Divide(self, op: Any, *, left: Any, right: Any) -> Any:
        """Divide; by zero as IEEE 754 says, where Postgres ends the query."""
        constant = op.right.value if isinstance(op.right, ops.Literal) else None
        if constant or not isinstance(op.dtype, dt.Floating):
            return super().visit_Divide(op, left=left, right=right)
        quotient = super().visit_Divide(op, left=left, right=right)
        return filled(
            "CASE WHEN :b <> 0 THEN :quotient WHEN :b IS NULL OR :a IS NULL THEN NULL "
            "WHEN :a = 0 OR CAST(:a AS TEXT) = 'NaN' THEN CAST('NaN' AS DOUBLE PRECISION) "
            "WHEN :a > 0 THEN CAST('Infinity' AS DOUBLE PRECISION) "
            "ELSE CAST('-Infinity' AS DOUBLE PRECISION) END",
            a=sge.paren(left.copy()),
            b=sge.paren(right.copy()),
            quotient=quotient,
        )

    # Texts

    def visit_Repeat(self, op: Any, *, arg: Any, times: Any) -> Any:
        """Repeat a text, as often as a number of 32 bits says."""
        return self.f.repeat(arg, self._short(op.times, times))

    def visit_Substring(self, op: Any, *, arg: Any, start: Any, length: Any) -> Any:
        """Take a part of a text; positions are numbers of 32 bits."""
        width = None if length is None else self._short(op.length, length)
        place = self._short(op.start, start)
        return super().visit_Substring(op, arg=arg, start=place, length=width)

    def _short(self, node: ops.Value, number: Any) -> Any:
        if isinstance(node, ops.Literal):
            return number if node.value <= _LONGEST else sge.convert(_LONGEST)
        bounded = self.f.least(self.f.greatest(number, -_LONGEST), _LONGEST)
        return sge.Cast(this=bounded, to=_INT.copy())

    def visit_HexDigest(self, op: Any, *, arg: Any, how: str) -> Any:
        """Write the digest of a text or of bytes."""
        if how == "md5":
            return self.f.anon.md5(arg)
        if how not in _DIGESTS:
            raise com.UnsupportedOperationError(f"hexdigest() by {how}")
        plain = self.f.anon.convert_to(arg, "UTF8") if op.arg.dtype.is_string() else arg
        return self.f.encode(self.f.anon[how](plain), "hex")

    def visit_StringSQLLike(self, op: Any, *, arg: Any, pattern: Any, escape: Any) -> Any:
        """Match a pattern, in which a backslash is a character like others."""
        sign = sge.convert("") if escape is None else escape
        return sge.Escape(this=arg.like(pattern), expression=sign)

    def visit_StringSQLILike(self, op: Any, *, arg: Any, pattern: Any, escape: Any) -> Any:
        """Match a pattern, in upper or lower case."""
        sign = sge.convert("") if escape is None else escape
        return sge.Escape(this=arg.ilike(pattern), expression=sign)

    def visit_StringSplit(self, op: Any, *, arg: Any, delimiter: Any) -> Any:
        """Cut a text; an empty one is one empty piece."""
        pieces = self.f.anon.string_to_array(arg, delimiter)
        return self.if_(arg.eq(sge.convert("")), self.f.array(sge.convert("")), pieces)

    def visit_FindInSet(self, op: Any, *, needle: Any, values: Any) -> Any:
        """Find a text among others; one that is missing is nowhere."""
        place = super().visit_FindInSet(op, needle=needle, values=values)
        return self.if_(needle.is_(NULL), NULL, place)

    # Days and moments

    def visit_TimeTruncate(self, op: Any, *, arg: Any, unit: Any) -> Any:
        """Cut a time of day, of which Postgres makes a duration."""
        return self.cast(super().visit_TimeTruncate(op, arg=arg, unit=unit), dt.time)

    def visit_Strftime(self, op: Any, *, arg: Any, format_str: Any) -> Any:
        """Write a moment by a pattern."""
        return self.f.anon.to_char(arg, _pattern(op.format_str))

    def visit_StringToTimestamp(self, op: Any, *, arg: Any, format_str: Any) -> Any:
        """Read a moment by a pattern."""
        return self.f.anon.to_timestamp(arg, _pattern(op.format_str))

    def visit_StringToTime(self, op: Any, *, arg: Any, format_str: Any) -> Any:
        """Read a time of day by a pattern."""
        return self.cast(self.f.anon.to_timestamp(arg, _pattern(op.format_str)), dt.time)

    def visit_StringToDate(self, op: Any, *, arg: Any, format_str: Any) -> Any:
        """Read a day by a pattern."""
        return self.f.anon.to_date(arg, _pattern(op.format_str))

    def visit_TimestampFromUNIX(self, op: Any, *, arg: Any, unit: Any) -> Any:
        """Turn a number since 1970 into a moment."""
        if unit.short not in _UNITS:
            raise com.UnsupportedOperationError(f"moments counted in {unit.name.lower()}s")
        step = sge.Cast(
            this=sge.convert(_UNITS[unit.short]),
            to=sge.DataType(this=sge.DataType.Type.INTERVAL),
        )
        return filled("TIMESTAMP '1970-01-01 00:00:00' + :n * :step", n=sge.paren(arg), step=step)

    # Arrays

    def visit_ArraySort(self, op: Any, *, arg: Any) -> Any:
        """Sort an array, what is missing last; one that is missing stays so."""
        return filled(
            "CASE WHEN :a IS NOT NULL THEN "
            "ARRAY(SELECT _bb_e FROM UNNEST(:a) AS _bb_a(_bb_e) ORDER BY _bb_e NULLS LAST) END",
            a=arg,
        )

    def visit_ArrayRepeat(self, op: Any, *, arg: Any, times: Any) -> Any:
        """Repeat the values of an array."""
        return filled(
            "CASE WHEN :n IS NOT NULL AND :a IS NOT NULL THEN "
            "ARRAY(SELECT _bb_e FROM GENERATE_SERIES(1, :n) AS _bb_t(_bb_n), "
            "UNNEST(:a) WITH ORDINALITY AS _bb_a(_bb_e, _bb_i) ORDER BY _bb_n, _bb_i) END",
            a=arg,
            n=times,
        )

    def visit_ArrayStringJoin(self, op: Any, *, arg: Any, sep: Any) -> Any:
        """Join texts; none at all make an empty one."""
        return self.f.array_to_string(arg, sep)

    def _range(self, op: Any, start: Any, stop: Any, step: Any) -> Any:
        made = super().visit_Range(op, start=start, stop=stop, step=step)
        return self.if_(sg.or_(start.is_(NULL), stop.is_(NULL)), NULL, made)

    def visit_IntegerRange(self, op: Any, *, start: Any, stop: Any, step: Any) -> Any:
        """Make an array of numbers; a missing end makes none."""
        return self._range(op, start, stop, step)

    def visit_TimestampRange(self, op: Any, *, start: Any, stop: Any, step: Any) -> Any:
        """Make an array of moments; a missing end makes none."""
        return self._range(op, start, stop, step)
