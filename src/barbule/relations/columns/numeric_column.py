"""Columns of integers and decimals, combined with numbers of other types.

Owns how both operands get a common type that Ibis supports.
"""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING, TypeAlias

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.relations.columns.managed_column import ManagedColumn
from barbule.relations.promotion import alike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["NumericColumn"]

Number: TypeAlias = ir.NumericValue | int | float | decimal.Decimal


class NumericColumn(ManagedColumn):
    """Columns of numbers, combined with numbers for which Ibis has no common type."""

    __slots__ = ()

    def between(self, lower: Number, upper: Number) -> ir.BooleanValue:
        """Return whether the number is between two numbers, both included."""
        value, *bounds = _with_common_type(self, lower, upper)
        return ir.NumericValue.between(value, *bounds)

    def isin(self, values: ir.Expr | Iterable[Number], /) -> ir.BooleanValue:
        """Return whether the number is one of several numbers."""
        if isinstance(values, ir.Expr):
            return super().isin(values)
        value, *others = _with_common_type(self, *values)
        return ir.NumericValue.isin(value, others)

    def notin(self, values: ir.Expr | Iterable[Number], /) -> ir.BooleanValue:
        """Return whether the number is none of several numbers."""
        if isinstance(values, ir.Expr):
            return super().notin(values)
        value, *others = _with_common_type(self, *values)
        return ir.NumericValue.notin(value, others)

    def fill_null(self, fill_value: Number, /) -> ir.NumericValue:
        """Replace missing values with a number."""
        value, other = _with_common_type(self, fill_value)
        return ir.NumericValue.fill_null(value, other)


def _operator(name: str) -> Callable[[NumericColumn, Number], ir.Value]:
    def method(self: NumericColumn, other: Number) -> ir.Value:
        value, other = _with_common_type(self, other)
        if name in _FORWARD and isinstance(other, ir.NumericValue):
            return getattr(ir.NumericValue, _FORWARD[name])(other, value)
        return getattr(ir.NumericValue, name)(value, other)

    method.__name__ = name
    return method


_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_ARITHMETIC = ("add", "sub", "mul", "mod", "floordiv", "truediv", "pow")
_REFLECTED = tuple(f"r{name}" for name in _ARITHMETIC)
_FORWARD = {f"__r{name}__": f"__{name}__" for name in _ARITHMETIC}
for _name in (*_COMPARISONS, *_ARITHMETIC, *_REFLECTED):
    setattr(NumericColumn, f"__{_name}__", _operator(f"__{_name}__"))
NumericColumn.__hash__ = ir.Value.__hash__  # type: ignore[method-assign]


def _with_common_type(column: ir.Column, *others: Number) -> list[Number]:
    """Convert a column and the other operand to a type that Ibis supports."""
    operands = [_large_literal(other) for other in others]
    ops_by_position = {
        position: operand.op()
        for position, operand in enumerate(operands)
        if isinstance(operand, ir.NumericValue)
    }
    value, *typed_ops = alike(column.op(), *ops_by_position.values())
    for position, op in zip(ops_by_position, typed_ops, strict=True):
        operands[position] = op.to_expr()
    return [value.to_expr(), *operands]


def _large_literal(value: Number) -> Number:
    """Return a literal of an integer that does not fit in int64."""
    if isinstance(value, bool) or not isinstance(value, int) or -(2**63) <= value < 2**63:
        return value
    is_uint64 = 0 <= value < 2**64
    kind = dt.uint64 if is_uint64 else dt.Decimal(len(str(abs(value))), 0)
    return ibis.literal(value if is_uint64 else decimal.Decimal(value), kind)
