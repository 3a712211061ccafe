"""Json as plain values: unwrapped to the type of the other operand, and built from plain values.

Owns the type to which a Json value is unwrapped.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule import types
from barbule.errors import ExpressionError, with_article
from barbule.types import declaration
from barbule.values.json_numbers import is_integer, to_integer
from barbule.values.json_values import as_json, json_constant

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "json_length",
    "json_of",
    "json_text",
    "unwrapped_like",
    "unwrapped_like_items",
    "unwrapper_of",
]

_MAX_EXACT_FLOAT = 2**53  # integers beyond it are not exact as float64


def json_text(value: ir.JSONValue) -> ir.StringValue:
    """Return the string of a value: its own value if it is a string, otherwise its JSON text."""
    json_string = ops.Cast(value, dt.string).to_expr().nullif("null")
    return ibis.coalesce(ops.UnwrapJSONString(value).to_expr(), json_string)


def json_length(value: ops.Value) -> ir.IntegerValue:
    """Count the items of a list, or the characters of a string."""
    item_count = ops.ToJSONArray(value).to_expr().length()
    return ibis.coalesce(item_count, ops.UnwrapJSONString(value).to_expr().length())


def unwrapper_of(method: str | None) -> Callable[[ops.Value], ops.Value] | None:
    """Return the operation that unwraps to the type that has a method."""
    if method in _method_names(ir.StringColumn):
        return ops.UnwrapJSONString
    return ops.UnwrapJSONFloat64 if method in _method_names(ir.FloatingColumn) else None


@functools.cache
def _method_names(column_class: type[ir.Column]) -> frozenset[str]:
    return frozenset(name for name in dir(column_class) if name not in dir(ir.JSONColumn))


def unwrapped_like_items(value: ir.JSONValue, values: ir.Value) -> ir.Value:
    """Unwrap Json to the type of the values of a column or an array."""
    is_array = isinstance(values, ir.ArrayValue)
    item = ibis.null(values.type().value_type) if is_array else values
    return to_integer(value, item) if is_integer(item) else unwrapped_like(value, item)


def unwrapped_like(value: ir.JSONValue, other: object) -> ir.Value:
    """Unwrap Json to the type of another operand; with other Json it stays Json."""
    if isinstance(other, list | tuple | dict | set):
        raise ExpressionError(
            f"Json cannot be compared with {with_article(type(other).__name__)}.",
            value=other,
            hint="Compare its items: t.meta.tags[0] == 'a'.",
        )
    kind = other.type() if isinstance(other, ir.Value) else dt.infer(other)
    form = declaration(kind).json
    if form == "boolean":
        return ops.UnwrapJSONBoolean(value).to_expr()
    if isinstance(other, int) and abs(other) > _MAX_EXACT_FLOAT:
        return ops.UnwrapJSONInt64(value).to_expr()
    if form in {"integer", "number"}:
        return ops.UnwrapJSONFloat64(value).to_expr()
    if form == "string":
        return ops.UnwrapJSONString(value).to_expr()
    if form == "text":
        return ops.UnwrapJSONString(value).to_expr().cast(kind)
    return ir.JSONValue(value.op())


def json_of(value: object) -> ir.Value | None:
    """Convert a value to Json; None for a timestamp and other types that JSON lacks."""
    if not isinstance(value, ir.Value):
        is_json_type = isinstance(value, str | bool | int | float | list | tuple | dict)
        return json_constant(value, types.Json()).to_expr() if is_json_type else None
    if declaration(value.type()).json == "text":
        return None
    return as_json(value.op(), types.Json()).to_expr()
