"""Computes calls that several clauses make once for each row.

Owns the rewrite that finds a call in a clause and again in one above it (for example in a filter
and in the columns), computes it below both, and lets both read the column. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.nodes import FunctionCall
from barbule.planner.lineage import calls_in, fresh_name, hide, own_values, rebuild, repoint

if TYPE_CHECKING:
    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["share_calls"]

_ROW_CLAUSES = (ops.Filter, ops.Sort, ops.Limit)
# Calls with these among their arguments are not computed from one row alone.
_NOT_ROWWISE = (ops.WindowFunction, ops.Analytic, ops.Reduction, ops.Unnest, ops.Impure)
_SHARED = "bb_shared"

# A relation and a call as it is written over the parent of that relation.
_PathStep = tuple[ops.Relation, FunctionCall]


def share_calls(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Compute a call of several clauses over the same rows once, below the lowest of them."""
    while (replacement := _next_replacement(root)) is not None:
        old, new = replacement
        root = root.replace({old: new})
    return root


def _next_replacement(root: ops.Relation) -> tuple[ops.Relation, ops.Relation] | None:
    """Find a relation that repeats a call of a relation below it, and its replacement."""
    for relation in root.find(ops.Relation):
        if not isinstance(relation, (*_ROW_CLAUSES, ops.Project)):
            continue
        values = own_values(relation)
        calls = [call for value in values for call in calls_in(value) if call.relations]
        inner_calls = {
            inner for call in calls for argument in call.values for inner in calls_in(argument)
        }
        for call in sorted(calls, key=lambda call: call in inner_calls):  # the outermost first
            path = _path_to_lowest(relation, call)
            if path:
                return relation, _with_shared_call(relation, call, path)
    return None


def _path_to_lowest(relation: ops.Relation, call: FunctionCall) -> list[_PathStep]:
    """List the relations below, down to the lowest one that makes the call, and its form there."""
    path: list[_PathStep] = []
    lowest = 0
    parent = relation.parent
    while isinstance(parent, (*_ROW_CLAUSES, ops.Project)):
        if isinstance(parent, ops.Project):
            fields = {ops.Field(parent, name): value for name, value in parent.values.items()}
            call = call.replace(fields, filter=ops.Value)
            if not isinstance(call, FunctionCall) or call.find(_NOT_ROWWISE, filter=ops.Value):
                break
        else:
            call = repoint(call, parent, parent.parent)
        path.append((parent, call))
        if any(call in calls_in(value) for value in own_values(parent)):
            lowest = len(path)
        parent = parent.parent
    return path[:lowest]


def _with_shared_call(
    relation: ops.Relation, call: FunctionCall, path: list[_PathStep]
) -> ops.Relation:
    lowest, lowest_call = path[-1]
    names = {name for step, _ in path for name in (*step.schema.names, *step.parent.schema.names)}
    shared = fresh_name(_SHARED, names)
    parent: ops.Relation = ops.Project(lowest.parent, {**lowest.parent.fields, shared: lowest_call})
    for step, step_call in reversed(path):
        parent = _with_shared_column(step, parent, step_call, shared)
    field = ops.Field(parent, shared)
    rebuilt = rebuild(
        relation, parent, lambda value: value.replace({call: field}, filter=ops.Value)
    )
    return hide(rebuilt, tuple(relation.schema.names))


def _with_shared_column(
    relation: ops.Relation, parent: ops.Relation, call: FunctionCall, shared: str
) -> ops.Relation:
    """Rebuild a relation on one that holds the call as a column, and pass that column on."""
    field = ops.Field(parent, shared)
    rebuilt = rebuild(
        relation, parent, lambda value: value.replace({call: field}, filter=ops.Value)
    )
    if isinstance(rebuilt, ops.Project):
        return ops.Project(parent, {**rebuilt.values, shared: field})
    return rebuilt
