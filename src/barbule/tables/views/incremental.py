"""Views: rows that are computed from the rows of a base.

Owns which rows a view has for given rows of its base. Columns that a view shows of its base are
not kept; they are joined when they are read. How views follow is `propagation`'s business.
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
from barbule.executor.calls.provenance import Purpose
from barbule.functions.registry import lookup
from barbule.nodes import ERROR, CellError, FunctionCall
from barbule.planner.hidden_columns import with_rid
from barbule.planner.lineage import calls_in, without_filters
from barbule.planner.lowering.table_schemas import stored_view_columns
from barbule.tables.compute.computed_columns import compute
from barbule.tables.compute.function_versions import note_items, warn_of_mixing
from barbule.tables.compute.stored_rows import fresh_rows
from barbule.tables.views.filter_columns import name_filtered
from barbule.types import storage
from barbule.values.cells import arrow_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.executor.engine import Engine
    from barbule.functions.registry import OnError
    from barbule.tables.arguments import Expression
    from barbule.tables.transaction.transaction import Transaction

__all__ = [
    "ITEMS",
    "data_columns",
    "items_query",
    "iterator_columns",
    "kept_with_rows",
    "passed",
    "passing",
    "write_rows",
]

ITEMS = "bb_items"
REASON = "bb_items_error"
POSITION = "pos"
_OURS = "barbule.functions."


def items_query(
    query: ir.Table, iterator: Expression, name: str, on_error: OnError | None = None
) -> ops.Relation:
    """Make the query that gives, for each row of the base, the rows of the view.

    Parameters
    ----------
    on_error
        What becomes of a row for which the iterator fails; None leaves it to the iterator. For
        "null" the query gives the reason beside the rows.

    Raises
    ------
    ExpressionError
        When the iterator does not give lists of records.
    """
    if on_error not in {None, "abort", "null"}:
        raise ExpressionError(
            "on_error is one of 'abort' and 'null'.",
            table=name,
            value=on_error,
            hint="Choose one of them.",
        )
    items = query.select(**{ITEMS: iterator}).op()
    kind = items.schema[ITEMS]
    if not isinstance(kind, dt.Array) or not isinstance(kind.value_type, dt.Struct):
        raise ExpressionError(
            f"the iterator gives {kind}, not rows.",
            table=name,
            hint="Use bb.functions.DocumentSplitter.create(...) or a @bb.iterator.",
        )
    calls = calls_in(items.values[ITEMS])
    if not calls:
        raise ExpressionError("the iterator is no call of an iterator function.", table=name)
    own = {call.on_error or lookup(call.function, call.version).on_error for call in calls}
    if on_error == "abort" and "null" in own:
        raise ExpressionError(
            "the iterator leaves its errors where they are, by on_error='null'.",
            table=name,
            hint="Declare it with on_error='abort', or leave on_error= out here.",
        )
    if on_error != "null" and "null" not in own:
        return items
    reason = ops.Coalesce(tuple(CellError(call) for call in calls))
    return ops.Project(items.parent, {**items.values, REASON: reason})


def iterator_columns(items: ops.Relation, shown: Iterable[str] = ()) -> list[Column]:
    """Make the records of the columns that an iterator gives, their position first.

    Beside the first of the others stands why the iterator failed, where the view is to say it.

    Parameters
    ----------
    shown
        The columns of the base, of which one may be a position too.
    """
    fields = dict(items.schema[ITEMS].value_type.fields)
    if POSITION in fields and _is_numbered(items):
        del fields[POSITION]
    taken = {name.lower() for name in (*fields, *shown)}
    numbered = (f"{POSITION}_{n}" for n in itertools.count(2))
    position = next(n for n in itertools.chain([POSITION], numbered) if n not in taken)
    made = data_columns(0, [(position, dt.int64), *fields.items()])
    if REASON in items.schema and len(made) > 1:
        made = [replace(each, dtype=each.dtype.copy(nullable=True)) for each in made]
        made[1] = replace(made[1], fallible=True)
    return made


def _is_numbered(items: ops.Relation) -> bool:
    """Tell whether the records say their position themselves, as those of our splitters do."""
    return all(call.function.startswith(_OURS) for call in calls_in(items.values[ITEMS]))


def _fields_by_column(items: pa.StructType, record: TableRecord) -> dict[int, str]:
    """Return which field of what an iterator gives is in which column; they may be renamed.

    Columns have the numbers of their fields, after the position, which is the first. A field
    that says the position is left out; version 0.1.0 did so with any that was called so.
    """
    names = [field.name for field in items]
    last = next((each for each in record.columns if each.id == len(names)), None)
    if POSITION in names and (last is None or last.kind != "data"):
        names.remove(POSITION)
    return dict(enumerate(names, 1))


def write_rows(
    transaction: Transaction,
    record: TableRecord,
    base: TableRecord,
    base_rows: pa.Table | None,
) -> pa.Table:
    """Compute and write the rows of a view for physical rows of its base.

    Parameters
    ----------
    base_rows
        The rows of the base that are new or changed, as they are in `transaction.new_rows`; None
        for all.

    Returns
    -------
    pyarrow.Table
        The rows that were written, by their physical names.
    """
    if record.view is not None and record.view.items is not None:
        warn_of_mixing(transaction, record, [None])
    rows = _own_rows(transaction, record, base, base_rows)
    rows = rows.append_column(RID, transaction.allocate_rids(record.id, rows.num_rows))
    stored = [column for column in record.columns if column.kind == "stored"]
    rows = compute(transaction, record, rows, stored)
    if rows.num_rows:
        transaction.append(record, rows)
        transaction.touch(record.id, rows=rows.num_rows)
        note_items(transaction, record)
    return rows


def passing(
    transaction: Transaction,
    base: TableRecord,
    view: TableRecord,
    unasked: Callable[[ops.Value], bool],
) -> pa.ChunkedArray:
    """Return the identities of the rows of its base, in `transaction.new_rows`, that a view keeps.

    Parameters
    ----------
    unasked
        Tells predicates of which it is known that they hold.
    """
    query = _over_base(transaction.engine, view, str(view.view and view.view.query), [RID])
    query = without_filters(query, unasked)
    relations, staged = fresh_rows(transaction, base)
    try:
        return transaction.engine.arrow(query.to_expr(), relations, staged).column(RID)
    except BarbuleError as error:
        name_filtered(transaction.engine, error, query, relations, staged)
        raise error.at(table=view.name) from error.__cause__


def passed(
    transaction: Transaction, view: TableRecord, rids: pa.ChunkedArray
) -> pa.ChunkedArray | None:
    """Return which of some rows of its base a view kept before the change.

    None where its filters call functions: asking them again for what was may cost.
    """
    import pyarrow as pa

    query = _over_base(transaction.engine, view, str(view.view and view.view.query), [RID])
    if query.find(FunctionCall):
        return None
    name = "bb_changed"
    staged = {name: pa.table({RID: rids})}
    chosen = transaction.engine.stored(name, sch.Schema({RID: "int64"})).to_expr()
    return transaction.engine.arrow(query.to_expr().semi_join(chosen, RID), staged=staged).column(
        RID
    )


def _over_base(engine: Engine, view: TableRecord, text: str, names: Iterable[str]) -> ops.Project:
    """Read a stored query over the rows of a view's base, with their identities."""
    query = with_rid(engine.expression(text, None))
    if query is None:
        raise ValueError(f"the query of {view.name} keeps no rows")
    return ops.Project(query, {n: ops.Field(query, n) for n in names if n in query.schema})


