"""Numbers in Json, compared exactly with integers.

Owns the type in which a JSON number is compared with an integer: as an integer, if it is one. As
float64, which could represent all JSON numbers, 2^60 and 2^60 + 1 are equal.
"""

from __future__ import annotations

import functools
import numbers
import operator
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.types import declaration

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compare_integer", "is_integer", "is_one_of", "to_decimal", "to_integer"]

_DECIMAL_DIGITS = 38  # of a decimal
_WHOLE_PATTERN = rf"^-?[0-9]{{1,{_DECIMAL_DIGITS}}}$"
_INT64_END = 2.0**63  # of int64
_FLOAT64_EXACT_LIMIT = (
    2**53
)  # integers below it are exact as float64, and no other number is rounded to one


def is_integer(value: object) -> bool:
    """Whether a value is an integer, either a constant or a column of integers."""
    if isinstance(value, ir.Value):
        return bool(value.type().is_integer())
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    return isinstance(value, numbers.Integral) or bool(float(value).is_integer())


def _is_wide(value: ir.Value | int) -> bool:
    if isinstance(value, ir.Value):
        return isinstance(value.type(), dt.UInt64)
    return not -(2**63) <= value < 2**63


def to_decimal(value: ir.Value) -> ir.Value:
    """Read a JSON number without fraction as a decimal, of any size."""
    text = ops.Cast(value, dt.string).to_expr()
    digits = text.re_search(_WHOLE_PATTERN).ifelse(text, ibis.null(dt.string))
    return digits.cast(dt.Decimal(_DECIMAL_DIGITS, 0))


def to_integer(value: ir.Value, other: ir.Value | int) -> ir.Value:
    """Read an integral JSON number in a type that compares with `other`; 2.0 is 2."""
    real = ops.UnwrapJSONFloat64(value).to_expr()
    if _is_wide(other):
        return to_decimal(value)
    fits = (real >= -_INT64_END) & (real < _INT64_END) & (real == real.floor())
    rounded = fits.ifelse(real, ibis.null(dt.float64)).cast(dt.int64)
    return ibis.coalesce(ops.UnwrapJSONInt64(value).to_expr(), rounded)


def compare_integer(value: ir.Value, name: str, other: ir.Value | int) -> ir.BooleanValue:
    """Compare a JSON number with an integer, by the name of an operator."""
    if _is_small(other):
        # As exact as digit by digit: a value that is rounded to float64 stays beyond this number.
        compared: ir.BooleanValue = getattr(_as_float64(value), name)(float(other))
        return compared
    constant = _typed_constant(other)
    integer = to_integer(value, other)
    exact: ir.BooleanValue = getattr(integer, name)(constant)
    if name == "__eq__" and isinstance(other, ir.Column):
        return exact  # alone, so that a join on it does not have to compare all pairs
    real = _as_float64(value)
    return ibis.coalesce(exact, getattr(real, name)(constant.cast(dt.float64)))


def _is_small(value: ir.Value | int) -> bool:
    return not isinstance(value, ir.Value) and -_FLOAT64_EXACT_LIMIT < value < _FLOAT64_EXACT_LIMIT


def _as_float64(value: ir.Value) -> ir.NumericValue:
    return ops.UnwrapJSONFloat64(value).to_expr()


def _typed_constant(value: ir.Value | int) -> ir.Value:
    """Return a literal of the type in which a JSON number is compared with it."""
    if isinstance(value, ir.Value):
        return value.cast(dt.Decimal(_DECIMAL_DIGITS, 0)) if _is_wide(value) else value
    integer = int(value)
    return ibis.literal(integer, dt.Decimal(_DECIMAL_DIGITS, 0) if _is_wide(integer) else dt.int64)


def is_one_of(
    value: ir.Value, values: list[Any], as_kind_of: Callable[[Any, Any], ir.Value]
) -> ir.BooleanValue:
    """Return whether a JSON value is one of several, each compared in its own type.

    Parameters
    ----------
    as_kind_of
        Unwraps Json as the type of another value.
    """
    groups: dict[Any, list[Any]] = {}
    for member in values:
        if member is not None:
            kind = ("whole", _is_wide(member)) if is_integer(member) else _kind(member)
            groups.setdefault(kind, []).append(member)
    matches = [_is_in_group(value, group, as_kind_of) for group in groups.values()]
    either = functools.reduce(
        operator.or_, (member.fill_null(False) for member in matches), ibis.literal(False)
    )
    return value.isnull().ifelse(ibis.null(dt.boolean), either)


def _kind(value: object) -> str:
    kind = value.type() if isinstance(value, ir.Value) else dt.infer(value)
    return "number" if declaration(kind).family == "number" else str(kind)


def _is_in_group(
    value: ir.Value, group: list[Any], as_kind_of: Callable[[Any, Any], ir.Value]
) -> ir.BooleanValue:
    if all(is_integer(member) and _is_small(member) for member in group):
        return _as_float64(value).isin([float(member) for member in group])
    if is_integer(group[0]):
        return to_integer(value, group[0]).isin([_typed_constant(member) for member in group])
    return as_kind_of(value, group[0]).isin(group)
