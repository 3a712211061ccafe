"""The origin of a value, traced through relations that pass it on unchanged.

Owns only that walk; the planner has all others.
"""

from __future__ import annotations

import ibis.expr.operations as ops

from barbule.nodes import ManagedTable

__all__ = ["PASSING", "origin", "trace"]

# Relations that pass on all columns of their parent, row by row.
PASSING = (ops.Filter, ops.Sort, ops.Limit, ops.Sample)


def trace(value: ops.Value) -> ops.Value:
    """Follow a field through relations that pass it on, to where it is computed."""
    while isinstance(value, ops.Field):
        relation = value.rel
        if isinstance(relation, PASSING):
            value = ops.Field(relation.parent, value.name)
        elif isinstance(relation, ops.Project | ops.JoinChain):
            value = relation.values[value.name]
        elif isinstance(relation, ops.Reference):
            value = ops.Field(relation.parent, value.name)
        else:
            return value
    return value


def origin(value: ops.Value) -> tuple[ManagedTable, str] | None:
    """Return the managed table and column that a value comes from unchanged, otherwise None."""
    source = trace(value)
    if isinstance(source, ops.Field) and isinstance(source.rel, ManagedTable):
        return source.rel, source.name
    return None
