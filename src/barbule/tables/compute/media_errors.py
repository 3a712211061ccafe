"""Errors of cells of media columns: files that could not be read while an insert continued.

Owns the rules for invalid media files, and the error columns of media columns. `computed_columns`
fills the error columns of computed columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from barbule.nodes import CELL_ERROR_TYPE
from barbule.tables.sources import FAILED_PREFIX, CellRules
from barbule.tables.transaction.names import physical_name

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["cell_rules", "clear_errors", "physical_target", "with_error_columns"]


def cell_rules(record: TableRecord, on_error: Literal["abort", "null"] = "abort") -> CellRules:
    """Return what may be written to a table, and the policy for invalid media files."""
    unchecked = frozenset(column.name for column in record.columns if not column.validated)
    choices = {column.name: column.choices for column in record.columns if column.choices}
    computed = frozenset(
        column.name for column in record.columns if column.kind != "data" and not column.hidden
    )
    return CellRules(unchecked, on_error, choices, computed)


def physical_target(record: TableRecord, name: str) -> str:
    """Return the physical column of a column of an insert: its values, or their errors."""
    if not name.startswith(FAILED_PREFIX):
        return physical_name(record, name)
    column = record.column(name.removeprefix(FAILED_PREFIX))
    return column.errors if column else name


def with_error_columns(transaction: Transaction, record: TableRecord, rows: pa.Table) -> pa.Table:
    """Add the error columns of data that rows lack, and count the errors in them."""
    import pyarrow as pa

    columns = dict(zip(rows.column_names, rows.columns, strict=True))
    for column in record.columns:
        if column.kind != "data" or not column.fallible:
            if not column.fallible:
                columns.pop(column.errors, None)  # created before the error column existed
        elif column.errors in columns:
            transaction.tally.errors += rows.num_rows - columns[column.errors].null_count
        else:
            columns[column.errors] = pa.nulls(rows.num_rows, CELL_ERROR_TYPE.to_pyarrow())
    return pa.table(columns)


def clear_errors(record: TableRecord, name: str, rows: pa.Table) -> pa.Table:
    """Clear the errors of a column that has new values."""
    import pyarrow as pa

    column = record.column(name)
    if column is None or not column.fallible:
        return rows
    no_errors = pa.nulls(rows.num_rows, CELL_ERROR_TYPE.to_pyarrow())
    return rows.set_column(rows.column_names.index(column.errors), column.errors, no_errors)
