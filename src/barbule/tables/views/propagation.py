"""Propagates changed rows of a table to its views, and to views over these.

Owns which rows of a view stay, are added or end, and which of their columns are recomputed: those
downstream of the changed columns, in the rows that changed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from barbule.backends.base import BASE, RID
from barbule.tables.compute.computed_columns import compute_columns
from barbule.tables.compute.dependencies import dependent_columns
from barbule.tables.compute.stored_rows import read_physical_rows, sorted_by_rid
from barbule.tables.views.base_columns import (
    base_columns_of,
    columns_read_by_filters,
    columns_read_by_view,
    columns_read_for_rows,
    derived_columns,
)
from barbule.tables.views.derived_rows import derived_identities, staged_rids
from barbule.tables.views.incremental import (
    append_view_rows,
    rows_passing_filters,
    rows_that_passed,
    write_view_rows,
)
from barbule.tables.views.view_filters import evaluate_view_filters
from barbule.tracing import span

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.operations as ops
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.tables.transaction.transaction import Transaction
    from barbule.tables.views.view_filters import PassingRows

__all__ = [
    "propagate",
    "propagate_to",
    "propagate_update",
    "propagate_update_to",
    "retry_failed_rows",
    "schedule_readers_of",
    "write_changed_rows",
]


def write_changed_rows(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    changed: set[str],
) -> None:
    """Write new states of rows; everything downstream of the changed columns is recomputed."""
    if not rows.num_rows:
        return
    affected = dependent_columns(transaction.engine, record, changed)
    rows = compute_columns(transaction, record, rows, affected)
    transaction.end_rows(record, rows.column(RID))
    transaction.append(record, rows)
    transaction.touch(record.id, rows=rows.num_rows)
    propagate_update(transaction, record, rows, changed | {column.name for column in affected})


def propagate(
    transaction: Transaction,
    record: TableRecord,
    new_rows: pa.Table | None,
    ended_rids: pa.Array | None,
) -> None:
    """Update the views of a table for its new and ended rows.

    Parameters
    ----------
    new_rows
        Physical rows that are new.
    ended_rids
        Row ids that ended.
    """
    passing = None if new_rows is None else evaluate_view_filters(transaction, record)
    views = transaction.engine.catalog.views_of(record.id)
    _propagate_to(transaction, record, views, new_rows, ended_rids, passing)


def propagate_to(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    new_rows: pa.Table | None,
    ended_rids: pa.Array | None,
) -> None:
    """Update one view of a table; see `propagate`."""
    _propagate_to(transaction, record, [view], new_rows, ended_rids, None)


def _propagate_to(
    transaction: Transaction,
    record: TableRecord,
    views: list[TableRecord],
    new_rows: pa.Table | None,
    ended_rids: pa.Array | None,
    passing: PassingRows | None,
) -> None:
    """Bring views of a table up to date; of some it is decided which new rows they keep."""
    view_rids: dict[int, pa.Array] = {}
    if views and ended_rids is not None and len(ended_rids):
        derived = derived_identities(transaction, views, ended_rids)
        view_rids = {view_id: identities.column(RID) for view_id, identities in derived.items()}
    for view in views:
        with span("view", view.name, way="incremental"):
            _write_view(transaction, record, view, new_rows, view_rids.get(view.id), passing)


def _write_view(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    new_rows: pa.Table | None,
    view_rids: pa.Array | None,
    passing: PassingRows | None,
) -> None:
    """Bring a view of a table up to date, given which of its own rows end."""
    if view_rids is not None:
        transaction.end_rows(view, view_rids)
        transaction.touch(view.id, rows=0 if new_rows is not None else len(view_rids))
    if new_rows is not None and passing is not None and passing.decides(view):
        rows = _write_passing_rows(transaction, view, passing)
        views = transaction.engine.catalog.views_of(view.id)
        _propagate_to(transaction, view, views, rows, view_rids, passing)
    elif new_rows is not None:
        rows = write_view_rows(transaction, view, record, new_rows)
        propagate(transaction, view, rows, view_rids)
    elif view_rids is not None:
        propagate(transaction, view, None, view_rids)


def _write_passing_rows(
    transaction: Transaction, view: TableRecord, passing: PassingRows
) -> pa.Table:
    import pyarrow as pa

    rows = append_view_rows(transaction, view, pa.table({BASE: pa.array(passing.base_rids(view))}))
    passing.add_rows(view, rows.column(BASE), rows.column(RID))
    return rows


def propagate_update(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    changed: set[str],
    passing: PassingRows | None = None,
) -> None:
    """Update the views of a table for new values of columns in some of its rows.

    Parameters
    ----------
    rows
        The new states of these rows, as in `transaction.new_rows`.
    passing
        Which of the rows views keep, as far as it is decided.
    """
    engine = transaction.engine
    transaction.changed_columns.setdefault(record.id, set()).update(changed)
    views = engine.catalog.views_of(record.id)
    filtered = {view.id for view in views if columns_read_by_filters(engine, view) & changed}
    if filtered and passing is None:
        passing = evaluate_view_filters(transaction, record)
    decided = [
        view
        for view in views
        if (view.id in filtered or engine.catalog.views_of(view.id))
        and passing is not None
        and passing.decides(view)
    ]
    derived = derived_identities(transaction, decided, rows.column(RID)) if decided else {}
    for view in views:
        with span("view", view.name, way="incremental"):
            if passing is not None and view.id in derived:
                _write_filtered(transaction, record, view, rows, changed, passing, derived[view.id])
            else:
                propagate_update_to(transaction, record, view, rows, changed)


def propagate_update_to(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    rows: pa.Table,
    changed: set[str],
) -> None:
    """Update one view of a table; see `propagate_update`."""
    engine = transaction.engine
    if columns_read_for_rows(engine, view) & changed:
        propagate_to(transaction, record, view, rows, rows.column(RID))
    elif columns_read_by_filters(engine, view) & changed:
        _refilter(transaction, record, view, rows, changed)
    else:
        _update_rows(transaction, view, rows.column(RID), changed)


def _write_filtered(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    rows: pa.Table,
    changed: set[str],
    passing: PassingRows,
    derived: pa.Table,
) -> None:
    """Add, end or update the rows of a view, of which it is decided what it keeps.

    Parameters
    ----------
    derived
        The identities of the rows that the view has had, and of those of its base.
    """
    import pyarrow as pa

    is_passing = rows.column(RID).filter(pa.array(passing.keeps(view, rows.column(RID))))
    stays = _is_in(derived.column(BASE), is_passing)
    staying = derived.filter(stays)
    _end_lost_rows(transaction, view, derived, stays)
    if staying.num_rows:
        _update_rows(transaction, view, staying.column(BASE), changed, (passing, staying))
    added = rows.filter(_is_in(rows.column(RID), is_passing)).select([RID])
    added = added.filter(_is_not_in(added.column(RID), derived.column(BASE)))
    if added.num_rows:
        base_rids = sorted_by_rid(added).column(RID)
        new_rows = append_view_rows(transaction, view, pa.table({BASE: base_rids}))
        propagate(transaction, view, new_rows, None)
    transaction.new_rows[record.id] = rows


def _end_lost_rows(
    transaction: Transaction, view: TableRecord, derived: pa.Table, stays: pa.ChunkedArray
) -> None:
    """End the rows of a view that do not stay."""
    import pyarrow.compute as pc

    lost_rids = derived.column(RID).filter(pc.invert(stays))
    if len(lost_rids):
        transaction.end_rows(view, lost_rids)
        transaction.touch(view.id, rows=len(lost_rids))
        propagate(transaction, view, None, lost_rids)


def _refilter(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    rows: pa.Table,
    changed: set[str],
) -> None:
    """Apply the filters of a view again: rows are added, ended or updated."""
    import pyarrow.compute as pc

    derived = derived_identities(transaction, [view], rows.column(RID))[view.id]
    base_rids = derived.column(BASE)
    if view.view and view.view.items:  # an iterator may have returned no row for a row that passed
        passed_rids = rows_that_passed(transaction, view, rows.column(RID))
        base_rids = base_rids if passed_rids is None else passed_rids
    was_shown = _is_in(rows.column(RID), base_rids)
    skips = partial(_reads_none, changed)
    still_shown = _rows_passing(transaction, record, view, rows.filter(was_shown), skips)
    candidates = rows.filter(pc.invert(was_shown))
    stays = _is_in(derived.column(BASE), still_shown.column(RID))
    _end_lost_rows(transaction, view, derived, stays)
    if still_shown.num_rows:
        transaction.new_rows[record.id] = still_shown
        _update_rows(transaction, view, still_shown.column(RID), changed)
    if candidates.num_rows:
        transaction.new_rows[record.id] = candidates
        propagate(transaction, view, write_view_rows(transaction, view, record, candidates), None)
    transaction.new_rows[record.id] = rows


def _rows_passing(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    rows: pa.Table,
    skips: Callable[[ops.Value], bool],
) -> pa.Table:
    """Return the rows of its base that pass a view's filters; some are skipped."""
    if not rows.num_rows:
        return rows
    transaction.new_rows[record.id] = rows
    return rows.filter(
        _is_in(rows.column(RID), rows_passing_filters(transaction, record, view, skips))
    )


