"""Views whose rows are derived from single rows of a base.

Owns which rows a view has for given rows of its base. Columns that a view takes from its base are
not stored; they are joined when they are read. `propagation` keeps the views up to date.
"""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.backends.base import BASE, RID
from barbule.catalog.records import Column, TableRecord
from barbule.errors import BarbuleError, ExpressionError
from barbule.executor.calls.provenance import Provenance
from barbule.functions.registry import lookup
from barbule.nodes import CELL_ERROR_TYPE, CellError, FunctionCall
from barbule.planner.hidden_columns import with_rid
from barbule.planner.lineage import calls_in, without_filters
from barbule.planner.lowering.table_schemas import stored_view_columns
from barbule.tables.compute.computed_columns import compute_columns
from barbule.tables.compute.function_versions import (
    record_iterator_versions,
    warn_of_mixed_versions,
)
from barbule.tables.compute.stored_rows import NewRows, staged_new_rows
from barbule.tables.views.filter_columns import name_filter_column
from barbule.types import storage
from barbule.values.cells import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.engine import Engine
    from barbule.functions.function import OnError
    from barbule.tables.arguments import Expression
    from barbule.tables.transaction.transaction import Transaction

__all__ = [
    "ITEMS",
    "append_view_rows",
    "data_columns",
    "iterator_columns",
    "iterator_query",
    "materialized_columns",
    "rows_passing_filters",
    "rows_that_passed",
    "write_view_rows",
]

ITEMS = "bb_items"
ITEMS_ERROR = "bb_items_error"
POSITION = "pos"
_BUILTIN_PREFIX = "barbule.functions."


def iterator_query(
    query: ir.Table, iterator: Expression, name: str, on_error: OnError | None = None
) -> ops.Relation:
    """Return the query that returns, for each row of the base, the rows of the view.

    Parameters
    ----------
    on_error
        The error policy for a row for which the iterator fails; None uses the iterator's own. For
        "null" the query also returns the error of each row.

    Raises
    ------
    ExpressionError
        If the iterator does not return lists of records.
    """
    if on_error not in {None, "abort", "null"}:
        raise ExpressionError(
            "on_error must be 'abort' or 'null'.",
            table=name,
            value=on_error,
            hint="Choose one of them.",
        )
    items = query.select(**{ITEMS: iterator}).op()
    dtype = items.schema[ITEMS]
    if not isinstance(dtype, dt.Array) or not isinstance(dtype.value_type, dt.Struct):
        raise ExpressionError(
            f"the iterator returns {dtype}, not rows.",
            table=name,
            hint="Use bb.functions.DocumentSplitter.create(...) or a @bb.iterator.",
        )
    calls = calls_in(items.values[ITEMS])
    if not calls:
        raise ExpressionError("the iterator is not a call of an iterator function.", table=name)
    policies = {call.on_error or lookup(call.function, call.version).on_error for call in calls}
    if on_error == "abort" and "null" in policies:
        raise ExpressionError(
            "the iterator is declared with on_error='null'.",
            table=name,
            hint="Declare it with on_error='abort', or remove on_error= here.",
        )
    if on_error != "null" and "null" not in policies:
        return items
    items_error = ops.Coalesce(tuple(CellError(call) for call in calls))
    return ops.Project(items.parent, {**items.values, ITEMS_ERROR: items_error})


def iterator_columns(items: ops.Relation, base_columns: Iterable[str] = ()) -> list[Column]:
    """Return the records of the columns that an iterator returns, the position first.

    The first of the other columns has an error column for the iterator, if the view records its
    errors.

    Parameters
    ----------
    base_columns
        The columns of the base, one of which may be a position too.
    """
    fields = dict(items.schema[ITEMS].value_type.fields)
    if POSITION in fields and _is_numbered(items):
        del fields[POSITION]
    used_names = {name.lower() for name in (*fields, *base_columns)}
    numbered = (f"{POSITION}_{name}" for name in itertools.count(2))
    position = next(
        name for name in itertools.chain([POSITION], numbered) if name not in used_names
    )
    columns = data_columns(0, [(position, dt.int64), *fields.items()])
    if ITEMS_ERROR in items.schema and len(columns) > 1:
        columns = [replace(column, dtype=column.dtype.copy(nullable=True)) for column in columns]
        columns[1] = replace(columns[1], fallible=True)
    return columns


