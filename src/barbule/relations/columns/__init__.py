"""Columns of managed tables: Ibis columns with barbule's methods.

Owns the class of a column, by its type. The planner interprets the methods.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.relations.columns.managed_column import ManagedColumn
from barbule.relations.columns.numeric_column import NumericColumn
from barbule.relations.columns.temporal_column import TemporalColumn
from barbule.relations.columns.vector_column import VectorColumn
from barbule.relations.errors.checked_values import add_checks, checked_class
from barbule.types.declarations import by_class

__all__ = ["ManagedColumn", "as_managed_column"]

T = TypeVar("T")


def as_managed_column(value: T) -> T:
    """Add the methods of managed columns to a column; return everything else unchanged."""
    if not isinstance(value, ir.Column) or isinstance(value, ManagedColumn):
        return value
    op = value.op()
    ibis_class: Any = type(op.to_expr())
    mixin: Any = _mixin(op.dtype)
    return _column_class(ibis_class, mixin)(op)


@functools.cache
def _column_class(ibis_class: type[ir.Column], mixin: type[ManagedColumn]) -> type[ir.Column]:
    key: Any = ibis_class
    bases = (mixin, checked_class(key))
    namespace = {"__slots__": (), "__doc__": ibis_class.__doc__}
    return add_checks(type(ibis_class.__name__, bases, namespace))


def _mixin(kind: dt.DataType) -> type[ManagedColumn]:
    if isinstance(kind, dt.Array) and kind.length is not None:
        return VectorColumn
    return by_class(_MIXINS, kind) or ManagedColumn


_MIXINS: dict[type[dt.DataType], type[ManagedColumn]] = {
    dt.Timestamp: TemporalColumn,
    dt.Date: TemporalColumn,
    dt.Time: TemporalColumn,
    dt.Integer: NumericColumn,
    dt.Decimal: NumericColumn,
}
