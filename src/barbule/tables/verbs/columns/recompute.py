"""Computed columns are computed again, and what failed is listed.

Owns which rows that concerns; the computation itself is `columns`' business.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import ibis

from barbule.backends.base import RID
from barbule.errors import ExpressionError
from barbule.nodes import CellError
from barbule.relations import Query
from barbule.relations.errors.invalid_queries import refuse_plain
from barbule.tables.compute.computed_columns import compute
from barbule.tables.compute.dependencies import dependents
from barbule.tables.compute.function_versions import (
    mended,
    mended_rows,
    rows_are_stale,
    stale_columns,
)
from barbule.tables.compute.stored_rows import physical_rows
from barbule.tables.transaction.isolation import isolated
from barbule.tables.transaction.names import current, own_column
from barbule.tables.transaction.results import UpdateResult
from barbule.tables.verbs.rows.row_selection import chosen_rows
from barbule.tables.verbs.rows.row_writes import unless_empty
from barbule.tables.views.incremental import write_rows
from barbule.tables.views.propagation import failed_again, propagate, propagate_update

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
    """Compute stored columns again, and what depends on them, for some rows.

    Of a view this includes the rows for which its iterator failed, where errors are asked for.
    """
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    since = engine.catalog.refresh()
    record = current(leaf)
    if isinstance(where, str) and where == "stale":
        return _recompute_stale(leaf, names, table.columns, since=since)
    given = _of_iterator(record)
    if not errors_only or where is not None or given is None or (names and given not in names):
        return _stored_again(table, names, where, since=since, errors_only=errors_only)

    def prepare(transaction: Transaction) -> int:
        return failed_again(transaction, current(leaf))

    done = unless_empty(leaf, UpdateResult, "recompute", prepare, since=since, slow=True)
    others = tuple(name for name in names if name != given) or _stored(record)
    if (names and names == (given,)) or not others:
        return done
    since = engine.catalog.refresh()
    more = _stored_again(table, others, None, since=since, errors_only=True)
    return replace(more, rows=done.rows + more.rows, errors=done.errors + more.errors)


def _of_iterator(record: TableRecord) -> str | None:
    """Name the column beside which stands why the iterator of a view failed."""
    if record.view is None:
        return None
    return next((c.name for c in record.columns if c.fallible and c.kind == "data"), None)


def _stored(record: TableRecord) -> tuple[str, ...]:
    return tuple(c.name for c in record.columns if c.kind == "stored" and not c.hidden)


def _stored_again(
    table: ir.Table,
    names: tuple[str, ...],
    where: Condition | str | None,
    *,
    since: int,
    errors_only: bool,
) -> UpdateResult:
    leaf: ManagedTable = table.op()
    engine: Engine = leaf.source
    record = current(leaf)
    names = names or _stored(record)
    _check_stored(record, names, table.columns)
    condition = _condition(table, names, where, errors_only=errors_only)

    def prepare(transaction: Transaction) -> int:
        record = current(leaf)
        rows = physical_rows(engine, record, chosen_rows(table, condition))
        columns = [own_column(record, name) for name in names]
        return _compute_again(transaction, record, rows, columns, whole=condition is None)

    return unless_empty(leaf, UpdateResult, "recompute", prepare, since=since, slow=True)


def _check_stored(record: TableRecord, names: Iterable[str], shown: Iterable[str]) -> None:
    for name in names:
        if own_column(record, name, shown).kind != "stored":
            raise ExpressionError(
                "the values of this column are not computed and kept.",
                table=record.name,
                column=name,
                hint="Data is changed by update(); what is inlined is always up to date.",
            )


def _compute_again(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    columns: list[Column],
    *,
    whole: bool,
) -> int:
    """Compute columns again, and what depends on them, for physical rows.

    Parameters
    ----------
    whole
        Whether these are all rows, so that nothing older is left in the columns.
    """
    engine = transaction.engine
    if not rows.num_rows:
        return 0
    changed = {column.name for column in columns}
    below = [c for c in dependents(engine, record, changed) if c not in columns]
    rows = compute(transaction, record, rows, [*columns, *below])
    transaction.end_rows(record, rows.column(RID))
    transaction.append(record, rows)
    transaction.touch(record.id, rows=rows.num_rows)
    if whole:
        _put_mended(transaction, record, {c.id for c in (*columns, *below) if c.kind == "stored"})
    changed |= {column.name for column in below}
    propagate_update(transaction, record, rows, changed)
    return rows.num_rows


def _put_mended(transaction: Transaction, record: TableRecord, ids: set[int]) -> None:
    """Remember that columns were computed wholly by the functions as they are now."""
    engine = transaction.engine
    latest = engine.catalog.record(record.id)
    columns = tuple(mended(engine, c) if c.id in ids else c for c in latest.columns)
    if columns != latest.columns:
        transaction.put_record(replace(latest, columns=columns))


def _recompute_stale(
    leaf: ManagedTable, names: tuple[str, ...], shown: Iterable[str], *, since: int
) -> UpdateResult:
    """Compute again what an older version of a function computed."""
    engine: Engine = leaf.source
    _check_stored(current(leaf), names, shown)

    def prepare(transaction: Transaction) -> int:
        record = current(leaf)
        if not names and rows_are_stale(engine, record):
            return _make_rows_again(transaction, record)
        found = [each.column for each in stale_columns(engine, record) if each.column]
        columns = list(dict.fromkeys(c for c in found if not names or c.name in names))
        if not columns:
            return 0
        rows = physical_rows(engine, record, leaf.copy(hidden=True).to_expr())
        if not rows.num_rows:  # nothing old is left
            _put_mended(transaction, record, {column.id for column in columns})
        return _compute_again(transaction, record, rows, columns, whole=True)

    return unless_empty(leaf, UpdateResult, "recompute", prepare, since=since, slow=True)


def _make_rows_again(transaction: Transaction, record: TableRecord) -> int:
    """Let the iterator of a view give all its rows anew."""
    engine = transaction.engine
    assert record.view is not None
    gone = engine.arrow(engine.leaf(record.id, hidden=True).to_expr().select(RID)).column(RID)
    transaction.end_rows(record, gone)
    rows = write_rows(transaction, record, engine.catalog.record(record.view.base), None)
    latest = engine.catalog.record(record.id)
    transaction.put_record(mended_rows(engine, latest))
    _put_mended(transaction, record, {c.id for c in latest.columns if c.kind == "stored"})
    propagate(transaction, record, rows, gone)
    return rows.num_rows


def _condition(
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
        nothing = ibis.literal(None, "string")
        none = hidden.filter(ibis.literal(False))
        parts = [none.select(row=none[RID], column=nothing, type=nothing, message=nothing)]
    return Query((ibis.union(*parts) if len(parts) > 1 else parts[0]).op())
