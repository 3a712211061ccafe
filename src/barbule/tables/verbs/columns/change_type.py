"""The type of a column is widened; what is computed from it is computed again."""

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
from barbule.tables.compute.computed_columns import compute
from barbule.tables.compute.dependencies import dependents
from barbule.tables.compute.stored_rows import by_rid, physical_rows
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import (
    current,
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
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import DtypeLike
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["change_type"]


@isolated
def change_type(table: ir.Table, name: str, kind: DtypeLike) -> UpdateResult:
    """Widen the type of a column; what is computed from it is computed anew."""
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current(leaf)
    column = own_column(record, name, table.columns)
    try:
        wanted = types.dtype(kind)
    except BarbuleError as error:
        raise error.at(table=record.name, column=name) from error.__cause__
    if record.view is not None:
        raise SchemaError(
            "a view has the types that it is computed with.",
            table=record.name,
            column=name,
            hint="Cast in the query or the function that the view is made of.",
        )
    if column.kind != "data" or not is_wider(column.dtype, wanted):
        raise SchemaError(
            f"{column.dtype} cannot become {wanted}: only wider types take all values as they are."
            if column.kind == "data"
            else "the column is computed.",
            table=record.name,
            column=name,
            hint="Add a computed column with .cast(...), or a new column.",
        )

    choices = types.choices_of({name: kind}).get(name, ())
    if choices and not (column.choices and set(choices) >= set(column.choices)):
        raise SchemaError(
            "it may hold other values than these already.",
            table=record.name,
            column=name,
            value=choices,
            hint="Give all values that it takes now, or a type that takes all.",
        )
    if (wanted, choices) == (column.dtype, column.choices):
        return UpdateResult(0, 0, engine.catalog.latest(record.id).version)

    def prepare(transaction: Transaction) -> int:
        record = current(leaf)
        old = own_column(record, name)
        new = replace(old, id=record.next_column, dtype=wanted, choices=choices)
        source = engine.leaf(record.id, hidden=True)
        values = {
            RID: ops.Field(source, RID),
            new.physical: ops.Cast(ops.Field(source, name), types.storage(wanted)),
        }
        rows = engine.arrow(ops.Project(source, values).to_expr())
        below = dependents(engine, record, {name})
        record = record.replace_column(old, new).with_columns(without=(old.content_name,))
        transaction.put_record(record)
        transaction.add_column(record, new)
        write_new_column(transaction, record, new, rows)
        record, moved = recreate_columns(transaction, record, below)
        followed = dependent_views(engine, record)
        if moved or followed:
            transaction.new_rows.clear()
            whole = _compute_from(transaction, record, moved, rows, new)
        if followed:
            transaction.new_rows[record.id] = whole
            update_views(transaction, record, {name, *(each.name for each in below)})
        transaction.touch(record.id, rows=rows.num_rows)
        return rows.num_rows

    transaction, count = run_transaction(engine, "change type", prepare, since=since, slow=True)
    return transaction.result(UpdateResult, record.id, count)


def _compute_from(
    transaction: Transaction,
    record: TableRecord,
    columns: list[Column],
    cast: pa.Table,
    new: Column,
) -> pa.Table:
    """Compute columns anew from the new form of a column, which is not written yet.

    Returns
    -------
    pyarrow.Table
        All rows with the new form and these columns, by their physical names.
    """
    engine = transaction.engine
    for column in columns:
        transaction.add_column(record, column)
    unread = {new, *columns}
    known = replace(record, columns=tuple(c for c in record.columns if c not in unread))
    rows = physical_rows(engine, known, engine.leaf(record.id, hidden=True).to_expr())
    rows = by_rid(rows).append_column(new.physical, by_rid(cast).column(new.physical))
    if columns:
        rows = compute(transaction, record, rows, columns)
        write_columns(transaction, record, rows, columns)
    return rows
