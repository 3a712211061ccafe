# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Ibis expressions as SQL of DuckDB, with numbers that mean what they mean in Python."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import ibis.backends.sql.compilers as sc
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL

from barbule.backends.arithmetic import PythonArithmetic

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
    """Ibis' compiler, with exact literals and with Python's division."""

    __slots__ = ()
    SIMPLE_OPS: ClassVar[dict[Any, str]] = {}  # those of the base class are inherited as methods
    UNSUPPORTED_OPS = ()

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: dt.DataType) -> Any:
        """Write a value; the character NUL, at which DuckDB ends a statement, by its number."""
        if dtype.is_string() and "\0" in value:
            nul = self.f.anon.chr(sge.Literal.number(0))
            first, *others = (sge.Literal.string(each) for each in value.split("\0"))
            parts = itertools.chain.from_iterable((nul, each) for each in others)
            return self.f.anon.concat(first, *parts)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_ApproxQuantile(self, op: Any, *, arg: Any, quantile: Any, where: Any) -> Any:
        """Estimate quantiles, which DuckDB takes as float32."""
        several = isinstance(op, ops.ApproxMultiQuantile)
        kind = dt.Array(dt.float32) if several else dt.float32
        given = self.cast(quantile, kind)
        return super().visit_ApproxQuantile(op, arg=arg, quantile=given, where=where)

    visit_ApproxMultiQuantile = visit_ApproxQuantile  # noqa: N815 - Ibis finds it by its name

    def visit_UnwrapJSONInt64(self, op: Any, *, arg: Any) -> Any:
        """Return a whole JSON number; one that is no int64 is none."""
        arg = _with_null(op, arg)
        whole = self.f.json_type(arg).isin(sge.convert("UBIGINT"), sge.convert("BIGINT"))
        number = sge.TryCast(this=arg, to=self.type_mapper.from_ibis(op.dtype))
        return self.if_(whole, number, NULL)

    def visit_UnwrapJSONFloat64(self, op: Any, *, arg: Any) -> Any:
        """Return a JSON number."""
        return super().visit_UnwrapJSONFloat64(op, arg=_with_null(op, arg))

    def visit_UnwrapJSONString(self, op: Any, *, arg: Any) -> Any:
        """Return a JSON string as a text."""
        return super().visit_UnwrapJSONString(op, arg=_with_null(op, arg))

    def visit_UnwrapJSONBoolean(self, op: Any, *, arg: Any) -> Any:
        """Return a JSON truth."""
        return super().visit_UnwrapJSONBoolean(op, arg=_with_null(op, arg))

    def visit_JSONGetItem(self, op: Any, *, arg: Any, index: Any) -> Any:
        """Take an item; JSON's null is missing.

        By a function, as the arrow for it would begin a lambda within one.
        """
        found = self.f.anon.json_extract(_with_null(op, arg), index)
        return self.f.nullif(found, self.cast("null", dt.json))

    def visit_ArraySort(self, op: Any, *, arg: Any) -> Any:
        """Sort an array; of Json numbers by their size, then texts, then all that has no order."""
        if not op.dtype.value_type.is_json():
            return super().visit_ArraySort(op, arg=arg)
        return sge.replace_placeholders(sg.parse_one(_SORTED_JSON, read="duckdb"), arg=arg)

    def visit_ArrayRepeat(self, op: Any, *, arg: Any, times: Any) -> Any:
        """Repeat an array; one that is missing stays so."""
        repeated = super().visit_ArrayRepeat(op, arg=arg, times=times)
        return self.if_(arg.copy().is_(NULL), NULL, repeated)

    def visit_TimeTruncate(self, op: Any, *, arg: Any, unit: Any) -> Any:
        """Cut a time of day, as DuckDB cuts moments."""
        return self.cast(super().visit_TimeTruncate(op, arg=self._moment(arg), unit=unit), dt.time)

    def visit_Strftime(self, op: Any, *, arg: Any, format_str: Any) -> Any:
        """Write a day, a moment or a time of day by a pattern."""
        moment = self._moment(arg) if op.arg.dtype.is_time() else arg
        return super().visit_Strftime(op, arg=moment, format_str=format_str)

    def _moment(self, time: Any) -> Any:
        """Make a moment of a time of day."""
        return sge.paren(self.cast("1970-01-01", dt.date) + sge.paren(time))

    def _microseconds(self, duration: Any) -> Any:
        return self.f.anon.epoch_us(duration)

    def _duration(self, microseconds: Any) -> Any:
        return self.f.anon.to_microseconds(self.cast(microseconds, dt.int64))

    def visit_DateDiff(self, op: Any, *, left: Any, right: Any) -> Any:
        """Return the duration between two days, which DuckDB counts."""
        days = sge.paren(sge.paren(left) - sge.paren(right))
        return self.f.anon.to_days(self.cast(days, dt.int32))

    def visit_TimeDiff(self, op: Any, *, left: Any, right: Any) -> Any:
        """Return the duration between two times of day."""
        return self._duration(self.f.anon.epoch_us(left) - self.f.anon.epoch_us(right))

    def _quotient(self, op: Any, left: Any, right: Any) -> Any:
        return sge.IntDiv(this=sge.paren(left), expression=sge.paren(right))


def _with_null(op: Any, arg: Any) -> Any:
    """Return an item of Json as it is: what is taken of JSON's null is missing anyway.

    Comparing each item with JSON's null takes longer than all else.
    """
    return arg.this if isinstance(op.arg, ops.JSONGetItem) else arg


COMPILER = DuckDBCompiler()
