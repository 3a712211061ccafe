"""Calls that are asked for in several clauses: made once for each row.

Owns the rewrite that finds a call in a clause and again in one above it (in a filter and in the
columns, say), computes it below both, and lets both read the column. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.nodes import FunctionCall
from barbule.planner.lineage import calls_in, fresh_name, hide, own_values, rebuild, repoint

if TYPE_CHECKING:
    from barbule.planner.rules.rewrites import Scope

__all__ = ["share_calls"]

_HANDING_ON = (ops.Filter, ops.Sort, ops.Limit)
_SHARED = "bb_shared"


def share_calls(root: ops.Relation, scope: Scope) -> ops.Relation:  # noqa: ARG001 - a rule's form
    """Compute what several clauses over the same rows call once, below the lowest of them."""
    while (found := _found(root)) is not None:
        old, new = found
        root = root.replace({old: new})
    return root


def _found(root: ops.Relation) -> tuple[ops.Relation, ops.Relation] | None:
    """Find a relation whose call one below it makes too; return it and what takes its place."""
    for node in root.find(ops.Relation):
        if not isinstance(node, (*_HANDING_ON, ops.Project)):
            continue
        calls = [call for value in own_values(node) for call in calls_in(value) if call.relations]
        inner = {each for call in calls for value in call.values for each in calls_in(value)}
        for call in sorted(calls, key=lambda each: each in inner):  # the outermost first
            path = _path(node, call)
            if path:
                return node, _shared(node, call, path)
    return None


def _path(node: Any, call: FunctionCall) -> list[tuple[Any, FunctionCall]]:
    """List the relations below, down to the lowest one that makes the call, and its form there."""
    path: list[tuple[Any, FunctionCall]] = []
    lowest = 0
    below = node.parent
    while isinstance(below, (*_HANDING_ON, ops.Project)):
        if isinstance(below, ops.Project):
            fields = {ops.Field(below, name): value for name, value in below.values.items()}
            call = call.replace(fields, filter=ops.Value)
            if not isinstance(call, FunctionCall) or call.find(_LOOKING, filter=ops.Value):
                break
        else:
            call = repoint(call, below, below.parent)
        path.append((below, call))
        if any(call in calls_in(value) for value in own_values(below)):
            lowest = len(path)
        below = below.parent
    return path[:lowest]


_LOOKING = (ops.WindowFunction, ops.Analytic, ops.Reduction, ops.Unnest, ops.Impure)


def _shared(node: Any, call: FunctionCall, path: list[tuple[Any, FunctionCall]]) -> ops.Relation:
    bottom = path[-1][0].parent
    taken = {name for each, _ in path for name in (*each.schema.names, *each.parent.schema.names)}
    name = fresh_name(_SHARED, taken)
    below: ops.Relation = ops.Project(bottom, {**bottom.fields, name: path[-1][1]})
    for each, asked in reversed(path):
        below = _carrying(each, below, asked, name)
    field = ops.Field(below, name)
    made = rebuild(node, below, lambda value: value.replace({call: field}, filter=ops.Value))
    return hide(made, tuple(node.schema.names))


def _carrying(node: Any, parent: ops.Relation, call: FunctionCall, name: str) -> ops.Relation:
    """Put a relation onto one that holds the call as a column, and hand that column on."""
    field = ops.Field(parent, name)
    made: Any = rebuild(node, parent, lambda value: value.replace({call: field}, filter=ops.Value))
    return (
        ops.Project(parent, {**made.values, name: field}) if isinstance(node, ops.Project) else made
    )
