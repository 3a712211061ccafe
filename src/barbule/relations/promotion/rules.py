"""The rules of promotion, by operation.

A rule returns the node itself if its results already fit.
"""

from __future__ import annotations

import decimal
from typing import TYPE_CHECKING, TypeAlias

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.relations.promotion.decimals import (
    alike,
    common_type,
    exact_number,
    number_type,
    promote_decimal,
)
from barbule.relations.promotion.number_types import all_of, any_of, cast, same_type
from barbule.relations.promotion.whole_numbers import promote_shift, promote_sign, promote_whole
from barbule.types.data_types import Duration
from barbule.types.declarations import holds
from barbule.types.declarations.storage_forms import canonical

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["RULES", "with_common_decimals"]

# The value, or several values, of one argument of an operation.
Argument: TypeAlias = "ops.Value | tuple[ops.Value, ...]"


def _arithmetic(node: ops.NumericBinary) -> ops.Value:
    if all_of(dt.Integer, node.args):
        return promote_whole(node)
    if not any_of(dt.Decimal, node.args):
        return node
    if any_of(dt.Floating, node.args):
        return type(node)(*(cast(operand, dt.float64) for operand in node.args))
    return promote_decimal(node) if all_of(dt.Numeric, node.args) else node


def _floor_divide(node: ops.FloorDivide) -> ops.Value:
    if all_of(dt.Integer, node.args):
        return promote_whole(node)
    if not any_of(dt.Floating, node.args):
        return node
    # As in Python: 1.0 // 0.1 is 9, although 1.0 / 0.1 is 10.
    left, right = (cast(operand, dt.float64) for operand in node.args)
    quotient = ops.Divide(ops.Subtract(left, ops.Modulus(left, right)), right)
    return ops.Round(quotient, ops.Literal(0, dt.int8))


def _approximate(node: ops.Value) -> ops.Value:
    """Compute roots, logarithms, means and the like of decimals as float64."""
    changed = {
        name: cast(argument, dt.float64)
        for name, argument in zip(node.argnames, node.args, strict=True)
        if isinstance(argument, ops.Value) and isinstance(argument.dtype, dt.Decimal)
    }
    return node.copy(**changed) if changed else node


def _choice(node: ops.Value) -> ops.Value:
    """Convert the alternatives of a choice to one type that holds them all."""
    alternatives = [value for value in _alternatives(node) if not isinstance(value.dtype, dt.Null)]
    if not any_of(dt.Decimal, alternatives) or not all_of(dt.Numeric, alternatives):
        return node
    kind = common_type(alternatives)
    if all(same_type(value.dtype, kind) for value in alternatives):
        return node
    changed = {
        name: tuple(_cast_alternative(value, kind) for value in argument)
        if isinstance(argument, tuple)
        else _cast_alternative(argument, kind)
        for name, argument in zip(node.argnames, node.args, strict=True)
        if name in _ALTERNATIVES[type(node)] and argument is not None
    }
    return node.copy(**changed)


def _cast_alternative(value: ops.Value, kind: dt.DataType) -> ops.Value:
    if isinstance(value.dtype, dt.Null):
        return value
    if isinstance(value, ops.Literal) and value.value is not None and isinstance(kind, dt.Decimal):
        return ops.Literal(exact_number(value.value), kind)
    return cast(value, kind)


def _alternatives(node: ops.Value) -> list[ops.Value]:
    arguments = (getattr(node, name) for name in _ALTERNATIVES[type(node)])
    return [
        value for argument in arguments if argument is not None for value in _values_of(argument)
    ]


def _values_of(argument: Argument) -> tuple[ops.Value, ...]:
    return argument if isinstance(argument, tuple) else (argument,)


