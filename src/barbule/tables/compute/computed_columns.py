"""Values of stored columns, for new or changed rows, or for all rows of a table.

Owns the order in which dependent columns are computed, and the batches that bound memory. Virtual
columns are inlined by the planner and never computed here.
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
from barbule.executor.calls.provenance import Provenance
from barbule.executor.results.spilling import concatenate_tables
from barbule.nodes import (
    CellError,
)
from barbule.planner.lineage import calls_in
from barbule.relations.promotion import as_declared
from barbule.tables.compute.dependencies import columns_read, computation_levels
from barbule.tables.compute.function_versions import record_versions, warn_of_mixed_versions
from barbule.tables.compute.stored_rows import (
    NewRows,
    lower_to_backend,
    sorted_by_rid,
    staged_new_rows,
)
from barbule.types import declaration, storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from barbule.catalog.records import Column, TableRecord
    from barbule.executor.engine import Engine
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["all_rows_query", "compute_all_rows", "compute_columns"]

_BATCH_BYTES = 64 << 20  # bytes of results that are computed at once

_MIN_BATCH_ROWS = 16384  # rows, so that batch functions get several at once

_UNSIZED_VALUE_BYTES = 256  # bytes of a value without a fixed width


def compute_columns(
    transaction: Transaction,
    record: TableRecord,
    rows: pa.Table,
    columns: Iterable[Column],
) -> pa.Table:
    """Compute stored columns for physical rows and add them.

    Parameters
    ----------
    rows
        Physical columns by their physical names, including `_rid`.
    columns
        The stored columns to compute; they may read each other, and columns that a view takes from
        its base: for those, the rows in `transaction.new_rows` if there are any.

    Returns
    -------
    pyarrow.Table
        The rows, ordered by `_rid`, with the columns added or replaced.
    """
    columns = [column for column in columns if column.kind == "stored"]
    if rows.num_rows:
        warn_of_mixed_versions(transaction, record, columns)
    rows = concatenate_tables(_computed_batches(transaction, record, rows, columns))
    transaction.new_rows[record.id] = rows
    if rows.num_rows:
        record_versions(transaction, record, columns)
    return rows


def _computed_batches(
    transaction: Transaction, record: TableRecord, rows: pa.Table, columns: list[Column]
) -> Iterator[pa.Table]:
    """Compute rows in batches of bounded size; each row depends only on itself."""
    size = _batch_rows(columns)
    for start in range(0, max(rows.num_rows, 1), size):
        with _rows_counted_from(start):
            yield _compute_rows(transaction, record, rows.slice(start, size), columns)


def _compute_rows(
    transaction: Transaction, record: TableRecord, rows: pa.Table, columns: list[Column]
) -> pa.Table:
    """Compute columns level by level, dependencies first."""
    rows = sorted_by_rid(rows) if columns else rows
    for level in computation_levels(transaction.engine, record, columns):
        transaction.new_rows[record.id] = rows
        new_rows = staged_new_rows(transaction, record)
        computed = _compute_values(
            transaction.engine, record, level, new_rows, lenient=transaction.lenient
        )
        rows = _join_computed(rows, computed, level)
    return rows


def compute_all_rows(engine: Engine, record: TableRecord, columns: list[Column]) -> pa.Table:
    """Compute independent stored columns for all rows of a table.

    Returns
    -------
    pyarrow.Table
        The row ids and the columns, by their physical names.
    """
    with engine.begin().progress.shown():
        return concatenate_tables(_computed_ranges(engine, record, columns))


def _computed_ranges(
    engine: Engine, record: TableRecord, columns: list[Column]
) -> Iterator[pa.Table]:
    row_count = 0
    for rids in _rid_ranges(engine, record, columns):
        with _rows_counted_from(row_count):
            computed = _compute_values(engine, record, columns, NewRows(()), rids)
        for column in columns:
            arrow_dtype = storage(column.dtype).to_pyarrow()
            cells = computed.column(column.physical).cast(arrow_dtype)
            computed = _with_column(computed, column.physical, cells)
        row_count += computed.num_rows
        yield computed


def _rid_ranges(
    engine: Engine, record: TableRecord, columns: list[Column]
) -> Iterator[tuple[int, int] | None]:
    """Yield ranges of row ids, one per batch; None means all rows."""
    rows, size = engine.catalog.latest(record.id).next_rid, _batch_rows(columns)
    if rows <= size:
        yield None
        return
    for start in range(0, rows, size):
        yield start, start + size


def _batch_rows(columns: Iterable[Column]) -> int:
    """Return the rows of a batch, so that the memory of its results is bounded."""
    return max(
        _MIN_BATCH_ROWS,
        _BATCH_BYTES // max(1, sum(_value_bytes(storage(column.dtype)) for column in columns)),
    )


@contextlib.contextmanager
def _rows_counted_from(first: int) -> Iterator[None]:
    """Count the rows of errors from the first row of all batches."""
    try:
        yield
    except BarbuleError as error:
        error.row = None if error.row is None else error.row + first
        raise


def _value_bytes(dtype: dt.DataType) -> int:
    """Return the bytes of a value in Arrow; an estimate if it has no fixed width."""
    if isinstance(dtype, dt.Array) and dtype.length is not None:
        return dtype.length * _value_bytes(dtype.value_type)
    if isinstance(dtype, dt.Struct):
        return sum(map(_value_bytes, dtype.fields.values()))
    try:
        return max(1, dtype.to_pyarrow().bit_width // 8)
    except ValueError:
        return _UNSIZED_VALUE_BYTES


def all_rows_query(engine: Engine, record: TableRecord, columns: list[Column]) -> ir.Table | None:
    """Return the query with which the backend alone computes columns for all rows of a table.

    Returns
    -------
    ibis.expr.types.Table or None
        The query for the result of `compute_all_rows`; None if the backend alone cannot compute it.
    """
    query = _values_query(engine, record, columns)
    exact = all(map(_is_assigned_exactly, query.values.values()))
    return lower_to_backend(engine, query.to_expr()) if exact else None


def _is_assigned_exactly(value: ops.Value) -> bool:
    """Whether SQL assigns a value to a column exactly as Arrow transfers it."""
    return declaration(value.dtype).sql_is_exact


def _values_query(engine: Engine, record: TableRecord, columns: list[Column]) -> ops.Project:
    """Return the query of the values and errors of columns, by row id."""
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


def _compute_values(
    engine: Engine,
    record: TableRecord,
    columns: list[Column],
    new_rows: NewRows,
    rids: tuple[int, int] | None = None,
    *,
    lenient: bool = False,
) -> pa.Table:
    def query(engine: Engine) -> ir.Table:
        return _values_query(engine, record, columns).to_expr()

    try:
        target = _provenance(engine, record, columns, lenient=lenient)
        with engine.computing(target) as computing:
            if new_rows.tables:
                key = (record.id, tuple(column.id for column in columns), new_rows.key)
                plan = computing.planner.plan_once(key, query, new_rows.relations)
                return computing.run_plan(plan, new_rows.staged)
            rows = query(computing)
            if rids is not None:
                rows = rows.filter(rows[RID] >= rids[0], rows[RID] < rids[1])
            return computing.arrow(rows)
    except BarbuleError as error:
        column = columns[0] if len(columns) == 1 else None
        if error.column is not None:
            column = next(
                (column for column in columns if column.hidden and column.name == error.column),
                column,
            )
        display_name = None if column is None else _display_name(engine, record, column)
        if column is not None and error.column == column.name:
            error.column = display_name
        raise error.at(table=record.name, column=display_name) from error.__cause__


def _display_name(engine: Engine, record: TableRecord, column: Column) -> str:
    """Return the name of a column for errors: for vectors, that of the indexed column."""
    return (
        min(columns_read(engine, record, column), default=column.name)
        if column.hidden
        else column.name
    )


def _provenance(
    engine: Engine, record: TableRecord, columns: list[Column], *, lenient: bool
) -> Provenance:
    """Describe what is computed, for the call ledger and the budget of the table."""
    versions = engine.catalog.versions(record.id)
    names = {column.physical: column.name for column in columns}
    names |= {column.errors: column.name for column in columns}
    first = versions[-1].next_rid if versions else 0
    budget = TableBudget.of(record, engine.ledger, engine.backend)
    return Provenance(record.name, names, first, budget, lenient)


def _join_computed(rows: pa.Table, computed: pa.Table, level: list[Column]) -> pa.Table:
    """Join computed columns to their rows, which are ordered by row identity."""
    computed = sorted_by_rid(computed)
    for column in level:
        arrow_dtype = storage(column.dtype).to_pyarrow()
        rows = _with_column(
            rows, column.physical, computed.column(column.physical).cast(arrow_dtype)
        )
        if column.fallible:
            rows = _with_column(rows, column.errors, computed.column(column.errors))
    return rows


def _with_column(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    position = rows.schema.get_field_index(name)
    if position < 0:
        return rows.append_column(name, values)
    return rows.set_column(position, name, values)
