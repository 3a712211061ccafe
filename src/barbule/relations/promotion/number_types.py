"""Types of numbers: the values that have them, and casts between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["INT64_DIGITS", "UINT64_DIGITS", "all_of", "any_of", "cast", "same_type", "typed"]

INT64_DIGITS = 19
UINT64_DIGITS = 20


def same_type(one: dt.DataType, other: dt.DataType) -> bool:
    """Whether two types are equal, nullable or not."""
    return bool(one.copy(nullable=True) == other.copy(nullable=True))


def any_of(kind: type[dt.DataType], values: Iterable[ops.Value]) -> bool:
    """Whether any value has one of a set of types."""
    return any(isinstance(value.dtype, kind) for value in values)


def all_of(kind: type[dt.DataType], values: Iterable[ops.Value]) -> bool:
    """Whether all values have one of a set of types."""
    return all(isinstance(value.dtype, kind) for value in values)


def cast(value: ops.Value, kind: dt.DataType) -> ops.Value:
    """Return a value with a type; a constant is written in it."""
    kind = kind.copy(nullable=value.dtype.nullable)
    if value.dtype == kind:
        return value
    if isinstance(value, ops.Literal) and value.value is not None:
        return ops.Literal(value.value, kind)
    return ops.Cast(value, kind)


def typed(node: ops.Value, kind: dt.DataType) -> ops.Value:
    """Cast the result of an operation to a type that it does not already have."""
    return node if same_type(node.dtype, kind) else ops.Cast(node, kind)
