"""The limit that applies to a call: the number of rows the call has to be made for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.planner.lineage import is_plain, is_rowwise

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.schema as sch

__all__ = ["limit_over"]


def limit_over(
    root: ops.Relation,
    consumer: ops.Relation,
    make_leaf: Callable[[str, sch.Schema], ops.Relation],
) -> ops.Limit | None:
    """Return the limit on the rows of a relation, if no row beyond it is ever read.

    Parameters
    ----------
    consumer
        A relation of the tree.
    make_leaf
        Builds a relation from a name and a schema.
    """
    if isinstance(consumer, ops.Sort) or not is_rowwise(consumer):
        return None
    for limit in root.find(ops.Limit):
        if not isinstance(limit.n, int) or not isinstance(limit.offset, int):
            continue
        relation = limit.parent
        filtered = False
        while relation != consumer and _keeps_rows(relation):
            filtered |= isinstance(relation, ops.Filter)
            relation = relation.parent
        if relation != consumer or not (filtered or isinstance(consumer, ops.Filter)):
            continue
        if root == limit:
            return limit
        remainder = root.replace({limit: make_leaf("bb_cut", limit.schema)})
        if consumer not in remainder.find(type(consumer)):
            return limit
    return None


def _keeps_rows(relation: ops.Relation) -> bool:
    """Whether a relation filters or projects rows one by one, without calls."""
    return isinstance(relation, ops.Filter | ops.Project | ops.DropColumns) and is_plain(relation)
