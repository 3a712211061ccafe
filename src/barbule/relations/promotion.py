"""Numeric promotion: in which type an operation is computed, so that its results fit.

Owns the rules alone. Ibis gives `-uint8` the type of its operand and `price * 1.19` the type of
the price, and databases overflow or round accordingly. Here whole numbers are computed as int64,
decimals with the digits that a result may have, and decimals with floats as float64.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterable
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.types.data_types import MAX_DIGITS, Duration, canonical

__all__ = ["alike", "as_declared", "as_duration", "promoted", "with_sign"]

_INT64_DIGITS = 19
_UINT64_DIGITS = 20

Rule = Callable[[Any], ops.Value]


def promoted(node: Any) -> Any:
    """Compute the numbers of a value or of a relation in types that hold the results.

    Examples
    --------
    >>> import ibis
    >>> t = ibis.table({"n": "uint8", "price": "decimal(10, 2)"})
    >>> [str(promoted(each.op()).dtype) for each in (-t.n, t.price * t.price, t.price * 1.19)]
    ['int64', 'decimal(20, 4)', 'float64']
    """
    within = ops.Value if isinstance(node, ops.Value) else ops.Node
    if not node.find(_changes, filter=within):
        return node

    def replace(each: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt = each.__recreate__(_alike(each, kwargs)) if kwargs else each
        return _ruled(rebuilt)

    return node.replace(replace, filter=within)


def as_duration(value: Any) -> Any:
    """Give an interval of a fixed length the unit in which durations are kept."""
    kind = value.dtype
    if not isinstance(kind, dt.Interval) or isinstance(value, ops.SortKey):
        return value
    return value if _same(canonical(kind), kind) else ops.Cast(value, canonical(kind))


def with_sign(divisor: Any) -> Any:
    """Write a divisor so that Ibis does not try its rules with the zero that it is, or may be.

    That is a constant zero, and a column of numbers without sign.
    """
    if isinstance(divisor, int) and not isinstance(divisor, bool) and not divisor:
        divisor = ibis.literal(0, dt.int64)
    if not isinstance(divisor, ir.IntegerValue):
        return divisor
    op, kind = divisor.op(), divisor.type()
    zero = isinstance(op, ops.Literal) and not op.value
    if not zero and not (isinstance(divisor, ir.Column) and isinstance(kind, dt.UnsignedInteger)):
        return divisor
    exact = dt.Decimal(_UINT64_DIGITS, 0) if isinstance(kind, dt.UInt64) and not zero else dt.int64
    return ops.Cast(op, exact).to_expr()


def as_declared(value: ops.Value, kind: dt.DataType) -> ops.Value:
    """Give a number the type that its column was declared with, before its value was promoted."""
    numbers = isinstance(value.dtype, dt.Numeric) and isinstance(kind, dt.Numeric)
    return ops.Cast(value, kind) if numbers and not _same(value.dtype, kind) else value


def _ruled(node: ops.Node) -> ops.Node:
    rule = _RULES.get(type(node))
    return node if rule is None else rule(node)


def _changes(node: ops.Node) -> bool:
    return _ruled(node) is not node


def alike(*values: ops.Value) -> list[ops.Value]:
    """Give decimals of several types one type, which Ibis asks for; leave other values."""
    kinds = [_digits(value) for value in values if isinstance(value.dtype, dt.Decimal)]
    if len({(kind.precision, kind.scale) for kind in kinds}) < 2:  # noqa: PLR2004 - they are of one
        return list(values)
    scale, whole = max(kind.scale for kind in kinds), max(map(_before, kinds))
    fits = whole + scale <= MAX_DIGITS
    common = dt.Decimal(whole + scale, scale) if fits else dt.float64
    return [_cast(v, common) if isinstance(v.dtype, dt.Decimal) else v for v in values]


def _alike(node: ops.Node, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Give those arguments of an operation that Ibis compares one decimal type."""
    if not isinstance(node, _COMPARING):
        return kwargs
    names = _ALTERNATIVES.get(type(node), node.argnames)
    flat = [v for name in names for v in _listed(kwargs[name]) if isinstance(v, ops.Value)]
    changed = dict(zip(flat, alike(*flat), strict=True))
    return {
        name: argument
        if name not in names
        else tuple(changed.get(v, v) for v in argument)
        if isinstance(argument, tuple)
        else changed.get(argument, argument)
        for name, argument in kwargs.items()
    }


