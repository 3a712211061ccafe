"""Json values compared with plain values, and lists of Json searched for them.

Owns how operations on arrays of Json, which databases compare as strings, become operations on
numbers and strings; and how a plain value becomes Json where Json is expected. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.types import declaration
from barbule.values.json_values import as_json

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["unwrap_json"]

# Both list operations have an array as `arg` and a value as `other`.
ListSearch: TypeAlias = ops.ArrayContains | ops.ArrayPosition | ops.ArrayRemove


def unwrap_json(node: ops.Node) -> ops.Node:
    """Let an operation compare Json, or the items of a list of Json, by value.

    Parameters
    ----------
    node
        A node whose types are storage types.
    """
    rule = _RULES.get(type(node))
    return node if rule is None else rule(node)


def _is_json_list(value: ops.Value) -> bool:
    return isinstance(value.dtype, dt.Array) and value.dtype.value_type.is_json()


def _unwrapped_items(items: ops.Value, kind: dt.DataType) -> ir.ArrayValue | None:
    """Convert the items of a list to values of a type; items of another type become missing."""
    unwrap = _UNWRAPPERS.get(declaration(kind).json or "")
    if unwrap is None:
        return None
    return items.to_expr().map(lambda item: unwrap(item).to_expr())


def _whole_number(item: ir.Value) -> ops.Value:
    """Unwrap an integral number exactly."""
    exact = ops.UnwrapJSONInt64(item).to_expr()
    real = ops.UnwrapJSONFloat64(item).to_expr()
    return (real == real.floor()).ifelse(exact, None).op()


_UNWRAPPERS: Mapping[str, Callable[[ir.Value], ops.Value]] = {
    "boolean": ops.UnwrapJSONBoolean,
    "integer": _whole_number,
    "number": ops.UnwrapJSONFloat64,
    "string": ops.UnwrapJSONString,
}


def _list_search(node: ListSearch) -> ops.Node:
    """Search for a plain value among the items of its type."""
    if not _is_json_list(node.arg) or node.other.dtype.is_json():
        return node
    items = _unwrapped_items(node.arg, node.other.dtype)
    return node if items is None else type(node)(items.op(), node.other)


def _in_subquery(node: ops.InSubquery) -> ops.Node:
    """Search the items of a list in Json of the same row.

    Ibis reads `column.isin(other_column)` as a search in all rows of the other one.
    """
    relation, needle = node.rel, node.needle
    if not isinstance(relation, ops.Project) or needle.dtype.is_json():
        return node
    (value,) = relation.values.values()
    if not value.dtype.is_json() or not needle.relations <= {relation.parent}:
        return node
    return _list_search(ops.ArrayContains(ops.ToJSONArray(value), needle))


def _alternatives(node: ops.Value) -> ops.Value:
    """Convert the plain alternatives of a choice to Json if others are Json."""
    names = _ALTERNATIVES[type(node)]
    values = [value for name in names for value in _values_of(getattr(node, name))]
    kinds = [value.dtype for value in values if not value.dtype.is_null()]
    if not any(kind.is_json() for kind in kinds) or all(kind.is_json() for kind in kinds):
        return node
    changed = {}
    for name in names:
        argument = getattr(node, name)
        json_values = tuple(as_json(value) for value in _values_of(argument))
        changed[name] = json_values if isinstance(argument, tuple) else json_values[0]
    return node.copy(**changed)


def _map_default(node: ops.MapGet) -> ops.Value:
    """Convert the default for a missing Json value to Json."""
    if not node.arg.dtype.value_type.is_json() or node.default.dtype.is_null():
        return node
    return node.copy(default=as_json(node.default))


def _values_of(argument: ops.Value | tuple[ops.Value, ...]) -> tuple[ops.Value, ...]:
    return argument if isinstance(argument, tuple) else (argument,)


def _fill_null(node: ops.FillNull) -> ops.Node:
    """Fill columns of Json with Json."""
    schema, replacements = node.parent.schema, node.replacements
    if not any(kind.is_json() for kind in schema.values()):
        return node
    if not isinstance(replacements, Mapping):
        replacements = {name: replacements for name, kind in schema.items() if kind.nullable}
    columns: dict[str, ops.Value] = {}
    for name in schema.names:
        column: ops.Value = ops.Field(node.parent, name)
        if (replacement := replacements.get(name)) is not None:
            if not isinstance(replacement, ops.Value):
                replacement = ibis.literal(replacement).op()
            column = _alternatives(ops.Coalesce((column, replacement)))
        columns[name] = column
    return ops.Project(node.parent, columns)


_ALTERNATIVES: dict[type[ops.Value], tuple[str, ...]] = {
    ops.Coalesce: ("arg",),
    ops.Equals: ("left", "right"),
    ops.IdenticalTo: ("left", "right"),
    ops.IfElse: ("true_expr", "false_null_expr"),
    ops.NotEquals: ("left", "right"),
    ops.NullIf: ("arg", "null_if_expr"),
    ops.SearchedCase: ("results", "default"),
    ops.SimpleCase: ("results", "default"),
}
_RULES: dict[type[ops.Node], Callable[[ops.Node], ops.Node]] = {
    ops.ArrayContains: _list_search,
    ops.ArrayPosition: _list_search,
    ops.ArrayRemove: _list_search,
    ops.FillNull: _fill_null,
    ops.InSubquery: _in_subquery,
    ops.MapGet: _map_default,
    **dict.fromkeys(_ALTERNATIVES, _alternatives),
}
