"""Integers are computed as int64, or as uint64 if no result can be negative."""

from __future__ import annotations

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.relations.promotion.number_types import UINT64_DIGITS, all_of, cast, same_type, typed

__all__ = ["promote_shift", "promote_sign", "promote_whole"]

_NEVER_NEGATIVE = (ops.Add, ops.Multiply, ops.Modulus, ops.FloorDivide)


def promote_whole(node: ops.NumericBinary) -> ops.Value:
    """Compute with int64; with uint64 if an operand has that type and no result can be negative."""
    columns = [operand for operand in node.args if not isinstance(operand, ops.Literal)]
    if columns and all_of(dt.Int64, columns) and not any(map(_is_wide, node.args)):
        return node
    if not any(map(_is_wide, node.args)):
        left, right = (cast(operand, dt.int64) for operand in node.args)
        if isinstance(left, ops.Literal) and isinstance(right, ops.Literal):
            left = ops.Cast(left, dt.int64)  # databases compute bare constants as int32
        return typed(type(node)(left, right), dt.int64)
    if isinstance(node, _NEVER_NEGATIVE) and all(map(_is_never_negative, node.args)):
        return typed(type(node)(*(cast(operand, dt.uint64) for operand in node.args)), dt.uint64)
    exact = dt.Decimal(UINT64_DIGITS, 0)
    return typed(type(node)(*(ops.Cast(operand, exact) for operand in node.args)), dt.int64)


def _is_wide(value: ops.Value) -> bool:
    """Whether some values of its type do not fit in int64."""
    if isinstance(value, ops.Literal) and value.value is not None:
        return not dt.int64.bounds.lower <= value.value <= dt.int64.bounds.upper
    return isinstance(value.dtype, dt.UInt64)


def _is_never_negative(value: ops.Value) -> bool:
    if isinstance(value, ops.Literal) and value.value is not None:
        return bool(value.value >= 0)
    return isinstance(value.dtype, dt.UnsignedInteger)


def promote_sign(node: ops.Negate | ops.Abs | ops.BitwiseNot) -> ops.Value:
    """Compute the negative, the absolute value or the complement of an integer."""
    if not isinstance(node.arg.dtype, dt.Integer):
        return node
    if isinstance(node.arg.dtype, dt.UInt64):
        if isinstance(node, ops.Abs | ops.BitwiseNot):
            return node
        exact = ops.Cast(node.arg, dt.Decimal(UINT64_DIGITS, 0))
        return ops.Cast(type(node)(exact), dt.int64)
    return node if same_type(node.arg.dtype, dt.int64) else type(node)(cast(node.arg, dt.int64))


def promote_shift(node: ops.BitwiseLeftShift | ops.BitwiseRightShift) -> ops.Value:
    """Shift the bits of an int64."""
    if same_type(node.left.dtype, dt.int64) and not isinstance(node.left, ops.Literal):
        return node
    return type(node)(ops.Cast(node.left, dt.int64), node.right)