def _listed(argument: Any) -> tuple[Any, ...]:
    return argument if isinstance(argument, tuple) else (argument,)


def _cast(value: ops.Value, kind: dt.DataType) -> ops.Value:
    """Give a value a type; a constant is written in it."""
    kind = kind.copy(nullable=value.dtype.nullable)
    if value.dtype == kind:
        return value
    if isinstance(value, ops.Literal) and value.value is not None:
        return ops.Literal(value.value, kind)
    return ops.Cast(value, kind)


def _of(kind: type[dt.DataType], values: Iterable[ops.Value]) -> bool:
    return any(isinstance(value.dtype, kind) for value in values)


def _all_of(kind: type[dt.DataType], values: Iterable[ops.Value]) -> bool:
    return all(isinstance(value.dtype, kind) for value in values)


# Whole numbers


def _is_wide(value: ops.Value) -> bool:
    """Whether some values of its type are no int64."""
    if isinstance(value, ops.Literal) and value.value is not None:
        return not dt.int64.bounds.lower <= value.value <= dt.int64.bounds.upper
    return isinstance(value.dtype, dt.UInt64)


def _is_never_negative(value: ops.Value) -> bool:
    if isinstance(value, ops.Literal) and value.value is not None:
        return bool(value.value >= 0)
    return isinstance(value.dtype, dt.UnsignedInteger)


def _whole(node: Any) -> ops.Value:
    """Compute with int64; with uint64 where there is one, and nothing can be negative."""
    columns = [arg for arg in node.args if not isinstance(arg, ops.Literal)]
    if columns and _all_of(dt.Int64, columns) and not any(map(_is_wide, node.args)):
        return node
    if not any(map(_is_wide, node.args)):
        first, *others = (_cast(arg, dt.int64) for arg in node.args)
        if all(isinstance(arg, ops.Literal) for arg in (first, *others)):
            first = ops.Cast(first, dt.int64)  # databases compute bare constants as int32
        return _typed(type(node)(first, *others), dt.int64)
    if isinstance(node, ops.Add | ops.Multiply | ops.Modulus | ops.FloorDivide) and all(
        map(_is_never_negative, node.args)
    ):
        return _typed(type(node)(*(_cast(arg, dt.uint64) for arg in node.args)), dt.uint64)
    exact = dt.Decimal(_UINT64_DIGITS, 0)
    return _typed(type(node)(*(ops.Cast(arg, exact) for arg in node.args)), dt.int64)


def _typed(node: ops.Value, kind: dt.DataType) -> ops.Value:
    return node if _same(node.dtype, kind) else ops.Cast(node, kind)


def _same(one: dt.DataType, other: dt.DataType) -> bool:
    return bool(one.copy(nullable=True) == other.copy(nullable=True))


# Decimals


def _digits(value: ops.Value) -> dt.Decimal:
    """Return the decimal type that holds a number exactly."""
    kind = value.dtype
    if isinstance(value, ops.Literal) and value.value is not None:
        return _digits_of(decimal.Decimal(value.value))
    if isinstance(kind, dt.Decimal):
        return _before_widening(value, _sized(kind))
    return dt.Decimal(_UINT64_DIGITS if isinstance(kind, dt.UInt64) else _INT64_DIGITS, 0)


def _before_widening(value: ops.Value, kind: dt.Decimal) -> dt.Decimal:
    """Return the type that a value had before it was only made wider, which adds no digits."""
    if not isinstance(value, ops.Cast) or not isinstance(value.arg, ops.Field | ops.Cast):
        return kind
    if not isinstance(value.arg.dtype, dt.Decimal):
        return kind
    inner = _digits(value.arg)
    wider = inner.scale <= kind.scale and _before(inner) <= _before(kind)
    return inner if wider else kind


def _digits_of(number: decimal.Decimal) -> dt.Decimal:
    _, digits, exponent = number.as_tuple()
    scale = max(0, -int(exponent))
    return dt.Decimal(max(len(digits) + max(0, int(exponent)), scale, 1), scale)


