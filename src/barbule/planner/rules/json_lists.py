"""Json beside plain values, and lists of Json looked through for them.

Owns how operations on arrays whose items are Json, which databases compare as texts, become
operations on numbers and texts; and how a plain value becomes Json where it stands for Json.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.values.json_values import as_json

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compared_by_kind"]


def compared_by_kind(node: ops.Node) -> ops.Node:
    """Let an operation take Json, or the items of a list of Json, as what they are.

    Parameters
    ----------
    node
        A node whose types are those of storage.
    """
    rule = _RULES.get(type(node))
    return node if rule is None else rule(node)


def _is_json_list(value: ops.Value) -> bool:
    return isinstance(value.dtype, dt.Array) and value.dtype.value_type.is_json()


def _as_kind(items: ops.Value, kind: dt.DataType) -> ir.ArrayValue | None:
    """Make of the items of a list values of a kind; what is of another kind is missing."""
    if kind.is_boolean():
        unwrap: Any = ops.UnwrapJSONBoolean
    elif kind.is_integer():
        unwrap = _whole
    elif kind.is_numeric():
        unwrap = ops.UnwrapJSONFloat64
    elif kind.is_string():
        unwrap = ops.UnwrapJSONString
    else:
        return None
    values: Any = items.to_expr()
    return values.map(lambda item: _expression(unwrap(item)))


def _expression(value: Any) -> Any:
    return value.to_expr() if isinstance(value, ops.Value) else value


def _whole(item: ir.Value) -> ir.Value:
    """Unwrap a number that has no fraction, exactly."""
    exact = ops.UnwrapJSONInt64(item).to_expr()
    real = ops.UnwrapJSONFloat64(item).to_expr()
    return (real == real.floor()).ifelse(exact, None)


def _looked_for(node: Any) -> ops.Node:
    """Look for a plain value among the items of its kind."""
    if not _is_json_list(node.arg) or node.other.dtype.is_json():
        return node
    items = _as_kind(node.arg, node.other.dtype)
    return node if items is None else type(node)(items.op(), node.other)


def _among(node: Any) -> ops.Node:
    """Look among the items of a list in Json, where that stands in the row itself.

    Ibis takes `column.isin(other_column)` for a search in all rows of the other one.
    """
    rel, needle = node.rel, node.needle
    if not isinstance(rel, ops.Project) or needle.dtype.is_json():
        return node
    (value,) = rel.values.values()
    if not value.dtype.is_json() or not needle.relations <= {rel.parent}:
        return node
    return _looked_for(ops.ArrayContains(ops.ToJSONArray(value), needle))


def _choice(node: Any) -> Any:
    """Make Json of those alternatives that are plain, where others are Json."""
    names = _ALTERNATIVES[type(node)]
    listed = [v for name in names for v in _listed(getattr(node, name))]
    kinds = [value.dtype for value in listed if not value.dtype.is_null()]
    if not any(kind.is_json() for kind in kinds) or all(kind.is_json() for kind in kinds):
        return node
    changed = {}
    for name in names:
        argument = getattr(node, name)
        made = tuple(as_json(value) for value in _listed(argument))
        changed[name] = made if isinstance(argument, tuple) else made[0]
    return node.copy(**changed)


def _default(node: Any) -> Any:
    """Make Json of what stands for a value of Json that is not there."""
    if not node.arg.dtype.value_type.is_json() or node.default.dtype.is_null():
        return node
    return node.copy(default=as_json(node.default))


def _listed(argument: Any) -> tuple[ops.Value, ...]:
    return argument if isinstance(argument, tuple) else (argument,)


def _filled(node: Any) -> ops.Node:
    """Fill columns of Json with Json."""
    schema, given = node.parent.schema, node.replacements
    if not any(kind.is_json() for kind in schema.values()):
        return node
    if not isinstance(given, Mapping):
        given = {name: given for name, kind in schema.items() if kind.nullable}
    columns: dict[str, ops.Value] = {}
    for name in schema.names:
        column: ops.Value = ops.Field(node.parent, name)
        if (value := given.get(name)) is not None:
            plain = value if isinstance(value, ops.Value) else ibis.literal(value).op()
            column = _choice(ops.Coalesce((column, plain)))
        columns[name] = column
    return ops.Project(node.parent, columns)


_ALTERNATIVES = {
    ops.Coalesce: ("arg",),
    ops.Equals: ("left", "right"),
    ops.IdenticalTo: ("left", "right"),
    ops.IfElse: ("true_expr", "false_null_expr"),
    ops.NotEquals: ("left", "right"),
    ops.NullIf: ("arg", "null_if_expr"),
    ops.SearchedCase: ("results", "default"),
    ops.SimpleCase: ("results", "default"),
}
_RULES: dict[type, Callable[[Any], ops.Node]] = {
    ops.ArrayContains: _looked_for,
    ops.ArrayPosition: _looked_for,
    ops.ArrayRemove: _looked_for,
    ops.FillNull: _filled,
    ops.InSubquery: _among,
    ops.MapGet: _default,
    **dict.fromkeys(_ALTERNATIVES, _choice),
}
