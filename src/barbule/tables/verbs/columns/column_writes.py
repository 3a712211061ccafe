"""Writes entire columns, and updates everything computed from them.

Old versions keep their values: a changed column gets a new physical column, and nothing is removed
before `compact`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.backends.base import RID
from barbule.errors import (
    SchemaError,
)
from barbule.tables.compute.computed_columns import (
    all_rows_query,
    compute_all_rows,
    compute_columns,
)
from barbule.tables.compute.dependencies import columns_read
from barbule.tables.compute.function_versions import with_current_versions
from barbule.tables.compute.stored_rows import read_physical_rows, sorted_by_rid
from barbule.tables.views.dependent_views import dependent_views
from barbule.tables.views.propagation import propagate_update, schedule_readers_of
from barbule.tables.views.type_propagation import (
    refusing_type_change,
    retype_expression,
    retype_views,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Transaction

__all__ = [
    "check_names_in_views",
    "compute_new_columns",
    "recreate_columns",
    "update_views",
    "write_columns",
    "write_new_column",
]


def write_new_column(
    transaction: Transaction, record: TableRecord, column: Column, values: pa.Table
) -> None:
    """Write a new column, given by row id, next to the kept columns of each row."""
    rows = values
    if record.origin is not None:
        engine = transaction.engine
        old_record = replace(
            record,
            columns=tuple(old_column for old_column in record.columns if old_column != column),
        )
        rows = read_physical_rows(engine, old_record, engine.leaf(record.id, hidden=True).to_expr())
        cells = sorted_by_rid(values).column(column.physical)
        rows = sorted_by_rid(rows).append_column(column.physical, cells)
    write_columns(transaction, record, rows, [column])


def check_names_in_views(engine: Engine, record: TableRecord, names: Iterable[str]) -> None:
    """Check that names that views would take from their base are free in them."""
    for view in engine.catalog.views_of(record.id):
        if view.view is None:
            continue
        base_columns = engine.expression(view.view.query, None).schema
        visible = [name for name in names if name in base_columns]
        own_names = {column.name for column in view.columns if not column.hidden}
        other_names = {
            name.lower(): name
            for name in [*own_names, *(name for name in base_columns.names if name not in visible)]
        }
        if conflicts := [name for name in visible if name.lower() in other_names]:
            other = other_names[conflicts[0].lower()]
            case_note = "" if other == conflicts[0] else f" that differs only in case: {other!r}"
            raise SchemaError(
                f"the view {view.name!r} has a column with this name{case_note}.",
                table=record.name,
                column=conflicts[0],
                hint="Choose another name.",
            )
        if visible:
            check_names_in_views(engine, view, visible)


def update_views(transaction: Transaction, record: TableRecord, changed: set[str]) -> None:
    """Update views after columns have changed their expressions or types."""
    engine = transaction.engine
    retype_views(transaction, record, changed)
    rows = transaction.new_rows.get(record.id)
    if rows is None:  # none of their values is stored
        rows = read_physical_rows(engine, record, engine.leaf(record.id, hidden=True).to_expr())
        transaction.new_rows[record.id] = rows
    transaction.overlays[record.id] = rows
    schedule_readers_of(transaction, record, changed)
    propagate_update(transaction, record, rows, changed)


def recreate_columns(
    transaction: Transaction, record: TableRecord, columns: list[Column]
) -> tuple[TableRecord, list[Column]]:
    """Give recomputed columns new physical columns: old versions keep theirs."""
    recreated = []
    for column in columns:
        with refusing_type_change(record, None, f"the column {column.name!r}"):
            value = retype_expression(transaction.engine, str(column.expression))
        new_column = replace(column, dtype=value.dtype)
        if column.kind == "stored":
            new_column = replace(
                with_current_versions(transaction.engine, new_column), id=record.next_column
            )
            recreated.append(new_column)
            for index in record.indexes:
                if index.embedding == column.id:
                    transaction.drop_index(record, index)
        record = record.replace_column(column, new_column)
        transaction.put_record(record)
    return record, recreated


def compute_new_columns(
    transaction: Transaction, record: TableRecord, columns: list[Column]
) -> None:
    """Create storage for the stored columns among new ones, and compute them for all rows."""
    engine = transaction.engine
    stored_columns = [column for column in columns if column.kind == "stored"]
    for column in stored_columns:
        transaction.add_column(record, column)
    if not stored_columns:
        return
    names = {column.name for column in stored_columns}
    is_independent = not any(
        columns_read(engine, record, column) & names for column in stored_columns
    )
    if (
        is_independent
        and record.origin is None
        and not record.view
        and not dependent_views(engine, record)
    ):
        query = (
            None if engine.backend.many_writers else all_rows_query(engine, record, stored_columns)
        )
        if query is not None:
            transaction.fill_from_query(
                record, query, stored_columns[0].name if len(stored_columns) == 1 else None
            )
            return
        rows = compute_all_rows(engine, record, stored_columns)
    else:
        old_record = replace(
            record,
            columns=tuple(column for column in record.columns if column not in stored_columns),
        )
        rows = read_physical_rows(engine, old_record, engine.leaf(record.id, hidden=True).to_expr())
        rows = compute_columns(transaction, record, rows, stored_columns)
    write_columns(transaction, record, rows, stored_columns)
    transaction.touch(record.id, rows=rows.num_rows)


def write_columns(
    transaction: Transaction, record: TableRecord, rows: pa.Table, columns: list[Column]
) -> None:
    """Write columns of all rows; a branch gets its own states of the rows."""
    if record.origin is not None:
        transaction.end_rows(record, rows.column(RID))
        transaction.append(record, rows)
        return
    for column in columns:
        transaction.fill_column(record, column.physical, rows)
        if column.errors not in rows.column_names:  # data, which had no error
            continue
        if rows.column(column.errors).null_count < rows.num_rows:
            transaction.fill_column(record, column.errors, rows)
