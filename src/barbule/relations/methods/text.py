"""Texts beside values of other kinds: what is put together with them, and what is not.

Owns which operands and arguments are texts. Ibis writes a Python value out, `t.s + 1` or
`t.s.contains(["a", "b"])`, where it refuses a column of the same type.
"""

from __future__ import annotations

import collections
from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis import Deferred

from barbule.relations.methods.slices import TextParts
from barbule.types.data_types import Media

__all__ = ["TextMethods", "unwrapped", "written_out"]


class TextMethods(TextParts):
    """What texts say beside values that are none."""

    __slots__ = ()

    def __add__(self, other: Any) -> Any:
        """Put two texts together; a value of Json is one where it holds a text."""
        if isinstance(other, ir.JSONValue):
            other = _text_in(other)
        return super().__add__(other) if _are_texts(self, other) else NotImplemented  # type: ignore[misc]

    def __radd__(self, other: Any) -> Any:
        return super().__radd__(other) if _are_texts(self, other) else NotImplemented  # type: ignore[misc]


def _are_texts(*values: Any) -> bool:
    for value in values:
        if isinstance(value, ir.Value):
            kind = value.type()
            known = isinstance(kind, dt.String | dt.Null) and not isinstance(kind, Media)
        else:
            known = value is None or isinstance(value, str)
        if not known:
            return False
    return True


def _text_in(value: ir.JSONValue) -> Any:
    return ops.UnwrapJSONString(value).to_expr()


def unwrapped(value: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Take the texts of Json among the arguments of a method of texts; None if there is none."""
    json = any(isinstance(each, ir.JSONValue) for each in arguments)
    if not json or not isinstance(value, ir.StringValue):
        return None
    return tuple(_text_in(each) if isinstance(each, ir.JSONValue) else each for each in arguments)


def written_out(value: Any, arguments: tuple[Any, ...], result: Any) -> list[Any]:
    """Find arguments of a method of texts that are none, and became texts in its result."""
    if not isinstance(value, ir.StringValue) or not isinstance(result, ir.Value):
        return []
    if not type(result.op()).__module__.startswith("ibis."):  # ours take files and media, too
        return []
    others = [each for each in arguments if not isinstance(each, _PLAIN)]
    if not others:
        return []
    given = collections.Counter(each for each in arguments if isinstance(each, str))
    texts = collections.Counter(_literals(result.op())) - given
    return [each for each in others if str(each) in texts]


_PLAIN = (str, ir.Expr, Deferred, type(None))


def _literals(op: Any) -> list[str]:
    """List the constant texts among the arguments of an operation."""
    arguments = [
        item for each in op.args for item in (each if isinstance(each, tuple) else (each,))
    ]
    constants = [each for each in arguments if isinstance(each, ops.Literal)]
    return [each.value for each in constants if isinstance(each.value, str)]
