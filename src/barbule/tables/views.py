"""Views: rows that are computed from the rows of a base, and follow them.

Owns which rows a view has for given rows of its base, and how a change of the base reaches its
views. Columns that a view shows of its base are not kept; they are joined when they are read.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch
import ibis.expr.types as ir

from barbule.backends.base import BASE, RID
from barbule.catalog.records import Column, TableRecord
from barbule.errors import BarbuleError, ExpressionError
from barbule.executor.purpose import Purpose
from barbule.functions.registry import lookup
from barbule.media.cells import arrow_type
from barbule.nodes import ERROR, CellError, ManagedTable
from barbule.planner.lineage import calls_in, own_values, trace, with_rid
from barbule.tables.columns import compute, dependents, fresh_rows, physical_rows, reads
from barbule.tables.staleness import note_items
from barbule.types import storage

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from barbule.executor.engine import Engine
    from barbule.functions.registry import OnError
    from barbule.tables.change import Change

__all__ = [
    "ITEMS",
    "failed_again",
    "items_query",
    "iterator_columns",
    "propagate",
    "propagate_to",
    "read_by_view",
    "readers_of",
    "refresh_readers",
    "shown_of",
    "write_rows",
]

ITEMS = "bb_items"
REASON = "bb_items_error"
POSITION = "pos"


def items_query(
    query: ir.Table, iterator: Any, name: str, on_error: OnError | None = None
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
    own = {call.on_error or lookup(call.function).on_error for call in calls}
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


def iterator_columns(items: ops.Relation) -> list[Column]:
    """Make the records of the columns that an iterator gives, their position first.

    Beside the first of the others stands why the iterator failed, where the view is to say it.
    """
    fields = items.schema[ITEMS].value_type.fields
    columns = [(POSITION, dt.int64), *((n, t) for n, t in fields.items() if n != POSITION)]
    made = data_columns(0, columns)
    if REASON in items.schema and len(made) > 1:
        made = [replace(each, dtype=each.dtype.copy(nullable=True)) for each in made]
        made[1] = replace(made[1], fallible=True)
    return made


def write_rows(
    change: Change, record: TableRecord, base: TableRecord, base_rows: pa.Table | None
) -> pa.Table:
    """Compute and write the rows of a view for physical rows of its base.

    Parameters
    ----------
    base_rows
        The rows of the base that are new or changed, as they stand in `change.fresh`; None for
        all.

    Returns
    -------
    pyarrow.Table
        The rows that were written, by their physical names.
    """
    rows = _own_rows(change, record, base, base_rows)
    rows = rows.append_column(RID, change.new_rids(record.id, rows.num_rows))
    stored = [column for column in record.columns if column.kind == "stored"]
    rows = compute(change, record, rows, stored)
    if rows.num_rows:
        change.append(record, rows)
        change.touch(record.id, rows=rows.num_rows)
        note_items(change, record)
    return rows


def _own_rows(
    change: Change, record: TableRecord, base: TableRecord, base_rows: pa.Table | None
) -> pa.Table:
    """Compute the iterator's rows, or those of the query, with their base's identity."""
    import pyarrow as pa
    import pyarrow.compute as pc

    engine = change.engine
    view = record.view
    if view is None:
        raise ValueError(f"{record.name} is no view")
    query = with_rid(engine.expression(view.items or view.rows or view.query, None))
    if query is None:
        raise ValueError(f"the query of {record.name} keeps no rows")
    kept = _kept_with_rows(engine, record)
    shown = [name for name in (RID, ITEMS, REASON) if name in query.schema] if view.items else [RID]
    shown += kept
    query = ops.Project(query, {name: ops.Field(query, name) for name in shown})
    relations, staged = ({}, {}) if base_rows is None else fresh_rows(change, base)
    purpose = Purpose(base.name, lenient=REASON in shown)
    try:
        with engine.caller.computing(purpose) if purpose.lenient else nullcontext():
            found = engine.arrow(query.to_expr(), relations, staged)
    except BarbuleError as error:
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


def _kept_with_rows(engine: Engine, record: TableRecord) -> dict[str, Column]:
    """Return the columns that the query of the rows gives, by the names they have there."""
    if record.view is None or record.view.rows is None:
        return {}
    # They were the first columns of the view, in this order; they may have been renamed since.
    names = engine.expression(record.view.rows, None).schema.names
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
    for column in record.columns:
        if column.kind != "data":
            continue
        if column.name == POSITION:
            starts = pc.index_in(parents, value_set=parents)
            values = pc.subtract(pa.array(range(len(parents)), pa.int64()), starts.cast("int64"))
        else:
            values = pc.struct_field(items, column.name)
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


def failed_again(change: Change, view: TableRecord) -> int:
    """Call the iterator of a view again for the rows of its base for which it failed.

    Returns
    -------
    int
        How many rows of the base these are.
    """
    engine = change.engine
    column = next((c for c in view.columns if c.fallible and c.kind == "data"), None)
    if column is None or view.view is None:
        return 0
    base = engine.catalog.record(view.view.base)
    own = engine.leaf(view.id, hidden=True).to_expr()
    failed = own.filter(own[column.error_name].notnull())
    rows = engine.leaf(base.id, hidden=True).to_expr()
    fresh = physical_rows(engine, base, rows.semi_join(failed, rows[RID] == failed[BASE]))
    if fresh.num_rows:
        change.fresh[base.id] = fresh
        propagate_to(change, base, view, fresh, fresh.column(RID))
    return fresh.num_rows


def propagate(
    change: Change,
    record: TableRecord,
    fresh: pa.Table | None,
    ended: pa.Array | None,
    changed: set[str] | None = None,
) -> None:
    """Bring the views of a table up to date with its new, changed and ended rows.

    Parameters
    ----------
    fresh
        Physical rows that are new, or the new state of changed ones.
    ended
        Identities of rows that ended, or whose old state did.
    changed
        For an update the columns that changed; views that read none of them stay as they are.
    """
    for view in change.engine.catalog.views_of(record.id):
        if changed is not None and not changed & _dependencies(change, view):
            _pass_on(change, view, ended, changed)
        else:
            propagate_to(change, record, view, fresh, ended)


def propagate_to(
    change: Change,
    record: TableRecord,
    view: TableRecord,
    fresh: pa.Table | None,
    ended: pa.Array | None,
) -> None:
    """Bring one view of a table up to date, and the views on it; see `propagate`."""
    gone = None
    if ended is not None and len(ended):
        gone = _made_of(change, change.engine.leaf(view.id, hidden=True).to_expr(), ended)
        change.close(view, gone)
        change.touch(view.id, rows=0 if fresh is not None else len(gone))
    rows = None if fresh is None else write_rows(change, view, record, fresh)
    if rows is not None or gone is not None:
        propagate(change, view, rows, gone)


_RID_SCHEMA = sch.Schema({RID: "int64"})


def _made_of(change: Change, rows: ir.Table, bases: pa.Array) -> pa.Array:
    """Return the identities of the rows of a view that were made of rows of its base."""
    import pyarrow as pa

    engine = change.engine
    staged = {"bb_ended": pa.table({RID: bases})}
    chosen = engine.stored("bb_ended", _RID_SCHEMA).to_expr()
    keys = rows.select(RID, BASE)
    made = engine.arrow(keys.semi_join(chosen, keys[BASE] == chosen[RID]), staged=staged)
    return made.column(RID)


def refresh_readers(change: Change, record: TableRecord, changed: set[str]) -> None:
    """Let the queries over a table that read changed columns be computed at the end."""
    for view in change.engine.catalog.queries_over(record.id):
        if read_by_view(change.engine, view) & changed:
            change.refresh_later(view.id)


def _pass_on(
    change: Change, view: TableRecord, updated: pa.Array | None, changed: set[str]
) -> None:
    """Tell the views of a view that values it shows of its base changed, its rows being kept."""
    import pyarrow as pa

    engine = change.engine
    names = shown_of(engine, view, changed)
    names |= {column.name for column in dependents(engine, view, names)}
    refresh_readers(change, view, names)
    if updated is None or not engine.catalog.views_of(view.id):
        return
    rows = engine.leaf(view.id, hidden=True).to_expr()
    kept = _made_of(change, rows, updated)
    staged = {"bb_kept": pa.table({RID: kept})}
    chosen = engine.stored("bb_kept", _RID_SCHEMA).to_expr()
    physical = physical_rows(engine, view, rows.semi_join(chosen, RID), staged)
    change.fresh[view.id] = physical
    propagate(change, view, physical, kept, names)


def _dependencies(change: Change, view: TableRecord) -> set[str]:
    """Return the columns of its base on which the kept rows of a view depend."""
    engine = change.engine
    found: set[str] = set()
    if view.view is None:
        return found
    query = engine.expression(view.view.query, None)
    values = [each for kept in query.find(ops.Filter) for each in kept.predicates]
    if view.view.rows:
        values += _values_of_rows(engine, view.view.rows)
    if view.view.items:
        values.append(engine.expression(view.view.items, None).values[ITEMS])
    for value in values:
        found |= _read_of_base(value)
    shown = _shown(engine, view)
    for column in view.columns:
        if column.kind == "stored":
            for name in reads(engine, view, column):
                found |= shown.get(name, set())
    return found


def _values_of_rows(engine: Engine, stored: str) -> list[ops.Value]:
    """List the values that decide which rows a view has, and what is kept with them."""
    rows = engine.expression(stored, None)
    predicates = [each for kept in rows.find(ops.Filter) for each in kept.predicates]
    return [*predicates, *(ops.Field(rows, name) for name in rows.schema.names)]


def read_by_view(engine: Engine, view: TableRecord) -> set[str]:
    """Return the columns of its base that a view would miss: those it only hands on left out."""
    found: set[str] = set()
    if view.view is None:
        return found
    query = engine.expression(view.view.query, None)
    if view.view.bases:
        fields = query.find(ops.Field)
        # A join reads its tables by way of references to them.
        return {f.name for f in fields if isinstance(f.rel, ManagedTable | ops.Reference)}
    values = [value for each in query.find(ops.Relation) for value in own_values(each)]
    if view.view.rows:
        values += _values_of_rows(engine, view.view.rows)
    if view.view.items:
        values.append(engine.expression(view.view.items, None).values[ITEMS])
    for value in values:
        found |= _read_of_base(value)
    handed_on = {name: _read_of_base(ops.Field(query, name)) for name in query.schema.names}
    for column in view.columns:
        if column.kind != "data":
            for name in reads(engine, view, column):
                found |= handed_on.get(name, set())
    return found


def readers_of(
    engine: Engine,
    record: TableRecord,
    names: set[str],
    skip: Callable[[TableRecord], bool] = lambda _view: False,
) -> list[TableRecord]:
    """Return the views that would miss columns of a table, directly or by way of other views.

    Parameters
    ----------
    skip
        Tells the views that are to be passed over themselves; those over them are not.
    """
    if not names:
        return []
    views = engine.catalog.views_of(record.id)
    all_views = (*views, *engine.catalog.queries_over(record.id))
    found = [v for v in all_views if not skip(v) and read_by_view(engine, v) & names]
    for view in views:
        if view not in found:
            found += readers_of(engine, view, shown_of(engine, view, names), skip)
    return list({each.id: each for each in found}.values())


def shown_of(engine: Engine, view: TableRecord, names: set[str]) -> set[str]:
    """Return the columns that a view shows of its base and that are made of some of its columns."""
    return {name for name, read in _shown(engine, view).items() if read & names}


def _shown(engine: Engine, view: TableRecord) -> dict[str, set[str]]:
    """Return for each column that a view shows of its base the columns that it is made of."""
    if view.view is None:
        return {}
    query = engine.expression(view.view.query, None)
    return {name: _read_of_base(ops.Field(query, name)) for name in query.schema.names}


def _read_of_base(value: ops.Value) -> set[str]:
    """Return the columns of the base that a value over its query is made of."""
    found: set[str] = set()
    for field in value.find(ops.Field, filter=ops.Value):
        below = trace(field)
        if not isinstance(below, ops.Field):
            found |= _read_of_base(below)
        elif isinstance(below.rel, ManagedTable):
            found.add(below.name)
        else:
            found |= _read_of_base(ops.Field(below.rel.parent, below.name))
    return found


def data_columns(first_id: int, columns: list[tuple[str, dt.DataType]]) -> list[Column]:
    """Make the records of columns that an iterator gives."""
    return [
        Column(id=first_id + place, name=name, dtype=kind)
        for place, (name, kind) in enumerate(columns)
    ]
