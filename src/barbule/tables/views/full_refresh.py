"""Views over joins, aggregates and other queries that do not keep single rows.

Their query is computed in full when a table that it reads changes, within the same transaction.
Only the rows that differ are written, so that computed columns are computed only for those. Owns
that comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.backends.base import BASE, RID
from barbule.errors import DataError, UnsupportedError
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.planner.lowering.visible_rows import RowsRead, visible_rows
from barbule.tables.compute.computed_columns import compute_columns
from barbule.tables.compute.stored_rows import read_physical_rows
from barbule.tables.transaction.row_differences import cells_differ, group_rows_by_changes
from barbule.tables.views.base_columns import row_key_columns
from barbule.tables.views.propagation import propagate, write_changed_rows
from barbule.tracing import span
from barbule.types import storage

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["refresh", "refresh_scheduled"]

_RID_SCHEMA = sch.Schema({RID: "int64"})
_STAGED_PAIRED = "bb_paired"


def refresh_scheduled(transaction: Transaction) -> None:
    """Refresh the views over tables that a transaction changes, and views over these."""
    while (view_id := transaction.next_refresh()) is not None:
        refresh(transaction, view_id)


def refresh(transaction: Transaction, view_id: int, *, created: bool = False) -> None:
    """Update the rows of a view to the result of its query; views over it are updated.

    Parameters
    ----------
    created
        Whether the view is being created, and has no rows yet.
    """
    record = transaction.engine.catalog.record(view_id)
    with span("view", record.name, way="full refresh"):
        _refresh(transaction, record, created=created)


def _refresh(transaction: Transaction, record: TableRecord, *, created: bool) -> None:
    query_rows = _query_rows(transaction, record)
    if created or record.id in transaction.rebuilt_views:
        ended = _empty_rids() if created else _live_rids(transaction, record)
        _replace_rows(transaction, record, ended, query_rows)
        return
    old = _own_rows(transaction, record)
    old_positions, new_positions = _unmatched_positions(old.drop_columns([RID]), query_rows)
    before, after = old.take(old_positions), query_rows.take(new_positions)
    left, right = _paired_positions(before, after, _key_columns(transaction, record))
    if len(left):
        _write_paired_rows(transaction, record, before.take(left), after.take(right))
    ended = _without_positions(before, left).column(RID)
    _replace_rows(transaction, record, ended, _without_positions(after, right))


def _replace_rows(
    transaction: Transaction, record: TableRecord, ended_rids: pa.Array, appended: pa.Table
) -> None:
    """End rows and append unrelated ones."""
    rows = _new_rows(transaction, record, appended)
    if len(ended_rids):
        transaction.end_rows(record, ended_rids)
        transaction.touch(record.id, rows=len(ended_rids))
    if rows.num_rows:
        transaction.append(record, rows)
        transaction.touch(record.id, rows=rows.num_rows)
    if len(ended_rids) or rows.num_rows:
        propagate(transaction, record, rows, ended_rids)


def _key_columns(transaction: Transaction, record: TableRecord) -> list[str]:
    """Return the physical columns that identify rows between two refreshes."""
    names = set(row_key_columns(transaction.engine, record, transaction.changed_columns))
    return [c.physical for c in record.columns if c.kind == "data" and c.name in names]


def _paired_positions(old: pa.Table, new: pa.Table, names: list[str]) -> tuple[pa.Array, pa.Array]:
    """Return the positions of rows of two tables that have the same values in columns.

    If no columns are given, the two rows match if there are no others: that of an aggregate without
    keys.
    """
    import numpy as np
    import pyarrow as pa

    if not names or not old.num_rows or not new.num_rows:
        positions = [0] if not names and old.num_rows == new.num_rows == 1 else []
        return pa.array(positions, pa.int64()), pa.array(positions, pa.int64())
    before, after = _row_numbers(old.select(names), new.select(names))
    _, left, right = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    return pa.array(left, pa.int64()), pa.array(right, pa.int64())


def _without_positions(rows: pa.Table, positions: pa.Array) -> pa.Table:
    """Remove the rows at positions."""
    import numpy as np
    import pyarrow as pa

    mask = np.ones(rows.num_rows, bool)
    mask[positions.to_numpy()] = False
    return rows.filter(pa.array(mask))


def _write_paired_rows(
    transaction: Transaction, record: TableRecord, before: pa.Table, after: pa.Table
) -> None:
    """Update rows; of the computed columns only those downstream."""
    import pyarrow.compute as pc

    engine = transaction.engine
    staged = {_STAGED_PAIRED: before.select([RID])}
    paired_rows = engine.stored(_STAGED_PAIRED, _RID_SCHEMA).to_expr()
    leaf = engine.leaf(record.id, hidden=True).to_expr()
    old = read_physical_rows(engine, record, leaf.semi_join(paired_rows, RID), staged)
    order = pc.index_in(old.column(RID), value_set=before.column(RID).combine_chunks())
    data = [column for column in record.columns if column.kind == "data"]
    rows = old
    for column in data:
        index = old.column_names.index(column.physical)
        cells = after.column(column.physical).take(order)
        rows = rows.set_column(index, column.physical, cells)
    changed = {
        column.name: cells_differ(old.column(column.physical), rows.column(column.physical))
        for column in data
    }
    for names, positions in group_rows_by_changes(changed):
        write_changed_rows(transaction, record, rows.take(positions), names)


def _query_rows(transaction: Transaction, record: TableRecord) -> pa.Table:
    """Compute the query over its tables as the transaction leaves them."""
    import pyarrow as pa

    if record.view is None:
        raise ValueError(f"{record.name} is not a view")
    engine = transaction.engine
    query = engine.expression(record.view.query, None)
    relations: dict[int, ops.Relation] = {}
    staged: dict[str, pa.Table] = {}
    for base in _tables_read(engine, record.view.bases):
        overlay_relation = _overlay(transaction, base, staged)
        if overlay_relation is not None:
            relations[base.id] = overlay_relation
    try:
        rows = engine.arrow(query.to_expr(), relations, staged)
    except (DataError, UnsupportedError) as error:
        if error.column is None:
            error.column = engine.failing_column(query.to_expr(), relations, staged)
        error.table = record.name
        bases = (engine.catalog.record(base_id).name for base_id in record.view.bases)
        error.hint = (
            f"{error.hint} The error occurred in a view over {', '.join(map(repr, bases))}: "
            "nothing was changed."
        )
        raise
    data = [column for column in record.columns if column.kind == "data"]
    cells = [
        rows.column(position).cast(storage(column.dtype).to_pyarrow())
        for position, column in enumerate(data)
    ]
    return pa.table(cells, [column.physical for column in data])


def _tables_read(engine: Engine, table_ids: Iterable[int]) -> list[TableRecord]:
    """Return tables with their bases, whose columns row views have."""
    records = []
    for table_id in table_ids:
        record = engine.catalog.record(table_id)
        records.append(record)
        if record.view is not None and not record.view.bases:
            records += _tables_read(engine, [record.view.base])
    return records


def _overlay(
    transaction: Transaction, record: TableRecord, staged: dict[str, pa.Table]
) -> ops.Relation | None:
    """Return a table's physical rows as the transaction leaves them; None if unchanged."""
    import pyarrow as pa

    engine = transaction.engine
    ended, added = transaction.ended.get(record.id, []), transaction.appended.get(record.id, [])
    schema = physical_schema(record)
    names = [name for name in schema.names if name not in {"_from", "_to"}]
    if (
        all_rows := transaction.overlays.get(record.id)
    ) is not None:  # its columns may not be stored yet
        name = f"bb_shown_{record.id}"
        names = [name for name in names if name in all_rows.column_names]
        staged[name] = all_rows.select(names)
        overlay_rows = engine.stored(name, sch.Schema({name: schema[name] for name in names}))
        return ops.Project(overlay_rows, {name: ops.Field(overlay_rows, name) for name in names})
    if not ended and not added:
        return None
    stored_names = set(physical_schema(transaction.without_new_columns(record)).names)
    reads = RowsRead(engine.facts)
    relation = visible_rows(engine.leaf(record.id), record, reads, stored_names)
    engine.catalog.track_rows_read(*reads.tables)
    if ended:
        name = f"bb_ended_{record.id}"
        chunks = [chunk for chunked in ended for chunk in _chunks(chunked)]
        staged[name] = pa.table({RID: pa.chunked_array(chunks)})
        ended_rows = engine.stored(name, _RID_SCHEMA)
        ended_rids = ops.Project(ended_rows, {RID: ops.Field(ended_rows, RID)})
        hidden = ops.InSubquery(ended_rids, ops.Field(relation, RID))
        relation = ops.Filter(relation, [ops.Not(hidden)])
    relation = ops.Project(
        relation,
        {
            name: ops.Field(relation, name)
            if name in stored_names
            else ops.Literal(None, schema[name])
            for name in names
        },
    )
    if added:
        name = f"bb_added_{record.id}"
        staged[name] = pa.concat_tables([rows.select(names) for rows in added])
        appended_rows = engine.stored(name, sch.Schema({name: schema[name] for name in names}))
        overlay_rows = ops.Project(
            appended_rows, {name: ops.Field(appended_rows, name) for name in names}
        )
        relation = ops.Union(relation, overlay_rows, distinct=False)
    return relation