def _decimal(node: Any) -> ops.Value:
    """Compute decimals with the digits that the result may have."""
    left, right = map(_digits, node.args)
    scale, whole = _result(node, left, right)
    if scale > MAX_DIGITS:
        return type(node)(*(_cast(arg, dt.float64) for arg in node.args))
    kind = dt.Decimal(min(whole + scale, MAX_DIGITS), scale)
    # DuckDB multiplies in 64 bits what has up to 18 digits.
    if kind.precision >= _INT64_DIGITS:
        node = type(node)(*(_widened(arg, kind.precision) for arg in node.args))
    return _typed(node, kind)


def _widened(value: ops.Value, precision: int) -> ops.Value:
    if not isinstance(value.dtype, dt.Decimal):
        return value
    kind = _digits(value) if isinstance(value, ops.Literal) else _sized(value.dtype)
    return _cast(value, dt.Decimal(max(precision, kind.precision), kind.scale))


def _sized(kind: dt.Decimal) -> dt.Decimal:
    return dt.Decimal(kind.precision or MAX_DIGITS, kind.scale or 0)


def _result(node: Any, left: dt.Decimal, right: dt.Decimal) -> tuple[int, int]:
    """Return how many digits a result has after the point, and before it."""
    if isinstance(node, ops.Multiply):
        return left.scale + right.scale, _before(left) + _before(right)
    scale, whole = max(left.scale, right.scale), max(_before(left), _before(right))
    return scale, whole if isinstance(node, ops.Modulus) else whole + 1


def _before(kind: dt.Decimal) -> int:
    return int(kind.precision) - int(kind.scale)


# Rules, by operation


def _arithmetic(node: Any) -> ops.Value:
    if _all_of(dt.Integer, node.args):
        return _whole(node)
    if not _of(dt.Decimal, node.args):
        return node
    if _of(dt.Floating, node.args):
        return type(node)(*(_cast(arg, dt.float64) for arg in node.args))
    return _decimal(node) if _all_of(dt.Numeric, node.args) else node


def _floor_divide(node: Any) -> ops.Value:
    if _all_of(dt.Integer, node.args):
        return _whole(node)
    if not _of(dt.Floating, node.args):
        return node
    # As Python has it: 1.0 // 0.1 is 9, though 1.0 / 0.1 is 10.
    left, right = (_cast(arg, dt.float64) for arg in node.args)
    exact = ops.Divide(ops.Subtract(left, ops.Modulus(left, right)), right)
    return ops.Round(exact, ops.Literal(0, dt.int8))


def _signed(node: Any) -> ops.Value:
    if not isinstance(node.arg.dtype, dt.Integer):
        return node
    if isinstance(node.arg.dtype, dt.UInt64):
        if isinstance(node, ops.Abs | ops.BitwiseNot):
            return node
        exact = ops.Cast(node.arg, dt.Decimal(_UINT64_DIGITS, 0))
        return ops.Cast(type(node)(exact), dt.int64)
    return node if _same(node.arg.dtype, dt.int64) else type(node)(_cast(node.arg, dt.int64))


def _shifted(node: Any) -> ops.Value:
    if _same(node.left.dtype, dt.int64) and not isinstance(node.left, ops.Literal):
        return node
    return type(node)(ops.Cast(node.left, dt.int64), node.right)


def _approximate(node: Any) -> ops.Value:
    """Compute roots, logarithms, means and the like of decimals as float64."""
    changed = {
        name: _cast(value, dt.float64)
        for name, value in zip(node.argnames, node.args, strict=True)
        if isinstance(value, ops.Value) and isinstance(value.dtype, dt.Decimal)
    }
    return node.copy(**changed) if changed else node


def _choice(node: Any) -> ops.Value:
    """Give the alternatives of a choice one type that holds them all."""
    alternatives = [value for value in _alternatives(node) if not isinstance(value.dtype, dt.Null)]
    if not _of(dt.Decimal, alternatives) or not _all_of(dt.Numeric, alternatives):
        return node
    kind = _common(alternatives)
    if all(_same(value.dtype, kind) for value in alternatives):
        return node
    changed = {
        name: tuple(_cast_to(value, kind) for value in argument)
        if isinstance(argument, tuple)
        else _cast_to(argument, kind)
        for name, argument in zip(node.argnames, node.args, strict=True)
        if name in _ALTERNATIVES[type(node)] and argument is not None
    }
    return node.copy(**changed)


def _cast_to(value: ops.Value, kind: dt.DataType) -> ops.Value:
    if isinstance(value.dtype, dt.Null):
        return value
    if isinstance(value, ops.Literal) and value.value is not None and isinstance(kind, dt.Decimal):
        return ops.Literal(_exactly(value.value), kind)
    return _cast(value, kind)


