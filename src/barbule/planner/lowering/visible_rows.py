"""The rows of a managed table that are visible at a commit.

Owns the conditions on the versions of rows, and how a branch reads those of its origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops

from barbule.backends.base import FOREVER, FROM, RID, TO
from barbule.nodes import managed_table
from barbule.planner.lowering.table_schemas import physical_schema

if TYPE_CHECKING:
    from barbule.catalog.records import TableRecord
    from barbule.nodes import ManagedTable
    from barbule.planner.lowering.table_schemas import LoweringContext

__all__ = ["visibility", "visible_rows"]


def visible_rows(
    leaf: ManagedTable,
    record: TableRecord,
    context: LoweringContext,
    names: set[str] | None = None,
) -> ops.Relation:
    """Read the physical rows that are live at the leaf's commit.

    The latest state of a table without closed rows needs no filter.

    Parameters
    ----------
    names
        The physical columns to read; None for all.
    """
    stored = context.stored(record.physical, physical_schema(record))
    if record.origin is not None:
        return _branch_rows(stored, leaf, record, context, names)
    predicates = visibility(stored, leaf, context)
    return ops.Filter(stored, predicates) if predicates else stored


def visibility(
    stored: ops.Relation, leaf: ManagedTable, context: LoweringContext
) -> list[ops.Value]:
    """Return the predicates for the rows that are live at the leaf's commit."""
    if leaf.commit is None:
        context.track_rows_read(leaf.table_id)
    if leaf.commit is None and not context.has_closed_rows(leaf.table_id):
        return []
    return _alive_at(stored, leaf.commit)


def _alive_at(stored: ops.Relation, commit: int | None) -> list[ops.Value]:
    end = ops.Field(stored, TO)
    if commit is None:
        return [ops.Equals(end, ops.Literal(FOREVER, dt.int64))]
    version = ops.Literal(commit, dt.int64)
    return [ops.LessEqual(ops.Field(stored, FROM), version), ops.Greater(end, version)]


def _branch_rows(
    stored: ops.Relation,
    leaf: ManagedTable,
    record: TableRecord,
    context: LoweringContext,
    names: set[str] | None,
) -> ops.Relation:
    """Read the rows of a branch: its own, and those of its origin without a state in the branch."""
    if record.origin is None:
        raise ValueError(f"{record.name} is not a branch")
    if leaf.commit is None:
        context.track_rows_read(leaf.table_id)
    origin = managed_table("origin", context, record.origin.table, commit=record.origin.commit)
    origin_rows = visible_rows(origin, context.record(origin), context, names)
    states: ops.Relation = stored
    if leaf.commit is not None:
        version = ops.Literal(leaf.commit, dt.int64)
        states = ops.Filter(stored, [ops.LessEqual(ops.Field(stored, FROM), version)])
    replaced = ops.InSubquery(
        ops.Project(states, {RID: ops.Field(states, RID)}), ops.Field(origin_rows, RID)
    )
    shared = ops.Filter(origin_rows, [ops.Not(replaced)])
    columns: dict[str, ops.Value] = {
        name: ops.Field(shared, name) if name in shared.schema else ops.Literal(None, kind)
        for name, kind in physical_schema(record).items()
        # All columns would be read as `*`, which may include unknown columns.
        if name != TO and (names is None or name in names)
    }
    own = ops.Filter(stored, _alive_at(stored, leaf.commit))
    return ops.Union(
        ops.Project(own, {name: ops.Field(own, name) for name in columns}),
        ops.Project(shared, columns),
        distinct=False,
    )