def _is_numbered(items: ops.Relation) -> bool:
    """Whether the records have their own position, as those of barbule's splitters."""
    return all(call.function.startswith(_BUILTIN_PREFIX) for call in calls_in(items.values[ITEMS]))


def _fields_by_column(items: pa.StructType, record: TableRecord) -> dict[int, str]:
    """Return the field of the iterator for each column id; columns may be renamed.

    Columns have the numbers of their fields, after the position, which is the first. A field for
    the position is left out; version 0.1.0 did so with any field of that name.
    """
    names = [field.name for field in items]
    last_column = record.columns_by_id.get(len(names))
    if POSITION in names and (last_column is None or last_column.kind != "data"):
        names.remove(POSITION)
    return dict(enumerate(names, 1))


def write_view_rows(
    transaction: Transaction,
    record: TableRecord,
    base: TableRecord,
    base_rows: pa.Table | None,
) -> pa.Table:
    """Compute and write the rows of a view for physical rows of its base.

    Parameters
    ----------
    base_rows
        The rows of the base that are new or changed, with their state in `transaction.new_rows`;
        None for all.

    Returns
    -------
    pyarrow.Table
        The rows that were written, by their physical names.
    """
    if record.view is not None and record.view.items is not None:
        warn_of_mixed_versions(transaction, record, [None])
    return append_view_rows(
        transaction, record, _compute_view_rows(transaction, record, base, base_rows)
    )


def append_view_rows(transaction: Transaction, record: TableRecord, rows: pa.Table) -> pa.Table:
    """Compute the stored columns of a view for new rows of it, and write them.

    Parameters
    ----------
    rows
        The identities of the rows of its base, and what is materialized with them.

    Returns
    -------
    pyarrow.Table
        The rows with their own identities and all columns.
    """
    rows = rows.append_column(RID, transaction.allocate_rids(record.id, rows.num_rows))
    stored = [column for column in record.columns if column.kind == "stored"]
    rows = compute_columns(transaction, record, rows, stored)
    if rows.num_rows:
        transaction.append(record, rows)
        transaction.touch(record.id, rows=rows.num_rows)
        record_iterator_versions(transaction, record)
    return rows


def rows_passing_filters(
    transaction: Transaction,
    base: TableRecord,
    view: TableRecord,
    skips: Callable[[ops.Value], bool],
) -> pa.ChunkedArray:
    """Return the ids of the rows of its base, in `transaction.new_rows`, that a view keeps.

    Parameters
    ----------
    skips
        Selects predicates that are known to hold.
    """
    query = _query_over_base(transaction.engine, view, str(view.view and view.view.query), [RID])
    query = without_filters(query, skips)
    new_rows = staged_new_rows(transaction, base)
    relations, staged = new_rows.relations(transaction.engine), new_rows.staged
    try:
        return transaction.engine.arrow(query.to_expr(), relations, staged).column(RID)
    except BarbuleError as error:
        name_filter_column(transaction.engine, error, query, relations, staged)
        raise error.at(table=view.name) from error.__cause__


def rows_that_passed(
    transaction: Transaction, view: TableRecord, rids: pa.ChunkedArray
) -> pa.ChunkedArray | None:
    """Return which rows of its base passed the filters of a view before the transaction.

    None if its filters call functions: repeating the calls for old values may cost money.
    """
    import pyarrow as pa

    query = _query_over_base(transaction.engine, view, str(view.view and view.view.query), [RID])
    if query.find(FunctionCall):
        return None
    name = "bb_changed"
    staged = {name: pa.table({RID: rids})}
    chosen = transaction.engine.stored(name, sch.Schema({RID: "int64"})).to_expr()
    return transaction.engine.arrow(query.to_expr().semi_join(chosen, RID), staged=staged).column(
        RID
    )


def _query_over_base(
    engine: Engine, view: TableRecord, expression: str, names: Iterable[str]
) -> ops.Project:
    """Read a stored query over the rows of a view's base, with their row ids."""
    query = with_rid(engine.expression(expression, None))
    if query is None:
        raise ValueError(f"the query of {view.name} keeps no rows")
    return ops.Project(
        query, {name: ops.Field(query, name) for name in names if name in query.schema}
    )