def _own_rows(
    transaction: Transaction, record: TableRecord, base: TableRecord, base_rows: pa.Table | None
) -> pa.Table:
    """Compute the iterator's rows, or those of the query, with their base's identity."""
    import pyarrow as pa
    import pyarrow.compute as pc

    engine = transaction.engine
    view = record.view
    if view is None:
        raise ValueError(f"{record.name} is no view")
    kept = kept_with_rows(engine, record)
    names = (RID, ITEMS, REASON) if view.items else (RID, *kept)
    query = _over_base(engine, record, view.items or view.rows or view.query, names)
    relations, staged = ({}, {}) if base_rows is None else fresh_rows(transaction, base)
    purpose = Purpose(base.name, lenient=REASON in query.schema)
    try:
        with engine.caller.computing(purpose) if purpose.lenient else nullcontext():
            found = engine.arrow(query.to_expr(), relations, staged)
    except BarbuleError as error:
        name_filtered(engine, error, query, relations, staged)
        raise error.at(table=record.name) from error.__cause__
    found = found.take(pc.sort_indices(found.column(RID)))
    if view.items:
        return _flattened(found, record)
    if not view.rows:  # one row, though a query of 0.1.0 may unnest: see `lower`
        return pa.table({BASE: pc.unique(found.column(RID))})
    own = {
        column.physical: found.column(name).cast(storage(column.dtype).to_pyarrow())
        for name, column in kept.items()
    }
    return pa.table({BASE: found.column(RID), **own})


def kept_with_rows(engine: Engine, record: TableRecord) -> dict[str, Column]:
    """Return the columns that the query of the rows gives, by the names they have there."""
    if record.view is None or record.view.rows is None:
        return {}
    names = stored_view_columns(record, None, engine)
    return {names[column.id]: column for column in record.columns if column.kind == "data"}


def _flattened(found: pa.Table, record: TableRecord) -> pa.Table:
    """Make one row of each item of each list, and one of each row for which the iterator failed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = found.column(ITEMS).combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    parents = pc.list_parent_indices(lists)
    items = pc.list_flatten(lists)
    columns = {BASE: found.column(RID).take(parents)}
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
            columns[column.errors] = pa.nulls(len(parents), arrow_type(ERROR))
    rows = pa.table(columns)
    if REASON not in found.schema.names or found.column(REASON).null_count == found.num_rows:
        return rows
    return _with_failed(rows, found.filter(pc.is_valid(found.column(REASON))), record)


def _with_failed(rows: pa.Table, failed: pa.Table, record: TableRecord) -> pa.Table:
    """Add rows without values for rows of the base, in their places, with the reasons."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = {BASE: failed.column(RID)}
    known |= {c.errors: failed.column(REASON) for c in record.columns if c.fallible}
    empty = {
        field.name: known.get(field.name, pa.nulls(failed.num_rows, field.type))
        for field in rows.schema
    }
    both = pa.concat_tables([rows, pa.table(empty).cast(rows.schema)])
    return both.take(pc.sort_indices(both.column(BASE)))


def data_columns(first_id: int, columns: list[tuple[str, dt.DataType]]) -> list[Column]:
    """Make the records of columns that an iterator gives."""
    return [
        Column(id=first_id + place, name=name, dtype=kind)
        for place, (name, kind) in enumerate(columns)
    ]
