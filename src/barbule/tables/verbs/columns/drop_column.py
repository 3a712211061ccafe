"""Columns are dropped with their indexes, and on request with all that depends on them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from barbule.errors import (
    DependencyError,
    SchemaError,
)
from barbule.tables.commit import run_transaction
from barbule.tables.compute.dependencies import dependents
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import (
    IF_NOT_EXISTS,
    check_policy,
    current,
    own_column,
)
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.verbs.removal import remove, removed_with
from barbule.tables.views.base_columns import readers_of

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
    record = current(leaf)
    if if_not_exists == "ignore" and name not in table.columns:
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)

    def prepare(transaction: Transaction) -> None:
        record = current(leaf)
        column = own_column(record, name, table.columns)
        doomed = _dropped_with(engine, record, column, cascade=cascade)
        kept = [each for each in record.columns if each.name not in doomed]
        if not any(not each.hidden for each in kept) and record.view is None:
            raise SchemaError(
                "it is the only column.", table=record.name, column=name, hint="Drop the table."
            )
        transaction.put_record(_without(transaction, record, doomed))

    transaction, _ = run_transaction(engine, "drop column", prepare, since=since)
    return transaction.result(UpdateResult, record.id, 0)


def _without(transaction: Transaction, record: TableRecord, names: set[str]) -> TableRecord:
    """Leave out columns, with the indexes that search them and the views that read them."""
    engine = transaction.engine
    gone = [index for index in record.indexes if _is_over(record, index, names)]
    for index in gone:
        transaction.on_commit(partial(engine.indexing.drop, record, index))
    hidden = {record.column_by_id(index.embedding).name for index in gone}
    hidden |= {each.content_name for each in record.columns if each.name in names}
    doomed = [
        each
        for view in readers_of(engine, record, names)
        for each in removed_with(engine, view, cascade=True)
    ]
    remove(transaction, {each.id: each for each in doomed}.values())
    left = record.with_columns(without=tuple(names | hidden))
    return replace(left, indexes=tuple(index for index in record.indexes if index not in gone))


def _is_over(record: TableRecord, index: Index, names: set[str]) -> bool:
    return any(each.id == index.column and each.name in names for each in record.columns)


def _dropped_with(
    engine: Engine, record: TableRecord, column: Column, *, cascade: bool
) -> set[str]:
    """Return the names of the columns that go with one.

    Raises
    ------
    DependencyError
        When something depends on it, and `cascade` is False.
    """
    indexes = [index for index in record.indexes if index.column == column.id]
    own = {record.column_by_id(index.embedding).name for index in indexes}
    own.add(column.content_name)
    columns = [c for c in dependents(engine, record, {column.name}) if c.name not in own]
    names = {column.name, *(each.name for each in columns)}
    views = readers_of(engine, record, names)
    needed = [f"the column {each.name!r}" for each in columns]
    needed += [f"the index {index.name!r}" for index in indexes]
    needed += [f"the view {view.name!r}" for view in views]
    if needed and not cascade:
        raise DependencyError(
            f"it is needed by {', '.join(needed)}.",
            table=record.name,
            column=column.name,
            hint="Drop them first, or give cascade=True.",
        )
    return names
