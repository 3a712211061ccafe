"""Limits over what calls decide: how many rows they have to be made for.

Owns the search for the limit to which a call is subject, and the rewrite that brings a sort
below the filter that calls, so that rows can be asked about in order until there are enough.
Pure; that they are asked about in growing batches is the executor's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops

from barbule.planner.lineage import LOOKS_AROUND, calls_in, own_values, rebuild, repoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from barbule.planner.rules.rewrites import Scope

__all__ = ["limit_above", "sort_before_calls"]

_LOOKING = (*LOOKS_AROUND, ops.RowID, ops.Unnest)


def sort_before_calls(root: ops.Relation, scope: Scope) -> ops.Relation:  # noqa: ARG001 - a rule's form
    """Sort before a filter that calls, where a limit cuts what is sorted."""

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        rebuilt: Any = node.__recreate__(kwargs) if kwargs else node
        return _sorted_first(rebuilt) if isinstance(rebuilt, ops.Limit) else rebuilt

    return root.replace(replace)


def _sorted_first(limit: ops.Limit) -> ops.Relation:
    above = []
    node: Any = limit.parent
    while isinstance(node, ops.Project) and _is_plain(node):
        above.append(node)
        node = node.parent
    if not isinstance(node, ops.Sort) or not _is_plain(node):
        return limit
    sunk = _sunk(node)
    if sunk is None:
        return limit
    for each in reversed(above):
        sunk = rebuild(each, sunk)
    return rebuild(limit, sunk)


def _sunk(sort: ops.Sort) -> ops.Relation | None:
    """Put a sort below the filters under it; None where no call is among what it passes."""
    below: Any = sort.parent
    if not isinstance(below, ops.Filter | ops.Project) or _looks(below):
        return None
    if isinstance(below, ops.Project):
        fields = {ops.Field(below, name): value for name, value in below.values.items()}
        keys = [key.replace(fields, filter=ops.Value) for key in sort.keys]
    else:
        keys = [repoint(key, below, below.parent) for key in sort.keys]
    if any(calls_in(key) or key.find(_LOOKING, filter=ops.Value) for key in keys):
        return None
    moved = ops.Sort(below.parent, keys)
    further = _sunk(moved)
    if further is None and not any(calls_in(value) for value in own_values(below)):
        return None
    return rebuild(below, further or moved)


def limit_above(
    root: ops.Relation, consumer: ops.Relation, leaf: Callable[[str, Any], ops.Relation]
) -> Any:
    """Return the limit that cuts what a relation gives, if no row beyond it is ever read.

    Parameters
    ----------
    consumer
        A relation of the tree.
    leaf
        Makes a relation of a name and a schema.
    """
    if isinstance(consumer, ops.Sort) or _looks(consumer):
        return None
    for limit in root.find(ops.Limit):
        if not isinstance(limit.n, int) or not isinstance(limit.offset, int):
            continue
        node: Any = limit.parent
        filtered = False
        while node != consumer and _passes(node):
            filtered |= isinstance(node, ops.Filter)
            node = node.parent
        if node != consumer or not (filtered or isinstance(consumer, ops.Filter)):
            continue
        if root == limit:
            return limit
        others = root.replace({limit: leaf("bb_cut", limit.schema)})
        if consumer not in others.find(type(consumer)):
            return limit
    return None


def _passes(node: Any) -> bool:
    return isinstance(node, ops.Filter | ops.Project | ops.DropColumns) and _is_plain(node)


def _is_plain(node: Any) -> bool:
    return not _looks(node) and not any(calls_in(value) for value in own_values(node))


def _looks(node: Any) -> bool:
    return any(value.find(_LOOKING, filter=ops.Value) for value in own_values(node))
