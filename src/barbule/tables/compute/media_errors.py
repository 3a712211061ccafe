"""Why cells of data are empty: media that could not be read, where an insert went on.

Owns what becomes of bad media, and the columns beside those of media that say why a cell is
empty. Those of computed columns are `columns`' business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from barbule.nodes import ERROR
from barbule.tables.sources import FAILED, CellRules
from barbule.tables.transaction.names import physical_name

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.catalog.records import TableRecord
    from barbule.tables.transaction.transaction import Transaction

__all__ = ["cell_rules", "place_of", "with_reasons", "without_reasons"]


def cell_rules(record: TableRecord, on_error: Literal["abort", "null"] = "abort") -> CellRules:
    """Return what may be written to a table, and what becomes of media."""
    unchecked = frozenset(column.name for column in record.columns if not column.validated)
    choices = {column.name: column.choices for column in record.columns if column.choices}
    computed = frozenset(
        column.name for column in record.columns if column.kind != "data" and not column.hidden
    )
    return CellRules(unchecked, on_error, choices, computed)


def place_of(record: TableRecord, name: str) -> str:
    """Return where a column of an insert goes: values, or why they are missing."""
    if not name.startswith(FAILED):
        return physical_name(record, name)
    column = record.column(name.removeprefix(FAILED))
    return column.errors if column else name


def with_reasons(transaction: Transaction, record: TableRecord, rows: pa.Table) -> pa.Table:
    """Let rows have all columns that say why data is missing, and count what they say."""
    import pyarrow as pa

    for column in record.columns:
        if column.kind != "data" or not column.fallible:
            if column.errors in rows.column_names and not column.fallible:
                rows = rows.drop_columns([column.errors])  # made before there was a place for it
            continue
        if column.errors in rows.column_names:
            reasons = rows.column(column.errors)
            transaction.tally.errors += rows.num_rows - reasons.null_count
        else:
            nothing = pa.nulls(rows.num_rows, ERROR.to_pyarrow())
            rows = rows.append_column(column.errors, nothing)
    return rows


def without_reasons(record: TableRecord, name: str, rows: pa.Table) -> pa.Table:
    """Forget why cells of a column were missing, as they have new values."""
    import pyarrow as pa

    column = record.column(name)
    if column is None or not column.fallible:
        return rows
    nothing = pa.nulls(rows.num_rows, ERROR.to_pyarrow())
    return rows.set_column(rows.column_names.index(column.errors), column.errors, nothing)
