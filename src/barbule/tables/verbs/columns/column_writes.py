"""Values of whole columns are written, and what is computed from them follows.

Old versions keep what they had: a column that changes gets a new physical column, and nothing is
removed before `compact`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from barbule.backends.base import RID
from barbule.errors import (
    SchemaError,
)
from barbule.tables.compute.computed_columns import compute, compute_all, query_of_all
from barbule.tables.compute.dependencies import reads
from barbule.tables.compute.function_versions import mended
from barbule.tables.compute.stored_rows import by_rid, physical_rows
from barbule.tables.views.dependent_views import dependent_views
from barbule.tables.views.propagation import propagate_update, refresh_readers
from barbule.tables.views.type_propagation import retype_views, retyped, taking

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
    """Write a new column, given by row identity, beside what is kept of each row."""
    rows = values
    if record.origin is not None:
        engine = transaction.engine
        known = replace(record, columns=tuple(c for c in record.columns if c != column))
        rows = physical_rows(engine, known, engine.leaf(record.id, hidden=True).to_expr())
        cells = by_rid(values).column(column.physical)
        rows = by_rid(rows).append_column(column.physical, cells)
    write_columns(transaction, record, rows, [column])


def check_names_in_views(engine: Engine, record: TableRecord, names: Iterable[str]) -> None:
    """Check that names which views would show of their base are free in them."""
    for view in engine.catalog.views_of(record.id):
        if view.view is None:
            continue
        shown = engine.expression(view.view.query, None).schema
        seen = [name for name in names if name in shown]
        own = {column.name for column in view.columns if not column.hidden}
        others = {each.lower(): each for each in [*own, *(n for n in shown.names if n not in seen)]}
        if taken := [name for name in seen if name.lower() in others]:
            other = others[taken[0].lower()]
            alike = "" if other == taken[0] else f", but for upper and lower case: {other!r}"
            raise SchemaError(
                f"the view {view.name!r} has a column of this name{alike}.",
                table=record.name,
                column=taken[0],
                hint="Choose another name.",
            )
        if seen:
            check_names_in_views(engine, view, seen)


def update_views(transaction: Transaction, record: TableRecord, changed: set[str]) -> None:
    """Let views follow columns that are computed otherwise, or have other types, now."""
    engine = transaction.engine
    retype_views(transaction, record, changed)
    rows = transaction.new_rows.get(record.id)
    if rows is None:  # nothing is stored of them
        rows = physical_rows(engine, record, engine.leaf(record.id, hidden=True).to_expr())
        transaction.new_rows[record.id] = rows
    transaction.overlay(record.id, rows)
    refresh_readers(transaction, record, changed)
    propagate_update(transaction, record, rows, changed)


def recreate_columns(
    transaction: Transaction, record: TableRecord, columns: list[Column]
) -> tuple[TableRecord, list[Column]]:
    """Give columns that are computed anew other places: old versions keep what they had."""
    moved = []
    for column in columns:
        with taking(record, None, f"the column {column.name!r}"):
            value = retyped(transaction.engine, str(column.expression))
        new = replace(column, dtype=value.dtype)
        if column.kind == "stored":
            new = replace(mended(transaction.engine, new), id=record.next_column)
            moved.append(new)
            for index in record.indexes:
                if index.embedding == column.id:
                    transaction.on_commit(partial(transaction.engine.indexing.drop, record, index))
        record = record.replace_column(column, new)
        transaction.put_record(record)
    return record, moved


def compute_new_columns(
    transaction: Transaction, record: TableRecord, columns: list[Column]
) -> None:
    """Make room for the stored ones of new columns, and compute them for all rows."""
    engine = transaction.engine
    made = [column for column in columns if column.kind == "stored"]
    for column in made:
        transaction.add_column(record, column)
    if not made:
        return
    names = {column.name for column in made}
    apart = not any(reads(engine, record, column) & names for column in made)
    if apart and record.origin is None and not record.view and not dependent_views(engine, record):
        query = None if engine.backend.many_writers else query_of_all(engine, record, made)
        if query is not None:
            transaction.fill_from_query(record, query, made[0].name if len(made) == 1 else None)
            return
        rows = compute_all(engine, record, made)
    else:
        known = replace(record, columns=tuple(c for c in record.columns if c not in made))
        rows = physical_rows(engine, known, engine.leaf(record.id, hidden=True).to_expr())
        rows = compute(transaction, record, rows, made)
    write_columns(transaction, record, rows, made)
    transaction.touch(record.id, rows=rows.num_rows)


def write_columns(
    transaction: Transaction, record: TableRecord, rows: pa.Table, columns: list[Column]
) -> None:
    """Write columns of all rows, which are given whole; a branch gets rows of its own."""
    if record.origin is not None:
        transaction.end_rows(record, rows.column(RID))
        transaction.append(record, rows)
        return
    for column in columns:
        transaction.fill_column(record, column.physical, rows)
        if column.errors not in rows.column_names:  # data, which was not missing by an error
            continue
        if rows.column(column.errors).null_count < rows.num_rows:
            transaction.fill_column(record, column.errors, rows)
