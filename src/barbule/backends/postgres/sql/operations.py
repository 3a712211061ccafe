# ruff: noqa: N802 - Ibis finds these methods by the names of its operations
"""Operations on plain values and arrays whose SQL differs from that of Ibis' compiler.

Those on strings are in `strings`, those on dates and times in `temporal`; the class has all. Owns
that results are those of DuckDB, if that does not depend on how values are stored.
"""

from __future__ import annotations

from typing import Any, ClassVar

import ibis.backends.sql.compilers as sc
import ibis.common.exceptions as com
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import sqlglot as sg
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.base import NULL

from barbule.backends.arithmetic import PythonArithmetic
from barbule.backends.postgres.sql.strings import StringOperations
from barbule.backends.postgres.sql.templates import fill_template
from barbule.backends.postgres.sql.temporal import TemporalOperations

__all__ = ["PlainOperations"]

_INT = sge.DataType(this=sge.DataType.Type.INT)


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


class PlainOperations(
    StringOperations,
    TemporalOperations,
    PythonArithmetic,
    sc.postgres.PostgresCompiler,
):
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

    def _quotient(
        self, op: ops.Value, left: sge.Expression, right: sge.Expression
    ) -> sge.Expression:
        return self.cast(fill_template("DIV(:a, :b)", a=left, b=right), op.dtype)

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
