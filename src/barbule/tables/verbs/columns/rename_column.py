"""Renames columns, in all expressions that read them; old versions keep the old names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from barbule.catalog.expression_edits import rename_columns
from barbule.errors import (
    SchemaError,
)
from barbule.tables.commit import run_transaction
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import (
    check_names,
    current_record,
    own_column,
)
from barbule.tables.transaction.results import UpdateResult

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["rename_column", "rename_columns"]


@isolated
def rename_column(table: ir.Table, old: str, new: str) -> UpdateResult:
    """Rename a column, wherever it is used; old versions keep the old name."""
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current_record(leaf)
    own_column(record, old, table.columns)
    check_names([new], record.name, [name for name in table.columns if name != old])
    if new in table.columns:
        raise SchemaError(
            "a column with this name already exists.",
            table=record.name,
            column=new,
            hint="Choose another name.",
        )

    def prepare(transaction: Transaction) -> None:
        rename_in_expressions(transaction, current_record(transaction.leaf(leaf)), {old: new}, {})

    transaction, _ = run_transaction(engine, "rename column", prepare, since=since)
    return transaction.result(UpdateResult, record.id, 0)


def rename_in_expressions(
    transaction: Transaction,
    record: TableRecord,
    names: dict[str, str],
    names_by_table: dict[int, dict[str, str]],
) -> None:
    """Rename columns of a table, in its own expressions and in those of its views."""
    names_by_table = {**names_by_table, record.id: names}
    columns = tuple(
        replace(
            column,
            name=names.get(column.name, column.name),
            expression=column.expression and rename_columns(column.expression, names_by_table)[0],
        )
        for column in record.columns
    )
    transaction.put_record(replace(record, columns=columns))
    for view in transaction.engine.catalog.queries_over(record.id):
        if view.view is not None:
            query = rename_columns(view.view.query, names_by_table)[0]
            transaction.put_record(replace(view, view=replace(view.view, query=query)))
    for view in transaction.engine.catalog.views_of(record.id):
        if view.view is None:
            continue
        query, renamed = rename_columns(view.view.query, names_by_table)
        items = view.view.items and rename_columns(view.view.items, names_by_table)[0]
        rows = view.view.rows and rename_columns(view.view.rows, names_by_table)[0]
        own_names = {column.name.lower() for column in view.columns if not column.hidden}
        conflicts = [name for name in renamed.values() if name.lower() in own_names]
        if conflicts:
            raise SchemaError(
                f"the view {view.name!r} has a column with this name.",
                table=record.name,
                column=conflicts[0],
                hint="Choose another name.",
            )
        hidden = {column.name for column in view.columns}
        renamed = {old: new for old, new in renamed.items() if old not in hidden}
        renamed_view = replace(view, view=replace(view.view, query=query, items=items, rows=rows))
        rename_in_expressions(transaction, renamed_view, renamed, names_by_table)
