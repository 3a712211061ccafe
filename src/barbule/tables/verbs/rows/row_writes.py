"""What the verbs that change rows share: which tables take data, and how new rows are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import ibis.expr.schema as sch

from barbule.catalog import codec
from barbule.errors import UnsupportedError
from barbule.tables.commit import run_transaction
from barbule.tables.compute.computed_columns import compute
from barbule.tables.compute.media_errors import with_reasons
from barbule.tables.transaction.isolation import NothingToDo
from barbule.tables.transaction.names import current
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
    "allows_in_place",
    "calls_functions",
    "data_schema",
    "default_values",
    "unless_empty",
    "writable",
    "write_new",
]

Result = TypeVar("Result", bound=MutationResult)


def writable(leaf: ManagedTable) -> TableRecord:
    """Return the structure of a table whose rows can be changed."""
    record = current(leaf)
    if record.view:
        raise UnsupportedError(
            "the rows of a view follow those of its base.",
            table=record.name,
            hint="Transaction the rows of the base table.",
        )
    return record


def data_schema(record: TableRecord) -> sch.Schema:
    """Return the columns that take data."""
    return sch.Schema({c.name: c.dtype for c in record.columns if c.kind == "data"})


def default_values(record: TableRecord) -> dict[str, Any]:
    """Return the values of cells that an insert leaves out."""
    return {
        column.name: codec.load_value(column.default)
        for column in record.columns
        if column.default is not None
    }


def write_new(transaction: Transaction, record: TableRecord, rows: pa.Table) -> None:
    """Compute the stored columns of new rows and write them; views follow."""
    rows = with_reasons(transaction, record, rows)
    stored = [column for column in record.columns if column.kind == "stored"]
    rows = compute(transaction, record, rows, stored)
    transaction.append(record, rows)
    transaction.touch(record.id, rows=rows.num_rows)
    propagate(transaction, record, rows, None)


def calls_functions(engine: Engine, record: TableRecord) -> bool:
    """Whether new rows of a table make functions be called, for itself or for its views."""
    seen, waiting = set(), [record]
    while waiting:
        each = waiting.pop()
        if each.id in seen:
            continue
        seen.add(each.id)
        if (each.view and each.view.items) or any(c.kind == "stored" for c in each.columns):
            return True
        waiting += engine.catalog.views_of(each.id)
        waiting += engine.catalog.queries_over(each.id)
    return False


def unless_empty(
    leaf: ManagedTable,
    kind: type[Result],
    operation: str,
    prepare: Callable[[Transaction], int | None],
    *,
    since: int,
    slow: bool | None = None,
) -> Result:
    """Make a change of rows; where it is found that there are none, there is no new version.

    Parameters
    ----------
    prepare
        Prepares the change and returns how many rows it is of; None where that is known once
        they are written.
    """
    engine: Engine = leaf.source
    record = engine.catalog.record(leaf.table_id)

    def checked(transaction: Transaction) -> int | None:
        count = prepare(transaction)
        if count == 0:
            raise NothingToDo
        return count

    try:
        if slow is None:
            slow = calls_functions(engine, record)
        transaction, count = run_transaction(engine, operation, checked, since=since, slow=slow)
    except NothingToDo:
        return kind(0, 0, engine.catalog.latest(record.id).version)
    rows = transaction.row_count(record.id) if count is None else count
    return transaction.result(kind, record.id, rows)


def allows_in_place(engine: Engine, record: TableRecord) -> bool:
    """Whether nothing follows the rows of a table, so that they can change where they are."""
    if record.origin is not None or engine.backend.many_writers:
        return False
    catalog = engine.catalog
    return not (catalog.views_of(record.id) or catalog.queries_over(record.id))
