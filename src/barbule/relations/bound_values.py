"""Values bound to a query: numbers in types that hold their results, arrays as constants.

Owns the conversion of a value when a method takes it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeVar

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.fast_paths import fast_paths_enabled
from barbule.relations.promotion import as_duration, promoted

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["array_constant", "promoted_value", "read_only"]

T = TypeVar("T")


def promoted_value(value: ir.Value) -> ir.Value:
    """Promote the numbers of a value; a column that is built from it keeps its name."""
    op = value.op()
    new_op = as_duration(promoted(op))
    if new_op is op:
        return value
    return new_op.to_expr() if new_op.name == op.name else new_op.to_expr().name(op.name)


def array_constant(value: T) -> T | ir.Value:
    """Return a constant for a NumPy array that Ibis cannot read: a matrix, or booleans."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return value
    if value.ndim == 1 and value.dtype != bool:
        return value
    kind = dt.dtype(value.dtype) if value.dtype.kind in "biuf" else None
    for _ in range(value.ndim):
        kind = kind and dt.Array(kind)
    return ibis.literal(value.tolist(), kind)


def read_only(relation: ops.Relation, values: Iterable[object]) -> bool:
    """Whether values are columns over this very relation, which Ibis need not look up in it."""
    # The columns of a join are those of the tables that it joins.
    if isinstance(relation, ops.JoinChain) or not fast_paths_enabled():
        return False
    return all(
        isinstance(value, ir.Column) and value.op().relations == {relation} for value in values
    )
