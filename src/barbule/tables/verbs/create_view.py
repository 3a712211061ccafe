"""Creates views, and computes their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.catalog import codec
from barbule.catalog.records import Column, TableRecord, View
from barbule.errors import (
    ExpressionError,
    SchemaError,
    TableExistsError,
    UnsupportedError,
    with_article,
)
from barbule.nodes import ManagedTable
from barbule.tables.commit import run_transaction
from barbule.tables.compute.binding import bind_column, new_column
from barbule.tables.compute.virtual_columns import check_readable
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import (
    check_names,
    existing_table,
)
from barbule.tables.verbs.removal import replace_existing
from barbule.tables.views.base_tables import ViewQuery, read_query
from barbule.tables.views.full_refresh import refresh
from barbule.tables.views.incremental import (
    data_columns,
    iterator_columns,
    iterator_query,
    write_view_rows,
)

if TYPE_CHECKING:
    from barbule.executor.engine import Engine
    from barbule.functions.function import OnError
    from barbule.tables.arguments import Expression, IfExists
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["create_view"]


@isolated
def create_view(
    engine: Engine,
    name: str,
    query: ir.Table,
    *,
    iterator: Expression | None = None,
    computed_columns: Mapping[str, Expression] | None = None,
    if_exists: IfExists = "error",
    on_error: OnError | None = None,
) -> ManagedTable:
    """Create a view and compute its rows; return its leaf."""
    since = engine.catalog.refresh()
    existing = existing_table(engine, name, if_exists)
    view_query = read_query(query, name)
    if not view_query.bases:  # rows of other tables are computed at once
        check_readable(engine, query, name)
    base_id, bases = view_query.base, view_query.bases
    if existing is not None:
        _check_same_view(engine, existing, base_id, bases)
        return engine.committed.leaf(existing.id)
    items = None
    if iterator is not None:
        _check_iterated(view_query, name)
        items = iterator_query(query, iterator, name, on_error)
    own_columns = _own_columns(view_query, items, query, name)
    view = View(
        base_id,
        codec.dump(view_query.relation),
        codec.dump(items) if items else None,
        bases,
        rows=codec.dump(view_query.rows) if view_query.rows else None,
    )

    def prepare(transaction: Transaction) -> int:
        dropped_ids = {table.id for table in replace_existing(transaction, name, if_exists)}
        _check_base_stays(dropped_ids, view_query, name)
        table_id, next_column = transaction.engine.catalog.next_table_id(), len(own_columns)
        record = TableRecord(table_id, name, tuple(own_columns), view=view, next_column=next_column)
        transaction.put_record(record)
        for column in view_query.calls:
            value = view_query.bind_call(column, transaction.engine.leaf(record.id), name)
            record = _with_column(transaction, record, column, value)
        record = _with_computed_columns(transaction, record, computed_columns or {}, query)
        _write_rows(transaction, record, view_query)
        return record.id

    _, table_id = run_transaction(engine, "create view", prepare, since=since, slow=True)
    return engine.committed.leaf(table_id)


def _check_base_stays(dropped_ids: set[int], view_query: ViewQuery, view: str) -> None:
    """Check that a view does not replace a table that it is computed from."""
    if dropped_ids & {view_query.base, *view_query.bases}:
        raise TableExistsError(
            "a view cannot replace a table that it reads.",
            table=view,
            hint="Choose another name.",
        )


def _write_rows(transaction: Transaction, record: TableRecord, view_query: ViewQuery) -> None:
    """Create the storage of a new view, and compute its rows."""
    transaction.create_storage(record)
    if view_query.bases:
        refresh(transaction, record.id, created=True)
    else:
        base = transaction.engine.catalog.record(view_query.base)
        write_view_rows(transaction, record, base, None)


def _check_iterated(view_query: ViewQuery, view: str) -> None:
    """Check that an iterator can be applied to the rows of a query."""
    if view_query.bases:
        raise UnsupportedError(
            "an iterator needs a query over one table.",
            table=view,
            hint="Create a view over the join or aggregate, and a view with the iterator over "
            "that view.",
        )
    if view_query.rows is not None:
        raise UnsupportedError(
            "an iterator needs a query with stable rows, but this query unnests or is random.",
            table=view,
            hint="Create a view of the query, and a view with the iterator over that view.",
        )


def _own_columns(
    view_query: ViewQuery, items: ops.Relation | None, query: ir.Table, view: str
) -> list[Column]:
    """Return the records of the stored columns of a view, none computed yet."""
    if items is not None:
        columns = iterator_columns(items, query.columns)
        _check_view_names([column.name for column in columns], query, view)
        return columns
    check_names(query.columns, view)
    dtypes = view_query.relation.schema if view_query.bases else view_query.materialized
    return data_columns(0, list(dtypes.items()))


def _check_same_view(
    engine: Engine, existing: TableRecord, base: int, bases: tuple[int, ...]
) -> None:
    """Check that the existing object with the name is a view over the same tables."""
    view = existing.view
    if view is None:
        raise TableExistsError(
            "there is a table with this name, not a view.",
            table=existing.name,
            hint="Choose another name.",
        )
    if (view.base, view.bases) != (base, bases):
        base_names = [engine.catalog.record(base_id).name for base_id in view.bases or (view.base,)]
        raise TableExistsError(
            f"a view with this name already exists, over {', '.join(map(repr, base_names))}.",
            table=existing.name,
            hint='Choose another name, or pass if_exists="replace".',
        )


def _check_view_names(names: list[str], query: ir.Table, view: str) -> None:
    check_names([*query.columns, *names], view)
    for name in names:
        if name in query.columns:
            raise SchemaError(
                "the iterator returns a column that the base already has.",
                table=view,
                column=name,
                hint="Exclude it from the base: create_view(name, table.select(...)).",
            )


def _with_computed_columns(
    transaction: Transaction, record: TableRecord, computed: Mapping[str, Any], query: ir.Table
) -> TableRecord:
    """Add the computed columns that a view is created with."""
    engine = transaction.engine
    if not isinstance(computed, Mapping):
        raise ExpressionError(
            "computed_columns must map names to expressions, but this is "
            f"{with_article(type(computed).__name__)}.",
            table=record.name,
            hint='For example computed_columns={"double": table.n * 2}.',
        )
    check_names(computed, record.name, query.columns)
    for column, expr in computed.items():
        if column in query.columns or record.column(column):
            raise SchemaError(
                "the view already has a column with this name.",
                table=record.name,
                column=column,
                hint="Give the computed column another name.",
            )
        leaf = engine.leaf(record.id)
        # The expression is over the base's columns; the view has the same names.
        bound = bind_column(query, expr, column)
        sources = {query.op(), *query.op().find(ManagedTable)}
        view_fields = {
            field: ops.Field(leaf, field.name)
            for field in bound.find(ops.Field, filter=ops.Value)
            if field.rel in sources
        }
        record = _with_column(
            transaction, record, column, bound.replace(view_fields, filter=ops.Value)
        )
    return record


def _with_column(
    transaction: Transaction, record: TableRecord, name: str, value: ops.Value
) -> TableRecord:
    record = record.with_columns(new_column(record, name, value, stored=None))
    transaction.put_record(record)
    return record
