"""Numbers in Json, compared with whole numbers digit by digit.

Owns how a JSON number stands beside an integer: as an integer, where it is one. As float64, which
all JSON numbers could be, 2^60 and 2^60 + 1 are the same.
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

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compare_whole", "is_one_of", "is_whole", "whole_decimal", "whole_number"]

_DIGITS = 38  # of a decimal
_WHOLE = rf"^-?[0-9]{{1,{_DIGITS}}}$"
_END = 2.0**63  # of int64
_EXACT = 2**53  # whole numbers below it are exact as float64, and no other is rounded to one


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, be it a constant or a column of integers."""
    if isinstance(value, ir.Value):
        return bool(value.type().is_integer())
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    return isinstance(value, numbers.Integral) or bool(float(value).is_integer())


def _is_wide(value: Any) -> bool:
    if isinstance(value, ir.Value):
        return isinstance(value.type(), dt.UInt64)
    return not -(2**63) <= value < 2**63


def whole_decimal(value: Any) -> ir.Value:
    """Read a JSON number without fraction as a decimal, of any size."""
    text = ops.Cast(value, dt.string).to_expr()
    digits = text.re_search(_WHOLE).ifelse(text, ibis.null(dt.string))
    return digits.cast(dt.Decimal(_DIGITS, 0))


def whole_number(value: Any, other: Any) -> ir.Value:
    """Read a JSON number that is whole, in a type that stands beside `other`; 2.0 is 2."""
    real = ops.UnwrapJSONFloat64(value).to_expr()
    if _is_wide(other):
        return whole_decimal(value)
    fits = (real >= -_END) & (real < _END) & (real == real.floor())
    rounded = fits.ifelse(real, ibis.null(dt.float64)).cast(dt.int64)
    return ibis.coalesce(ops.UnwrapJSONInt64(value).to_expr(), rounded)


def compare_whole(value: Any, name: str, other: Any) -> ir.BooleanValue:
    """Compare a JSON number with a whole number, by the name of an operator."""
    if _is_small(other):
        # As exact as digit by digit: what is rounded to float64 stays beyond this number.
        compared: ir.BooleanValue = getattr(_real(value), name)(float(other))
        return compared
    beside = _constant(other)
    whole = whole_number(value, other)
    exact: ir.BooleanValue = getattr(whole, name)(beside)
    if name == "__eq__" and isinstance(other, ir.Column):
        return exact  # alone, so that a join by it needs not compare all pairs
    real = _real(value)
    return ibis.coalesce(exact, getattr(real, name)(beside.cast(dt.float64)))


def _is_small(value: Any) -> bool:
    return not isinstance(value, ir.Value) and -_EXACT < value < _EXACT


def _real(value: Any) -> Any:
    return ops.UnwrapJSONFloat64(value).to_expr()


def _constant(value: Any) -> Any:
    """Make a literal of the type that a JSON number is read as beside it."""
    if isinstance(value, ir.Value):
        return value.cast(dt.Decimal(_DIGITS, 0)) if _is_wide(value) else value
    whole = int(value)
    return ibis.literal(whole, dt.Decimal(_DIGITS, 0) if _is_wide(whole) else dt.int64)


def is_one_of(
    value: Any, values: list[Any], as_kind_of: Callable[[Any, Any], ir.Value]
) -> ir.BooleanValue:
    """Say whether a JSON value is one of several, each compared as what it is.

    Parameters
    ----------
    as_kind_of
        Unwraps Json as what stands beside it.
    """
    groups: dict[Any, list[Any]] = {}
    for each in values:
        if each is not None:
            kind = ("whole", _is_wide(each)) if is_whole(each) else _kind(each)
            groups.setdefault(kind, []).append(each)
    found = [_is_in_group(value, group, as_kind_of) for group in groups.values()]
    either = functools.reduce(
        operator.or_, (each.fill_null(False) for each in found), ibis.literal(False)
    )
    return value.isnull().ifelse(ibis.null(dt.boolean), either)


def _kind(value: Any) -> str:
    kind = value.type() if isinstance(value, ir.Value) else dt.infer(value)
    return "number" if kind.is_numeric() and not kind.is_boolean() else str(kind)


def _is_in_group(
    value: Any, group: list[Any], as_kind_of: Callable[[Any, Any], ir.Value]
) -> ir.BooleanValue:
    if all(is_whole(each) and _is_small(each) for each in group):
        return _real(value).isin([float(each) for each in group])
    if is_whole(group[0]):
        return whole_number(value, group[0]).isin([_constant(each) for each in group])
    return as_kind_of(value, group[0]).isin(group)