def _reads_none(names: set[str], predicate: ops.Value) -> bool:
    return not base_columns_of(predicate) & names


def _is_in(identities: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.is_in(identities, value_set=others.combine_chunks())


def _is_not_in(identities: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.invert(_is_in(identities, others))


def _update_rows(
    transaction: Transaction,
    view: TableRecord,
    base_rids: pa.Array,
    changed: set[str],
    decided: tuple[PassingRows, pa.Table] | None = None,
) -> None:
    """Update the rows of a view that derive from rows of its base.

    Parameters
    ----------
    decided
        Which of the rows views keep, and the identities of those of this view and of their bases.
    """
    engine = transaction.engine
    names = derived_columns(engine, view, changed)
    affected = dependent_columns(engine, view, names)
    stored = any(column.kind == "stored" for column in affected)
    if not stored:
        names |= {column.name for column in affected}
        transaction.changed_columns.setdefault(view.id, set()).update(names)
        schedule_readers_of(transaction, view, names)
        if not names or not engine.catalog.views_of(view.id):
            return
    passing, rows = decided or (None, None)
    if rows is None or any(column.kind != "virtual" for column in view.columns):
        rows = _derived_rows(transaction, view, base_rids)
    if not rows.num_rows:
        return
    if stored:
        write_changed_rows(transaction, view, rows, names)
        return
    if passing is not None:
        passing.add_rows(view, rows.column(BASE), rows.column(RID))
    transaction.new_rows[view.id] = rows
    propagate_update(transaction, view, rows, names, passing)


def _derived_rows(transaction: Transaction, view: TableRecord, base_rids: pa.Array) -> pa.Table:
    """Read the physical rows of a view that derive from rows of its base."""
    rows = transaction.engine.leaf(view.id, hidden=True).to_expr()
    staged, base_rows = staged_rids(transaction, base_rids)
    return read_physical_rows(
        transaction.engine,
        transaction.without_new_columns(view),
        rows.semi_join(base_rows, rows[BASE] == base_rows[RID]),
        staged,
    )


def schedule_readers_of(transaction: Transaction, record: TableRecord, changed: set[str]) -> None:
    """Schedule the full refresh of the views that read changed columns of a table."""
    for view in transaction.engine.catalog.queries_over(record.id):
        if columns_read_by_view(transaction.engine, view) & changed:
            transaction.schedule_refresh(view.id)


def retry_failed_rows(transaction: Transaction, view: TableRecord) -> int:
    """Call the iterator of a view again for the rows of its base for which it failed.

    Returns
    -------
    int
        The number of these rows.
    """
    engine = transaction.engine
    column = next(
        (column for column in view.columns if column.fallible and column.kind == "data"), None
    )
    if column is None or view.view is None:
        return 0
    base = engine.catalog.record(view.view.base)
    view_rows = engine.leaf(view.id, hidden=True).to_expr()
    failed = view_rows.filter(view_rows[column.error_name].notnull())
    rows = engine.leaf(base.id, hidden=True).to_expr()
    failed_rows = read_physical_rows(
        engine, base, rows.semi_join(failed, rows[RID] == failed[BASE])
    )
    if failed_rows.num_rows:
        transaction.new_rows[base.id] = failed_rows
        propagate_to(transaction, base, view, failed_rows, failed_rows.column(RID))
    return failed_rows.num_rows
