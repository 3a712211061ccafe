# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Operations on dates, times and durations whose SQL differs from that of Ibis' compiler."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import ibis.backends.sql.compilers as sc
import ibis.common.exceptions as com
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot.expressions as sge

from barbule.backends.postgres.sql.templates import fill_template

if TYPE_CHECKING:
    from ibis.common.temporal import TimestampUnit, TimeUnit

__all__ = ["TemporalOperations"]

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


class TemporalOperations(sc.postgres.PostgresCompiler):
    """Ibis' compiler, with dates, times and durations as DuckDB computes them."""

    __slots__ = ()
    SIMPLE_OPS: ClassVar[dict[Any, str]] = {}  # those of the base class are inherited as methods
    UNSUPPORTED_OPS = ()

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
