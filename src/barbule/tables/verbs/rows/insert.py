"""Rows are inserted; computed columns, views and indexes follow in the same transaction."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from barbule.backends.base import RID
from barbule.tables.commit import run_transaction, run_transaction_in_parts
from barbule.tables.compute.media_errors import cell_rules, place_of
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
    writable,
    write_new,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import OnCellError, RowSource
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["PART_ROWS", "insert", "insert_parts"]

PART_ROWS = 1 << 20


@isolated
def insert(leaf: ManagedTable, source: RowSource, on_error: OnCellError = "abort") -> InsertResult:
    """Insert rows; computed columns, views and indexes follow."""
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = writable(leaf)
    engine.backend.check_writable()  # before media are put
    check_policy(on_error, ("abort", "null"), "on_error")

    def target(transaction: Transaction) -> TableRecord:
        transaction.lenient = on_error == "null"
        return writable(leaf)

    with single_pass_source(engine, source, record.name, since):
        parts = read_batches(
            source,
            data_schema(record),
            record.name,
            engine.library,
            defaults=default_values(record),
            size=PART_ROWS,
            rules=cell_rules(record, on_error),
        )
        first = next(parts, None)
        if first is None:
            return InsertResult(0, 0, engine.catalog.latest(record.id).version)
        transaction, record, count = insert_parts(
            engine,
            "insert",
            itertools.chain((first,), parts),
            target,
            since=since,
            slow=calls_functions(engine, record),
        )
    return transaction.result(InsertResult, record.id, count)


def insert_parts(
    engine: Engine,
    operation: str,
    parts: Iterator[pa.Table],
    target: Callable[[Transaction], TableRecord],
    *,
    since: int,
    slow: bool = False,
) -> tuple[Transaction, TableRecord, int]:
    """Insert rows in one change, each part written before the next is read.

    Parameters
    ----------
    target
        Gives the structure of the table within the change, where it may be made.

    Returns
    -------
    tuple
        The change that was made, the structure of the table, and how many rows there were.
    """
    first, second = next(parts, None), next(parts, None)

    def whole(transaction: Transaction) -> tuple[TableRecord, int]:
        record = target(transaction)
        return record, 0 if first is None else _insert_part(transaction, record, first)

    def by_parts(transaction: Transaction) -> tuple[TableRecord, int]:
        record, count = whole(transaction)
        transaction.flush()
        for rows in itertools.chain((second,), parts):
            count += _insert_part(transaction, record, rows)
            transaction.flush()
        return record, count

    if second is None:
        transaction, (record, count) = run_transaction(
            engine, operation, whole, since=since, slow=slow
        )
    else:
        transaction, (record, count) = run_transaction_in_parts(
            engine, operation, by_parts, since=since
        )
    return transaction, record, count


def _insert_part(transaction: Transaction, record: TableRecord, rows: pa.Table) -> int:
    physical = rows.rename_columns([place_of(record, name) for name in rows.column_names])
    physical = physical.append_column(RID, transaction.allocate_rids(record.id, rows.num_rows))
    write_new(transaction, record, physical)
    return rows.num_rows
