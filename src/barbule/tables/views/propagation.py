"""How what happens to the rows of a table reaches its views, and views over these.

Owns which rows of a view stay, come and go, and which of their columns are computed again: those
downstream of what changed, in the rows where it did.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import ibis.expr.schema as sch

from barbule.backends.base import BASE, RID
from barbule.tables.compute.computed_columns import compute
from barbule.tables.compute.dependencies import dependents
from barbule.tables.compute.stored_rows import physical_rows
from barbule.tables.views.base_columns import (
    read_by_filters,
    read_by_view,
    read_of_base,
    read_to_make_rows,
    shown_of,
)
from barbule.tables.views.incremental import passed, passing, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import ibis.expr.operations as ops
    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.tables.transaction.transaction import Transaction

__all__ = [
    "failed_again",
    "follow_update",
    "propagate",
    "propagate_to",
    "propagate_update",
    "refresh_readers",
    "write_changed",
]

_CHOSEN = "bb_chosen"


def write_changed(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    changed: set[str],
) -> None:
    """Write new states of rows; what is downstream of the changed columns is computed again."""
    if not rows.num_rows:
        return
    affected = dependents(transaction.engine, record, changed)
    rows = compute(transaction, record, rows, affected)
    transaction.end_rows(record, rows.column(RID))
    transaction.append(record, rows)
    transaction.touch(record.id, rows=rows.num_rows)
    propagate_update(transaction, record, rows, changed | {each.name for each in affected})


def propagate(
    transaction: Transaction, record: TableRecord, fresh: pa.Table | None, ended: pa.Array | None
) -> None:
    """Bring the views of a table up to date with its new and ended rows.

    Parameters
    ----------
    fresh
        Physical rows that are new.
    ended
        Identities of rows that ended.
    """
    for view in transaction.engine.catalog.views_of(record.id):
        propagate_to(transaction, record, view, fresh, ended)


def propagate_to(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    fresh: pa.Table | None,
    ended: pa.Array | None,
) -> None:
    """Bring one view of a table up to date; see `propagate`."""
    gone = None
    if ended is not None and len(ended):
        gone = _rows_made_of(transaction, view, ended).column(RID)
        transaction.end_rows(view, gone)
        transaction.touch(view.id, rows=0 if fresh is not None else len(gone))
    rows = None if fresh is None else write_rows(transaction, view, record, fresh)
    if rows is not None or gone is not None:
        propagate(transaction, view, rows, gone)


def propagate_update(
    transaction: Transaction, record: TableRecord, rows: pa.Table, changed: set[str]
) -> None:
    """Bring the views of a table up to date with new values of columns in some of its rows.

    Parameters
    ----------
    rows
        The new states of these rows, as they stand in `transaction.new_rows`.
    """
    transaction.changed_columns.setdefault(record.id, set()).update(changed)
    for view in transaction.engine.catalog.views_of(record.id):
        follow_update(transaction, record, view, rows, changed)


def follow_update(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    rows: pa.Table,
    changed: set[str],
) -> None:
    """Bring one view of a table up to date; see `propagate_update`."""
    engine = transaction.engine
    if read_to_make_rows(engine, view) & changed:
        propagate_to(transaction, record, view, rows, rows.column(RID))
    elif read_by_filters(engine, view) & changed:
        _filter_again(transaction, record, view, rows, changed)
    else:
        _keep_rows(transaction, view, rows.column(RID), changed)


def _filter_again(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    rows: pa.Table,
    changed: set[str],
) -> None:
    """Find which rows a view keeps now: others go, or come, and what stays has new values."""
    import pyarrow.compute as pc

    made = _rows_made_of(transaction, view, rows.column(RID))
    before = made.column(BASE)
    if view.view and view.view.items:  # an iterator may have given no row for a row that passed
        known = passed(transaction, view, rows.column(RID))
        before = before if known is None else known
    was = _is_in(rows.column(RID), before)
    unread = partial(_reads_none_of, changed)
    kept = _passing(transaction, record, view, rows.filter(was), unread)
    others = rows.filter(pc.invert(was))
    gone = made.filter(pc.invert(_is_in(made.column(BASE), kept.column(RID)))).column(RID)
    if len(gone):
        transaction.end_rows(view, gone)
        transaction.touch(view.id, rows=len(gone))
        propagate(transaction, view, None, gone)
    if kept.num_rows:
        transaction.new_rows[record.id] = kept
        _keep_rows(transaction, view, kept.column(RID), changed)
    if others.num_rows:
        transaction.new_rows[record.id] = others
        propagate(transaction, view, write_rows(transaction, view, record, others), None)
    transaction.new_rows[record.id] = rows


def _passing(
    transaction: Transaction,
    record: TableRecord,
    view: TableRecord,
    rows: pa.Table,
    unasked: Callable[[ops.Value], bool],
) -> pa.Table:
    """Return the rows of its base that a view keeps; some predicates hold and are not asked."""
    if not rows.num_rows:
        return rows
    transaction.new_rows[record.id] = rows
    return rows.filter(_is_in(rows.column(RID), passing(transaction, record, view, unasked)))


def _reads_none_of(names: set[str], predicate: ops.Value) -> bool:
    return not read_of_base(predicate) & names


def _is_in(identities: pa.ChunkedArray, others: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    return pc.is_in(identities, value_set=others.combine_chunks())


def _keep_rows(
    transaction: Transaction, view: TableRecord, bases: pa.Array, changed: set[str]
) -> None:
    """Give the rows of a view that were made of rows of its base their new values."""
    engine = transaction.engine
    names = shown_of(engine, view, changed)
    affected = dependents(engine, view, names)
    stored = any(column.kind == "stored" for column in affected)
    if not stored:
        names |= {column.name for column in affected}
        transaction.changed_columns.setdefault(view.id, set()).update(names)
        refresh_readers(transaction, view, names)
        if not names or not engine.catalog.views_of(view.id):
            return
    rows = _states_made_of(transaction, view, bases)
    if not rows.num_rows:
        return
    if stored:
        write_changed(transaction, view, rows, names)
    else:
        transaction.new_rows[view.id] = rows
        propagate_update(transaction, view, rows, names)


def _rows_made_of(transaction: Transaction, view: TableRecord, bases: pa.Array) -> pa.Table:
    """Read which rows of a view were made of which rows of its base: their identities."""
    engine = transaction.engine
    rows = engine.leaf(view.id, hidden=True).to_expr().select(RID, BASE)
    staged, chosen = _chosen(transaction, bases)
    return engine.arrow(rows.semi_join(chosen, rows[BASE] == chosen[RID]), staged=staged)


def _states_made_of(transaction: Transaction, view: TableRecord, bases: pa.Array) -> pa.Table:
    """Read the physical rows of a view that were made of rows of its base."""
    rows = transaction.engine.leaf(view.id, hidden=True).to_expr()
    staged, chosen = _chosen(transaction, bases)
    return physical_rows(
        transaction.engine,
        transaction.without_new_columns(view),
        rows.semi_join(chosen, rows[BASE] == chosen[RID]),
        staged,
    )


def _chosen(transaction: Transaction, rids: pa.Array) -> tuple[dict[str, pa.Table], ir.Table]:
    import pyarrow as pa

    staged = {_CHOSEN: pa.table({RID: rids})}
    return staged, transaction.engine.stored(_CHOSEN, sch.Schema({RID: "int64"})).to_expr()


def refresh_readers(transaction: Transaction, record: TableRecord, changed: set[str]) -> None:
    """Let the queries over a table that read changed columns be computed at the end."""
    for view in transaction.engine.catalog.queries_over(record.id):
        if read_by_view(transaction.engine, view) & changed:
            transaction.schedule_refresh(view.id)


def failed_again(transaction: Transaction, view: TableRecord) -> int:
    """Call the iterator of a view again for the rows of its base for which it failed.

    Returns
    -------
    int
        How many rows of the base these are.
    """
    engine = transaction.engine
    column = next((c for c in view.columns if c.fallible and c.kind == "data"), None)
    if column is None or view.view is None:
        return 0
    base = engine.catalog.record(view.view.base)
    own = engine.leaf(view.id, hidden=True).to_expr()
    failed = own.filter(own[column.error_name].notnull())
    rows = engine.leaf(base.id, hidden=True).to_expr()
    fresh = physical_rows(engine, base, rows.semi_join(failed, rows[RID] == failed[BASE]))
    if fresh.num_rows:
        transaction.new_rows[base.id] = fresh
        propagate_to(transaction, base, view, fresh, fresh.column(RID))
    return fresh.num_rows
