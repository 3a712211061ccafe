"""Values of stored columns, for rows that are new, changed, or all of a table.

Owns the order in which columns are computed that read each other, and the batches that bound
memory. Virtual columns are inlined by the planner and never computed here.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.backends.base import RID
from barbule.errors import BarbuleError
from barbule.executor.budgets.table_budget import TableBudget
from barbule.executor.calls.provenance import Purpose
from barbule.executor.results.spilling import put_together
from barbule.nodes import (
    CellError,
)
from barbule.planner.lineage import calls_in
from barbule.relations.promotion import as_declared
from barbule.tables.compute.dependencies import reads
from barbule.tables.compute.function_versions import note_versions, warn_of_mixing
from barbule.tables.compute.stored_rows import by_rid, fresh_rows, within_backend
from barbule.types import Media, storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["compute", "compute_all", "query_of_all"]

_PART = 64 << 20  # bytes of results that are computed at a time

_FEWEST = 16384  # rows, so that functions which take many at a time get them

_UNKNOWN = 256  # bytes of a value of no fixed width


def compute(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    columns: Iterable[Column],
) -> pa.Table:
    """Compute stored columns for physical rows and add them.

    Parameters
    ----------
    rows
        Physical columns by their physical names, `_rid` among them.
    columns
        The stored columns to compute; they may read each other, and what a view shows of its
        base: of that, the rows in `transaction.new_rows` where there are any.

    Returns
    -------
    pyarrow.Table
        The rows, ordered by `_rid`, with the columns added or replaced.
    """
    columns = [column for column in columns if column.kind == "stored"]
    if rows.num_rows:
        warn_of_mixing(transaction, record, columns)
    rows = put_together(_computed_parts(transaction, record, rows, columns))
    transaction.new_rows[record.id] = rows
    if rows.num_rows:
        note_versions(transaction, record, columns)
    return rows


def _computed_parts(
    transaction: Transaction, record: TableRecord, rows: pa.Table, columns: list[Column]
) -> Iterator[pa.Table]:
    """Compute a bounded number of rows at a time: each from its own values alone."""
    size = _at_a_time(columns)
    for start in range(0, max(rows.num_rows, 1), size):
        with _counting_from(start):
            yield _compute_rows(transaction, record, rows.slice(start, size), columns)


def _compute_rows(
    transaction: Transaction, record: TableRecord, rows: pa.Table, columns: list[Column]
) -> pa.Table:
    """Compute columns level by level, those first that the others read."""
    remaining = columns
    while remaining:
        waiting = {column.name for column in remaining}
        level = [
            column
            for column in remaining
            if not reads(transaction.engine, record, column) & (waiting - {column.name})
        ]
        rows = _compute_level(transaction, record, rows, level)
        remaining = [column for column in remaining if column not in level]
    return rows


def _compute_level(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    level: list[Column],
) -> pa.Table:
    transaction.new_rows[record.id] = rows
    relations, staged = fresh_rows(transaction, record)
    computed = _computed(
        transaction.engine, record, level, relations, staged, lenient=transaction.lenient
    )
    return _joined(rows, computed, level)


def compute_all(engine: Engine, record: TableRecord, columns: list[Column]) -> pa.Table:
    """Compute stored columns, none of which reads another of them, for all rows of a table.

    Returns
    -------
    pyarrow.Table
        The row identities and the columns, by their physical names.
    """
    with engine.caller.watching():
        return put_together(_computed_ranges(engine, record, columns))


def _computed_ranges(
    engine: Engine, record: TableRecord, columns: list[Column]
) -> Iterator[pa.Table]:
    done = 0
    for rids in _ranges(engine, record, columns):
        with _counting_from(done):
            computed = _computed(engine, record, columns, {}, {}, rids)
        for column in columns:
            wanted = storage(column.dtype).to_pyarrow()
            cells = computed.column(column.physical).cast(wanted)
            computed = _with_column(computed, column.physical, cells)
        done += computed.num_rows
        yield computed


def _ranges(
    engine: Engine, record: TableRecord, columns: list[Column]
) -> Iterator[tuple[int, int] | None]:
    """Yield ranges of row identities whose results take a bounded memory; None for all rows."""
    rows, size = engine.catalog.latest(record.id).next_rid, _at_a_time(columns)
    if rows <= size:
        yield None
        return
    for start in range(0, rows, size):
        yield start, start + size


def _at_a_time(columns: Iterable[Column]) -> int:
    """Return for how many rows columns are computed together, so that a bounded memory is taken."""
    return max(_FEWEST, _PART // max(1, sum(_width(storage(each.dtype)) for each in columns)))


@contextlib.contextmanager
def _counting_from(first: int) -> Iterator[None]:
    """Let errors count rows from the first of all parts."""
    try:
        yield
    except BarbuleError as error:
        error.row = None if error.row is None else error.row + first
        raise


def _width(kind: dt.DataType) -> int:
    """Return how many bytes a value takes in Arrow, or what a text may take."""
    if isinstance(kind, dt.Array) and kind.length is not None:
        return kind.length * _width(kind.value_type)
    if isinstance(kind, dt.Struct):
        return sum(map(_width, kind.fields.values()))
    try:
        return max(1, kind.to_pyarrow().bit_width // 8)
    except ValueError:
        return _UNKNOWN


_PLAIN = (dt.Boolean, dt.Date, dt.Floating, dt.Integer, dt.String)


def query_of_all(engine: Engine, record: TableRecord, columns: list[Column]) -> ir.Table | None:
    """Make the query by which the backend alone computes columns for all rows of a table.

    Returns
    -------
    ibis.expr.types.Table or None
        What `compute_all` would return; None where it takes more than the backend.
    """
    query = _query_of(engine, record, columns)
    exact = all(map(_is_assigned_exactly, query.values.values()))
    return within_backend(engine, query.to_expr()) if exact else None


def _is_assigned_exactly(value: ops.Value) -> bool:
    """Whether SQL assigns a value to a column exactly as it travels by Arrow."""
    return isinstance(value.dtype, _PLAIN) and not isinstance(value.dtype, Media)


def _query_of(engine: Engine, record: TableRecord, columns: list[Column]) -> ops.Project:
    """Make the query of the values of columns, and why there are none, by row identity."""
    leaf = engine.leaf(record.id, hidden=True)
    visible = engine.leaf(record.id)
    values = {RID: ops.Field(leaf, RID)}
    for column in columns:
        value = engine.expression(str(column.expression), None).replace({visible: leaf})
        values[column.physical] = as_declared(value, column.dtype)
        if column.fallible:
            reasons = tuple(CellError(call) for call in calls_in(value))
            values[column.errors] = ops.Coalesce(reasons) if len(reasons) > 1 else reasons[0]
    return ops.Project(leaf, values)


def _computed(
    engine: Engine,
    record: TableRecord,
    columns: list[Column],
    relations: Mapping[int, ops.Relation],
    staged: Mapping[str, pa.Table],
    rids: tuple[int, int] | None = None,
    *,
    lenient: bool = False,
) -> pa.Table:
    def query() -> ir.Table:
        return _query_of(engine, record, columns).to_expr()

    try:
        with engine.caller.computing(_purpose(engine, record, columns, lenient=lenient)):
            if relations:
                key = (record.id, tuple(column.id for column in columns))
                return engine.computed(engine.plan_once(key, query, relations), staged)
            rows = query()
            if rids is not None:
                rows = rows.filter(rows[RID] >= rids[0], rows[RID] < rids[1])
            return engine.arrow(rows, relations, staged)
    except BarbuleError as error:
        column = columns[0] if len(columns) == 1 else None
        if error.column is not None:
            column = next((c for c in columns if c.hidden and c.name == error.column), column)
        shown = None if column is None else _name_shown(engine, record, column)
        if column is not None and error.column == column.name:
            error.column = shown
        raise error.at(table=record.name, column=shown) from error.__cause__


def _name_shown(engine: Engine, record: TableRecord, column: Column) -> str:
    """Name a column for people: for the vectors of an index the column that it searches."""
    return min(reads(engine, record, column), default=column.name) if column.hidden else column.name


def _purpose(
    engine: Engine, record: TableRecord, columns: list[Column], *, lenient: bool
) -> Purpose:
    """Say what is computed, for the call ledger and the budget of the table."""
    versions = engine.catalog.versions(record.id)
    names = {column.physical: column.name for column in columns}
    names |= {column.errors: column.name for column in columns}
    first = versions[-1].next_rid if versions else 0
    budget = TableBudget.of(record, engine.ledger, engine.backend)
    return Purpose(record.name, names, first, budget, lenient)


def _joined(rows: pa.Table, computed: pa.Table, level: list[Column]) -> pa.Table:
    """Put computed columns beside their rows, by row identity."""
    rows, computed = by_rid(rows), by_rid(computed)
    for column in level:
        wanted = storage(column.dtype).to_pyarrow()
        rows = _with_column(rows, column.physical, computed.column(column.physical).cast(wanted))
        if column.fallible:
            rows = _with_column(rows, column.errors, computed.column(column.errors))
    return rows


def _with_column(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    if name in rows.column_names:
        return rows.set_column(rows.column_names.index(name), name, values)
    return rows.append_column(name, values)
