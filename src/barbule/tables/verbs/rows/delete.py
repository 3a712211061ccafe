"""Deletes rows; old versions keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.backends.base import RID
from barbule.tables.compute.stored_rows import lower_to_backend
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.results import (
    DeleteResult,
)
from barbule.tables.transaction.writes import located
from barbule.tables.verbs.rows.row_selection import row_identities, selected_rows
from barbule.tables.verbs.rows.row_writes import (
    can_write_in_place,
    run_unless_empty,
    writable_record,
)
from barbule.tables.views.propagation import propagate

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.arguments import Condition
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["delete", "delete_rows"]


@isolated
def delete(table: ir.Table, where: Condition | None) -> DeleteResult:
    """Delete rows, and the rows of views derived from them."""
    leaf = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()

    def prepare(transaction: Transaction) -> int | None:
        record = writable_record(transaction.leaf(leaf))
        if can_write_in_place(transaction.engine, record):
            selected = lower_to_backend(
                transaction.engine, row_identities(selected_rows(transaction.table(table), where))
            )
            if selected is not None:
                transaction.end_from_query(record, selected)
                return None
        with located(record):
            rids = transaction.engine.arrow(
                row_identities(selected_rows(transaction.table(table), where))
            ).column(RID)
        delete_rows(transaction, record, rids)
        return len(rids)

    return run_unless_empty(leaf, DeleteResult, "delete", prepare, since=since)


def delete_rows(transaction: Transaction, record: TableRecord, rids: pa.Array) -> None:
    """End rows; views are updated."""
    if len(rids):
        transaction.end_rows(record, rids)
        transaction.touch(record.id, rows=len(rids))
        propagate(transaction, record, None, rids)
