"""Strings and values of other types: which are concatenated, and which are refused.

Owns which operands and arguments are strings. Ibis converts a Python value to a string, in `t.s +
1` or `t.s.contains(["a", "b"])`, although it refuses a column of the same type.
"""

from __future__ import annotations

import collections
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis import Deferred

from barbule.relations.methods.slices import TextSlices
from barbule.types import declaration

__all__ = ["TextMethods", "made_strings", "unwrapped"]


class TextMethods(TextSlices):
    """Methods of strings that refuse values of other types."""

    __slots__ = ()

    def __add__(self, other: object) -> ir.StringValue:
        """Concatenate two strings; a Json value counts if it holds a string."""
        if isinstance(other, ir.JSONValue):
            other = _unwrapped_string(other)
        return super().__add__(other) if _are_strings(self, other) else NotImplemented  # type: ignore[misc]

    def __radd__(self, other: object) -> ir.StringValue:
        return super().__radd__(other) if _are_strings(self, other) else NotImplemented  # type: ignore[misc]


def _are_strings(*values: object) -> bool:
    return all(map(_is_string, values))


def _is_string(value: object) -> bool:
    if isinstance(value, ir.Value):
        kind = value.type()
        return declaration(kind).modality == "text" or isinstance(kind, dt.Null)
    return value is None or isinstance(value, str)


def _unwrapped_string(value: ir.JSONValue) -> ir.StringValue:
    return ops.UnwrapJSONString(value).to_expr()


def unwrapped(value: ir.Value, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Unwrap Json among the arguments of a string method to strings; None if there is none."""
    has_json = any(isinstance(argument, ir.JSONValue) for argument in arguments)
    if not has_json or not isinstance(value, ir.StringValue):
        return None
    return tuple(
        _unwrapped_string(argument) if isinstance(argument, ir.JSONValue) else argument
        for argument in arguments
    )


def made_strings(value: ir.Value, arguments: tuple[object, ...], result: object) -> list[object]:
    """Find arguments of a string method that are not strings and that Ibis converted."""
    if not isinstance(value, ir.StringValue) or not isinstance(result, ir.Value):
        return []
    if not type(result.op()).__module__.startswith("ibis."):  # ours take files and media, too
        return []
    others = [argument for argument in arguments if not isinstance(argument, _STRING_TYPES)]
    if not others:
        return []
    strings = collections.Counter(argument for argument in arguments if isinstance(argument, str))
    new_strings = collections.Counter(_string_literals(result.op())) - strings
    return [argument for argument in others if str(argument) in new_strings]


_STRING_TYPES = (str, ir.Expr, Deferred, type(None))


def _string_literals(op: ops.Value) -> list[str]:
    """List the constant strings among the arguments of an operation."""
    values = (
        value
        for argument in op.args
        for value in (argument if isinstance(argument, tuple) else (argument,))
    )
    constants = (value.value for value in values if isinstance(value, ops.Literal))
    return [constant for constant in constants if isinstance(constant, str)]
