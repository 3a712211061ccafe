"""Inserts rows; computed columns, views and indexes are updated in the same transaction."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from barbule.backends.base import RID
from barbule.tables.commit import run_transaction, run_transaction_in_parts
from barbule.tables.compute.media_errors import cell_rules, physical_target
from barbule.tables.sources import read_batches
from barbule.tables.transaction.isolation import isolated, single_pass_source
from barbule.tables.transaction.names import check_policy
from barbule.tables.transaction.results import (
    InsertResult,
)
from barbule.tables.verbs.rows.row_writes import (
    calls_functions,
    data_schema,
    default_values,
    writable_record,
    write_new_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import OnCellError, RowSource
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["BATCH_ROWS", "insert", "insert_batches"]

BATCH_ROWS = 1 << 20


@isolated
def insert(leaf: ManagedTable, source: RowSource, on_error: OnCellError = "abort") -> InsertResult:
    """Insert rows; computed columns, views and indexes are updated."""
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = writable_record(leaf)
    engine.backend.check_writable()  # before media are stored
    check_policy(on_error, ("abort", "null"), "on_error")

    def begin_insert(transaction: Transaction) -> TableRecord:
        transaction.lenient = on_error == "null"
        return writable_record(transaction.leaf(leaf))

    with single_pass_source(engine, source, record.name, since):
        batches = read_batches(
            source,
            data_schema(record),
            record.name,
            engine.library,
            defaults=default_values(record),
            size=BATCH_ROWS,
            rules=cell_rules(record, on_error),
        )
        first = next(batches, None)
        if first is None:
            return InsertResult(0, 0, engine.catalog.latest(record.id).version)
        transaction, record, count = insert_batches(
            engine,
            "insert",
            itertools.chain((first,), batches),
            begin_insert,
            since=since,
            slow=calls_functions(engine, record),
        )
    return transaction.result(InsertResult, record.id, count)


def insert_batches(
    engine: Engine,
    operation: str,
    batches: Iterator[pa.Table],
    begin_insert: Callable[[Transaction], TableRecord],
    *,
    since: int,
    slow: bool = False,
) -> tuple[Transaction, TableRecord, int]:
    """Insert rows in one transaction, each batch written before the next is read.

    Parameters
    ----------
    begin_insert
        Returns the structure of the table within the transaction, which may create it.

    Returns
    -------
    tuple
        The change, the structure of the table, and the number of rows.
    """
    first, second = next(batches, None), next(batches, None)

    def insert_first(transaction: Transaction) -> tuple[TableRecord, int]:
        record = begin_insert(transaction)
        return record, 0 if first is None else _insert_batch(transaction, record, first)

    def insert_all(transaction: Transaction) -> tuple[TableRecord, int]:
        record, count = insert_first(transaction)
        transaction.flush()
        for rows in itertools.chain((second,), batches):
            count += _insert_batch(transaction, record, rows)
            transaction.flush()
        return record, count

    if second is None:
        transaction, (record, count) = run_transaction(
            engine, operation, insert_first, since=since, slow=slow
        )
    else:
        transaction, (record, count) = run_transaction_in_parts(
            engine, operation, insert_all, since=since
        )
    return transaction, record, count


def _insert_batch(transaction: Transaction, record: TableRecord, rows: pa.Table) -> int:
    physical = rows.rename_columns([physical_target(record, name) for name in rows.column_names])
    physical = physical.append_column(RID, transaction.allocate_rids(record.id, rows.num_rows))
    write_new_rows(transaction, record, physical)
    return rows.num_rows
