"""Shared parts of row methods: the data columns, and the writing of new rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import ibis.expr.schema as sch

from barbule.catalog import codec
from barbule.errors import UnsupportedError
from barbule.fast_paths import fast_paths_enabled
from barbule.tables.commit import run_transaction
from barbule.tables.compute.computed_columns import compute_columns
from barbule.tables.compute.media_errors import with_error_columns
from barbule.tables.transaction.isolation import NothingToDo
from barbule.tables.transaction.names import current_record
from barbule.tables.transaction.results import (
    MutationResult,
)
from barbule.tables.views.propagation import propagate

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.transaction.transaction import Transaction

__all__ = [
    "calls_functions",
    "can_write_in_place",
    "data_schema",
    "default_values",
    "run_unless_empty",
    "writable_record",
    "write_new_rows",
]

ResultT = TypeVar("ResultT", bound=MutationResult)


def writable_record(leaf: ManagedTable) -> TableRecord:
    """Return the structure of a table whose rows can be changed."""
    record = current_record(leaf)
    if record.view:
        raise UnsupportedError(
            "the rows of a view follow those of its base.",
            table=record.name,
            hint="Change the rows of the base table.",
        )
    return record


def data_schema(record: TableRecord) -> sch.Schema:
    """Return the data columns."""
    return sch.Schema(
        {column.name: column.dtype for column in record.columns if column.kind == "data"}
    )


def default_values(record: TableRecord) -> dict[str, Any]:
    """Return the default values of cells that an insert omits."""
    return {
        column.name: codec.load_value(column.default)
        for column in record.columns
        if column.default is not None
    }


def write_new_rows(transaction: Transaction, record: TableRecord, rows: pa.Table) -> None:
    """Compute the stored columns of new rows and write them; views are updated."""
    rows = with_error_columns(transaction, record, rows)
    stored = [column for column in record.columns if column.kind == "stored"]
    rows = compute_columns(transaction, record, rows, stored)
    transaction.append(record, rows)
    transaction.touch(record.id, rows=rows.num_rows)
    propagate(transaction, record, rows, None)


def calls_functions(engine: Engine, record: TableRecord) -> bool:
    """Whether inserts into a table call functions, for itself or for its views."""
    visited, queue = set(), [record]
    while queue:
        table = queue.pop()
        if table.id in visited:
            continue
        visited.add(table.id)
        if (table.view and table.view.items) or any(
            column.kind == "stored" for column in table.columns
        ):
            return True
        queue += engine.catalog.views_of(table.id)
        queue += engine.catalog.queries_over(table.id)
    return False


def run_unless_empty(
    leaf: ManagedTable,
    result_type: type[ResultT],
    operation: str,
    prepare: Callable[[Transaction], int | None],
    *,
    since: int,
    slow: bool | None = None,
) -> ResultT:
    """Run a transaction that changes rows; if it changes none, no version is created.

    Parameters
    ----------
    prepare
        Prepares the transaction and returns the number of changed rows; None if that is known only
        after the write.
    """
    engine: Engine = leaf.source
    record = engine.catalog.record(leaf.table_id)

    def prepare_nonempty(transaction: Transaction) -> int | None:
        count = prepare(transaction)
        if count == 0:
            raise NothingToDo
        return count

    try:
        if slow is None:
            slow = calls_functions(engine, record)
        transaction, count = run_transaction(
            engine, operation, prepare_nonempty, since=since, slow=slow
        )
    except NothingToDo:
        return result_type(0, 0, engine.catalog.latest(record.id).version)
    rows = transaction.row_count(record.id) if count is None else count
    return transaction.result(result_type, record.id, rows)


def can_write_in_place(engine: Engine, record: TableRecord) -> bool:
    """Whether nothing depends on the rows of a table, so that they can change in place."""
    if record.origin is not None or engine.backend.many_writers or not fast_paths_enabled():
        return False
    catalog = engine.catalog
    return not (catalog.views_of(record.id) or catalog.queries_over(record.id))
