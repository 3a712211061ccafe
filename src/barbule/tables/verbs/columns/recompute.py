"""Recomputes computed columns, and lists failed cells.

Owns the choice of rows and columns; `computed_columns` computes the values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import ibis

from barbule.backends.base import RID
from barbule.errors import ExpressionError
from barbule.nodes import CellError
from barbule.relations import Query
from barbule.relations.errors.refused_arguments import refuse_plain
from barbule.tables.compute.computed_columns import compute_columns
from barbule.tables.compute.dependencies import dependent_columns
from barbule.tables.compute.function_versions import (
    has_stale_rows,
    stale_columns,
    with_current_iterator,
    with_current_versions,
)
from barbule.tables.compute.stored_rows import read_physical_rows, read_rids
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import current_record, own_column
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.verbs.rows.row_selection import selected_rows
from barbule.tables.verbs.rows.row_writes import run_unless_empty
from barbule.tables.views.incremental import write_view_rows
from barbule.tables.views.propagation import propagate, propagate_update, retry_failed_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis.expr.types as ir
    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.nodes import ManagedTable
    from barbule.tables.arguments import Condition
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["errors", "recompute"]


@isolated
def recompute(
    table: ir.Table, names: tuple[str, ...], where: Condition | str | None, *, errors_only: bool
) -> UpdateResult:
    """Recompute stored columns, and everything downstream, for some rows.

    For a view this includes, with `errors_only`, the rows for which its iterator failed.
    """
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current_record(leaf)
    if isinstance(where, str) and where == "stale":
        return _recompute_stale(leaf, names, table.columns, since=since)
    iterator_column = _iterator_error_column(record)
    if (
        not errors_only
        or where is not None
        or iterator_column is None
        or (names and iterator_column not in names)
    ):
        return _recompute_stored(table, names, where, since=since, errors_only=errors_only)

    def prepare(transaction: Transaction) -> int:
        return retry_failed_rows(transaction, current_record(transaction.leaf(leaf)))

    retried = run_unless_empty(leaf, UpdateResult, "recompute", prepare, since=since, slow=True)
    others = tuple(name for name in names if name != iterator_column) or _stored_names(record)
    if (names and names == (iterator_column,)) or not others:
        return retried
    since = engine.catalog.refresh()
    recomputed = _recompute_stored(table, others, None, since=since, errors_only=True)
    return replace(
        recomputed, rows=retried.rows + recomputed.rows, errors=retried.errors + recomputed.errors
    )


def _iterator_error_column(record: TableRecord) -> str | None:
    """Return the column that holds the errors of a view's iterator."""
    if record.view is None:
        return None
    return next(
        (column.name for column in record.columns if column.fallible and column.kind == "data"),
        None,
    )


def _stored_names(record: TableRecord) -> tuple[str, ...]:
    return tuple(
        column.name for column in record.columns if column.kind == "stored" and not column.hidden
    )


def _recompute_stored(
    table: ir.Table,
    names: tuple[str, ...],
    where: Condition | str | None,
    *,
    since: int,
    errors_only: bool,
) -> UpdateResult:
    leaf: ManagedTable = table.op()
    record = current_record(leaf)
    names = names or _stored_names(record)
    _check_stored(record, names, table.columns)
    condition = _row_condition(table, names, where, errors_only=errors_only)

    def prepare(transaction: Transaction) -> int:
        record = current_record(transaction.leaf(leaf))
        rows = read_physical_rows(
            transaction.engine, record, selected_rows(transaction.table(table), condition)
        )
        columns = [own_column(record, name) for name in names]
        return _recompute_columns(transaction, record, rows, columns, is_complete=condition is None)

    return run_unless_empty(leaf, UpdateResult, "recompute", prepare, since=since, slow=True)


def _check_stored(record: TableRecord, names: Iterable[str], visible: Iterable[str]) -> None:
    for name in names:
        if own_column(record, name, visible).kind != "stored":
            raise ExpressionError(
                "this is not a stored computed column.",
                table=record.name,
                column=name,
                hint="Change data with update(); virtual columns are always up to date.",
            )


