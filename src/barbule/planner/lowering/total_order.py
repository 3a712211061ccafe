"""Makes sort orders under a limit total, so that pages of a result neither share nor lose rows.

Owns the tie-breaker of rows with equal sort keys: their row id, otherwise their values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.backends.base import RID
from barbule.nodes.tree_walk import find_nodes
from barbule.planner.hidden_columns import with_rid
from barbule.planner.lineage import PASSING, hide, repoint

if TYPE_CHECKING:
    from typing import Any

__all__ = ["total_orders"]

# Types without an order, or with large values: rows seldom differ only in these.
_UNORDERED = (dt.Array, dt.Binary, dt.JSON, dt.Map, dt.Struct)


def total_orders(root: ops.Relation) -> ops.Relation:
    """Add a tie-breaker to sorts whose rows a limit cuts."""
    sorts = {_effective_sort(limit.parent) for limit in find_nodes(root, ops.Limit)} - {None}
    if not sorts:
        return root

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt = node.__recreate__(kwargs) if kwargs else node
        return _total(rebuilt) if node in sorts and isinstance(rebuilt, ops.Sort) else rebuilt

    return root.replace(replace)


def _effective_sort(relation: ops.Relation) -> ops.Sort | None:
    """Find the sort that gives a relation its order."""
    while isinstance(relation, (*PASSING, ops.Project, ops.DropColumns)):
        if isinstance(relation, ops.Sort):
            return relation
        relation = relation.parent
    return None


def _total(sort: ops.Sort) -> ops.Relation:
    parent = sort.parent
    if RID in parent.schema:
        return sort.copy(keys=(*sort.keys, ops.SortKey(ops.Field(parent, RID))))
    identified = with_rid(parent)
    if identified is None:
        sorted_values = {key.arg for key in sort.keys}
        fields = [ops.Field(parent, name) for name in parent.schema.names]
        tie_breakers = [
            field
            for field in fields
            if field not in sorted_values and not isinstance(field.dtype, _UNORDERED)
        ]
        return sort.copy(keys=(*sort.keys, *map(ops.SortKey, tie_breakers)))
    keys = [repoint(key, parent, identified) for key in sort.keys]
    total = ops.Sort(identified, (*keys, ops.SortKey(ops.Field(identified, RID))))
    return hide(total, parent.schema.names)