def _common(values: list[ops.Value]) -> dt.DataType:
    """Find the decimal type that holds all values, else float64."""
    kinds = []
    for value in values:
        if not isinstance(value.dtype, dt.Floating):
            kinds.append(_digits(value))
        elif isinstance(value, ops.Literal) and value.value is not None:
            number = _exactly(value.value)
            if not number.is_finite():
                return dt.float64
            kinds.append(_digits_of(number))
        else:
            return dt.float64
    scale = max(kind.scale for kind in kinds)
    known = [value.dtype.scale for value in values if isinstance(value.dtype, dt.Decimal)]
    constants = any(isinstance(value.dtype, dt.Floating) for value in values)
    if constants and scale > max(each or 0 for each in known):
        return dt.float64
    whole = max(map(_before, kinds))
    return dt.Decimal(min(whole + scale, MAX_DIGITS), scale)


def _exactly(number: Any) -> decimal.Decimal:
    """Return the decimal number that is written; a float's is its shortest form."""
    return decimal.Decimal(repr(number) if isinstance(number, float) else number)


def _alternatives(node: Any) -> list[ops.Value]:
    found: list[ops.Value] = []
    for name in _ALTERNATIVES[type(node)]:
        argument = getattr(node, name)
        found += argument if isinstance(argument, tuple) else [] if argument is None else [argument]
    return found


def _seconds(node: Any) -> ops.Value:
    """Count seconds since 1970 as int64: 32 bits end in 2038."""
    return ops.Cast(node, dt.int64)


def _difference(node: Any) -> ops.Value:
    """Give what lies between two moments the unit of durations; Ibis says seconds, and days."""
    return ops.Cast(node, Duration)


def _cast_once(node: Any) -> ops.Value:
    """Cast to a type that databases have; leave out a cast to the type that a value was cast to."""
    sized = isinstance(node.to, dt.Decimal) or _has_halves(node.to)
    if sized and not _same(canonical(node.to), node.to):
        node = node.copy(to=canonical(node.to))
    inner = node.arg
    return inner if isinstance(inner, ops.Cast) and _same(inner.to, node.to) else node


def _has_halves(kind: dt.DataType) -> bool:
    """Whether numbers of 16 bits are in a type, which databases do not have."""
    if isinstance(kind, dt.Struct):
        return any(map(_has_halves, kind.types))
    if isinstance(kind, dt.Array | dt.Map):
        return _has_halves(kind.value_type)
    return isinstance(kind, dt.Float16)


def _literal(node: Any) -> ops.Value:
    """Give a decimal constant its own digits, and a number of 16 bits 32."""
    kind = node.dtype
    if _has_halves(kind):
        return ops.Literal(node.value, canonical(kind))
    if not isinstance(kind, dt.Decimal) or node.value is None or kind.precision is not None:
        return node
    return ops.Literal(node.value, _digits_of(decimal.Decimal(node.value)))


_ALTERNATIVES: dict[type[ops.Value], tuple[str, ...]] = {
    ops.Coalesce: ("arg",),
    ops.Greatest: ("arg",),
    ops.Least: ("arg",),
    ops.IfElse: ("true_expr", "false_null_expr"),
    ops.SimpleCase: ("results", "default"),
    ops.SearchedCase: ("results", "default"),
    ops.Clip: ("arg", "lower", "upper"),
}
_RULES: dict[type[ops.Node], Rule] = {
    ops.Add: _arithmetic,
    ops.Subtract: _arithmetic,
    ops.Multiply: _arithmetic,
    ops.Modulus: _arithmetic,
    ops.FloorDivide: _floor_divide,
    ops.Negate: _signed,
    ops.Abs: _signed,
    ops.BitwiseNot: _signed,
    ops.BitwiseLeftShift: _shifted,
    ops.BitwiseRightShift: _shifted,
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
    ops.ExtractEpochSeconds: _seconds,
    **dict.fromkeys((ops.TimestampDiff, ops.DateDiff, ops.TimeDiff), _difference),
    ops.Cast: _cast_once,
    ops.Literal: _literal,
}  # fmt: skip
# Operations of which Ibis asks that their arguments have one type.
_COMPARING = (ops.NumericBinary, ops.Comparison, ops.Between, ops.InValues, *_ALTERNATIVES)
