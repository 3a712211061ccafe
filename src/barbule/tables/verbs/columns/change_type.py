"""Widens the type of a column; columns computed from it are recomputed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import ibis.expr.operations as ops

from barbule import types
from barbule.backends.base import RID
from barbule.errors import (
    BarbuleError,
    SchemaError,
)
from barbule.tables.commit import run_transaction
from barbule.tables.compute.computed_columns import compute_columns
from barbule.tables.compute.dependencies import dependent_columns
from barbule.tables.compute.stored_rows import read_physical_rows, sorted_by_rid
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import (
    current_record,
    own_column,
)
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.verbs.columns.column_writes import (
    recreate_columns,
    update_views,
    write_columns,
    write_new_column,
)
from barbule.tables.views.dependent_views import dependent_views
from barbule.tables.views.type_propagation import is_wider

if TYPE_CHECKING:
    from typing import Any

    import ibis.expr.datatypes as dt
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import DtypeLike
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["change_type"]


@isolated
def change_type(table: ir.Table, name: str, requested: DtypeLike) -> UpdateResult:
    """Widen the type of a column; columns computed from it are recomputed."""
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current_record(leaf)
    column = own_column(record, name, table.columns)
    try:
        dtype = types.dtype(requested)
    except BarbuleError as error:
        raise error.at(table=record.name, column=name) from error.__cause__
    choices = types.choices_of({name: requested}).get(name, ())
    _check_wider(record, column, dtype, choices)
    if (dtype, choices) == (column.dtype, column.choices):
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)

    def prepare(transaction: Transaction) -> int:
        record = current_record(transaction.leaf(leaf))
        old = own_column(record, name)
        new = replace(old, id=record.next_column, dtype=dtype, choices=choices)
        source = transaction.engine.leaf(record.id, hidden=True)
        values = {
            RID: ops.Field(source, RID),
            new.physical: ops.Cast(ops.Field(source, name), types.storage(dtype)),
        }
        rows = transaction.engine.arrow(ops.Project(source, values).to_expr())
        downstream = dependent_columns(transaction.engine, record, {name})
        record = record.replace_column(old, new).with_columns(without=(old.content_name,))
        transaction.put_record(record)
        transaction.add_column(record, new)
        write_new_column(transaction, record, new, rows)
        record, recreated = recreate_columns(transaction, record, downstream)
        views = dependent_views(transaction.engine, record)
        if recreated or views:
            transaction.new_rows.clear()
            all_rows = _compute_from_cast(transaction, record, recreated, rows, new)
        if views:
            transaction.new_rows[record.id] = all_rows
            update_views(transaction, record, {name, *(column.name for column in downstream)})
        transaction.touch(record.id, rows=rows.num_rows)
        return rows.num_rows

    transaction, count = run_transaction(engine, "change type", prepare, since=since, slow=True)
    return transaction.result(UpdateResult, record.id, count)


def _check_wider(
    record: TableRecord, column: Column, dtype: dt.DataType, choices: tuple[Any, ...]
) -> None:
    """Check that a column is a data column, and that a type keeps all of its values."""
    if record.view is not None:
        raise SchemaError(
            "the types of a view's columns follow from its query.",
            table=record.name,
            column=column.name,
            hint="Cast in the query or the function of the view.",
        )
    if column.kind != "data" or not is_wider(column.dtype, dtype):
        raise SchemaError(
            f"{column.dtype} cannot become {dtype}: only a wider type keeps all values unchanged."
            if column.kind == "data"
            else "the column is computed.",
            table=record.name,
            column=column.name,
            hint="Add a computed column with .cast(...), or a new column.",
        )
    if choices and not (column.choices and set(choices) >= set(column.choices)):
        raise SchemaError(
            "it may already hold other values.",
            table=record.name,
            column=column.name,
            value=choices,
            hint="Include all values that are allowed now, or use a type without choices.",
        )


def _compute_from_cast(
    transaction: Transaction,
    record: TableRecord,
    columns: list[Column],
    cast: pa.Table,
    new: Column,
) -> pa.Table:
    """Compute columns from the cast values of a column, which are not written yet.

    Returns
    -------
    pyarrow.Table
        All rows with the new form and these columns, by their physical names.
    """
    engine = transaction.engine
    for column in columns:
        transaction.add_column(record, column)
    absent = {new, *columns}
    old_record = replace(
        record, columns=tuple(column for column in record.columns if column not in absent)
    )
    rows = read_physical_rows(engine, old_record, engine.leaf(record.id, hidden=True).to_expr())
    rows = sorted_by_rid(rows).append_column(new.physical, sorted_by_rid(cast).column(new.physical))
    if columns:
        rows = compute_columns(transaction, record, rows, columns)
        write_columns(transaction, record, rows, columns)
    return rows
