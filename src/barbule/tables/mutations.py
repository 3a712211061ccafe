"""The mutations of rows: insert, update, delete.

Owns what each does to the rows of a table; views follow in the same change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.errors import ColumnNotFoundError, DataError, ExpressionError, UnsupportedError
from barbule.tables.change import DeleteResult, InsertResult, UpdateResult, change
from barbule.tables.columns import compute, dependents
from barbule.tables.rows import read_rows
from barbule.tables.views import propagate
from barbule.types import storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable

__all__ = ["delete", "insert", "update"]


def _writable(leaf: ManagedTable) -> TableRecord:
    engine: Engine = leaf.source
    if leaf.commit is not None:
        raise UnsupportedError(
            "this is a look at an old version, which cannot be changed.",
            table=leaf.name,
            hint="Change the table itself, or revert it to that version.",
        )
    record = engine.catalog.record(leaf.table_id)
    if record.view:
        raise UnsupportedError(
            "the rows of a view follow those of its base.",
            table=record.name,
            hint="Change the rows of the base table.",
        )
    return record


def _data_schema(record: TableRecord) -> sch.Schema:
    return sch.Schema({c.name: c.dtype for c in record.columns if c.kind == "data"})


def insert(leaf: ManagedTable, source: Any) -> InsertResult:
    """Insert rows; computed columns, views and indexes follow."""
    import pyarrow as pa

    engine: Engine = leaf.source
    with engine.lock:
        record = _writable(leaf)
        rows = read_rows(source, _data_schema(record), record.name, engine.library)
        if not rows.num_rows:
            return InsertResult(0, 0, engine.catalog.latest(record.id).version)
        with change(engine, "insert") as ongoing:
            first = ongoing.next_rid(record.id)
            physical = rows.rename_columns(
                [_physical(record, name) for name in rows.column_names]
            ).append_column(RID, pa.array(range(first, first + rows.num_rows), pa.int64()))
            stored = [column for column in record.columns if column.kind == "stored"]
            physical = compute(ongoing, record, physical, stored)
            ongoing.append(record, physical)
            ongoing.touch(record.id, rows=rows.num_rows, rids=rows.num_rows)
            propagate(ongoing, record, physical, None)
        return ongoing.result(InsertResult, record.id, rows.num_rows)  # type: ignore[return-value]


def _physical(record: TableRecord, name: str) -> str:
    column = record.column(name)
    if column is None:
        raise ColumnNotFoundError("there is no such column.", table=record.name, column=name)
    return column.physical


def _chosen(table: ir.Table, where: Any) -> ir.Table:
    """Return the hidden rows of a table for which a condition of the table holds."""
    filtered = (table if where is None else table.filter(where)).op()
    hidden = table.op().copy(hidden=True)
    return filtered.replace({table.op(): hidden}).to_expr()


def delete(table: ir.Table, where: Any) -> DeleteResult:
    """End the life of rows, and of what views made of them."""
    leaf = table.op()
    engine: Engine = leaf.source
    with engine.lock:
        record = _writable(leaf)
        rids = engine.arrow(_chosen(table, where).select(RID)).column(RID)
        if not len(rids):
            return DeleteResult(0, 0, engine.catalog.latest(record.id).version)
        with change(engine, "delete") as ongoing:
            ongoing.close(record, rids)
            ongoing.touch(record.id, rows=len(rids))
            propagate(ongoing, record, None, rids)
        return ongoing.result(DeleteResult, record.id, len(rids))  # type: ignore[return-value]


def update(table: ir.Table, values: Mapping[str, Any], where: Any) -> UpdateResult:
    """Give columns of rows new values; only what is downstream of them is computed again."""
    leaf = table.op()
    engine: Engine = leaf.source
    with engine.lock:
        record = _writable(leaf)
        if not values:
            raise ExpressionError(
                "update takes at least one column.", table=record.name, hint='update({"a": 1}).'
            )
        assigned = {name: _assigned(engine, table, record, name, values[name]) for name in values}
        old = _chosen(table, where)
        rows = _new_state(engine, table, record, old, assigned)
        if not rows.num_rows:
            return UpdateResult(0, 0, engine.catalog.latest(record.id).version)
        _check_required(record, rows, set(values))
        affected = dependents(engine, record, set(values))
        with change(engine, "update") as ongoing:
            rows = compute(ongoing, record, rows, affected)
            ongoing.close(record, rows.column(RID))
            ongoing.append(record, rows)
            ongoing.touch(record.id, rows=rows.num_rows)
            changed = set(values) | {column.name for column in affected}
            propagate(ongoing, record, rows, rows.column(RID), changed)
        return ongoing.result(UpdateResult, record.id, rows.num_rows)  # type: ignore[return-value]


def _assigned(engine: Engine, table: ir.Table, record: TableRecord, name: str, value: Any) -> Any:
    """Return the expression of a new value; of a plain one, once it is checked, the cell."""
    column = record.column(name)
    if column is None or column.hidden:
        raise ColumnNotFoundError(
            "there is no such column.",
            table=record.name,
            column=name,
            hint=f"It has {', '.join(table.columns)}.",
        )
    if column.kind != "data":
        raise ExpressionError(
            "the column is computed.",
            table=record.name,
            column=name,
            hint="Update what it is computed from, or replace its expression by "
            "add_computed_column(..., if_exists='replace').",
        )
    if isinstance(value, ir.Expr) or hasattr(value, "__ibis_deferred__"):
        return value
    if callable(value) or type(value).__name__ == "Deferred":
        return value
    # Not by way of a literal: SQL reads 0.7 as a decimal, and not all types have literals.
    single = sch.Schema({name: column.dtype})
    row = read_rows({name: value}, single, record.name, engine.library)
    return row.column(name).combine_chunks()


def _new_state(
    engine: Engine,
    table: ir.Table,
    record: TableRecord,
    old: ir.Table,
    assigned: Mapping[str, Any],
) -> pa.Table:
    """Read the chosen rows with the assigned columns in their new state."""
    import pyarrow as pa

    leaf = table.op()
    expressions = {
        name: value for name, value in assigned.items() if not isinstance(value, pa.Array)
    }
    bound = table.select(**expressions).op().values if expressions else {}
    parent = old.op()
    shown: dict[str, ops.Value] = {RID: ops.Field(parent, RID)}
    for column in record.columns:
        if column.kind == "virtual":
            continue
        value: ops.Value = ops.Field(parent, column.name)
        if column.name in bound:
            value = _moved(bound[column.name], leaf, parent)
            if storage(value.dtype) != storage(column.dtype):
                value = ops.Cast(value, column.dtype)
        shown[column.physical] = value
    rows = engine.arrow(ops.Project(parent, shown).to_expr())
    for name in assigned.keys() - expressions.keys():
        place = list(shown).index(_physical(record, name))
        cells = assigned[name].take(pa.repeat(0, rows.num_rows))
        rows = rows.set_column(place, rows.column_names[place], cells)
    return rows


def _moved(value: ops.Value, leaf: ManagedTable, parent: ops.Relation) -> ops.Value:
    fields = {
        field: ops.Field(parent, field.name)
        for field in value.find(ops.Field, filter=ops.Value)
        if field.rel == leaf
    }
    return value.replace(fields, filter=ops.Value)


def _check_required(record: TableRecord, rows: pa.Table, names: set[str]) -> None:
    for name in names:
        column = record.column(name)
        if column and not column.dtype.nullable and rows.column(column.physical).null_count:
            raise DataError(
                "the column is required, and the new value is missing.",
                table=record.name,
                column=name,
                hint="Give a value, or choose other rows.",
            )
