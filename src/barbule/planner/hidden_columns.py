"""Hidden columns of managed tables, mainly row ids, carried up through relations.

Owns the walks that expose them. All are pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule.backends.base import RID
from barbule.nodes import ManagedTable
from barbule.planner.lineage import (
    PASSING,
    changes_row_count,
    fresh_name,
    own_values,
    prune,
    rebuild,
    repoint,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["expose", "row_identities", "shows_all_rows", "with_rid"]


def expose(
    relation: ops.Relation,
    leaf: ManagedTable,
    column: str,
    path: ops.Value,
    sources: Mapping[ops.Relation, str] | None = None,
) -> tuple[ops.Relation, str] | None:
    """Carry a hidden column of `leaf` up to `relation`, along `path`.

    Parameters
    ----------
    sources
        Relations on the path that already have it, and its name there; then only these count.

    Returns
    -------
    tuple or None
        The relation with the additional column and the name of that column; None if a relation on
        the path does not pass on single rows.
    """
    if sources is not None and relation in sources:
        return relation, sources[relation]
    if isinstance(relation, ManagedTable):
        return (relation.copy(hidden=True), column) if sources is None else None
    if not isinstance(path, ops.Field):  # a value that is computed above the column
        return None
    if isinstance(relation, PASSING):
        parent_path = ops.Field(relation.parent, path.name)
        exposed = expose(relation.parent, leaf, column, parent_path, sources)
        return exposed and (rebuild(relation, exposed[0]), exposed[1])
    if isinstance(relation, ops.Project):
        exposed = expose(relation.parent, leaf, column, relation.values[path.name], sources)
        if exposed is None:
            return None
        parent, name = exposed
        values = {
            key: repoint(value, relation.parent, parent) for key, value in relation.values.items()
        }
        field = ops.Field(parent, name)
        new_name = _name_of(field, values) or fresh_name(name, values)
        return ops.Project(parent, {**values, new_name: field}), new_name
    if isinstance(relation, ops.JoinChain):
        return _exposed_by_join(relation, leaf, column, relation.values[path.name], sources)
    return None


def _name_of(value: ops.Value, columns: Mapping[str, ops.Value]) -> str | None:
    """Return the names of the columns that hold a value."""
    return next((name for name, column in columns.items() if column == value), None)


def _exposed_by_join(
    join: ops.JoinChain,
    leaf: ManagedTable,
    column: str,
    path: ops.Value,
    sources: Mapping[ops.Relation, str] | None = None,
) -> tuple[ops.Relation, str] | None:
    if not isinstance(path, ops.Field) or not isinstance(path.rel, ops.JoinReference):
        return None
    side = path.rel
    exposed = expose(side.parent, leaf, column, path, sources)
    if exposed is None:
        return None
    parent, name = exposed
    new_side = side.copy(parent=parent)

    def replace(node: ops.Node, kwargs: dict[str, Any] | None) -> ops.Node:
        if isinstance(node, ops.Field) and node.rel == side:
            return ops.Field(new_side, node.name)
        if node == side:
            return new_side
        return node.__recreate__(kwargs) if kwargs else node

    new_join = join.replace(replace)
    field = ops.Field(new_side, name)
    new_name = _name_of(field, new_join.values) or fresh_name(name, new_join.values)
    return new_join.copy(values={**new_join.values, new_name: field}), new_name


def with_rid(relation: ops.Relation) -> ops.Relation | None:
    """Add the row id of its base to a query over single rows of it; otherwise return None.

    Several rows, or none, may correspond to a row of the base if the query unnests, filters or
    samples.
    """
    if isinstance(relation, ManagedTable):
        return relation.copy(hidden=True)
    if isinstance(relation, ops.Filter | ops.Sample):
        parent = with_rid(relation.parent)
        return parent and rebuild(relation, parent)
    if isinstance(relation, ops.Project):
        parent = with_rid(relation.parent)
        if parent is None or RID in relation.values:
            return parent and rebuild(relation, parent)
        values = {
            name: repoint(value, relation.parent, parent) for name, value in relation.values.items()
        }
        return ops.Project(parent, {**values, RID: ops.Field(parent, RID)})
    if isinstance(relation, ops.DropColumns):
        parent = with_rid(relation.parent)
        return parent and ops.DropColumns(parent, relation.columns_to_drop)
    return None


def row_identities(relation: ops.Relation, rid: str) -> ops.Relation:
    """Read only the row ids, in no particular order."""
    while isinstance(relation, ops.Sort):
        relation = relation.parent
    return prune(ops.Project(relation, {RID: ops.Field(relation, rid)}))


def shows_all_rows(relation: ops.Relation, leaf: ManagedTable) -> bool:
    """Whether a relation has all rows of a leaf, one for one."""
    while isinstance(relation, ops.Project | ops.DropColumns | ops.Sort):
        if any(map(changes_row_count, own_values(relation))):
            return False
        relation = relation.parent
    return bool(relation == leaf)
