"""Views over joins, aggregates and other queries that do not keep single rows.

Their query is computed as a whole when a table that it reads changes, within the same change;
only the rows that differ are written, so that computed columns are computed for those alone.
Owns that comparison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.backends.base import BASE, RID
from barbule.errors import DataError, UnsupportedError
from barbule.planner.lowering.table_schemas import physical_schema
from barbule.planner.lowering.visible_rows import visible_rows
from barbule.tables.compute.computed_columns import compute
from barbule.tables.compute.stored_rows import physical_rows
from barbule.tables.transaction.row_differences import differing, rows_by_changes
from barbule.tables.views.base_columns import steady_columns
from barbule.tables.views.propagation import propagate, write_changed
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

_RIDS = sch.Schema({RID: "int64"})
_PAIRED = "bb_paired"


def refresh_scheduled(transaction: Transaction) -> None:
    """Refresh the views over tables that a transaction changes, and those over these views."""
    while (view_id := transaction.next_refresh()) is not None:
        refresh(transaction, view_id)


def refresh(transaction: Transaction, view_id: int, *, created: bool = False) -> None:
    """Bring the rows of a view to what its query gives now; views on it follow.

    Parameters
    ----------
    created
        Whether the view is being made, and has no rows yet.
    """
    record = transaction.engine.catalog.record(view_id)
    fresh = _query_rows(transaction, record)
    if created or record.id in transaction.rebuilt_views:
        ended = _no_rids() if created else _identities(transaction, record)
        _replace(transaction, record, ended, fresh)
        return
    old = _own_rows(transaction, record)
    gone, new = _difference(old.drop_columns([RID]), fresh)
    before, after = old.take(gone), fresh.take(new)
    left, right = _paired(before, after, _identifying(transaction, record))
    if len(left):
        _write_paired(transaction, record, before.take(left), after.take(right))
    ended = _except(before, left).column(RID)
    _replace(transaction, record, ended, _except(after, right))


def _replace(
    transaction: Transaction, record: TableRecord, ended: pa.Array, after: pa.Table
) -> None:
    """End rows and write others that have nothing to do with them."""
    rows = _new_rows(transaction, record, after)
    if len(ended):
        transaction.end_rows(record, ended)
        transaction.touch(record.id, rows=len(ended))
    if rows.num_rows:
        transaction.append(record, rows)
        transaction.touch(record.id, rows=rows.num_rows)
    if len(ended) or rows.num_rows:
        propagate(transaction, record, rows, ended)


def _identifying(transaction: Transaction, record: TableRecord) -> list[str]:
    """Name the columns by which a row is told to be the same with new values, where there are."""
    names = set(steady_columns(transaction.engine, record, transaction.changed_columns))
    return [c.physical for c in record.columns if c.kind == "data" and c.name in names]


def _paired(old: pa.Table, new: pa.Table, names: list[str]) -> tuple[pa.Array, pa.Array]:
    """Return the places of rows of two tables that have the same values in columns.

    Where no columns are given, one row is the other if there are no more: that of an aggregate
    without keys.
    """
    import numpy as np
    import pyarrow as pa

    if not names or not old.num_rows or not new.num_rows:
        places = [0] if not names and old.num_rows == new.num_rows == 1 else []
        return pa.array(places, pa.int64()), pa.array(places, pa.int64())
    before, after = _numbered(old.select(names), new.select(names))
    _, left, right = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    return pa.array(left, pa.int64()), pa.array(right, pa.int64())


def _except(rows: pa.Table, places: pa.Array) -> pa.Table:
    """Leave out the rows at places."""
    import numpy as np
    import pyarrow as pa

    kept = np.ones(rows.num_rows, bool)
    kept[places.to_numpy()] = False
    return rows.filter(pa.array(kept))


def _write_paired(
    transaction: Transaction, record: TableRecord, before: pa.Table, after: pa.Table
) -> None:
    """Give rows new values; of computed columns those that are downstream of them."""
    import pyarrow.compute as pc

    engine = transaction.engine
    staged = {_PAIRED: before.select([RID])}
    chosen = engine.stored(_PAIRED, _RIDS).to_expr()
    leaf = engine.leaf(record.id, hidden=True).to_expr()
    old = physical_rows(engine, record, leaf.semi_join(chosen, RID), staged)
    order = pc.index_in(old.column(RID), value_set=before.column(RID).combine_chunks())
    data = [column for column in record.columns if column.kind == "data"]
    rows = old
    for column in data:
        place = old.column_names.index(column.physical)
        cells = after.column(column.physical).take(order)
        rows = rows.set_column(place, column.physical, cells)
    changed = {c.name: differing(old.column(c.physical), rows.column(c.physical)) for c in data}
    for names, places in rows_by_changes(changed):
        write_changed(transaction, record, rows.take(places), names)


def _query_rows(transaction: Transaction, record: TableRecord) -> pa.Table:
    """Compute the query over the state that its tables have with the change."""
    import pyarrow as pa

    if record.view is None:
        raise ValueError(f"{record.name} is no view")
    engine = transaction.engine
    query = engine.expression(record.view.query, None)
    relations: dict[int, ops.Relation] = {}
    staged: dict[str, pa.Table] = {}
    for base in _read_of(engine, record.view.bases):
        overlay = _overlay(transaction, base, staged)
        if overlay is not None:
            relations[base.id] = overlay
    try:
        rows = engine.arrow(query.to_expr(), relations, staged)
    except (DataError, UnsupportedError) as error:
        if error.column is None:
            error.column = engine.failing(query.to_expr(), relations, staged)
        error.table = record.name
        bases = (engine.catalog.record(each).name for each in record.view.bases)
        error.hint = (
            f"{error.hint} It is a view over {', '.join(map(repr, bases))}: nothing was changed."
        )
        raise
    data = [column for column in record.columns if column.kind == "data"]
    cells = [
        rows.column(place).cast(storage(column.dtype).to_pyarrow())
        for place, column in enumerate(data)
    ]
    return pa.table(cells, [column.physical for column in data])


def _read_of(engine: Engine, ids: Iterable[int]) -> list[TableRecord]:
    """Return tables with what is below them: a view shows columns that its base keeps."""
    found = []
    for table_id in ids:
        record = engine.catalog.record(table_id)
        found.append(record)
        if record.view is not None and not record.view.bases:
            found += _read_of(engine, [record.view.base])
    return found


def _overlay(
    transaction: Transaction, record: TableRecord, staged: dict[str, pa.Table]
) -> ops.Relation | None:
    """Read the physical rows of a table as the change leaves them; None where it has none."""
    import pyarrow as pa

    engine = transaction.engine
    ended, added = transaction.ended.get(record.id, []), transaction.appended.get(record.id, [])
    schema = physical_schema(record)
    names = [name for name in schema.names if name not in {"_from", "_to"}]
    if (
        whole := transaction.overlays.get(record.id)
    ) is not None:  # its columns may not be stored yet
        name = f"bb_shown_{record.id}"
        names = [each for each in names if each in whole.column_names]
        staged[name] = whole.select(names)
        shown = engine.stored(name, sch.Schema({each: schema[each] for each in names}))
        return ops.Project(shown, {each: ops.Field(shown, each) for each in names})
    if not ended and not added:
        return None
    there = set(physical_schema(transaction.without_new_columns(record)).names)
    relation = visible_rows(engine.leaf(record.id), record, engine, there)
    if ended:
        name = f"bb_ended_{record.id}"
        chunks = [chunk for each in ended for chunk in _chunks(each)]
        staged[name] = pa.table({RID: pa.chunked_array(chunks)})
        found = engine.stored(name, _RIDS)
        gone = ops.Project(found, {RID: ops.Field(found, RID)})
        hidden = ops.InSubquery(gone, ops.Field(relation, RID))
        relation = ops.Filter(relation, [ops.Not(hidden)])
    relation = ops.Project(
        relation,
        {n: ops.Field(relation, n) if n in there else ops.Literal(None, schema[n]) for n in names},
    )
    if added:
        name = f"bb_added_{record.id}"
        staged[name] = pa.concat_tables([rows.select(names) for rows in added])
        fresh = engine.stored(name, sch.Schema({name: schema[name] for name in names}))
        shown = ops.Project(fresh, {name: ops.Field(fresh, name) for name in names})
        relation = ops.Union(relation, shown, distinct=False)
    return relation


def _chunks(rids: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return rids.chunks if hasattr(rids, "chunks") else [rids]


def _own_rows(transaction: Transaction, record: TableRecord) -> pa.Table:
    """Read the rows that the view has: their identities and what the query gave."""
    engine = transaction.engine
    leaf = engine.leaf(record.id, hidden=True)
    data = [column for column in record.columns if column.kind == "data"]
    shown = {RID: ops.Field(leaf, RID)}
    shown |= {column.physical: ops.Field(leaf, column.name) for column in data}
    return engine.arrow(ops.Project(leaf, shown).to_expr())


def _identities(transaction: Transaction, record: TableRecord) -> pa.Array:
    leaf = transaction.engine.leaf(record.id, hidden=True)
    return transaction.engine.arrow(leaf.to_expr().select(RID)).column(RID)


def _no_rids() -> pa.Array:
    import pyarrow as pa

    return pa.array([], pa.int64())


def _difference(old: pa.Table, new: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Return the places of rows that only the one, or only the other, table has.

    Equal rows are paired off, so that each counts once.
    """
    import numpy as np
    import pyarrow as pa

    before, after = _numbered(old, new)
    gone = np.flatnonzero(~np.isin(before, after))
    come = np.flatnonzero(~np.isin(after, before))
    return pa.array(gone, pa.int64()), pa.array(come, pa.int64())


def _numbered(old: pa.Table, new: pa.Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the rows of two tables numbers, the n-th of equal ones the same in both."""
    import numpy as np
    import pyarrow as pa

    keys = _keys(pa.concat_tables([old, new]))
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


def _keys(rows: pa.Table) -> npt.NDArray[np.int64]:
    """Give rows numbers, equal ones (empty cells included) the same."""
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
    return compute(transaction, record, rows, stored)
