"""The check that a virtual column can be computed for all existing rows.

Otherwise a column whose value overflows in one row could be added, and then nobody could read the
table. Owns the query that detects this in advance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.errors import DataError
from barbule.nodes import FunctionCall
from barbule.planner.lineage import trace

if TYPE_CHECKING:
    from barbule.executor.engine import Engine

__all__ = ["check_readable"]

# Operations that databases refuse for some values.
_PARTIAL_OPERATIONS = (
    ops.Add,
    ops.BitwiseLeftShift,
    ops.Cast,
    ops.Logarithm,
    ops.Multiply,
    ops.Negate,
    ops.Power,
    ops.Sqrt,
    ops.StringToDate,
    ops.StringToTime,
    ops.StringToTimestamp,
    ops.Subtract,
)
_ARITHMETIC_OPERATIONS = (ops.Add, ops.Multiply, ops.Negate, ops.Subtract)
_ORDERED_DTYPES = (dt.Boolean, dt.Numeric, dt.String, dt.Temporal)


def check_readable(engine: Engine, query: ir.Table, table: str) -> None:
    """Compute the columns of a query that may fail, and discard their values.

    Parameters
    ----------
    table
        The name of the table or view with the columns, for errors.

    Raises
    ------
    DataError
        If a value cannot be computed; the error names the column.
    """
    relation = query.op()
    if relation.find((FunctionCall, ops.ScalarParameter)):
        return
    has_total_floats = engine.backend.has_infinite_floats
    for name in query.columns:
        value = trace(ops.Field(relation, name))
        if not isinstance(value.dtype, _ORDERED_DTYPES):
            continue
        partial_operations = value.find(_PARTIAL_OPERATIONS, filter=ops.Value)
        if all(
            has_total_floats and _is_float_arithmetic(operation) for operation in partial_operations
        ):
            continue
        try:
            engine.arrow(query.aggregate(largest=_maximum(query[name])))
        except DataError as error:
            raise error.at(table=table, column=name) from error.__cause__


def _is_float_arithmetic(value: ops.Value) -> bool:
    return isinstance(value, _ARITHMETIC_OPERATIONS) and all(
        isinstance(argument.dtype, dt.Floating) for argument in value.args
    )


def _maximum(column: ir.Column) -> ir.Scalar:
    return (column.cast("int8") if column.type().is_boolean() else column).max()
