"""Moves a sort that a limit cuts below the filter with calls.

The executor can then filter rows in order, in growing batches, until there are enough. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.planner.lineage import (
    NOT_ROWWISE,
    calls_in,
    is_plain,
    is_rowwise,
    own_values,
    rebuild,
    repoint,
)

if TYPE_CHECKING:
    from typing import Any

    from barbule.planner.plan_builder import PlanBuilder

__all__ = ["sort_before_calls"]


def sort_before_calls(root: ops.Relation, builder: PlanBuilder) -> ops.Relation:
    """Sort before a filter with calls, if a limit cuts the sorted rows."""

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt = node.__recreate__(kwargs) if kwargs else node
        return _with_lower_sort(rebuilt) if isinstance(rebuilt, ops.Limit) else rebuilt

    return root.replace(replace)


def _with_lower_sort(limit: ops.Limit) -> ops.Relation:
    projections = []
    relation = limit.parent
    while isinstance(relation, ops.Project) and is_plain(relation):
        projections.append(relation)
        relation = relation.parent
    if not isinstance(relation, ops.Sort) or not is_plain(relation):
        return limit
    lowered = _below_filters(relation)
    if lowered is None:
        return limit
    for projection in reversed(projections):
        lowered = rebuild(projection, lowered)
    return rebuild(limit, lowered)


def _below_filters(sort: ops.Sort) -> ops.Relation | None:
    """Move a sort below the filters under it; None if it passes no call."""
    parent = sort.parent
    if not isinstance(parent, ops.Filter | ops.Project) or not is_rowwise(parent):
        return None
    if isinstance(parent, ops.Project):
        fields = {ops.Field(parent, name): value for name, value in parent.values.items()}
        keys = [key.replace(fields, filter=ops.Value) for key in sort.keys]
    else:
        keys = [repoint(key, parent, parent.parent) for key in sort.keys]
    if any(calls_in(key) or key.find(NOT_ROWWISE, filter=ops.Value) for key in keys):
        return None
    lower_sort = ops.Sort(parent.parent, keys)
    lowest = _below_filters(lower_sort)
    if lowest is None and not any(calls_in(value) for value in own_values(parent)):
        return None
    return rebuild(parent, lowest or lower_sort)
