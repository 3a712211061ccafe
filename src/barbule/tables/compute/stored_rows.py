"""Rows as the backend stores them: columns by physical names, rows by row id.

Owns their reading, and the relations that read rows which are not written yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.backends.base import BASE, RID
from barbule.planner.lowering.table_schemas import physical_schema

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Transaction

__all__ = [
    "NewRows",
    "lower_to_backend",
    "read_physical_rows",
    "read_rids",
    "sorted_by_rid",
    "staged_new_rows",
    "stored_fields",
]


@dataclass(frozen=True)
class NewRows:
    """New rows of a table and of its bases, which are not written yet.

    Attributes
    ----------
    tables
        The structures of the tables, and their rows by physical columns.
    """

    tables: tuple[tuple[TableRecord, pa.Table], ...]

    @property
    def staged(self) -> dict[str, pa.Table]:
        """The rows by the names under which queries read them."""
        return {_staged_name(record): rows for record, rows in self.tables}

    @property
    def key(self) -> Hashable:
        """What a plan over the rows depends on, apart from the structure of their tables."""
        return tuple((record.id, tuple(rows.column_names)) for record, rows in self.tables)

    def relations(self, engine: Engine) -> dict[int, ops.Relation]:
        """Make the relations by which the planner reads the rows, by table id."""
        relations: dict[int, ops.Relation] = {}
        for record, rows in self.tables:
            schema = physical_schema(record)
            staged_schema = sch.Schema({column: schema[column] for column in rows.column_names})
            relations[record.id] = engine.stored(_staged_name(record), staged_schema)
        return relations


def _staged_name(record: TableRecord) -> str:
    return f"bb_fresh_{record.id}"


def lower_to_backend(engine: Engine, query: ir.Table) -> ir.Table | None:
    """Lower a query to the backend; None if the backend alone cannot run it."""
    plan = engine.plan(query)
    return None if plan.stages else plan.final.to_expr()


def staged_new_rows(transaction: Transaction, record: TableRecord) -> NewRows:
    """Return the new rows of a table and of its bases."""
    tables = []
    while True:
        rows = transaction.new_rows.get(record.id)
        if rows is not None:
            tables.append((record, rows))
        if record.view is None or record.view.bases:
            return NewRows(tuple(tables))
        record = transaction.engine.catalog.record(record.view.base)


def sorted_by_rid(rows: pa.Table) -> pa.Table:
    """Sort rows by their identity; rows that are sorted are returned as they are."""
    import numpy as np
    import pyarrow.compute as pc

    rids = rows.column(RID)
    if rows.num_rows <= 1 or bool(np.all(np.diff(rids.to_numpy()) >= 0)):
        return rows
    return rows.take(pc.sort_indices(rids))


def read_physical_rows(
    engine: Engine,
    record: TableRecord,
    query: ir.Table,
    staged: Mapping[str, pa.Table] | None = None,
) -> pa.Table:
    """Read the physical columns of the rows of a hidden leaf that a query keeps."""
    relation = query.op()
    return engine.arrow(
        ops.Project(relation, stored_fields(record, relation)).to_expr(), staged=staged
    )


def read_rids(engine: Engine, record: TableRecord) -> pa.Table:
    """Read the row ids of a table."""
    return engine.arrow(engine.leaf(record.id, hidden=True).to_expr().select(RID))


def stored_fields(record: TableRecord, relation: ops.Relation) -> dict[str, ops.Value]:
    """Return the stored columns of a table, by physical names, as fields of a relation."""
    fields: dict[str, ops.Value] = {RID: ops.Field(relation, RID)}
    if record.view:
        fields[BASE] = ops.Field(relation, BASE)
    for column in record.columns:
        if column.kind != "virtual":
            fields[column.physical] = ops.Field(relation, column.name)
        if column.fallible:
            fields[column.errors] = ops.Field(relation, column.error_name)
    return fields