def _recompute_columns(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    columns: list[Column],
    *,
    is_complete: bool,
) -> int:
    """Recompute columns, and everything downstream, for physical rows.

    Parameters
    ----------
    is_complete
        Whether these are all rows, so that no older values remain in the columns.
    """
    engine = transaction.engine
    if not rows.num_rows:
        return 0
    changed = {column.name for column in columns}
    downstream = [
        column for column in dependent_columns(engine, record, changed) if column not in columns
    ]
    rows = compute_columns(transaction, record, rows, [*columns, *downstream])
    transaction.end_rows(record, rows.column(RID))
    transaction.append(record, rows)
    transaction.touch(record.id, rows=rows.num_rows)
    if is_complete:
        _put_current_versions(
            transaction,
            record,
            {column.id for column in (*columns, *downstream) if column.kind == "stored"},
        )
    changed |= {column.name for column in downstream}
    propagate_update(transaction, record, rows, changed)
    return rows.num_rows


def _put_current_versions(transaction: Transaction, record: TableRecord, ids: set[int]) -> None:
    """Record that the current functions computed columns entirely."""
    engine = transaction.engine
    latest = engine.catalog.record(record.id)
    columns = tuple(
        with_current_versions(engine, column) if column.id in ids else column
        for column in latest.columns
    )
    if columns != latest.columns:
        transaction.put_record(replace(latest, columns=columns))


def _recompute_stale(
    leaf: ManagedTable, names: tuple[str, ...], visible: Iterable[str], *, since: int
) -> UpdateResult:
    """Recompute the values that an older version of a function computed."""
    _check_stored(current_record(leaf), names, visible)

    def prepare(transaction: Transaction) -> int:
        record = current_record(transaction.leaf(leaf))
        if not names and has_stale_rows(transaction.engine, record):
            return _recompute_iterator_rows(transaction, record)
        stale = [
            values.column for values in stale_columns(transaction.engine, record) if values.column
        ]
        columns = list(
            dict.fromkeys(column for column in stale if not names or column.name in names)
        )
        if not columns:
            return 0
        rows = read_physical_rows(
            transaction.engine, record, transaction.leaf(leaf).copy(hidden=True).to_expr()
        )
        if not rows.num_rows:  # no older values remain
            _put_current_versions(transaction, record, {column.id for column in columns})
        return _recompute_columns(transaction, record, rows, columns, is_complete=True)

    return run_unless_empty(leaf, UpdateResult, "recompute", prepare, since=since, slow=True)


def _recompute_iterator_rows(transaction: Transaction, record: TableRecord) -> int:
    """Rebuild all rows of a view with its iterator."""
    engine = transaction.engine
    assert record.view is not None
    old_rids = read_rids(engine, record).column(RID)
    transaction.end_rows(record, old_rids)
    rows = write_view_rows(transaction, record, engine.catalog.record(record.view.base), None)
    latest = engine.catalog.record(record.id)
    transaction.put_record(with_current_iterator(engine, latest))
    _put_current_versions(
        transaction, record, {column.id for column in latest.columns if column.kind == "stored"}
    )
    propagate(transaction, record, rows, old_rids)
    return rows.num_rows


def _row_condition(
    table: ir.Table, names: tuple[str, ...], where: Condition | str | None, *, errors_only: bool
) -> Condition | None:
    if isinstance(where, str) and where == "deferred":
        reasons = [CellError(table[name]).to_expr() for name in names]
        return ibis.or_(*(reason["type"] == "deferred" for reason in reasons))
    refuse_plain(where, table)
    if not errors_only:
        return where
    failed = ibis.or_(*(CellError(table[name]).to_expr().notnull() for name in names))
    if where is None:
        return failed
    bound = table.bind(where)
    return ibis.and_(failed, *bound)


def errors(table: ir.Table) -> Query:
    """Return the cells of a table that are empty because a function failed."""
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    record = engine.catalog.record(leaf.table_id, leaf.commit)
    hidden = leaf.copy(hidden=True).to_expr()
    parts = []
    for column in record.columns:
        if not column.fallible:
            continue
        failed = hidden.filter(hidden[column.error_name].notnull())
        reason = failed[column.error_name]
        parts.append(
            failed.select(
                row=failed[RID],
                column=ibis.literal(column.name),
                type=reason["type"],
                message=reason["message"],
            )
        )
    if not parts:
        no_text = ibis.literal(None, "string")
        no_rows = hidden.filter(ibis.literal(False))
        parts = [no_rows.select(row=no_rows[RID], column=no_text, type=no_text, message=no_text)]
    return Query((ibis.union(*parts) if len(parts) > 1 else parts[0]).op())