def with_common_decimals(node: ops.Node, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Convert the arguments of an operation that Ibis compares to one decimal type."""
    if not isinstance(node, _TYPE_SENSITIVE):
        return kwargs
    names = _ALTERNATIVES.get(type(node), node.argnames)
    values = [
        value
        for name in names
        for value in _values_of(kwargs[name])
        if isinstance(value, ops.Value)
    ]
    changed = dict(zip(values, alike(*values), strict=True))
    return {
        name: argument
        if name not in names
        else tuple(changed.get(value, value) for value in argument)
        if isinstance(argument, tuple)
        else changed.get(argument, argument)
        for name, argument in kwargs.items()
    }


def _epoch_seconds(node: ops.ExtractEpochSeconds) -> ops.Value:
    """Count seconds since 1970 as int64: 32 bits end in 2038."""
    return ops.Cast(node, dt.int64)


def _difference(node: ops.Value) -> ops.Value:
    """Return the time between two timestamps in the unit of durations; Ibis uses others."""
    return ops.Cast(node, Duration)


def _cast_once(node: ops.Cast) -> ops.Value:
    """Cast to a type that databases have; remove a cast to a type that the value already has."""
    not_canonical = isinstance(node.to, dt.Decimal) or holds(node.to, dt.Float16)
    if not_canonical and not same_type(canonical(node.to), node.to):
        node = node.copy(to=canonical(node.to))
    inner = node.arg
    return inner if isinstance(inner, ops.Cast) and same_type(inner.to, node.to) else node


def _literal(node: ops.Literal) -> ops.Value:
    """Give a decimal constant its own digits, and a 16-bit number 32 bits."""
    kind = node.dtype
    if holds(kind, dt.Float16):
        return ops.Literal(node.value, canonical(kind))
    if not isinstance(kind, dt.Decimal) or node.value is None or kind.precision is not None:
        return node
    return ops.Literal(node.value, number_type(decimal.Decimal(node.value)))


_ALTERNATIVES: dict[type[ops.Value], tuple[str, ...]] = {
    ops.Coalesce: ("arg",),
    ops.Greatest: ("arg",),
    ops.Least: ("arg",),
    ops.IfElse: ("true_expr", "false_null_expr"),
    ops.SimpleCase: ("results", "default"),
    ops.SearchedCase: ("results", "default"),
    ops.Clip: ("arg", "lower", "upper"),
}
RULES: dict[type[ops.Node], Callable[[Any], ops.Value]] = {
    ops.Add: _arithmetic,
    ops.Subtract: _arithmetic,
    ops.Multiply: _arithmetic,
    ops.Modulus: _arithmetic,
    ops.FloorDivide: _floor_divide,
    ops.Negate: promote_sign,
    ops.Abs: promote_sign,
    ops.BitwiseNot: promote_sign,
    ops.BitwiseLeftShift: promote_shift,
    ops.BitwiseRightShift: promote_shift,
    **dict.fromkeys(
        (
            ops.Power, ops.Exp, ops.Sqrt, ops.Log, ops.Ln, ops.Log2, ops.Log10, ops.Degrees,
            ops.Radians, ops.Acos, ops.Asin, ops.Atan, ops.Atan2, ops.Cos, ops.Cot, ops.Sin,
            ops.Tan, ops.Mean, ops.Median, ops.Quantile, ops.MultiQuantile, ops.ApproxMedian,
            ops.ApproxQuantile, ops.ApproxMultiQuantile, ops.StandardDev, ops.Variance,
            ops.Kurtosis, ops.Correlation, ops.Covariance,
        ),
        _approximate,
    ),
    **dict.fromkeys(_ALTERNATIVES, _choice),
    ops.ExtractEpochSeconds: _epoch_seconds,
    **dict.fromkeys((ops.TimestampDiff, ops.DateDiff, ops.TimeDiff), _difference),
    ops.Cast: _cast_once,
    ops.Literal: _literal,
}  # fmt: skip
# Operations whose arguments Ibis requires to have one type.
_TYPE_SENSITIVE = (ops.NumericBinary, ops.Comparison, ops.Between, ops.InValues, *_ALTERNATIVES)
