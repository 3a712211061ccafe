"""The check of new values of columns: choices, and required values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.errors import DataError
from barbule.tables.sources import check_choices
from barbule.tables.sources.required_values import first_missing_value

if TYPE_CHECKING:
    import pyarrow as pa

    from barbule.catalog.records import TableRecord

__all__ = ["check_new_values"]


def check_new_values(record: TableRecord, rows: pa.Table, names: set[str]) -> None:
    """Check choices and required values of new values of columns."""
    for name in names:
        column = record.column(name)
        if column and column.choices:
            try:
                check_choices(rows.column(column.physical), column.choices, name)
            except DataError as error:
                raise error.at(table=record.name) from None
        missing = column and first_missing_value(rows.column(column.physical), column.dtype)
        if missing:
            path = ".".join(missing[1])
            subject = f"its field {path!r}" if path else "the column"
            raise DataError(
                f"{subject} is required, and the new value is missing.",
                table=record.name,
                column=name,
                hint="Give a value, or choose other rows.",
            )
