"""Orders that limits cut are made total, so that pages of a result neither share nor lose rows.

Owns what tells rows apart that the keys of a query do not: their identity, elsewhere their values.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.backends.base import RID
from barbule.planner.lineage import PASSING, hide, repoint, with_rid

__all__ = ["total_orders"]

# Types without an order, or of values that are large: two rows seldom differ in these alone.
_UNORDERED = (dt.Array, dt.Binary, dt.JSON, dt.Map, dt.Struct)


def total_orders(root: ops.Relation) -> ops.Relation:
    """Let sorts whose rows a limit cuts order rows with equal keys by what tells them apart."""
    sorts = {_sort_below(limit.parent) for limit in root.find(ops.Limit)} - {None}
    if not sorts:
        return root

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        made = node.__recreate__(kwargs) if kwargs else node
        return _total(made) if node in sorts and isinstance(made, ops.Sort) else made

    return root.replace(replace)


def _sort_below(relation: ops.Relation) -> ops.Sort | None:
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
    below = with_rid(parent)
    if below is None:
        known = {key.arg for key in sort.keys}
        fields = [ops.Field(parent, n) for n in parent.schema.names]
        others = [f for f in fields if f not in known and not isinstance(f.dtype, _UNORDERED)]
        return sort.copy(keys=(*sort.keys, *map(ops.SortKey, others)))
    keys = [repoint(key, parent, below) for key in sort.keys]
    return hide(ops.Sort(below, (*keys, ops.SortKey(ops.Field(below, RID)))), parent.schema.names)