def _chunks(column: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return column.chunks if hasattr(column, "chunks") else [column]


def _own_rows(transaction: Transaction, record: TableRecord) -> pa.Table:
    """Read the row ids of a view, and the results of its query."""
    engine = transaction.engine
    leaf = engine.leaf(record.id, hidden=True)
    data = [column for column in record.columns if column.kind == "data"]
    fields = {RID: ops.Field(leaf, RID)}
    fields |= {column.physical: ops.Field(leaf, column.name) for column in data}
    return engine.arrow(ops.Project(leaf, fields).to_expr())


def _live_rids(transaction: Transaction, record: TableRecord) -> pa.Array:
    leaf = transaction.engine.leaf(record.id, hidden=True)
    return transaction.engine.arrow(leaf.to_expr().select(RID)).column(RID)


def _empty_rids() -> pa.Array:
    import pyarrow as pa

    return pa.array([], pa.int64())


def _unmatched_positions(old: pa.Table, new: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Return the positions of rows that only one of two tables has.

    Equal rows are matched in pairs, so that each counts once.
    """
    import numpy as np
    import pyarrow as pa

    old_numbers, new_numbers = _row_numbers(old, new)
    only_old = np.flatnonzero(~np.isin(old_numbers, new_numbers))
    only_new = np.flatnonzero(~np.isin(new_numbers, old_numbers))
    return pa.array(only_old, pa.int64()), pa.array(only_new, pa.int64())


def _row_numbers(
    old: pa.Table, new: pa.Table
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Assign numbers to the rows of two tables, the n-th of equal ones the same in both."""
    import numpy as np
    import pyarrow as pa

    keys = _row_codes(pa.concat_tables([old, new]))
    before, after = keys[: old.num_rows], keys[old.num_rows :]

    def occurrences(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Give equal values the numbers 0, 1, 2 and so on."""
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        first = np.r_[True, ordered[1:] != ordered[:-1]] if len(values) else np.array([], bool)
        starts = np.maximum.accumulate(np.where(first, np.arange(len(values)), 0))
        numbers = np.empty(len(values), np.int64)
        numbers[order] = np.arange(len(values)) - starts
        return numbers

    kinds = int(keys.max()) + 1 if len(keys) else 1
    return occurrences(before) * kinds + before, occurrences(after) * kinds + after


def _row_codes(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Assign numbers to rows, equal ones (including empty cells) the same."""
    import numpy as np

    codes = np.zeros(rows.num_rows, np.int64)
    for column in rows.columns:
        _, own = np.unique(_column_codes(column), return_inverse=True)
        _, codes = np.unique(codes * (int(own.max(initial=0)) + 1) + own, return_inverse=True)
    return codes


def _column_codes(column: pa.ChunkedArray) -> npt.NDArray[np.int32]:
    import pyarrow as pa

    if pa.types.is_nested(column.type):
        column = pa.chunked_array([pa.array([repr(value) for value in column.to_pylist()])])
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    encoded = encoded.combine_chunks() if hasattr(encoded, "chunks") else encoded
    return encoded.indices.to_numpy(zero_copy_only=False)


def _new_rows(transaction: Transaction, record: TableRecord, rows: pa.Table) -> pa.Table:
    import pyarrow as pa

    count = rows.num_rows
    rows = rows.append_column(RID, transaction.allocate_rids(record.id, count))
    rows = rows.append_column(BASE, pa.nulls(count, pa.int64()))
    stored = [column for column in record.columns if column.kind == "stored"]
    return compute_columns(transaction, record, rows, stored)
