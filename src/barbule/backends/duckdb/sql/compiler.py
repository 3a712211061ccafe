# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Ibis expressions as SQL of DuckDB, with the arithmetic of Python."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

import ibis.backends.sql.compilers as sc
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL

from barbule.backends.arithmetic import PythonArithmetic

if TYPE_CHECKING:
    from ibis.common.temporal import TimeUnit

__all__ = ["COMPILER"]

# Structs are ordered by their fields, missing ones last.
_SORTED_JSON = """
LIST_TRANSFORM(LIST_SORT(LIST_TRANSFORM(:arg, bb_e -> {
    'number': CASE WHEN JSON_TYPE(bb_e) IN ('UBIGINT', 'BIGINT', 'HUGEINT', 'DOUBLE')
        THEN TRY_CAST(bb_e AS DOUBLE) END,
    'text': CASE WHEN JSON_TYPE(bb_e) = 'VARCHAR' THEN JSON_EXTRACT_STRING(bb_e, '$') END,
    'item': CAST(bb_e AS TEXT)
})), bb_e -> CAST(bb_e.item AS JSON))
"""


class DuckDBCompiler(PythonArithmetic, sc.duckdb.DuckDBCompiler):
    """Ibis' compiler, with exact literals and Python's division."""

    __slots__ = ()
    SIMPLE_OPS: ClassVar[dict[Any, str]] = {}  # those of the base class are inherited as methods
    UNSUPPORTED_OPS = ()

    def visit_NonNullLiteral(
        self, op: ops.Literal, *, value: Any, dtype: dt.DataType
    ) -> sge.Expression:
        """Write a literal; the character NUL, which would end the statement, by its number."""
        if dtype.is_string() and "\0" in value:
            nul = self.f.anon.chr(sge.Literal.number(0))
            first, *others = (sge.Literal.string(part) for part in value.split("\0"))
            parts = itertools.chain.from_iterable((nul, part) for part in others)
            return self.f.anon.concat(first, *parts)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_ApproxQuantile(
        self,
        op: ops.ApproxQuantile,
        *,
        arg: sge.Expression,
        quantile: sge.Expression,
        where: sge.Expression | None,
    ) -> sge.Expression:
        """Estimate quantiles, whose fractions are float32 in DuckDB."""
        is_multiple = isinstance(op, ops.ApproxMultiQuantile)
        fractions = self.cast(quantile, dt.Array(dt.float32) if is_multiple else dt.float32)
        return super().visit_ApproxQuantile(op, arg=arg, quantile=fractions, where=where)

    visit_ApproxMultiQuantile = visit_ApproxQuantile  # noqa: N815 - Ibis finds it by its name

    def visit_UnwrapJSONInt64(
        self, op: ops.UnwrapJSONInt64, *, arg: sge.Expression
    ) -> sge.Expression:
        """Return a JSON number as int64; NULL for one that is not."""
        arg = _without_null_check(op, arg)
        is_integer = self.f.json_type(arg).isin(sge.convert("UBIGINT"), sge.convert("BIGINT"))
        number = sge.TryCast(this=arg, to=self.type_mapper.from_ibis(op.dtype))
        return self.if_(is_integer, number, NULL)

    def visit_UnwrapJSONFloat64(
        self, op: ops.UnwrapJSONFloat64, *, arg: sge.Expression
    ) -> sge.Expression:
        """Return a JSON number."""
        return super().visit_UnwrapJSONFloat64(op, arg=_without_null_check(op, arg))

    def visit_UnwrapJSONString(
        self, op: ops.UnwrapJSONString, *, arg: sge.Expression
    ) -> sge.Expression:
        """Return a JSON string as a string."""
        return super().visit_UnwrapJSONString(op, arg=_without_null_check(op, arg))

    def visit_UnwrapJSONBoolean(
        self, op: ops.UnwrapJSONBoolean, *, arg: sge.Expression
    ) -> sge.Expression:
        """Return a JSON boolean."""
        return super().visit_UnwrapJSONBoolean(op, arg=_without_null_check(op, arg))

    def visit_JSONGetItem(
        self, op: ops.JSONGetItem, *, arg: sge.Expression, index: sge.Expression
    ) -> sge.Expression:
        """Return an item; JSON null is missing.

        With a function, because the operator `->` would begin a lambda in a lambda.
        """
        item = self.f.anon.json_extract(_without_null_check(op, arg), index)
        return self.f.nullif(item, self.cast("null", dt.json))

    def visit_ArraySort(self, op: ops.ArraySort, *, arg: sge.Expression) -> sge.Expression:
        """Sort an array; of JSON numbers by their size, then strings, then the others."""
        if not op.dtype.value_type.is_json():
            return super().visit_ArraySort(op, arg=arg)
        return sge.replace_placeholders(sg.parse_one(_SORTED_JSON, read="duckdb"), arg=arg)

    def visit_ArrayRepeat(
        self, op: ops.ArrayRepeat, *, arg: sge.Expression, times: sge.Expression
    ) -> sge.Expression:
        """Repeat an array; a missing one stays missing."""
        repeated = super().visit_ArrayRepeat(op, arg=arg, times=times)
        return self.if_(arg.copy().is_(NULL), NULL, repeated)

    def visit_TimeTruncate(
        self, op: ops.TimeTruncate, *, arg: sge.Expression, unit: TimeUnit
    ) -> sge.Expression:
        """Truncate a time, as DuckDB truncates timestamps."""
        return self.cast(
            super().visit_TimeTruncate(op, arg=self._timestamp(arg), unit=unit), dt.time
        )

    def visit_Strftime(
        self, op: ops.Strftime, *, arg: sge.Expression, format_str: sge.Expression
    ) -> sge.Expression:
        """Format a date, a timestamp or a time by a pattern."""
        timestamp = self._timestamp(arg) if op.arg.dtype.is_time() else arg
        return super().visit_Strftime(op, arg=timestamp, format_str=format_str)

    def _timestamp(self, time: sge.Expression) -> sge.Expression:
        """Return a timestamp with a time."""
        return sge.paren(self.cast("1970-01-01", dt.date) + sge.paren(time))

    def _microseconds(self, duration: sge.Expression) -> sge.Expression:
        return self.f.anon.epoch_us(duration)

    def _duration(self, microseconds: sge.Expression) -> sge.Expression:
        return self.f.anon.to_microseconds(self.cast(microseconds, dt.int64))

    def visit_DateDiff(
        self, op: ops.DateDiff, *, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Return the duration between two dates, whose difference is a number in DuckDB."""
        days = sge.paren(sge.paren(left) - sge.paren(right))
        return self.f.anon.to_days(self.cast(days, dt.int32))

    def visit_TimeDiff(
        self, op: ops.TimeDiff, *, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        """Return the duration between two times."""
        return self._duration(self.f.anon.epoch_us(left) - self.f.anon.epoch_us(right))

    def _quotient(
        self, op: ops.Value, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        return sge.IntDiv(this=sge.paren(left), expression=sge.paren(right))


def _without_null_check(op: ops.Value, arg: sge.Expression) -> sge.Expression:
    """Return an item of JSON without its check for null: an item of null is missing anyway.

    The check takes longer than everything else.
    """
    return arg.this if isinstance(op.arg, ops.JSONGetItem) else arg


COMPILER = DuckDBCompiler()
