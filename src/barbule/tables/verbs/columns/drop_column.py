"""Drops columns with their indexes, and with `cascade` all their dependents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.errors import (
    DependencyError,
    SchemaError,
)
from barbule.tables.commit import run_transaction
from barbule.tables.compute.dependencies import dependent_columns
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import (
    IF_NOT_EXISTS,
    check_policy,
    current_record,
    own_column,
)
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.verbs.removal import drop_subject, remove_tables, tables_dropped_with
from barbule.tables.views.base_columns import views_reading

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from barbule.catalog.records import Column, Index, TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import IfNotExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["drop_column"]


@isolated
def drop_column(
    table: ir.Table, name: str, *, cascade: bool = False, if_not_exists: IfNotExists = "error"
) -> UpdateResult:
    """Drop a column; old versions keep it."""
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    check_policy(if_not_exists, IF_NOT_EXISTS, "if_not_exists")
    since = engine.catalog.refresh()
    record = current_record(leaf)
    if if_not_exists == "ignore" and name not in table.columns:
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)

    def prepare(transaction: Transaction) -> None:
        record = current_record(transaction.leaf(leaf))
        column = own_column(record, name, table.columns)
        dropped_names = _names_dropped_with(transaction.engine, record, column, cascade=cascade)
        remaining = [column for column in record.columns if column.name not in dropped_names]
        if not any(not column.hidden for column in remaining) and record.view is None:
            raise SchemaError(
                "it is the only column.", table=record.name, column=name, hint="Drop the table."
            )
        transaction.put_record(_without_columns(transaction, record, dropped_names))

    transaction, _ = run_transaction(engine, "drop column", prepare, since=since)
    return transaction.result(UpdateResult, record.id, 0)


def _without_columns(transaction: Transaction, record: TableRecord, names: set[str]) -> TableRecord:
    """Remove columns, with the indexes that search them and the views that read them."""
    engine = transaction.engine
    dropped_indexes = [index for index in record.indexes if _searches_any(record, index, names)]
    for index in dropped_indexes:
        transaction.drop_index(record, index)
    hidden = {record.column_by_id(index.embedding).name for index in dropped_indexes}
    hidden |= {column.content_name for column in record.columns if column.name in names}
    dropped_views = [
        dropped
        for view in views_reading(engine, record, names)
        for dropped in tables_dropped_with(engine, view, cascade=True)
    ]
    remove_tables(transaction, {table.id: table for table in dropped_views}.values())
    remaining = record.with_columns(without=tuple(names | hidden))
    return replace(
        remaining, indexes=tuple(index for index in record.indexes if index not in dropped_indexes)
    )


def _searches_any(record: TableRecord, index: Index, names: set[str]) -> bool:
    return any(column.id == index.column and column.name in names for column in record.columns)


def _names_dropped_with(
    engine: Engine, record: TableRecord, column: Column, *, cascade: bool
) -> set[str]:
    """Return the names of the columns that are dropped with one.

    Raises
    ------
    DependencyError
        If something depends on it, and `cascade` is False.
    """
    indexes = [index for index in record.indexes if index.column == column.id]
    index_columns = {record.column_by_id(index.embedding).name for index in indexes}
    index_columns.add(column.content_name)
    columns = [
        dependent
        for dependent in dependent_columns(engine, record, {column.name})
        if dependent.name not in index_columns
    ]
    names = {column.name, *(dependent.name for dependent in columns)}
    views = views_reading(engine, record, names)
    dependencies = [f"the column {dependent.name!r}" for dependent in columns]
    dependencies += [f"the index {index.name!r}" for index in indexes]
    dependencies += [f"the view {view.name!r}" for view in views]
    if dependencies and not cascade:
        raise DependencyError(
            f"it is used by {', '.join(dependencies)}.",
            table=record.name,
            column=column.name,
            hint=f"Drop {drop_subject(dependencies)} first, or pass cascade=True.",
        )
    return names