def _compute_view_rows(
    transaction: Transaction, record: TableRecord, base: TableRecord, base_rows: pa.Table | None
) -> pa.Table:
    """Compute the rows of the iterator, or of the query, with the row ids of their base."""
    import pyarrow as pa
    import pyarrow.compute as pc

    engine = transaction.engine
    view = record.view
    if view is None:
        raise ValueError(f"{record.name} is not a view")
    columns_by_name = materialized_columns(engine, record)
    names = (RID, ITEMS, ITEMS_ERROR) if view.items else (RID, *columns_by_name)
    query = _query_over_base(engine, record, view.items or view.rows or view.query, names)
    new_rows = NewRows(()) if base_rows is None else staged_new_rows(transaction, base)
    relations, staged = new_rows.relations(engine), new_rows.staged
    provenance = Provenance(base.name, lenient=ITEMS_ERROR in query.schema)
    try:
        with (
            engine.computing(provenance) if provenance.lenient else nullcontext(engine) as computing
        ):
            rows = computing.arrow(query.to_expr(), relations, staged)
    except BarbuleError as error:
        name_filter_column(engine, error, query, relations, staged)
        raise error.at(table=record.name) from error.__cause__
    rows = rows.take(pc.sort_indices(rows.column(RID)))
    if view.items:
        return _flatten_items(rows, record)
    if not view.rows:  # one row, although a query of 0.1.0 may unnest: see `lower`
        return pa.table({BASE: pc.unique(rows.column(RID))})
    own = {
        column.physical: rows.column(name).cast(storage(column.dtype).to_pyarrow())
        for name, column in columns_by_name.items()
    }
    return pa.table({BASE: rows.column(RID), **own})


def materialized_columns(engine: Engine, record: TableRecord) -> dict[str, Column]:
    """Return the materialized columns of a view, by their names in its query of rows."""
    if record.view is None or record.view.rows is None:
        return {}
    names = stored_view_columns(record, None, engine.facts)
    return {names[column.id]: column for column in record.columns if column.kind == "data"}


def _flatten_items(view_rows: pa.Table, record: TableRecord) -> pa.Table:
    """Return a row for each item of each list, and one for each row whose iterator failed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = view_rows.column(ITEMS).combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    parents = pc.list_parent_indices(lists)
    items = pc.list_flatten(lists)
    columns = {BASE: view_rows.column(RID).take(parents)}
    fields = _fields_by_column(lists.type.value_type, record)
    for column in record.columns:
        if column.kind != "data":
            continue
        if column.id not in fields:
            starts = pc.index_in(parents, value_set=parents)
            values = pc.subtract(pa.array(range(len(parents)), pa.int64()), starts.cast("int64"))
        else:
            values = pc.struct_field(items, fields[column.id])
        columns[column.physical] = values
        if column.fallible:
            columns[column.errors] = pa.nulls(len(parents), arrow_type(CELL_ERROR_TYPE))
    rows = pa.table(columns)
    if (
        ITEMS_ERROR not in view_rows.schema.names
        or view_rows.column(ITEMS_ERROR).null_count == view_rows.num_rows
    ):
        return rows
    return _with_failed_rows(
        rows, view_rows.filter(pc.is_valid(view_rows.column(ITEMS_ERROR))), record
    )


def _with_failed_rows(rows: pa.Table, failed: pa.Table, record: TableRecord) -> pa.Table:
    """Add empty rows for rows of the base whose iterator failed, with the errors."""
    import pyarrow as pa
    import pyarrow.compute as pc

    present = {BASE: failed.column(RID)}
    present |= {
        column.errors: failed.column(ITEMS_ERROR) for column in record.columns if column.fallible
    }
    empty = {
        field.name: present.get(field.name, pa.nulls(failed.num_rows, field.type))
        for field in rows.schema
    }
    all_rows = pa.concat_tables([rows, pa.table(empty).cast(rows.schema)])
    return all_rows.take(pc.sort_indices(all_rows.column(BASE)))


def data_columns(first_id: int, columns: list[tuple[str, dt.DataType]]) -> list[Column]:
    """Return the records of columns that an iterator returns."""
    return [
        Column(id=first_id + position, name=name, dtype=dtype)
        for position, (name, dtype) in enumerate(columns)
    ]
