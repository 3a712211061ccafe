"""Rows as the backend stores them: columns by their physical names, rows by their identity.

Owns their reading, and the relations by which rows that are not written yet are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import BASE, RID
from barbule.planner.lowering.table_schemas import physical_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Transaction

__all__ = [
    "lower_to_backend",
    "read_physical_rows",
    "sorted_by_rid",
    "staged_new_rows",
    "staged_relation",
    "stored_fields",
]


def staged_relation(engine: Engine, record: TableRecord, rows: pa.Table, name: str) -> ops.Relation:
    """Make the relation by which the planner reads physical rows that are staged."""
    schema = physical_schema(record)
    staged_schema = {column: schema[column] for column in rows.column_names}
    return engine.stored(name, type(schema)(staged_schema))


def lower_to_backend(engine: Engine, query: ir.Table) -> ir.Table | None:
    """Lower a query to the backend; None where it needs more than the backend."""
    plan = engine.plan(query)
    return None if plan.stages else plan.final.to_expr()


def staged_new_rows(
    transaction: Transaction, record: TableRecord
) -> tuple[dict[int, ops.Relation], dict[str, pa.Table]]:
    """Return the new rows of a table and of its bases, as relations over staged tables."""
    relations: dict[int, ops.Relation] = {}
    staged = {}
    while True:
        rows = transaction.new_rows.get(record.id)
        if rows is not None:
            name = f"bb_fresh_{record.id}"
            relations[record.id] = staged_relation(transaction.engine, record, rows, name)
            staged[name] = rows
        if record.view is None or record.view.bases:
            return relations, staged
        record = transaction.engine.catalog.record(record.view.base)


def sorted_by_rid(rows: pa.Table) -> pa.Table:
    """Sort rows by their identity."""
    import pyarrow.compute as pc

    return rows.take(pc.sort_indices(rows.column(RID)))


def read_physical_rows(
    engine: Engine,
    record: TableRecord,
    query: ir.Table,
    staged: Mapping[str, pa.Table] | None = None,
) -> pa.Table:
    """Read the physical columns of rows of a hidden leaf that a query keeps."""
    relation = query.op()
    return engine.arrow(
        ops.Project(relation, stored_fields(record, relation)).to_expr(), staged=staged
    )


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
