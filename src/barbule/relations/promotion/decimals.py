"""Decimals are computed with the digits that a result may have."""

from __future__ import annotations

import decimal

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.relations.promotion.number_types import INT64_DIGITS, UINT64_DIGITS, cast, typed
from barbule.types.data_types import MAX_DIGITS

__all__ = ["alike", "common_type", "exact_number", "number_type", "promote_decimal"]


def alike(*values: ops.Value) -> list[ops.Value]:
    """Convert decimals to one common type, which Ibis requires; other values unchanged."""
    kinds = [exact_type(value) for value in values if isinstance(value.dtype, dt.Decimal)]
    if len({(kind.precision, kind.scale) for kind in kinds}) <= 1:
        return list(values)
    scale, whole_digits = max(kind.scale for kind in kinds), max(map(_whole_digits, kinds))
    fits = whole_digits + scale <= MAX_DIGITS
    common = dt.Decimal(whole_digits + scale, scale) if fits else dt.float64
    return [
        cast(value, common) if isinstance(value.dtype, dt.Decimal) else value for value in values
    ]


def exact_type(value: ops.Value) -> dt.Decimal:
    """Return the decimal type that holds a number exactly."""
    kind = value.dtype
    if isinstance(value, ops.Literal) and value.value is not None:
        return number_type(decimal.Decimal(value.value))
    if isinstance(kind, dt.Decimal):
        return _before_widening(value, _sized(kind))
    return dt.Decimal(UINT64_DIGITS if isinstance(kind, dt.UInt64) else INT64_DIGITS, 0)


def _before_widening(value: ops.Value, kind: dt.Decimal) -> dt.Decimal:
    """Return the type of a value before it was only widened, which adds no digits."""
    if not isinstance(value, ops.Cast) or not isinstance(value.arg, ops.Field | ops.Cast):
        return kind
    if not isinstance(value.arg.dtype, dt.Decimal):
        return kind
    inner = exact_type(value.arg)
    wider = inner.scale <= kind.scale and _whole_digits(inner) <= _whole_digits(kind)
    return inner if wider else kind


def number_type(number: decimal.Decimal) -> dt.Decimal:
    """Return the decimal type with the digits of a number."""
    _, digits, exponent = number.as_tuple()
    scale = max(0, -int(exponent))
    return dt.Decimal(max(len(digits) + max(0, int(exponent)), scale, 1), scale)


def promote_decimal(node: ops.NumericBinary) -> ops.Value:
    """Compute decimals with the digits that the result may have."""
    left, right = map(exact_type, node.args)
    scale, whole_digits = _result_digits(node, left, right)
    if scale > MAX_DIGITS:
        return type(node)(*(cast(operand, dt.float64) for operand in node.args))
    kind = dt.Decimal(min(whole_digits + scale, MAX_DIGITS), scale)
    # DuckDB multiplies in 64 bits if a type has up to 18 digits.
    if kind.precision >= INT64_DIGITS:
        node = type(node)(*(_widened(operand, kind.precision) for operand in node.args))
    return typed(node, kind)


def _widened(value: ops.Value, precision: int) -> ops.Value:
    if not isinstance(value.dtype, dt.Decimal):
        return value
    kind = exact_type(value) if isinstance(value, ops.Literal) else _sized(value.dtype)
    return cast(value, dt.Decimal(max(precision, kind.precision), kind.scale))


def _sized(kind: dt.Decimal) -> dt.Decimal:
    return dt.Decimal(kind.precision or MAX_DIGITS, kind.scale or 0)


def _result_digits(node: ops.NumericBinary, left: dt.Decimal, right: dt.Decimal) -> tuple[int, int]:
    """Return the number of digits of a result after the point, and before it."""
    if isinstance(node, ops.Multiply):
        return left.scale + right.scale, _whole_digits(left) + _whole_digits(right)
    scale = max(left.scale, right.scale)
    whole_digits = max(_whole_digits(left), _whole_digits(right))
    return scale, whole_digits if isinstance(node, ops.Modulus) else whole_digits + 1


def _whole_digits(kind: dt.Decimal) -> int:
    """Return the number of digits of a type before the point."""
    return int(kind.precision) - int(kind.scale)


def common_type(values: list[ops.Value]) -> dt.DataType:
    """Find the decimal type that holds all values, otherwise float64."""
    kinds = []
    for value in values:
        if not isinstance(value.dtype, dt.Floating):
            kinds.append(exact_type(value))
        elif isinstance(value, ops.Literal) and value.value is not None:
            number = exact_number(value.value)
            if not number.is_finite():
                return dt.float64
            kinds.append(number_type(number))
        else:
            return dt.float64
    scale = max(kind.scale for kind in kinds)
    decimal_scales = [value.dtype.scale for value in values if isinstance(value.dtype, dt.Decimal)]
    float_constants = any(isinstance(value.dtype, dt.Floating) for value in values)
    if float_constants and scale > max(decimal_scale or 0 for decimal_scale in decimal_scales):
        return dt.float64
    whole_digits = max(map(_whole_digits, kinds))
    return dt.Decimal(min(whole_digits + scale, MAX_DIGITS), scale)


def exact_number(number: float | decimal.Decimal) -> decimal.Decimal:
    """Return the decimal number as written; for a float its shortest form."""
    return decimal.Decimal(repr(number) if isinstance(number, float) else number)
