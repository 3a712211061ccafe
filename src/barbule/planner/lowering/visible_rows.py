"""The rows of a managed table that are visible at a commit.

Owns the conditions on the versions of rows, how a branch reads those of its origin, and the record
of what a plan has read.
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
    from barbule.planner.facts import PlannerFacts

__all__ = ["RowsRead", "visibility", "visible_rows"]


class RowsRead:
    """The rows of tables that the queries of one plan read.

    Parameters
    ----------
    long_running
        Whether the plan calls functions: rows may be closed meanwhile.

    Attributes
    ----------
    tables
        The tables whose live rows are read.
    unclosed
        The tables of which no row may have been closed, as their lives are not looked at.
    """

    def __init__(self, facts: PlannerFacts, *, long_running: bool = False) -> None:
        self.facts = facts
        self._long_running = long_running
        self.tables: set[int] = set()
        self.unclosed: set[int] = set()

    def may_be_closed(self, table_id: int) -> bool:
        """Whether rows of a table that is read may be closed while the plan is valid."""
        if self._long_running or self.facts.has_closed_rows(table_id):
            return True
        self.unclosed.add(table_id)
        return False


def visible_rows(
    leaf: ManagedTable,
    record: TableRecord,
    reads: RowsRead,
    names: set[str] | None = None,
) -> ops.Relation:
    """Read the physical rows that are live at the leaf's commit.

    The latest state of a table without closed rows needs no filter.

    Parameters
    ----------
    names
        The physical columns to read; None for all.
    """
    stored = reads.facts.stored(record.physical, physical_schema(record))
    if record.origin is not None:
        return _branch_rows(stored, leaf, record, reads, names)
    predicates = visibility(stored, leaf, reads)
    return ops.Filter(stored, predicates) if predicates else stored


def visibility(stored: ops.Relation, leaf: ManagedTable, reads: RowsRead) -> list[ops.Value]:
    """Return the predicates for the rows that are live at the leaf's commit."""
    if leaf.commit is None:
        reads.tables.add(leaf.table_id)
    if leaf.commit is None and not reads.may_be_closed(leaf.table_id):
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
    reads: RowsRead,
    names: set[str] | None,
) -> ops.Relation:
    """Read the rows of a branch: its own, and those of its origin without a state in the branch."""
    if record.origin is None:
        raise ValueError(f"{record.name} is not a branch")
    if leaf.commit is None:
        reads.tables.add(leaf.table_id)
    origin = managed_table("origin", reads.facts, record.origin.table, commit=record.origin.commit)
    origin_rows = visible_rows(origin, reads.facts.record(origin), reads, names)
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
