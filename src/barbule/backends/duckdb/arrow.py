"""Arrow rows as DuckDB returns them, and as Ibis promises them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.backends.base import type_mismatch
from barbule.backends.intervals import durations

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["to_query_result"]


def to_query_result(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows with the columns and types that Ibis promises for their query.

    Ibis selects all columns of a table that it knows as `*`, which may return more.
    """
    import pyarrow as pa

    rows = rows if rows.column_names == schema.names else rows.select(schema.names)
    # Missing values are checked elsewhere, with their own message.
    schema = pa.schema([field.with_nullable(True) for field in schema])
    if rows.schema.equals(schema):
        return rows
    columns = [_cast(cells, field) for cells, field in zip(rows.columns, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(cells: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    import pyarrow as pa

    if cells.type.equals(field.type):
        return cells
    if pa.types.is_null(field.type):  # which databases return as int32 or string
        return pa.chunked_array([pa.nulls(len(cells))])
    if _contains_intervals(cells.type):
        chunks = [durations(chunk, field.type) for chunk in cells.chunks]
        return pa.chunked_array(chunks, field.type)
    try:
        if pa.types.is_decimal(cells.type) and pa.types.is_floating(field.type):
            # Arrow casts the decimal 0.7 to 0.7000000000000001.
            return cells.cast(pa.string()).cast(field.type)
        return cells.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise type_mismatch(field.name, field.type, error) from error


def _contains_intervals(dtype: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_interval(dtype):
        return True
    return any(_contains_intervals(dtype.field(index).type) for index in range(dtype.num_fields))
